//! The server: production shards on a disk in memory, its lives and its deaths.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine::settings::Settings;
use machine::{DocumentName, DocumentWrite, StoredDocument};
use machine::{Instant, Key, Now, Partitioner, Random, Wall};
use shard::{Dispatch, Shard, Start, Table};
use store::{Memory, Observer, Store, StoreError};

use crate::document::user;
use crate::plan::USERS;
use crate::rules::document_by_lists;

/// The wall clock when the world begins: some day of 2026.
const WALL_MS: u64 = 1_790_000_000_000;

/// One process of the server.
pub(crate) struct Life {
    /// Which; counts from 1.
    pub number: u32,
    began: Instant,
    /// The production shards.
    pub shards: Vec<Shard>,
    /// Where their batches go.
    pub store: Arc<dyn Store>,
    /// Which shard a message belongs to.
    pub dispatch: Dispatch,
    durable: Arc<Reports>,
    /// It takes no new requests; when it is ended at the latest, how long it stays down, with how many shards it comes back.
    pub stopping: Option<(Instant, u64, u16)>,
}

#[derive(Default)]
struct Reports(Mutex<Vec<(u16, u64)>>);

impl Observer for Reports {
    fn durable(&self, shard: u16, sequence: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((shard, sequence));
    }

    fn failed(&self, _failure: &StoreError) {}
}

impl Life {
    /// The process's clocks.
    pub(crate) fn now(&self, at: Instant, wall: Wall) -> Now {
        Now {
            monotonic: Instant::from_micros(1_000_000 + at.since(self.began).as_micros() as u64),
            wall,
        }
    }

    /// When, in the world, this process's clock shows `monotonic`.
    pub(crate) fn world_time(&self, monotonic: Instant) -> Instant {
        self.began + monotonic.since(Instant::from_micros(1_000_000))
    }

