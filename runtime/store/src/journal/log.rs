//! The segments at work: appending frames, syncing, going on to the next segment, reading records back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use machine::{Batch, Op};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::folder::{Folder, Note, Promised, own_file};
use super::frame::{
    self, FRAME_BYTES_MAX, Filling, HEADER_BYTES, Head, Kind, RECORD_HEADER_BYTES, Record,
};
use super::index::{Index, Place};
use super::{Commit, Options};
use crate::{Damage, Report, StoreError};

/// One write gathers at most this much, unless one batch alone is more: a frame is read as a whole.
const GATHER_BYTES_MAX: usize = 1 << 20;
/// Below it a segment would be all headers.
const SEGMENT_BYTES_MIN: u32 = 1024;
/// Offsets in the index have 32 bits, and one batch of `FRAME_BYTES_MAX` may follow what is there.
const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// One segment's file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) file: File,
    /// Where the next frame goes.
    pub(crate) used: u64,
    /// Bytes that the disk has promised for it.
    pub(crate) capacity: u64,
    /// Written since the last sync.
    pub(crate) dirty: bool,
}

/// All segments and what is in them.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) folder: Folder,
    pub(crate) options: LogOptions,
    pub(crate) index: Index,
    /// Full ones, oldest first.
    pub(crate) sealed: BTreeMap<u32, Segment>,
    /// Where frames go.
    pub(crate) current: Segment,
    /// Where they will go next: allocated before it is needed, so that a full disk is noticed a whole segment ahead.
    pub(crate) spare: Option<Segment>,
    /// There is no spare, or the disk has no room for another after it: new state is refused, and the cleaner works for
    /// every segment that it can give back.
    pub(crate) tight: bool,
    /// Since the last change the disk was asked for a spare.
    pub(crate) asked: bool,
    pub(crate) promised: Promised,
    pub(crate) filling: Filling,
    /// Of the frame that is being filled.
    pub(crate) sequence: u64,
    /// The newest frame that counts as durable.
    pub(crate) durable: u64,
    /// The newest frame that `promised` tells of.
    pub(crate) noted: u64,
    /// The oldest segment that still counts.
    pub(crate) oldest: u32,
    /// How far the cleaner is in the oldest segment.
    pub(crate) cleaned: u64,
    pub(crate) syncs: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) written_bytes: u64,
    /// Written since the last sync.
    pub(crate) unsynced_bytes: u64,
    /// Held until the log is dropped.
    pub(crate) _lock: File,
}

/// What the log has to know of the options and the identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    pub(crate) commit: Commit,
    pub(crate) segment_bytes: u64,
    pub(crate) disk_bytes_max: u64,
    pub(crate) hash_key: [u8; 16],
    pub(crate) starts: u32,
}

impl LogOptions {
    pub(crate) fn new(options: &Options, hash_key: [u8; 16], starts: u32) -> Self {
        Self {
            commit: options.commit,
            segment_bytes: u64::from(
                options
                    .segment_bytes
                    .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            ),
            disk_bytes_max: options.disk_bytes_max.unwrap_or(u64::MAX),
            hash_key,
            starts,
        }
    }
}

impl Segment {
    /// Makes a new segment and allocates it; file and name are durable on return. Nothing is left behind on failure.
    pub(crate) fn create(folder: &Folder, number: u32, bytes: u64) -> Result<Self, StoreError> {
        let path = folder.segment(number);
        let made = own_file().create_new(true).open(&path).and_then(|file| {
            allocate(&file, bytes)?;
            file.sync_all()?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                folder.sync_folder(&folder.journal())?;
                Ok(Self {
                    number,
                    file,
                    used: 0,
                    capacity: bytes,
                    dirty: false,
                })
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::AlreadyExists {
                    let _ = std::fs::remove_file(&path);
                }
                Err(StoreError::io("allocate", &path, &error))
            }
        }
    }
}

