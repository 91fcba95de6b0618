//! Reading a journal back: what is alive, what was promised, what is torn and what is damaged.
//!
//! Frames carry consecutive sequences and the newest sequence that was promised when they were written. Where a frame
//! can't be read, the next one that can tells how many are missing. Missing frames that a later frame, or the file
//! `promised`, knows to have been promised are damage: the store doesn't open. Others nobody was told of: the journal is
//! cut there. What this can't tell from a torn end: the newest promised frames of a life that ended within 100 ms of
//! them without a clean close, when exactly their bytes are damaged and nothing behind them is whole.
//!
//! Where a commit isn't synced (`os`), a loss of power may take any of the newest writes. If the machine was booted since,
//! only what the file `promised` tells of, or an earlier life, counts as promised: that was synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use hashbrown::HashSet;
use machine::Key;

use super::Commit;
use super::content::Content;
use super::folder::{Folder, Note, Passport, Promised, boot};
use super::frame::{self, Frame, HEADER_BYTES, Kind, Record};
use super::index::{Index, Place};
use crate::report::{LISTED_MAX, Torn};
use crate::{Damage, Report, StoreError};

/// What a journal holds.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) index: Index,
    pub(crate) report: Report,
    /// Segments that still count and where their last whole frame ends, oldest first.
    pub(crate) segments: Vec<(u32, u64)>,
    /// Whether bytes behind that end, in the last of them, have to go.
    pub(crate) tail_is_dirty: bool,
    /// Segments behind the last whole frame.
    pub(crate) behind: Vec<u32>,
    /// Segments that were cleaned and are still there.
    pub(crate) before: Vec<u32>,
    /// The oldest segment that counts; 0: there is no frame.
    pub(crate) oldest: u32,
}

/// Reads the whole journal. Changes nothing.
pub(crate) fn read(folder: &Folder, passport: &Passport) -> Result<Findings, StoreError> {
    let note = Promised::read(folder, &passport.identity.hash_key)?;
    let files = folder.segments()?;
    let mut from = 0;
    let mut limit = u64::MAX;
    let mut torn = None;
    // The first pass reads everything. What turns out not to count, because it was cleaned or stands behind a cut, is left
    // out in another; each pass leaves out more, and three are enough.
    loop {
        let mut scan = Scan::new(folder, passport, limit);
        let (before, files) = files.split_at(files.partition_point(|number| *number < from));
        for number in files {
            scan.segment(*number)?;
        }
        let verdict = scan.judge(note, torn.is_some());
        if let Verdict::Cut(cut) = verdict {
            limit = cut.sequence;
            torn = Some(cut);
            continue;
        }
        if files.first().is_some_and(|first| scan.oldest > *first) {
            from = scan.oldest;
            continue;
        }
        return Ok(scan.finish(before, files, torn));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Sound,
    /// Frames from here on don't count.
    Cut(Torn),
    Damaged,
}

/// Bytes between whole frames.
#[derive(Clone, Debug)]
struct Hole {
    segment: u32,
    offset: u64,
    bytes: u64,
    /// Only zeros, as in the end of a segment that was allocated and not used.
    blank: bool,
    /// The file isn't there.
    missing: bool,
}

/// Frames that are missing.
#[derive(Clone, Debug)]
struct Gap {
    hole: Hole,
    /// The first of them; nothing when the beginning of the oldest segment is unreadable.
    first: Option<u64>,
    last: u64,
    /// Whole frames read before.
    frames_before: u64,
}

struct Scan<'a> {
    folder: &'a Folder,
    passport: &'a Passport,
    limit: u64,
    lenient: bool,
    index: Index,
    report: Report,
    /// The sequence of the next frame; nothing before the first of a journal whose first segments were cleaned.
    expected: Option<u64>,
    holes: Vec<Hole>,
    gaps: Vec<Gap>,
    promised: u64,
    oldest: u32,
    newest_starts: u32,
    ends: BTreeMap<u32, u64>,
    previous: Option<u32>,
    /// Objects that damaged frames changed.
    suspects: BTreeSet<u64>,
    /// Objects with appends and no put: normal for a while behind the cleaner, in the end only when the put is lost.
    orphans: HashSet<u64>,
}

