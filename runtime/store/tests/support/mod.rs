//! What the tests of the store share.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate uses a part of it"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use machine::{Batch, Instant, Key, Op, Partition, Record};
use store::{Clock, Commit, Observer, Options, Recovered, Store, StoreError};

pub type Objects = BTreeMap<Key, Vec<Vec<u8>>>;

#[allow(
    clippy::disallowed_methods,
    reason = "the journal paces itself by a real clock, here as in the node"
)]
pub fn clock() -> Clock {
    let began = std::time::Instant::now();
    Arc::new(move || Instant::from_micros(began.elapsed().as_micros() as u64))
}

pub fn options(commit: Commit, segment_bytes: u32) -> Options {
    Options {
        commit,
        segment_bytes,
        commit_gather: Duration::ZERO,
        ..Options::new(clock())
    }
}

pub fn key(number: u64) -> Key {
    Key::new(
        Partition::new((number % 4096) as u16).unwrap(),
        1 << 32 | number,
    )
}

pub fn put(number: u64, bytes: &[u8]) -> Record {
    Record {
        key: key(number),
        op: Op::Put(bytes.to_vec().into()),
    }
}

pub fn append(number: u64, bytes: &[u8]) -> Record {
    Record {
        key: key(number),
        op: Op::Append(bytes.to_vec().into()),
    }
}

pub fn remove(number: u64) -> Record {
    Record {
        key: key(number),
        op: Op::Remove,
    }
}

pub fn batch(shard: u16, sequence: u64, records: Vec<Record>) -> Batch {
    Batch {
        shard,
        sequence,
        records,
        lazy: false,
    }
}

pub fn lazy(shard: u16, sequence: u64, records: Vec<Record>) -> Batch {
    Batch {
        lazy: true,
        ..batch(shard, sequence, records)
    }
}

/// What the contract says a batch does.
pub fn apply(objects: &mut Objects, records: &[Record]) {
    for Record { key, op } in records {
        match op {
            Op::Put(bytes) => {
                objects.insert(*key, vec![bytes.to_vec()]);
            }
            Op::Append(bytes) => {
                if let Some(chain) = objects.get_mut(key) {
                    chain.push(bytes.to_vec());
                }
            }
            Op::Remove => {
                objects.remove(key);
            }
        }
    }
}

#[derive(Default)]
pub struct Heard {
    pub durable: Vec<(u16, u64)>,
    pub failed: Vec<StoreError>,
}

/// Remembers what it hears, and waits for it.
#[derive(Default)]
pub struct Listener {
    pub heard: Mutex<Heard>,
    more: Condvar,
}

impl Observer for Listener {
    fn durable(&self, shard: u16, sequence: u64) {
        self.heard.lock().unwrap().durable.push((shard, sequence));
        self.more.notify_all();
    }

    fn failed(&self, failure: &StoreError) {
        self.heard.lock().unwrap().failed.push(failure.clone());
        self.more.notify_all();
    }
}

impl Listener {
    pub fn newest(&self, shard: u16) -> u64 {
        newest(&self.heard.lock().unwrap(), shard)
    }

    pub fn wait_for(&self, shard: u16, sequence: u64) {
        self.wait(|heard| newest(heard, shard) >= sequence);
    }

    pub fn wait_for_failure(&self) -> StoreError {
        self.wait(|heard| !heard.failed.is_empty());
        self.heard.lock().unwrap().failed[0].clone()
    }

    fn wait(&self, until: impl Fn(&Heard) -> bool) {
        let heard = self.heard.lock().unwrap();
        let goes_on = |heard: &mut Heard| !until(heard) && heard.failed.is_empty();
        let waited = self
            .more
            .wait_timeout_while(heard, Duration::from_secs(30), goes_on)
            .unwrap();
        assert!(until(&waited.0), "failed: {:?}", waited.0.failed);
        assert!(!waited.1.timed_out(), "not heard within 30 s");
    }
}

fn newest(heard: &Heard, shard: u16) -> u64 {
    heard
        .durable
        .iter()
        .filter(|(s, _)| *s == shard)
        .map(|(_, sequence)| *sequence)
        .max()
        .unwrap_or(0)
}

pub fn start(recovered: Box<dyn Recovered>) -> (Arc<dyn Store>, Arc<Listener>) {
    let listener = Arc::new(Listener::default());
    (recovered.start(listener.clone()).unwrap(), listener)
}

pub fn replay(recovered: &mut dyn Recovered) -> Objects {
    let mut objects = Objects::new();
    let mut last = None;
    recovered
        .replay(&mut |key, chain| {
            assert!(last < Some(key), "in order of key, each once");
            last = Some(key);
            assert!(objects.insert(key, chain).is_none());
        })
        .unwrap();
    objects
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of a folder; nothing when one vanished meanwhile.
fn contents(folder: &Path) -> Option<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            files.extend(contents(&path)?);
        } else {
            files.insert(path.clone(), std::fs::read(path).ok()?);
        }
    }
    Some(files)
}

/// The folder as it is at one moment, while a store works in it: read twice until nothing changed in between.
pub fn crash_image(from: &Path, to: &Path) {
    let files = loop {
        match (contents(from), contents(from)) {
            (Some(once), Some(twice)) if once == twice => break once,
            _ => std::thread::yield_now(),
        }
    };
    for (path, bytes) in files {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}

/// The segments of a data folder in order.
pub fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Bytes of all segments' files.
pub fn disk_bytes(folder: &Path) -> u64 {
    segments(folder)
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum()
}

/// Rewrites lines of `identity` and its checksum.
pub fn edit_identity(folder: &Path, edit: impl Fn(&str) -> String) {
    let path = folder.join("identity");
    let text = std::fs::read_to_string(&path).unwrap();
    let content = edit(text.split_once("crc32 = ").unwrap().0);
    let checksum = crc32fast::hash(content.as_bytes());
    std::fs::write(path, format!("{content}crc32 = {checksum:08x}\n")).unwrap();
}
