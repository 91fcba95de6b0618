//! Host names to addresses, asked of the system off the shards' threads: few at once, remembered for a while.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use machine::Instant;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::mailbox::{Mailbox, Notice};

/// How long an answer is good, also the answer that there is none.
const REMEMBER: Duration = Duration::from_secs(30);

/// Look-ups under way. Each keeps a thread of the runtime's blocking pool.
const CONCURRENT_MAX: usize = 16;

/// Names waited for; beyond it: not found.
const WAITING_MAX: usize = 1024;

/// Names remembered; beyond it all are forgotten.
const REMEMBERED_MAX: usize = 4096;

/// How long a shard waits; the look-up itself goes on and is remembered.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    answers: HashMap<Arc<str>, (Arc<[IpAddr]>, Instant)>,
    waiting: HashMap<Arc<str>, Vec<u16>>,
}

/// Cheap to clone; `resolve` never waits.
#[derive(Clone)]
pub(crate) struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    permits: Arc<Semaphore>,
    runtime: Handle,
    clock: Clock,
    mailboxes: Arc<[Mailbox]>,
}

impl Resolver {
    pub(crate) fn new(runtime: Handle, clock: Clock, mailboxes: Arc<[Mailbox]>) -> Self {
        let permits = Arc::new(Semaphore::new(CONCURRENT_MAX));
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                permits,
                runtime,
                clock,
                mailboxes,
            }),
        }
    }

    /// The answer comes to the mailbox of `shard`.
    pub(crate) fn resolve(&self, shard: u16, name: &str) {
        let name: Arc<str> = name.into();
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.lock();
        if let Some((addresses, until)) = state.answers.get(&name)
            && now < *until
        {
            let addresses = Arc::clone(addresses);
            drop(state);
            return self.shared.tell(shard, &name, &addresses);
        }
        let full = state.waiting.len() >= WAITING_MAX;
        if let Some(shards) = state.waiting.get_mut(&name) {
            if !shards.contains(&shard) {
                shards.push(shard);
            }
        } else if full {
            drop(state);
            self.shared.tell(shard, &name, &Arc::from([]));
        } else {
            state.waiting.insert(Arc::clone(&name), vec![shard]);
            drop(state);
            self.shared
                .runtime
                .spawn(look_up(Arc::clone(&self.shared), name));
        }
    }
}

async fn look_up(shared: Arc<Shared>, name: Arc<str>) {
    let permits = Arc::clone(&shared.permits);
    let asked = Arc::clone(&name);
    // A task of its own, whose permit stays until the system has answered, however late.
    let question = tokio::spawn(async move {
        let _permit = permits.acquire_owned().await;
        // Brackets belong to SIP's writing of IPv6 addresses, not to the system's.
        let host = asked.trim_start_matches('[').trim_end_matches(']');
        let mut addresses = Vec::new();
        if let Ok(found) = tokio::net::lookup_host((host, 0)).await {
            for address in found.map(|address| address.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        addresses
    });
    let addresses = match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    shared.answer(&name, addresses.into());
}

impl Shared {
    fn answer(&self, name: &Arc<str>, addresses: Arc<[IpAddr]>) {
        let until = self.clock.monotonic() + REMEMBER;
        let shards = {
            let mut state = self.lock();
            if state.answers.len() >= REMEMBERED_MAX {
                state.answers.clear();
            }
            state
                .answers
                .insert(Arc::clone(name), (Arc::clone(&addresses), until));
            state.waiting.remove(name)
        };
        for shard in shards.into_iter().flatten() {
            self.tell(shard, name, &addresses);
        }
    }

    fn tell(&self, shard: u16, name: &Arc<str>, addresses: &Arc<[IpAddr]>) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard)) {
            mailbox.post(Notice::Resolved {
                name: Arc::clone(name),
                addresses: Arc::clone(addresses),
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