impl<'a> Scan<'a> {
    fn new(folder: &'a Folder, passport: &'a Passport, limit: u64) -> Self {
        let boot = boot();
        Self {
            folder,
            passport,
            limit,
            lenient: passport.commit == Commit::Os && (boot.is_empty() || boot != passport.boot),
            index: Index::default(),
            report: Report {
                folder: folder.path.clone(),
                identity: Some(passport.identity),
                ..Report::default()
            },
            expected: None,
            holes: Vec::new(),
            gaps: Vec::new(),
            promised: 0,
            oldest: 0,
            newest_starts: 0,
            ends: BTreeMap::new(),
            previous: None,
            suspects: BTreeSet::new(),
            orphans: HashSet::new(),
        }
    }

    /// Reads one segment.
    fn segment(&mut self, number: u32) -> Result<(), StoreError> {
        let path = self.folder.segment(number);
        let mut content =
            Content::read(&path).map_err(|error| StoreError::io("read", &path, &error))?;
        self.report.segments += 1;
        match self.previous {
            None if number == 1 => self.expected = Some(1),
            Some(previous) if number != previous + 1 => {
                self.holes.push(Hole {
                    segment: previous + 1,
                    offset: 0,
                    bytes: 0,
                    blank: false,
                    missing: true,
                });
            }
            _ => {}
        }
        self.previous = Some(number);
        let salt = frame::salt(&self.passport.identity.hash_key, number);
        let (mut at, mut hole_at) = (0, None);
        while at < content.bytes().len() {
            // A frame may end with zeros that a copy of the folder keeps as a hole.
            if let Some(length) = Frame::announced(&content.bytes()[at..]) {
                content.reach(at.saturating_add(HEADER_BYTES).saturating_add(length));
            }
            let bytes = content.bytes();
            let frame = Frame::read(&bytes[at..], salt).filter(|frame| self.follows(frame));
            let Some(frame) = frame else {
                hole_at.get_or_insert(at);
                at += 8;
                continue;
            };
            if frame.head.sequence >= self.limit {
                break;
            }
            if let Some(start) = hole_at.take() {
                self.hole(number, start, &bytes[start..at], salt);
            }
            let end = (at + frame.size()).min(bytes.len());
            self.accept(number, at, &frame, salt);
            self.ends.insert(number, end as u64);
            at = end;
        }
        let rest = hole_at.unwrap_or(at);
        if rest < content.len() {
            self.rest(number, rest, &mut content, salt);
        }
        self.ends.entry(number).or_default();
        Ok(())
    }

    /// Whether a frame may stand behind those read so far.
    fn follows(&self, frame: &Frame<'_>) -> bool {
        frame.head.starts >= self.newest_starts
            && self
                .expected
                .is_none_or(|expected| frame.head.sequence >= expected)
    }

    fn hole(&mut self, segment: u32, offset: usize, region: &[u8], salt: u32) {
        let blank = is_blank(region);
        self.holes.push(Hole {
            segment,
            offset: offset as u64,
            bytes: region.len() as u64,
            blank,
            missing: false,
        });
        if !blank && self.limit == u64::MAX {
            self.suspect(region, salt);
        }
    }

    /// What is behind the last whole frame of a segment.
    fn rest(&mut self, segment: u32, offset: usize, content: &mut Content, salt: u32) {
        let read = content.bytes().get(offset..).unwrap_or_default();
        if is_blank(read) {
            self.holes.push(Hole {
                segment,
                offset: offset as u64,
                bytes: (content.len() - offset) as u64,
                blank: true,
                missing: false,
            });
        } else {
            content.reach(content.len());
            self.hole(segment, offset, &content.bytes()[offset..], salt);
        }
    }

    /// Notes which objects the whole records of damaged frames change.
    fn suspect(&mut self, region: &[u8], salt: u32) {
        let mut at = HEADER_BYTES;
        while at < region.len() {
            match Record::read(&region[at..], salt) {
                Ok((record, bytes)) => {
                    self.suspects.insert(record.key);
                    at += bytes;
                }
                Err(Some(bytes)) => {
                    self.report.unreadable_records += 1;
                    at += bytes;
                }
                Err(None) => {
                    // The next frame's header, perhaps.
                    let next = at.next_multiple_of(8);
                    if region.get(next..).and_then(Frame::announced).is_none() {
                        self.report.unreadable_records +=
                            u64::from(region[at..].iter().any(|byte| *byte != 0));
                        return;
                    }
                    at = next + HEADER_BYTES;
                }
            }
        }
    }