/// Promises `bytes` of the disk to the file. Where the filesystem can't, zeros are written.
pub(crate) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            static ZEROS: [u8; 65536] = [0; 65536];
            let mut at = file.metadata()?.len();
            while at < bytes {
                let chunk = (bytes - at).min(ZEROS.len() as u64) as usize;
                file.write_all_at(&ZEROS[..chunk], at)?;
                at += chunk as u64;
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

impl Log {
    /// Adds a batch to the frame that is being filled, and to the index. A batch is never split over frames.
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let bytes = batch
            .records
            .iter()
            .map(|record| record_bytes(&record.op))
            .sum();
        self.make_room(bytes)?;
        for record in &batch.records {
            let key = record.key.to_bits();
            match &record.op {
                Op::Put(bytes) => self.push(key, Kind::Put, bytes),
                // What would be ignored by a reader isn't written: the object is gone, or never was.
                Op::Append(bytes) if self.index.contains(key) => {
                    self.push(key, Kind::Append, bytes)
                }
                Op::Remove if self.index.contains(key) => self.push(key, Kind::Remove, &[]),
                Op::Append(_) | Op::Remove => {}
            }
        }
        Ok(())
    }

    /// Sees to it that records of `bytes` together fit into the frame that is being filled.
    pub(crate) fn make_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        if bytes > FRAME_BYTES_MAX {
            return Err(StoreError::BatchTooLarge {
                bytes,
                bytes_max: FRAME_BYTES_MAX,
            });
        }
        let gather_bytes_max = GATHER_BYTES_MAX.min(self.options.segment_bytes as usize / 4);
        if !self.filling.is_empty() && self.filling.len() as u64 + bytes > gather_bytes_max as u64 {
            self.write()?;
        }
        if frame_end(self.current.used, self.filling.len() as u64 + bytes) > self.current.capacity {
            self.write()?;
            if frame_end(self.current.used, HEADER_BYTES as u64 + bytes) > self.current.capacity {
                if self.current.used == 0 {
                    // A full segment begins with a frame, so that a reader knows a lost beginning.
                    self.write_frame()?;
                }
                self.rotate(frame_end(0, HEADER_BYTES as u64 + bytes))?;
            }
        }
        Ok(())
    }

    /// Adds one record; `make_room` came before.
    pub(crate) fn push(&mut self, key: u64, kind: Kind, bytes: &[u8]) {
        let at = self
            .filling
            .push(self.salt(self.current.number), key, kind, bytes);
        let offset = (self.current.used + at as u64) as u32;
        let place = Place {
            segment: self.current.number,
            offset,
            length: bytes.len() as u32,
        };
        match kind {
            Kind::Put => self.index.put(key, place),
            Kind::Append => {
                self.index.append(key, place);
            }
            Kind::Remove => {
                self.index.remove(key);
            }
        }
    }

    /// Writes the frame that was filled, if there is anything in it.
    pub(crate) fn write(&mut self) -> Result<(), StoreError> {
        if self.filling.is_empty() {
            Ok(())
        } else {
            self.write_frame()
        }
    }

    /// Writes the frame that was filled, even an empty one: its header tells what is durable and what is the oldest segment.
    pub(crate) fn write_frame(&mut self) -> Result<(), StoreError> {
        let head = Head {
            starts: self.options.starts,
            sequence: self.sequence,
            durable: self.durable,
            oldest: self.oldest,
        };
        let salt = self.salt(self.current.number);
        let bytes = self.filling.finish(salt, head);
        self.current
            .file
            .write_all_at(bytes, self.current.used)
            .map_err(|error| {
                StoreError::io("write", &self.folder.segment(self.current.number), &error)
            })?;
        self.current.used += bytes.len() as u64;
        self.current.dirty = true;
        self.written_bytes += bytes.len() as u64;
        self.unsynced_bytes += bytes.len() as u64;
        self.filling.clear();
        self.sequence += 1;
        Ok(())
    }

    /// Makes durable what was appended, as the options say; afterwards it may be promised.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        self.write()?;
        match self.options.commit {
            Commit::Fsync => self.sync(),
            Commit::Os => {
                self.durable = self.sequence - 1;
                Ok(())
            }
        }
    }

    /// Makes everything that was written survive a loss of power.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        for segment in self
            .sealed
            .values_mut()
            .chain([&mut self.current])
            .filter(|segment| segment.dirty)
        {
            segment.file.sync_data().map_err(|error| {
                StoreError::io("sync", &self.folder.segment(segment.number), &error)
            })?;
            segment.dirty = false;
            self.syncs += 1;
        }
        self.unsynced_bytes = 0;
        self.durable = self.sequence - 1;
        Ok(())
    }

    /// Notes what was promised where no later frame will tell of it: at quiet times and at the end.
    pub(crate) fn note(&mut self) -> Result<(), StoreError> {
        self.write()?;
        self.sync()?;
        if self.noted != self.durable {
            self.promised.write(Note {
                starts: self.options.starts,
                sequence: self.durable,
            })?;
            self.noted = self.durable;
        }
        Ok(())
    }

    /// Goes on to the next segment, which has room for `bytes`.
    fn rotate(&mut self, bytes: u64) -> Result<(), StoreError> {
        let number = self.current.number + 1;
        let next = match self.spare.take() {
            Some(spare) if spare.capacity >= bytes => spare,
            spare => {
                if spare.is_some() {
                    drop(spare);
                    self.delete(number)?;
                }
                let bytes = bytes.max(self.options.segment_bytes);
                if self.disk_bytes() + bytes > self.options.disk_bytes_max {
                    let full = io::ErrorKind::StorageFull.into();
                    return Err(StoreError::io(
                        "allocate",
                        &self.folder.segment(number),
                        &full,
                    ));
                }
                Segment::create(&self.folder, number, bytes)?
            }
        };
        self.asked = false;
        let full = std::mem::replace(&mut self.current, next);
        // What a full segment didn't use goes back to the disk. Nothing depends on it.
        if let Err(error) = full.file.set_len(full.used) {
            tracing::debug!(segment = full.number, %error, "a full segment could not be shortened");
        }
        self.sealed.insert(full.number, full);
        Ok(())
    }

    /// Allocates the next segment ahead and looks whether another could follow it; false when not. That other one is
    /// what removals, refreshes and the cleaner's copies live from while new state is refused.
    pub(crate) fn prepare(&mut self) -> bool {
        let bytes = self.options.segment_bytes;
        if self.spare.is_none() && self.disk_bytes() + bytes <= self.options.disk_bytes_max {
            match Segment::create(&self.folder, self.current.number + 1, bytes) {
                Ok(segment) => self.spare = Some(segment),
                Err(error) => tracing::debug!(%error, "no room for the next segment"),
            }
        }
        self.asked = true;
        self.tight = self.spare.is_none() || !self.has_room_for(bytes);
        !self.tight
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        // A filesystem that doesn't say how full it is is asked by allocating.
        let free = statvfs(self.folder.journal())
            .map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        free >= bytes && self.disk_bytes() + bytes <= self.options.disk_bytes_max
    }

    /// Bytes of all segments.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let spare = self.spare.as_ref().map_or(0, |spare| spare.capacity);
        self.sealed_bytes() + self.current.capacity + spare
    }

    /// Bytes of the full segments.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.sealed.values().map(|segment| segment.used).sum()
    }

    pub(crate) fn delete(&self, number: u32) -> Result<(), StoreError> {
        let path = self.folder.segment(number);
        std::fs::remove_file(&path).map_err(|error| StoreError::io("delete", &path, &error))
    }

    pub(crate) fn salt(&self, segment: u32) -> u32 {
        frame::salt(&self.options.hash_key, segment)
    }

    /// Reads a record back, verified.
    pub(crate) fn read(&self, key: u64, place: Place) -> Result<Vec<u8>, StoreError> {
        let mut bytes = self.read_bytes(
            place.segment,
            u64::from(place.offset),
            place.record_bytes() as usize,
        )?;
        match Record::read(&bytes, self.salt(place.segment)) {
            Ok((record, size)) if record.key == key && size == bytes.len() => {}
            _ => {
                return Err(self.damaged(
                    place.segment,
                    u64::from(place.offset),
                    bytes.len() as u64,
                ));
            }
        }
        bytes.drain(..RECORD_HEADER_BYTES);
        Ok(bytes)
    }

    pub(crate) fn read_bytes(
        &self,
        segment: u32,
        offset: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let file = match self.sealed.get(&segment) {
            Some(sealed) => &sealed.file,
            None => &self.current.file,
        };
        let mut buffer = vec![0; bytes];
        match file.read_exact_at(&mut buffer, offset) {
            Ok(()) => Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(segment, offset, 0))
            }
            Err(error) => Err(StoreError::io(
                "read",
                &self.folder.segment(segment),
                &error,
            )),
        }
    }

    /// What was whole when the journal was opened, or written since, no longer is.
    pub(crate) fn damaged(&self, segment: u32, offset: u64, bytes: u64) -> StoreError {
        let mut report = Report {
            folder: self.folder.path.clone(),
            ..Report::default()
        };
        let file: PathBuf = self.folder.segment(segment);
        report.add_damage(Damage {
            file,
            offset,
            bytes,
            sequences: None,
            what: "damaged since it was written or opened",
        });
        StoreError::Damaged(Box::new(report))
    }
}

/// Where a frame of `bytes`, written at `at`, ends.
const fn frame_end(at: u64, bytes: u64) -> u64 {
    (at + bytes).next_multiple_of(8)
}

fn record_bytes(op: &Op) -> u64 {
    let bytes = match op {
        Op::Put(bytes) | Op::Append(bytes) => bytes.len(),
        Op::Remove => 0,
    };
    (RECORD_HEADER_BYTES + bytes) as u64
}
