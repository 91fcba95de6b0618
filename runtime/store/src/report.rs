//! What an examination found, for people.

use std::fmt;
use std::path::PathBuf;

use machine::Key;

use crate::Identity;

/// How many damaged places and how many keys a report lists; the rest is counted.
pub const LISTED_MAX: usize = 16;

/// The state of a data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The data folder.
    pub folder: PathBuf,
    /// Who the store is and how often it was opened so far; nothing when that can't be read.
    pub identity: Option<Identity>,
    /// Segments read.
    pub segments: u64,
    /// Whole frames read.
    pub frames: u64,
    /// Live objects in what is whole.
    pub objects: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// The newest whole frame.
    pub sequence: u64,
    /// The newest frame that is known to have been promised.
    pub promised: u64,
    /// An end that nobody was promised; the next start cuts it off.
    pub torn: Option<Torn>,
    /// Places where acknowledged data is damaged; the first `LISTED_MAX`.
    pub damage: Vec<Damage>,
    /// How many there are in all. Not 0: the store does not open.
    pub damage_count: u64,
    /// Objects that are known to be lost, or to fall back to an older state, if the damaged places were dropped; the first `LISTED_MAX`.
    pub dropped: Vec<Key>,
    /// How many there are in all.
    pub dropped_count: u64,
    /// Damaged records whose object can't be told any more; they may add to `dropped_count`.
    pub unreadable_records: u64,
}

/// An end that nobody was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Which segment.
    pub file: PathBuf,
    /// From where on.
    pub offset: u64,
    /// The first sequence that is cut.
    pub sequence: u64,
    /// Whole frames behind the first bad one, cut with it.
    pub frames: u64,
}

/// One place where acknowledged data is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// From where on.
    pub offset: u64,
    /// How many bytes can't be read; 0 when the file, or the rest of it, is missing.
    pub bytes: u64,
    /// Which frames are lost, first and last; nothing when the file holds none.
    pub sequences: Option<(u64, u64)>,
    /// What is wrong, in words.
    pub what: &'static str,
}

impl Report {
    /// Whether the store would open.
    pub const fn is_sound(&self) -> bool {
        self.damage_count == 0
    }

    pub(crate) fn add_damage(&mut self, damage: Damage) {
        self.damage_count += 1;
        if self.damage.len() < LISTED_MAX {
            self.damage.push(damage);
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: offset {}: {}",
            self.file.display(),
            self.offset,
            self.what
        )?;
        if self.bytes > 0 {
            write!(f, ", {} bytes", self.bytes)?;
        }
        match self.sequences {
            Some((first, last)) if first == last => write!(f, ", frame {first}"),
            Some((first, last)) => write!(f, ", frames {first} to {last}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} objects, {} bytes live, in {} segments, {} frames up to {}, promised up to {}",
            self.folder.display(),
            self.objects,
            self.live_bytes,
            self.segments,
            self.frames,
            self.sequence,
            self.promised
        )?;
        if let Some(torn) = &self.torn {
            writeln!(
                f,
                "{}: offset {}: an end that nobody was promised (frame {}, {} whole ones behind it); the next start cuts it off",
                torn.file.display(),
                torn.offset,
                torn.sequence,
                torn.frames
            )?;
        }
        for damage in &self.damage {
            writeln!(f, "{damage}")?;
        }
        if self.damage_count > self.damage.len() as u64 {
            writeln!(
                f,
                "and {} more places",
                self.damage_count - self.damage.len() as u64
            )?;
        }
        if self.damage_count > 0 {
            write!(
                f,
                "dropping them would lose or set back {} known objects",
                self.dropped_count
            )?;
            for (position, key) in self.dropped.iter().enumerate() {
                write!(
                    f,
                    "{}{:016x}",
                    if position == 0 { ": " } else { ", " },
                    key.to_bits()
                )?;
            }
            if self.dropped_count > self.dropped.len() as u64 {
                write!(f, ", …")?;
            }
            writeln!(
                f,
                ", and whatever else those bytes held ({} records can't be read)",
                self.unreadable_records
            )?;
        }
        Ok(())
    }
}