    /// What became durable since the last call.
    pub(crate) fn take_durable(&self) -> Vec<(u16, u64)> {
        std::mem::take(
            &mut *self
                .durable
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// The server's machine: it outlives its processes.
pub(crate) struct Server {
    /// The disk.
    pub disk: Memory,
    /// The documents that their store holds for certain.
    pub documents: BTreeMap<DocumentName, StoredDocument>,
    /// Changes of documents that it was given, in order.
    pub keeping: VecDeque<DocumentWrite>,
    /// The process, while there is one.
    pub life: Option<Life>,
    lives: u32,
    wall_offset_ms: i64,
    random: Random,
    hash_key: [u8; 16],
}

fn rules_by_lists(number: u8) -> (DocumentName, StoredDocument) {
    let presentity = user(number);
    let name = DocumentName {
        owner: Some(presentity.as_str().into()),
        auid: xdm::usages::PRES_RULES.auid.into(),
        path: "index".into(),
    };
    let content = StoredDocument {
        text: document_by_lists(&presentity).into(),
        tag: "by-lists".into(),
        modified: Wall::from_millis(WALL_MS),
    };
    (name, content)
}

impl Server {
    /// A machine whose process has not been started. `listed`: rules by lists are on its disk already.
    pub(crate) fn new(seed: u64, listed: bool) -> Self {
        let mut random = Random::new(seed ^ 0x5e17_e17e_5e17);
        let mut hash_key = [0; 16];
        for half in hash_key.chunks_mut(8) {
            half.copy_from_slice(&random.next_u64().to_be_bytes());
        }
        Self {
            disk: Memory::by_hand(hash_key),
            documents: if listed {
                (0..USERS).map(rules_by_lists).collect()
            } else {
                BTreeMap::new()
            },
            keeping: VecDeque::new(),
            life: None,
            lives: 0,
            wall_offset_ms: 0,
            random,
            hash_key,
        }
    }

    /// How it finds the partition of a user.
    pub(crate) const fn partitioner(&self) -> Partitioner {
        Partitioner::new(self.hash_key)
    }

    /// What its wall clock shows.
    pub(crate) fn wall(&self, at: Instant) -> Wall {
        Wall::from_millis(
            (WALL_MS + at.as_micros() / 1000).saturating_add_signed(self.wall_offset_ms),
        )
    }

    /// Whether a process ever ran on it.
    pub(crate) const fn has_lived(&self) -> bool {
        self.lives > 0
    }

    /// Its wall clock steps.
    pub(crate) fn step_wall(&mut self, by_ms: i64) {
        self.wall_offset_ms += by_ms;
    }

    /// Starts a process. An error is a record that does not read.
    pub(crate) fn start(
        &mut self,
        at: Instant,
        shards: u16,
        settings: &Arc<Settings>,
    ) -> Result<(), String> {
        let wall = self.wall(at);
        let mut recovered = self.disk.open().map_err(|error| error.to_string())?;
        self.lives += 1;
        let starts = recovered.identity().starts;
        let now = Now {
            monotonic: Instant::from_micros(1_000_000),
            wall,
        };
        let mut all: Vec<Shard> = (0..shards)
            .map(|index| {
                Shard::new(Start {
                    index,
                    shards,
                    starts,
                    hash_key: self.hash_key,
                    seed: self.random.next_u64(),
                    settings: Arc::clone(settings),
                    unanswered_max: 4096,
                    now,
                })
            })
            .collect();
        let mut unreadable = None;
        let mut restore = |key: Key, chain| {
            let owner = usize::from(key.partition().shard(shards));
            if let Some(Err(why)) = all.get_mut(owner).map(|shard| shard.restore(key, chain)) {
                unreadable = Some(why);
            }
        };
        recovered
            .replay(&mut restore)
            .map_err(|error| error.to_string())?;
        if let Some(why) = unreadable {
            return Err(why);
        }
        let mut table = Table::default();
        for (name, content) in &self.documents {
            table.put(name, content);
            let owner = name.owner.as_deref().unwrap_or("global");
            let owner = self.partitioner().partition(owner).shard(shards);
            if let Some(shard) = all.get_mut(usize::from(owner)) {
                shard.restore_document(name.clone(), content.clone());
            }
        }
        let table = Arc::new(table);
        for shard in &mut all {
            shard.restore_lists(Arc::clone(&table));
        }
        let durable = Arc::new(Reports::default());
        let store = recovered
            .start(Arc::clone(&durable) as Arc<dyn Observer>)
            .map_err(|error| error.to_string())?;
        self.life = Some(Life {
            number: self.lives,
            began: at,
            shards: all,
            store,
            dispatch: Dispatch::new(self.hash_key, shards, settings),
            durable,
            stopping: None,
        });
        Ok(())
    }

    /// The process dies; of what was not durable the disk keeps a prefix. Gives the number of batches it kept.
    pub(crate) fn crash(&mut self) -> u64 {
        // `crash` draws once; the same draw tells what it kept.
        let kept = self.random.clone().below(self.disk.pending() as u64 + 1);
        self.disk.crash(&mut self.random);
        self.life = None;
        // The store of documents keeps a prefix too, whatever the other kept.
        let kept_documents = self.random.below(self.keeping.len() as u64 + 1);
        for _ in 0..kept_documents {
            self.keep();
        }
        self.keeping.clear();
        kept
    }

    /// The store of documents has written its oldest change; what it was.
    pub(crate) fn keep(&mut self) -> Option<DocumentWrite> {
        let write = self.keeping.pop_front()?;
        match &write.content {
            Some(content) => drop(self.documents.insert(write.name.clone(), content.clone())),
            None => drop(self.documents.remove(&write.name)),
        }
        Some(write)
    }

    /// The process ends in good order: everything submitted is durable.
    pub(crate) fn close(&mut self) {
        if let Some(life) = self.life.take() {
            // In memory it can't fail but by `fail`, which the world never calls.
            let _ = life.store.close();
        }
    }

    /// A small wait by chance, in microseconds.
    pub(crate) const fn jitter(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.random.below(below))
    }
}
