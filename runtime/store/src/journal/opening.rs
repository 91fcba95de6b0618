//! From a folder to a journal that is ready to go on.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use machine::Key;

use super::folder::{Folder, Note, Passport, Promised, boot, own_file};
use super::frame::Filling;
use super::log::{Log, LogOptions, Segment, allocate};
use super::recovery::{self, Findings};
use super::{Options, writer};
use crate::{Identity, Observer, Recovered, Report, Store, StoreError};

/// An open journal.
pub(crate) struct Opened {
    log: Log,
    options: Options,
}

/// See `journal::open`.
pub(crate) fn open(path: &Path, options: Options) -> Result<Opened, StoreError> {
    let folder = Folder::new(path);
    folder.create()?;
    let lock = folder.lock()?;
    let mut passport = match recovery::passport(&folder)? {
        Some(passport) => passport,
        None => create(&folder, &options)?,
    };
    let findings = recovery::read(&folder, &passport)?;
    if !findings.report.is_sound() {
        return Err(StoreError::Damaged(Box::new(findings.report)));
    }
    if let Some(torn) = &findings.report.torn {
        tracing::warn!(
            file = %torn.file.display(),
            offset = torn.offset,
            sequence = torn.sequence,
            whole_frames_behind = torn.frames,
            "the journal's end was torn; nobody was promised it, it is cut off"
        );
    }
    passport.identity.starts = passport.identity.starts.saturating_add(1);
    passport.commit = options.commit;
    passport.boot = boot();
    let log_options = LogOptions::new(
        &options,
        passport.identity.hash_key,
        passport.identity.starts,
    );
    let mut log = assemble(folder, log_options, findings, lock)?;
    // Only now: how the last life committed tells how to read its end, so that end must be settled first.
    log.folder.write_passport(&passport)?;
    log.promised.write(Note {
        starts: log.options.starts,
        sequence: log.durable,
    })?;
    log.prepare();
    Ok(Opened { log, options })
}

/// See `journal::examine`.
pub(crate) fn examine(path: &Path) -> Result<Report, StoreError> {
    let folder = Folder::new(path);
    if !path.is_dir() {
        return Err(StoreError::io(
            "examine",
            path,
            &std::io::ErrorKind::NotFound.into(),
        ));
    }
    let read = recovery::passport(&folder).and_then(|passport| match passport {
        Some(passport) => Ok(recovery::read(&folder, &passport)?.report),
        None => Ok(Report {
            folder: path.to_owned(),
            ..Report::default()
        }),
    });
    match read {
        Err(StoreError::Damaged(report)) => Ok(*report),
        read => read,
    }
}

/// Bytes that nobody can guess, for what is in `folder`.
pub(crate) fn random<const N: usize>(folder: &Path) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
                .map_err(|errno| StoreError::io("draw a key for", folder, &errno.into()))?;
    }
    Ok(bytes)
}

/// Gives a new folder its identity, before there is anything that depends on it.
fn create(folder: &Folder, options: &Options) -> Result<Passport, StoreError> {
    let hash_key = random(&folder.path)?;
    let passport = Passport {
        identity: Identity {
            hash_key,
            starts: 0,
        },
        commit: options.commit,
        boot: boot(),
    };
    folder.write_passport(&passport)?;
    Ok(passport)
}

