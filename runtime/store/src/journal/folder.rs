//! The data folder: who may use it, who the store is, what was promised last.
//!
//! ```text
//! lock                     held while a process has the folder open; holds its id
//! identity                 text: format version, hash key, count of starts, how the last life committed; replaced as a whole
//! identity.next            room for what takes its place at the next start
//! promised                 the newest sequence that was promised, noted when the journal is idle and at its end
//! journal/NNNNNNNNNN.segment
//! ```

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use rustix::fs::{FlockOperation, flock};

use super::Commit;
use super::frame::{u32_at, u64_at};
use super::log::allocate;
use crate::{Damage, Identity, Report, StoreError};

/// The newest format of the folder that this program reads and writes.
pub(crate) const FORMAT: u32 = 1;

const TITLE: &str = "tidings store";

/// Room for an identity: five short lines.
const IDENTITY_BYTES_MAX: u64 = 4096;

/// The paths of one data folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

/// The content of `identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passport {
    pub(crate) identity: Identity,
    /// How the last life committed.
    pub(crate) commit: Commit,
    /// Which boot of the machine it ran in; empty when unknown.
    pub(crate) boot: String,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.path.join("identity")
    }

    pub(crate) fn promised(&self) -> PathBuf {
        self.path.join("promised")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(crate) fn segment(&self, number: u32) -> PathBuf {
        self.journal().join(format!("{number:010}.segment"))
    }

    /// Makes the folder where it isn't, for its owner only.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        let journal = self.journal();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&journal)
            .map_err(|error| StoreError::io("create the folder", &journal, &error))?;
        self.sync_folder(&self.path)
    }

    /// Takes the folder for this process, until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        let path = self.path.join("lock");
        let failed = |doing, error: io::Error| StoreError::io(doing, &path, &error);
        let file = own_file()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("open", error))?;
        if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(failed("lock", errno.into()));
            }
            let mut holder = String::new();
            let _ = (&file).take(16).read_to_string(&mut holder);
            return Err(StoreError::InUse {
                folder: self.path.clone(),
                process: holder.trim().parse().ok(),
            });
        }
        // In place: on a full disk the room that it has is all there is.
        let holder = format!("{}\n", std::process::id());
        file.write_all_at(holder.as_bytes(), 0)
            .and_then(|()| file.set_len(holder.len() as u64))
            .map_err(|error| failed("write", error))?;
        Ok(file)
    }

    /// The segments there are, in order.
    pub(crate) fn segments(&self) -> Result<Vec<u32>, StoreError> {
        let journal = self.journal();
        let failed = |error: io::Error| StoreError::io("list", &journal, &error);
        let entries = match std::fs::read_dir(&journal) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".segment"))
                .and_then(|digits| digits.parse().ok());
            numbers
                .extend(number.filter(|number| self.segment(*number).file_name() == Some(&name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Who the store is; nothing when the folder is new.
    pub(crate) fn read_passport(&self) -> Result<Option<Passport>, StoreError> {
        let path = self.identity();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, &error)),
        };
        let format = envelope(&bytes).ok_or_else(|| {
            self.lost_identity("the checksum of the store's identity is wrong", bytes.len())
        })?;
        if format > FORMAT {
            return Err(StoreError::Newer {
                folder: self.path.clone(),
                found: format,
                known: FORMAT,
            });
        }
        Passport::parse(&bytes)
            .map(Some)
            .ok_or_else(|| self.lost_identity("the store's identity can't be read", bytes.len()))
    }

    /// Replaces the identity as a whole; durable on return. The file that takes its place has its room from the time
    /// before, so that a full disk can be started on.
    pub(crate) fn write_passport(&self, passport: &Passport) -> Result<(), StoreError> {
        let (path, next) = (self.identity(), self.next_identity());
        let failed = |error: io::Error| StoreError::io("replace", &path, &error);
        let mut file = own_file()
            .create(true)
            .truncate(false)
            .open(&next)
            .map_err(failed)?;
        let text = passport.print();
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.set_len(text.len() as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&next, &path).map_err(failed)?;
        self.sync_folder(&self.path)?;
        // What was replaced has just given its room back.
        let reserved = own_file()
            .create_new(true)
            .open(&next)
            .and_then(|file| allocate(&file, IDENTITY_BYTES_MAX));
        if let Err(error) = reserved {
            tracing::debug!(file = %next.display(), %error, "no room is kept for the next start");
        }
        Ok(())
    }

    fn next_identity(&self) -> PathBuf {
        self.path.join("identity.next")
    }

    /// Makes names that were created, renamed or removed in `folder` durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<(), StoreError> {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::io("sync the folder", folder, &error))
    }

    /// Without its identity a journal can't be read: the checksums begin with the hash key.
    pub(crate) fn lost_identity(&self, what: &'static str, bytes: usize) -> StoreError {
        let mut report = Report {
            folder: self.path.clone(),
            ..Report::default()
        };
        report.add_damage(Damage {
            file: self.identity(),
            offset: 0,
            bytes: bytes as u64,
            sequences: None,
            what,
        });
        StoreError::Damaged(Box::new(report))
    }
}