    /// Takes a whole frame.
    fn accept(&mut self, segment: u32, at: usize, frame: &Frame<'_>, salt: u32) {
        let Frame { head, records } = frame;
        let missing = match self.expected {
            Some(expected) => expected < head.sequence,
            // Every segment that counts begins with a frame.
            None => at > 0 || !self.ends.is_empty(),
        };
        if missing {
            let blind = Hole {
                segment,
                offset: at as u64,
                bytes: 0,
                blank: true,
                missing: false,
            };
            let hole = worst(&self.holes).unwrap_or(blind);
            self.gaps.push(Gap {
                hole,
                first: self.expected,
                last: head.sequence - 1,
                frames_before: self.report.frames,
            });
        }
        self.holes.clear();
        self.expected = Some(head.sequence + 1);
        if !self.lenient {
            self.promised = self.promised.max(head.durable);
        }
        // A life makes everything that it found durable before it goes on.
        if head.starts > self.newest_starts {
            self.promised = self.promised.max(head.sequence - 1);
        }
        if head.starts < self.passport.identity.starts {
            self.promised = self.promised.max(head.sequence);
        }
        self.newest_starts = head.starts;
        self.oldest = self.oldest.max(head.oldest);
        self.report.frames += 1;
        self.report.sequence = head.sequence;
        self.records(segment, at + HEADER_BYTES, records, salt);
    }

    fn records(&mut self, segment: u32, start: usize, records: &[u8], salt: u32) {
        let mut at = 0;
        // The frame's checksum was right, so its records are what was written.
        while let Ok((record, bytes)) = Record::read(&records[at..], salt) {
            let place = Place {
                segment,
                offset: (start + at) as u32,
                length: record.bytes.len() as u32,
            };
            let key = record.key;
            match record.kind {
                Kind::Put => self.index.put(key, place),
                Kind::Append => {
                    if !self.index.append(key, place) {
                        self.orphans.insert(key);
                    }
                }
                Kind::Remove => {
                    self.index.remove(key);
                }
            }
            if record.kind != Kind::Append {
                self.orphans.remove(&key);
                self.suspects.remove(&key);
            }
            at += bytes;
        }
    }

    /// After the last segment: sound, to be cut, or damaged?
    fn judge(&mut self, note: Option<Note>, is_cut: bool) -> Verdict {
        self.promised = self.promised.max(note.map_or(0, |note| note.sequence));
        self.report.promised = self.promised;
        self.check_lives(note);
        self.check_oldest();
        let frames = self.report.frames;
        for gap in std::mem::take(&mut self.gaps) {
            if gap.first.is_some_and(|first| first > self.promised) {
                if self.report.is_sound() {
                    return Verdict::Cut(self.torn(
                        &gap.hole,
                        gap.first.unwrap_or(0),
                        frames - gap.frames_before,
                    ));
                }
                break;
            }
            self.add_gap(&gap);
        }
        let next = self.expected.unwrap_or(1);
        if self.promised >= next {
            let hole = worst(&self.holes).unwrap_or_else(|| self.end());
            self.add_gap(&Gap {
                hole,
                first: Some(next),
                last: self.promised,
                frames_before: frames,
            });
        } else if self.expected.is_none() && self.previous.is_some() {
            let hole = worst(&self.holes).unwrap_or_else(|| self.end());
            self.add_gap(&Gap {
                hole,
                first: None,
                last: 0,
                frames_before: 0,
            });
        }
        if !self.report.is_sound() {
            return Verdict::Damaged;
        }
        match worst(&self.holes).filter(|hole| !hole.blank) {
            Some(hole) if !is_cut => Verdict::Cut(self.torn(&hole, next, 0)),
            _ => Verdict::Sound,
        }
    }

    /// An identity from a copy that is older than the journal would give numbers twice.
    fn check_lives(&mut self, note: Option<Note>) {
        let newest = self.newest_starts.max(note.map_or(0, |note| note.starts));
        if newest > self.passport.identity.starts {
            let what = "the store's identity is older than its journal";
            self.report.add_damage(Damage {
                file: self.folder.identity(),
                offset: 0,
                bytes: 0,
                sequences: None,
                what,
            });
        }
    }