/// Brings the disk to what was found and makes it durable.
fn assemble(
    folder: Folder,
    options: LogOptions,
    findings: Findings,
    lock: File,
) -> Result<Log, StoreError> {
    let Findings {
        index,
        report,
        mut segments,
        tail_is_dirty,
        mut behind,
        before,
        oldest,
    } = findings;
    for number in &before {
        delete(&folder, *number)?;
    }
    let last = segments.pop();
    let spare = match last {
        Some((number, _)) if !tail_is_dirty => keep_spare(&folder, &options, number, &behind)?,
        _ => None,
    };
    if spare.is_some() {
        behind.clear();
    }
    // From the end, so that a crash in between leaves a shorter end of the same kind.
    for number in behind.iter().rev() {
        delete(&folder, *number)?;
    }
    folder.sync_folder(&folder.journal())?;
    let mut current = match last {
        Some((number, end)) => reopen(&folder, number, end)?,
        None => Segment::create(&folder, 1, options.segment_bytes)?,
    };
    settle_end(&folder, &mut current, tail_is_dirty, options.segment_bytes)?;
    let mut sealed = std::collections::BTreeMap::new();
    for (number, end) in segments {
        let segment = reopen(&folder, number, end)?;
        segment
            .file
            .sync_data()
            .map_err(|error| StoreError::io("sync", &folder.segment(number), &error))?;
        sealed.insert(number, segment);
    }
    let promised = Promised::open(&folder, &options.hash_key)?;
    Ok(Log {
        folder,
        options,
        index,
        sealed,
        current,
        spare,
        tight: false,
        asked: false,
        promised,
        filling: Filling::default(),
        sequence: report.sequence + 1,
        durable: report.sequence,
        noted: report.sequence,
        oldest: oldest.max(1),
        cleaned: 0,
        syncs: 0,
        copied_bytes: 0,
        written_bytes: 0,
        unsynced_bytes: 0,
        _lock: lock,
    })
}

/// The next segment as the last life left it: on a full disk another may not be had.
fn keep_spare(
    folder: &Folder,
    options: &LogOptions,
    last: u32,
    behind: &[u32],
) -> Result<Option<Segment>, StoreError> {
    if *behind != [last + 1] {
        return Ok(None);
    }
    let segment = reopen(folder, last + 1, 0)?;
    Ok((segment.capacity >= options.segment_bytes).then_some(segment))
}

/// Clears what is behind the last whole frame, so that nothing of it can ever be taken for a frame again, and allocates
/// the rest of the segment where there is room.
fn settle_end(
    folder: &Folder,
    current: &mut Segment,
    dirty: bool,
    bytes: u64,
) -> Result<(), StoreError> {
    let failed = |doing, error: std::io::Error| {
        StoreError::io(doing, &folder.segment(current.number), &error)
    };
    if dirty {
        current
            .file
            .set_len(current.used)
            .map_err(|error| failed("cut", error))?;
        current
            .file
            .sync_all()
            .map_err(|error| failed("sync", error))?;
        current.capacity = current.used;
    }
    if current.capacity < bytes {
        match allocate(&current.file, bytes) {
            Ok(()) => current.capacity = bytes,
            Err(error) => tracing::debug!(%error, "no room for the rest of the segment"),
        }
    }
    current
        .file
        .sync_all()
        .map_err(|error| failed("sync", error))
}

fn reopen(folder: &Folder, number: u32, used: u64) -> Result<Segment, StoreError> {
    let path = folder.segment(number);
    let opened = own_file()
        .open(&path)
        .and_then(|file| Ok((file.metadata()?.len(), file)));
    let (capacity, file) = opened.map_err(|error| StoreError::io("open", &path, &error))?;
    Ok(Segment {
        number,
        file,
        used,
        capacity,
        dirty: false,
    })
}

fn delete(folder: &Folder, number: u32) -> Result<(), StoreError> {
    let path = folder.segment(number);
    std::fs::remove_file(&path).map_err(|error| StoreError::io("delete", &path, &error))
}

impl Recovered for Opened {
    fn identity(&self) -> Identity {
        Identity {
            hash_key: self.log.options.hash_key,
            starts: self.log.options.starts,
        }
    }

    fn replay(&mut self, each: &mut dyn FnMut(Key, Vec<Vec<u8>>)) -> Result<(), StoreError> {
        for key in self.log.index.keys() {
            let chain = self
                .log
                .index
                .chain(key)
                .map(|place| self.log.read(key, place))
                .collect::<Result<_, _>>()?;
            each(Key::from_bits(key), chain);
        }
        Ok(())
    }

    fn start(self: Box<Self>, observer: Arc<dyn Observer>) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(writer::start(self.log, self.options, observer)?))
    }
}