/// Options for a file that only its owner may read.
pub(crate) fn own_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Which boot of the machine this is; empty when the system doesn't say.
pub(crate) fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim()
        .chars()
        .filter(|c| c.is_ascii_hexdigit() || *c == '-')
        .take(64)
        .collect()
}

/// What every format keeps: the title, the format version, the checksum in the last line. The version, if all is whole.
fn envelope(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (content, checksum) = text.strip_suffix('\n')?.rsplit_once("crc32 = ")?;
    if checksum != format!("{:08x}", crc(content)) {
        return None;
    }
    let mut lines = content.lines();
    (lines.next()? == TITLE).then_some(lines.next()?.strip_prefix("format = ")?.parse().ok()?)
}

fn crc(text: &str) -> u32 {
    crc32fast::hash(text.as_bytes())
}

impl Passport {
    fn print(&self) -> String {
        let commit = match self.commit {
            Commit::Fsync => "fsync",
            Commit::Os => "os",
        };
        let mut text = format!("{TITLE}\nformat = {FORMAT}\nhash_key = ");
        for byte in self.identity.hash_key {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = write!(
            text,
            "\nstarts = {}\ncommit = {commit}\nboot = {}\n",
            self.identity.starts, self.boot
        );
        let checksum = crc(&text);
        let _ = writeln!(text, "crc32 = {checksum:08x}");
        text
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
        };
        let mut hash_key = [0; 16];
        let digits = field("hash_key")?;
        for (position, byte) in hash_key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(position * 2..position * 2 + 2)?, 16).ok()?;
        }
        let passport = Self {
            identity: Identity {
                hash_key,
                starts: field("starts")?.parse().ok()?,
            },
            commit: match field("commit")? {
                "fsync" => Commit::Fsync,
                "os" => Commit::Os,
                _ => return None,
            },
            boot: field("boot")?.to_owned(),
        };
        // Nothing but what we would have written ourselves.
        (passport.print().as_bytes() == bytes).then_some(passport)
    }
}

/// The file `promised`: what is known durable although no later frame says so. Two slots take turns, far enough apart
/// that no torn write and no bad block of the disk takes both.
#[derive(Debug)]
pub(crate) struct Promised {
    file: File,
    path: PathBuf,
    salt: u32,
    turn: bool,
}

/// One note in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) starts: u32,
    pub(crate) sequence: u64,
}

const NOTE_MAGIC: u32 = u32::from_le_bytes(*b"TdP1");
const NOTE_BYTES: usize = 24;
const SLOT_BYTES: usize = 4096;

impl Promised {
    /// The newest note; nothing when there is none or it can't be read (then the frames' own word has to do).
    pub(crate) fn read(folder: &Folder, hash_key: &[u8; 16]) -> Result<Option<Note>, StoreError> {
        let path = folder.promised();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, &error)),
        };
        let salt = crc32fast::hash(hash_key);
        let slots = [0, SLOT_BYTES]
            .into_iter()
            .filter_map(|at| parse_note(bytes.get(at..at + NOTE_BYTES)?, salt));
        Ok(slots.max_by_key(|note| note.sequence))
    }

    pub(crate) fn open(folder: &Folder, hash_key: &[u8; 16]) -> Result<Self, StoreError> {
        let path = folder.promised();
        let failed = |error: io::Error| StoreError::io("open", &path, &error);
        let file = own_file()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != 2 * SLOT_BYTES as u64 {
            // Both slots are really there before anything depends on them, so that noting never needs room.
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0).map_err(failed)?;
            file.set_len(2 * SLOT_BYTES as u64).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            folder.sync_folder(&folder.path)?;
        }
        Ok(Self {
            file,
            path: path.clone(),
            salt: crc32fast::hash(hash_key),
            turn: false,
        })
    }

    /// Notes that everything up to `note.sequence` is durable; itself durable on return.
    pub(crate) fn write(&mut self, note: Note) -> Result<(), StoreError> {
        let mut bytes = [0; NOTE_BYTES];
        bytes[0..4].copy_from_slice(&NOTE_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&note.starts.to_le_bytes());
        bytes[16..24].copy_from_slice(&note.sequence.to_le_bytes());
        let crc = note_crc(self.salt, &bytes);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        self.turn = !self.turn;
        let at = if self.turn { 0 } else { SLOT_BYTES as u64 };
        self.file
            .write_all_at(&bytes, at)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| StoreError::io("write", &self.path, &error))
    }
}

fn parse_note(bytes: &[u8], salt: u32) -> Option<Note> {
    (u32_at(bytes, 0)? == NOTE_MAGIC && u32_at(bytes, 4)? == note_crc(salt, bytes)).then_some(
        Note {
            starts: u32_at(bytes, 8)?,
            sequence: u64_at(bytes, 16)?,
        },
    )
}

fn note_crc(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(&bytes[..4]);
    hasher.update(&bytes[8..NOTE_BYTES]);
    hasher.finalize()
}