    /// The newest frame tells how far the cleaner was; everything since has to be there.
    fn check_oldest(&mut self) {
        let first = self.ends.keys().next().copied().unwrap_or(1);
        if self.oldest.max(1) < first {
            let what = "the oldest segment that counts is missing";
            let file = self.folder.segment(self.oldest.max(1));
            self.report.add_damage(Damage {
                file,
                offset: 0,
                bytes: 0,
                sequences: None,
                what,
            });
        }
    }

    /// Where the last whole frame ends.
    fn end(&self) -> Hole {
        let (segment, offset) = match self
            .ends
            .iter()
            .rev()
            .find(|(_, end)| **end > 0)
            .or(self.ends.iter().next())
        {
            Some((segment, end)) => (*segment, *end),
            None => (1, 0),
        };
        Hole {
            segment,
            offset,
            bytes: 0,
            blank: true,
            missing: self.ends.is_empty(),
        }
    }

    fn add_gap(&mut self, gap: &Gap) {
        let what = match (&gap.hole, gap.first) {
            (Hole { missing: true, .. }, _) => "a segment is missing",
            (_, None) => "the beginning of the oldest segment can't be read",
            (Hole { bytes: 0, .. }, _) => "the end is missing",
            (Hole { blank: true, .. }, _) => "zeros where frames were",
            _ => "frames that can't be read",
        };
        let sequences = Some((gap.first.unwrap_or(gap.last), gap.last));
        let file = self.folder.segment(gap.hole.segment);
        self.report.add_damage(Damage {
            file,
            offset: gap.hole.offset,
            bytes: gap.hole.bytes,
            sequences,
            what,
        });
    }

    fn torn(&self, hole: &Hole, sequence: u64, frames: u64) -> Torn {
        Torn {
            file: self.folder.segment(hole.segment),
            offset: hole.offset,
            sequence,
            frames,
        }
    }

    fn finish(mut self, before: &[u32], files: &[u32], torn: Option<Torn>) -> Findings {
        self.report.objects = self.index.len() as u64;
        self.report.live_bytes = self.index.live_bytes();
        self.report.torn = torn;
        if self.report.is_sound() {
            self.report.unreadable_records = 0;
        } else {
            self.suspects.extend(self.orphans.drain());
            self.report.dropped_count = self.suspects.len() as u64;
            self.report.dropped = self
                .suspects
                .iter()
                .take(LISTED_MAX)
                .map(|key| Key::from_bits(*key))
                .collect();
        }
        let last = self
            .ends
            .iter()
            .rev()
            .find(|(_, end)| **end > 0)
            .map(|(number, _)| *number);
        let last = last.or(files.first().copied()).unwrap_or(0);
        let behind = files
            .iter()
            .copied()
            .filter(|number| *number > last)
            .collect();
        let segments = self
            .ends
            .iter()
            .filter(|(number, _)| **number <= last)
            .map(|(n, end)| (*n, *end))
            .collect();
        let tail_is_dirty = self.report.torn.is_some()
            || self
                .holes
                .iter()
                .any(|hole| hole.segment == last && !hole.blank);
        Findings {
            index: self.index,
            report: self.report,
            segments,
            tail_is_dirty,
            behind,
            before: before.to_vec(),
            oldest: self.oldest,
        }
    }
}

fn is_blank(region: &[u8]) -> bool {
    region.iter().all(|byte| *byte == 0)
}

/// The hole that tells most about why frames are missing.
fn worst(holes: &[Hole]) -> Option<Hole> {
    holes
        .iter()
        .find(|hole| !hole.blank)
        .or(holes.first())
        .cloned()
}

/// Who the store in `folder` is.
pub(crate) fn passport(folder: &Folder) -> Result<Option<Passport>, StoreError> {
    let passport = folder.read_passport()?;
    let has_note = match std::fs::metadata(folder.promised()) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(StoreError::io("examine", &folder.promised(), &error)),
    };
    if passport.is_none() && (has_note || !folder.segments()?.is_empty()) {
        return Err(folder.lost_identity(
            "the store's identity is missing, without it the journal can't be read",
            0,
        ));
    }
    Ok(passport)
}
