//! The shards' threads while they restore: nobody reads a socket before every object is back.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use machine::{DocumentName, Key, Partition, Partitioner, StoredDocument};
use shard::Table;
use shard::settings::Settings;
use store::{Identity, Recovered};
use transport::udp::Port;

use crate::engine::Engine;
use crate::shared::Shared;
use crate::start::{StartError, system};
use crate::thread::{Hands, Thread};

/// Objects handed to a shard at once while restoring.
const RESTORE_CHUNK: usize = 256;

/// What a shard is given back.
enum Back {
    Objects(Vec<(Key, Vec<Vec<u8>>)>),
    Documents(Vec<(DocumentName, StoredDocument)>),
    /// Everybody's lists, to find those of other shards that its rules lead to.
    Lists(Arc<Table>),
    /// That was all.
    End,
}

/// The shards' threads while they restore: each builds its shard itself, so a shard never changes threads.
pub(crate) struct Crew {
    threads: Vec<JoinHandle<()>>,
    backs: Vec<SyncSender<Back>>,
    restored: Receiver<Result<(), (u16, String)>>,
    go: Vec<Sender<Hands>>,
}

impl Crew {
    pub(crate) fn hire<E: Engine>(
        shared: &Arc<Shared>,
        settings: &Arc<Settings>,
        shards: u16,
        identity: Identity,
        unanswered_max: u32,
        ports: Vec<Vec<Port>>,
    ) -> Result<Self, StartError> {
        let (told, restored) = channel();
        let mut crew = Self {
            threads: Vec::new(),
            backs: Vec::new(),
            restored,
            go: Vec::new(),
        };
        for (index, ports) in (0..shards).zip(ports) {
            let (back, take_back) = sync_channel::<Back>(4);
            let (go, take_hands) = channel();
            let (shared, settings, told) = (Arc::clone(shared), Arc::clone(settings), told.clone());
            let seed = random_seed().map_err(system("asking for randomness"))?;
            let work = move || {
                let _guard = Guard {
                    shared: Arc::clone(&shared),
                    index,
                };
                let now = shared.clock.now();
                let Identity { hash_key, starts } = identity;
                let start = shard::Start {
                    index,
                    shards,
                    starts,
                    hash_key,
                    seed,
                    settings,
                    unanswered_max,
                    now,
                };
                let mut engine = E::new(start);
                let outcome = restore(&mut engine, &take_back).map_err(|why| (index, why));
                drop(take_back);
                let is_restored = outcome.is_ok();
                if is_restored {
                    engine.restored(shared.clock.now());
                }
                let _ = told.send(outcome);
                drop(told);
                // Without hands the start was given up.
                let Ok(hands) = take_hands.recv() else { return };
                if let Err(why) =
                    Thread::new(engine, index, Arc::clone(&shared), hands, ports).run()
                {
                    shared.fail(why);
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(work);
            crew.threads
                .push(thread.map_err(system("starting a shard's thread"))?);
            crew.backs.push(back);
            crew.go.push(go);
        }
        Ok(crew)
    }

    /// Gives every document to its shard. Comes before the objects: who sees what of those is decided by these.
    pub(crate) fn documents(
        &self,
        partitioner: &Partitioner,
        documents: Vec<(DocumentName, StoredDocument)>,
        shards: u16,
    ) {
        let mut parts: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
        let mut table = Table::default();
        for (name, content) in documents {
            // One shard has them all.
            if shards > 1 {
                table.put(&name, &content);
            }
            let owner = name.owner.as_deref().unwrap_or("global");
            let shard = partitioner.partition(owner).shard(shards);
            parts[usize::from(shard)].push((name, content));
        }
        let table = Arc::new(table);
        for (back, part) in self.backs.iter().zip(parts) {
            // A shard that has given up says why by `restored`.
            let _ = back.send(Back::Documents(part));
            let _ = back.send(Back::Lists(Arc::clone(&table)));
        }
    }

    /// Gives every object to its shard, and waits until all have taken theirs.
    pub(crate) fn replay(&self, store: &mut dyn Recovered, shards: u16) -> Result<(), StartError> {
        let mut chunks: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
        let send = |shard: usize, chunk: &mut Vec<_>| {
            // A shard that has given up says why by `restored`.
            let _ = self.backs[shard].send(Back::Objects(std::mem::take(chunk)));
        };
        store.replay(&mut |key, ops| {
            let partition: Partition = key.partition();
            let shard = usize::from(partition.shard(shards));
            chunks[shard].push((key, ops));
            if chunks[shard].len() >= RESTORE_CHUNK {
                send(shard, &mut chunks[shard]);
            }
        })?;
        for (shard, chunk) in chunks.iter_mut().enumerate() {
            send(shard, chunk);
            let _ = self.backs[shard].send(Back::End);
        }
        for _ in 0..shards {
            match self.restored.recv() {
                Ok(Ok(())) => {}
                Ok(Err((shard, why))) => return Err(StartError::Restore { shard, why }),
                Err(_) => {
                    return Err(StartError::Restore {
                        shard: 0,
                        why: "a shard's thread ended".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Lets them work.
    pub(crate) fn go(
        mut self,
        hands: impl Fn() -> Hands,
    ) -> Result<Vec<JoinHandle<()>>, StartError> {
        for go in self.go.drain(..) {
            if go.send(hands()).is_err() {
                return Err(StartError::Restore {
                    shard: 0,
                    why: "a shard's thread ended".to_owned(),
                });
            }
        }
        Ok(std::mem::take(&mut self.threads))
    }
}

impl Drop for Crew {
    /// Those that never got hands go home.
    fn drop(&mut self) {
        self.backs.clear();
        self.go.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn restore<E: Engine>(engine: &mut E, backs: &Receiver<Back>) -> Result<(), String> {
    loop {
        match backs.recv() {
            Ok(Back::End) => return Ok(()),
            Ok(Back::Documents(documents)) => {
                for (name, content) in documents {
                    engine.restore_document(name, content);
                }
            }
            Ok(Back::Lists(table)) => engine.restore_lists(table),
            Ok(Back::Objects(chunk)) => {
                for (key, ops) in chunk {
                    engine
                        .restore(key, ops)
                        .map_err(|why| format!("object {:016x}: {why}", key.to_bits()))?;
                }
            }
            Err(_) => return Err("the start was given up".to_owned()),
        }
    }
}

/// Says when a shard's thread ends, and that the node has failed when it ends by a panic.
struct Guard {
    shared: Arc<Shared>,
    index: u16,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared
                .fail(format!("the thread of shard {} panicked", self.index));
        }
        self.shared.report_gone(self.index);
    }
}

/// Randomness from the system.
fn random_seed() -> std::io::Result<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
