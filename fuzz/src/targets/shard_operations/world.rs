//! The shard's surroundings: time, the disk, lives and deaths.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine::settings::{Domain, Handling, Identity, Listener, Settings, Transport};
use machine::{Batch, Instant, Key, Now, Op, Random, Wall};
use shard::{Output, Room, Shard, Start, Undeliverable};
use store::{Memory, Observer, Store, StoreError};

use super::peers::{Peers, flow};
use super::promises::Promises;
use super::{Script, rules};

const HASH_KEY: [u8; 16] = *b"a key for fuzzes";
const WALL_MS: u64 = 1_790_000_000_000;

/// More deeds than this from one input, or more deadlines at one moment, are a loop.
const TURNS_MAX: u32 = 20_000;

/// Far above what the engine keeps to, far below what a story could make of it otherwise.
const APPENDS_MAX: u32 = 40;

/// Counted from here for what is over.
const ENDED: u32 = 1 << 31;

#[derive(Default)]
struct Reports(Mutex<VecDeque<u64>>);

impl Observer for Reports {
    fn durable(&self, _shard: u16, sequence: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(sequence);
    }

    fn failed(&self, _failure: &StoreError) {}
}

impl Reports {
    fn take(&self) -> Option<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

/// Everything around one shard.
pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) now: Now,
    /// Whether a batch is durable as soon as it is handed over.
    pub(crate) prompt: bool,
    pub(crate) peers: Peers,
    pub(crate) promises: Promises,
    disk: Memory,
    store: Arc<dyn Store>,
    reports: Arc<Reports>,
    /// What the store will hold once everything handed over is durable, and how many appends of each.
    objects: BTreeMap<Key, u32>,
    settings: Settings,
    sequence: u64,
    wall_error_ms: i64,
    /// Names that are being looked up.
    lookups: VecDeque<String>,
    /// Everybody answers at once.
    answering: bool,
    /// Until then something lives that was acknowledged long after it was stored: a start counts from when it was stored.
    late_until: Instant,
    /// Who ever published is remembered for ever: `unknown_presentity = "404"` was in force.
    publishers_are_kept: bool,
}

impl World {
    pub(crate) fn new(script: &mut Script<'_>) -> Self {
        let (presence, limits) = rules(script);
        let listener = |transport| Listener {
            transport,
            bound: SocketAddr::from(([192, 0, 2, 1], 5060)),
            advertise_host: "ps.example.com".to_owned(),
            advertise_port: 5060,
            aliases: Vec::new(),
            trusted_peers: None,
            nat: true,
        };
        let settings = Settings {
            number: 1,
            domains: vec![Domain {
                name: "example.com".to_owned(),
                aliases: Vec::new(),
                presence,
            }],
            listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
            identity: Identity {
                from_is_identity: true,
                ..Identity::default()
            },
            limits,
            path_mtu: if script.byte() & 1 == 0 { 1500 } else { 0 },
            xcap_roots: Vec::new(),
            hosts: BTreeMap::new(),
        };
        let now = Now {
            monotonic: Instant::from_micros(1_000_000),
            wall: Wall::from_millis(WALL_MS),
        };
        let disk = Memory::by_hand(HASH_KEY);
        let promises = Promises::new(settings.domains[0].presence.default_handling);
        let (shard, store, reports, objects) = begin(&disk, &settings, now);
        let mut world = Self {
            shard,
            now,
            prompt: true,
            peers: Peers::default(),
            promises,
            disk,
            store,
            reports,
            objects,
            settings,
            sequence: 0,
            wall_error_ms: 0,
            lookups: VecDeque::new(),
            answering: false,
            late_until: Instant::ZERO,
            publishers_are_kept: false,
        };
        world.note_rules();
        world.run();
        world
    }

