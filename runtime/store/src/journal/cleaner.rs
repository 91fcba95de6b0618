//! The cleaner: what is alive in the oldest segment is written again at the end, then the segment is deleted.
//!
//! An object's records are in order, so whatever has a record in the oldest segment has its put there: the cleaner looks
//! for puts that still count and writes the whole chain again, as one put and its appends in one frame. A reader that
//! finds both, because we crashed in between, starts the object anew at the second put; one that finds only the later
//! appends of the old chain ignores them, because their object isn't there yet. A remove in the oldest segment has nothing
//! left to remove. A segment is deleted only after a synced frame says that it no longer counts.

use super::Commit;
use super::frame::{Frame, HEADER_BYTES, Kind, Record, size};
use super::log::Log;
use crate::StoreError;

/// What a slice of cleaning came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleaned {
    /// What was asked for, or all there was to do.
    Done,
    /// There is more, but no room for the copies: wait for removals or for the disk.
    Stuck,
}

impl Log {
    /// Whether the disk holds more than it should: with the current segment and the next one, files take at most twice
    /// what is alive and two segments. On a full disk, whatever gives a segment back is worth it.
    pub(crate) fn wants_cleaning(&self) -> bool {
        let used = self.sealed_bytes() + self.current.used;
        let live = self.index.live_bytes();
        !self.sealed.is_empty()
            && (used > 2 * live
                || self.cleaned > 0
                || self.tight && used - live.min(used) > self.options.segment_bytes / 2)
    }

    /// Works through about `bytes` of old segments; without a next segment until there is one.
    pub(crate) fn clean(&mut self, bytes: u64) -> Result<Cleaned, StoreError> {
        // Every record that may have to be copied is on the disk from here on.
        self.write()?;
        let mut worked = 0;
        while self.wants_cleaning() && (worked < bytes || self.spare.is_none()) {
            let Some((&number, segment)) = self.sealed.first_key_value() else {
                break;
            };
            if self.cleaned >= segment.used {
                self.forget(number)?;
                self.prepare();
                continue;
            }
            let Some((frame_bytes, keys)) = self.alive_in_frame(number)? else {
                return Err(self.damaged(number, self.cleaned, 0));
            };
            for key in keys {
                if !self.copy(key)? {
                    self.write()?;
                    return Ok(Cleaned::Stuck);
                }
            }
            self.cleaned += frame_bytes;
            worked += frame_bytes;
        }
        self.write()?;
        Ok(Cleaned::Done)
    }

    /// The size of the cleaner's next frame and the objects whose put in it still counts; nothing when it is damaged:
    /// rotten bytes must not get a new checksum.
    fn alive_in_frame(&self, number: u32) -> Result<Option<(u64, Vec<u64>)>, StoreError> {
        let header = self.read_bytes(number, self.cleaned, HEADER_BYTES)?;
        let Some(length) = Frame::announced(&header) else {
            return Ok(None);
        };
        let end = self.sealed.get(&number).map_or(0, |segment| segment.used);
        if self.cleaned + (HEADER_BYTES + length) as u64 > end {
            return Ok(None);
        }
        let bytes = self.read_bytes(number, self.cleaned, HEADER_BYTES + length)?;
        let salt = self.salt(number);
        let Some(frame) = Frame::read(&bytes, salt) else {
            return Ok(None);
        };
        let mut alive = Vec::new();
        let mut at = 0;
        while at < frame.records.len() {
            let Ok((record, record_bytes)) = Record::read(&frame.records[at..], salt) else {
                return Ok(None);
            };
            let offset = self.cleaned + (HEADER_BYTES + at) as u64;
            let first = self.index.chain(record.key).next();
            if record.kind == Kind::Put
                && first.is_some_and(|p| p.segment == number && u64::from(p.offset) == offset)
            {
                alive.push(record.key);
            }
            at += record_bytes;
        }
        Ok(Some((size(length) as u64, alive)))
    }

    /// Writes an object's chain again; false when there is no room for it.
    fn copy(&mut self, key: u64) -> Result<bool, StoreError> {
        let places: Vec<_> = self.index.chain(key).collect();
        let bytes: u64 = places.iter().map(|place| place.record_bytes()).sum();
        if self.spare.is_none() && !self.asked {
            self.prepare();
        }
        // Without a next segment the copies may not eat up what removals and refreshes need.
        let taken = self.current.used + self.filling.len() as u64;
        let room = self.current.capacity.saturating_sub(taken);
        if self.spare.is_none() && bytes + self.options.segment_bytes / 8 > room {
            return Ok(false);
        }
        let read = places.iter().map(|place| self.read(key, *place));
        let chain: Vec<_> = read.collect::<Result<_, _>>()?;
        self.make_room(bytes)?;
        let mut kind = Kind::Put;
        for record in &chain {
            self.push(key, kind, record);
            kind = Kind::Append;
        }
        self.copied_bytes += bytes;
        Ok(true)
    }

    /// Deletes a segment in which nothing counts any more.
    fn forget(&mut self, number: u32) -> Result<(), StoreError> {
        self.oldest = number + 1;
        self.write()?;
        self.make_room(0)?;
        self.write_frame()?;
        // Also where a commit isn't synced: what the disk already had must not be lost with power.
        self.sync()?;
        if self.options.commit == Commit::Os {
            self.note()?;
        }
        self.sealed.remove(&number);
        self.cleaned = 0;
        self.delete(number)?;
        self.folder.sync_folder(&self.folder.journal())
    }
}