    /// Takes every output until there is none.
    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            if let Some(output) = self.shard.poll_output() {
                self.fulfil(output);
            } else if self.prompt && self.disk.step() {
                self.hear_of_the_disk();
            } else if self.answering
                && let Some(answer) = self.peers.any_answer()
            {
                self.promises.heard(self.now, &answer);
                self.shard
                    .handle_datagram(self.now, &flow(7, false), &answer);
            } else if self.answering
                && let Some(name) = self.lookups.pop_front()
            {
                let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
                self.shard.handle_resolved(self.now, &name, &[address]);
            } else {
                return;
            }
        }
        unreachable!("the shard never comes to rest")
    }

    fn fulfil(&mut self, output: Output) {
        match output {
            Output::Commit(batch) => self.commit(batch),
            Output::Send(send) => self.promises.sent(self.now, &send, &mut self.peers),
            Output::Resolve(name) => {
                assert!(!name.is_empty() && self.lookups.len() < 1000);
                self.lookups.push_back(name);
            }
            // Nobody keeps documents here, and there is one shard.
            Output::Record(..)
            | Output::Keep(_)
            | Output::Answered(_)
            | Output::Explained(..)
            | Output::Tell(..) => {}
        }
    }

    /// A batch says what it is to the store: none is missing, none is empty, no change goes to an object that is not there.
    fn commit(&mut self, batch: Batch) {
        self.sequence += 1;
        assert_eq!(batch.sequence, self.sequence, "a batch is missing");
        assert!(!batch.records.is_empty(), "a batch of nothing");
        for record in &batch.records {
            match &record.op {
                Op::Put(bytes) => {
                    assert!(!bytes.is_empty(), "an object of nothing");
                    self.objects.insert(record.key, 0);
                }
                Op::Append(bytes) => {
                    let known = self.objects.get_mut(&record.key);
                    assert!(known.is_some(), "what is appended to nothing is lost");
                    if let Some(appends) = known {
                        *appends = if is_end(bytes) {
                            ENDED
                        } else {
                            appends.saturating_add(1)
                        };
                        let short = *appends <= APPENDS_MAX || *appends >= ENDED;
                        assert!(short, "a chain that only grows");
                    }
                }
                Op::Remove => drop(self.objects.remove(&record.key)),
            }
        }
        self.store.submit(batch);
    }

    fn hear_of_the_disk(&mut self) {
        while let Some(sequence) = self.reports.take() {
            self.shard.handle_durable(self.now, sequence);
        }
    }

    /// The oldest batches become durable.
    pub(crate) fn durable(&mut self, count: usize) {
        for _ in 0..count {
            if !self.disk.step() {
                return;
            }
            self.hear_of_the_disk();
            self.run();
        }
    }

    fn all_durable(&mut self) {
        while self.disk.step() {
            self.hear_of_the_disk();
            self.run();
        }
    }

    /// Time passes; every deadline on the way is met.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now.monotonic + by;
        if self.disk.pending() > 0 {
            self.late_until = end + Duration::from_secs(610);
        }
        let (mut at, mut turns) = (self.now.monotonic, 0);
        while let Some(next) = self.shard.poll_timeout().filter(|next| *next <= end) {
            let step = next.since(self.now.monotonic);
            self.pass(step);
            if self.now.monotonic > at {
                (at, turns) = (self.now.monotonic, 0);
            }
            turns += 1;
            assert!(turns < TURNS_MAX, "time stands still");
            self.shard.handle_timeout(self.now);
            self.run();
        }
        self.pass(end.since(self.now.monotonic));
    }

    fn pass(&mut self, by: Duration) {
        self.now.monotonic = self.now.monotonic + by;
        let right = WALL_MS + self.now.monotonic.as_micros() / 1000;
        self.now.wall = Wall::from_millis(right.saturating_add_signed(self.wall_error_ms));
    }

    pub(crate) fn step_wall(&mut self, by_ms: i64) {
        self.wall_error_ms += by_ms;
        self.pass(Duration::ZERO);
        self.peers.doubt();
    }

    /// The process dies; of what was not durable the disk keeps a prefix.
    pub(crate) fn crash(&mut self, seed: u8) {
        self.disk.crash(&mut Random::new(u64::from(seed)));
        self.restart();
    }

    /// A clean stop, then a start. Whoever asked was answered.
    pub(crate) fn stop_and_start(&mut self) {
        self.shard.handle_stop(self.now);
        self.run();
        self.all_durable();
        self.promises.everybody_is_answered();
        self.shard.end(self.now);
        self.run();
        self.all_durable();
        let closed = self.store.close();
        assert!(closed.is_ok());
        self.restart();
    }

    fn restart(&mut self) {
        self.pass(Duration::from_millis(100));
        let (shard, store, reports, objects) = begin(&self.disk, &self.settings, self.now);
        (self.shard, self.store, self.reports, self.objects) = (shard, store, reports, objects);
        self.sequence = 0;
        self.lookups.clear();
        self.peers.unsure();
        self.promises.restarted(self.now);
        self.run();
    }

    /// With nothing on its way a start changes nothing: who published and who watches is as before.
    pub(crate) fn start_compared(&mut self) {
        self.all_durable();
        if !self.shard.is_quiet() {
            return;
        }
        let before = self.shard.counts();
        let due = self.now.monotonic + Duration::from_secs(1);
        let nothing_is_due = self.shard.poll_timeout().is_none_or(|next| next > due);
        self.crash(0);
        let after = self.shard.counts();
        if nothing_is_due && self.late_until < self.now.monotonic && !self.peers.in_doubt() {
            assert_eq!(
                before.publications, after.publications,
                "publications are lost or won"
            );
            assert_eq!(
                before.subscriptions, after.subscriptions,
                "subscriptions are lost or won"
            );
        }
    }

    pub(crate) fn reload(&mut self, script: &mut Script<'_>) {
        let (presence, limits) = rules(script);
        self.settings.domains[0].presence = presence;
        self.settings.limits = limits;
        self.apply();
    }

    fn note_rules(&mut self) {
        let presence = &self.settings.domains[0].presence;
        self.promises.handling = presence.default_handling;
        self.publishers_are_kept |= presence.unknown_presentity_is_404;
        if presence.default_handling == Handling::Block {
            self.peers.doubt_dialogs();
        }
    }

    fn apply(&mut self) {
        self.settings.number += 1;
        self.note_rules();
        let settings = Arc::new(self.settings.clone());
        self.shard.handle_settings(self.now, settings);
        self.run();
    }

    pub(crate) fn room(&mut self, room: Room) {
        self.shard.handle_room(room);
        self.run();
    }

    pub(crate) fn drain(&mut self) {
        self.peers.doubt_dialogs();
        self.shard.handle_drain(self.now);
        self.run();
    }

    /// A NOTIFY that left did not arrive.
    pub(crate) fn undeliverable(
        &mut self,
        script: &mut Script<'_>,
        reason: fn(u8) -> Undeliverable,
    ) {
        let Some(token) = self.peers.token(script) else {
            return;
        };
        self.promises.undeliverable(token);
        let why = reason(script.byte());
        self.shard.handle_undeliverable(self.now, token, why);
        self.run();
    }

    /// A name was looked up, or one that nobody asked for.
    pub(crate) fn resolve(&mut self, script: &mut Script<'_>) {
        let name = self.lookups.pop_front().unwrap_or_default();
        let addresses: Vec<IpAddr> = (0..script.byte() & 3)
            .map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100 + last)))
            .collect();
        self.shard.handle_resolved(self.now, &name, &addresses);
        self.run();
    }

    /// From here on everybody answers, the disk is fast, and the bounds are wide.
    pub(crate) fn calm(&mut self) {
        self.room(Room::Plenty);
        let (presence, limits) = rules(&mut Script(&[]));
        self.settings.domains[0].presence = presence;
        self.settings.limits = limits;
        self.prompt = true;
        self.answering = true;
        self.all_durable();
        self.apply();
        self.promises.everybody_is_answered();
    }

    /// Memory and disk are where they began.
    pub(crate) fn nothing_is_left(&mut self) {
        let counts = self.shard.counts();
        assert_eq!(
            (counts.publications, counts.subscriptions),
            (0, 0),
            "something outlives its end"
        );
        assert_eq!(
            self.shard.poll_timeout(),
            None,
            "a deadline without a reason"
        );
        assert!(self.shard.is_quiet(), "not quiet at the end");
        // Each presentity who is kept has a name and a place.
        let remembered = self.shard.remembered();
        assert_eq!(
            remembered,
            2 * counts.presentities,
            "something is remembered for ever"
        );
        if self.publishers_are_kept {
            return;
        }
        assert_eq!(counts.presentities, 0, "a presentity whom nobody needs");
        let objects = self.store.status().objects;
        assert_eq!(objects, 0, "objects that nobody needs stay on the disk");
        assert!(self.objects.is_empty());
    }
}

/// Whether a change says that a subscription is over. It is remembered by its chain until its last NOTIFY is answered, which
/// is not long.
fn is_end(change: &[u8]) -> bool {
    change.first() == Some(&b'e')
}

type Life = (Shard, Arc<dyn Store>, Arc<Reports>, BTreeMap<Key, u32>);

/// Starts a process on what the disk holds.
fn begin(disk: &Memory, settings: &Settings, now: Now) -> Life {
    let Ok(mut recovered) = disk.open() else {
        unreachable!("the life before still has the disk")
    };
    let starts = recovered.identity().starts;
    let mut shard = Shard::new(Start {
        index: 0,
        shards: 1,
        starts,
        hash_key: HASH_KEY,
        seed: u64::from(starts),
        settings: Arc::new(settings.clone()),
        unanswered_max: 4096,
        now,
    });
    let mut objects = BTreeMap::new();
    let mut unreadable = None;
    let replayed = recovered.replay(&mut |key, chain| {
        let is_over = chain.iter().skip(1).any(|bytes| is_end(bytes));
        let appends = if is_over {
            ENDED
        } else {
            chain.len() as u32 - 1
        };
        objects.insert(key, appends);
        if let Err(why) = shard.restore(key, chain) {
            unreadable = Some(why);
        }
    });
    assert!(replayed.is_ok());
    assert_eq!(unreadable, None, "what was written does not read");
    shard.restored(now);
    let reports = Arc::new(Reports::default());
    let Ok(store) = recovered.start(Arc::clone(&reports) as Arc<dyn Observer>) else {
        unreachable!("a store in memory begins")
    };
    (shard, store, reports, objects)
}
