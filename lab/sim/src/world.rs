//! The world: one queue of events, one clock, one source of chance.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use machine::settings::{Handling, Settings};
use machine::{Instant, Random};
use shard::{ConnectionId, Flow, Told, Undeliverable};

use crate::breakage::{Breakage, Broken};
use crate::document::user;
use crate::happening::{Happening, Remains};
use crate::network::{Connection, Link};
use crate::odd::{AGAIN_MS, Odd};
use crate::person::Person;
use crate::picture::Picture;
use crate::plan::{Operation, Plan};
use crate::rules::Gives;
use crate::server::Server;
use crate::settings::settings;
use crate::stage::Guest;
use crate::tally::Tally;
use crate::witness::{Violation, Witness};

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The plan's.
    Operation(usize),
    /// Bytes arrive at the server's machine.
    ToServer {
        peer: usize,
        connection: Option<u64>,
        bytes: Arc<[u8]>,
    },
    /// Bytes come out of another shard's mailbox.
    ToShard {
        life: u32,
        shard: u16,
        flow: Flow,
        bytes: Arc<[u8]>,
    },
    /// What another shard says comes out of a shard's mailbox.
    ToldShard {
        life: u32,
        from: u16,
        shard: u16,
        told: Told,
    },
    /// Bytes arrive at a peer.
    ToPeer {
        peer: usize,
        connection: Option<u64>,
        bytes: Arc<[u8]>,
    },
    /// A peer learns that something did not arrive.
    Unreachable {
        peer: usize,
        tcp: bool,
        to: SocketAddr,
    },
    /// A shard learns the same.
    Undeliverable {
        life: u32,
        shard: u16,
        token: u64,
        why: Undeliverable,
    },
    /// A connection breaks.
    Tear { connection: u64 },
    /// The disk has written one batch.
    Written { life: u32 },
    /// A shard learns of it.
    Durable {
        life: u32,
        shard: u16,
        sequence: u64,
    },
    /// The store of documents has written its oldest change, or could not.
    Kept { life: u32 },
    /// A name is found.
    Resolved { life: u32, shard: u16, name: String },
    /// The server's process starts.
    Start { shards: u16 },
    /// The disk has room again.
    Room,
    /// A person asks again for what she did not get.
    TryAgain(usize),
    /// A scripted peer sends something, perhaps again; `always`: also when it was answered.
    OddSends {
        peer: usize,
        bytes: Arc<[u8]>,
        always: bool,
    },
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What became of a story.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Broken promises, the first of each checker.
    pub violations: Vec<Violation>,
    /// What happened, line by line, where it was asked for.
    pub trace: Vec<String>,
    /// The same as a picture, up to the first broken promise and a little more.
    pub ladder: ladder::Trace,
    /// How long it was in the world.
    pub lasted: Duration,
    /// What the world did to those who live in it.
    pub tally: Tally,
    /// What people's programs showed, where a trace was asked for: when, whose, what.
    pub shown: Vec<(Instant, usize, agent::Event)>,
}

/// Longer than every back-off of a client, of the server, and every refusal that is remembered.
const CALM: Duration = Duration::from_secs(900);
/// Longer than anything is granted, and any connection's refusal remembered.
const END: Duration = Duration::from_secs(1800);
/// In calm and at the end nothing may change for so long.
const STILL: Duration = Duration::from_secs(15);

/// Everything.
pub struct World {
    pub(crate) at: Instant,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    pub(crate) plan: Plan,
    pub(crate) server: Server,
    pub(crate) settings: Arc<Settings>,
    pub(crate) people: Vec<Person>,
    pub(crate) odds: Vec<Odd>,
    /// Peers that somebody outside plays; they come after all others.
    pub(crate) guests: Vec<Guest>,
    /// What the newest request of one of them for a document was answered.
    pub(crate) told: Option<shard::DocumentAnswer>,
    pub(crate) links: Vec<Link>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    /// How many connections there were.
    pub(crate) opened: u64,
    pub(crate) witness: Witness,
    pub(crate) broken: Broken,
    pub(crate) chance: Random,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    pub(crate) slow_until: Instant,
    pub(crate) full_until: Instant,
    pub(crate) last_written: Instant,
    pub(crate) last_kept: Instant,
    /// When the same bytes were sent first: what is older than a transaction is not carried.
    pub(crate) first_sent: BTreeMap<u64, Instant>,
    /// What proxies on the way will answer, and have answered.
    pub(crate) refusals: Vec<VecDeque<(u16, u32)>>,
    pub(crate) refused: BTreeMap<String, (u16, u32)>,
    /// For a broken server.
    pub(crate) handled: BTreeSet<u64>,
    pub(crate) unrepeated: BTreeMap<(String, u32), shard::Send>,
    pub(crate) numbed: BTreeSet<usize>,
    pub(crate) tally: Tally,
    pub(crate) shown: Vec<(Instant, usize, agent::Event)>,
    trace: Option<Vec<String>>,
    pub(crate) picture: Option<Picture>,
}

impl World {
    /// A world in which this plan will happen.
    pub fn new(plan: Plan, breakage: Breakage, traced: bool) -> Self {
        let people: Vec<Person> = (plan.people.iter().enumerate())
            .map(|(number, who)| Person::new(plan.seed, number, *who))
            .collect();
        let first = people.len();
        let odds: Vec<Odd> = (0..usize::from(plan.odds))
            .map(|odd| Odd::new(first + odd, first))
            .collect();
        let links = (0..first + odds.len())
            .map(|peer| Link::new(plan.seed, peer))
            .collect();
        let refusals = people.iter().map(|_| VecDeque::new()).collect();
        let settings = Arc::new(settings(1, plan.handling, plan.interval_ms, plan.named));
        Self {
            at: Instant::from_micros(1_000_000),
            queue: BinaryHeap::new(),
            order: 0,
            server: Server::new(plan.seed, plan.listed),
            settings,
            people,
            odds,
            guests: Vec::new(),
            told: None,
            links,
            connections: BTreeMap::new(),
            opened: 0,
            witness: Witness::default(),
            broken: Broken::new(breakage),
            chance: Random::new(plan.seed ^ 0xc4ac_e000),
            calm: false,
            slow_until: Instant::ZERO,
            full_until: Instant::ZERO,
            last_written: Instant::ZERO,
            last_kept: Instant::ZERO,
            first_sent: BTreeMap::new(),
            refusals,
            refused: BTreeMap::new(),
            handled: BTreeSet::new(),
            unrepeated: BTreeMap::new(),
            numbed: BTreeSet::new(),
            tally: Tally::default(),
            shown: Vec::new(),
            trace: traced.then(Vec::new),
            picture: traced.then(|| Picture::of(&plan)),
            plan,
        }
    }

    /// Tells the whole story.
    pub fn run(mut self) -> Outcome {
        self.begin();
        let begin = self.at;
        let operations: Vec<u64> = self.plan.operations.iter().map(|(at, _)| *at).collect();
        for (index, at) in operations.iter().enumerate() {
            self.schedule_at(begin + Duration::from_micros(*at), Event::Operation(index));
        }
        let last = operations.last().copied().unwrap_or_default();
        self.advance(begin + Duration::from_micros(last) + Duration::from_secs(1));
        self.calm_down();
        self.end();
        Outcome {
            tally: self.tally,
            shown: self.shown,
            violations: self.witness.violations,
            trace: self.trace.unwrap_or_default(),
            ladder: self
                .picture
                .map(|picture| picture.trace)
                .unwrap_or_default(),
            lasted: self.at.since(begin),
        }
    }

    /// The server starts for the first time.
    pub(crate) fn begin(&mut self) {
        self.witness.partitioner = Some(self.server.partitioner());
        self.witness.reloaded(self.at, self.plan.handling);
        self.start_server(self.plan.shards);
    }

    /// So many peers that somebody outside plays.
    pub(crate) fn invite(&mut self, guests: usize) {
        let first = self.links.len();
        self.links
            .extend((first..first + guests).map(|peer| Link::new(self.plan.seed, peer)));
        self.guests.extend((0..guests).map(|_| Guest::default()));
    }

    /// Nothing goes wrong any more, and everybody gets the time to recover.
    fn calm_down(&mut self) {
        self.note(|| "calm".to_owned());
        self.calm = true;
        for link in &mut self.links {
            link.calm_down();
        }
        (self.slow_until, self.full_until) = (Instant::ZERO, Instant::ZERO);
        self.refusals.iter_mut().for_each(VecDeque::clear);
        self.make_room();
        if self.server.life.is_none() {
            // It may be down for some while yet; it comes back now.
            self.start_server(self.plan.shards);
        }
        let handling = match self.plan.handling {
            Handling::Block => Handling::Allow,
            handling => handling,
        };
        self.reload(handling, self.plan.interval_ms);
        // Who wants to watch is to be let in by everybody's rules, too. A server that was about to stop takes no rules.
        for _ in 0..20 {
            self.advance(self.at + STILL);
            for (presentity, rules) in self.witness.model.who_blocks() {
                let opened = rules.map(|gives| match gives {
                    Gives::Block => Gives::Services,
                    gives => gives,
                });
                self.put_rules(&presentity, opened);
            }
        }
        self.advance(self.at + CALM);
        // What lapsed a moment ago may still be on its way to watchers.
        for _ in 0..40 {
            if self.at.since(self.witness.model.changed_at) >= STILL {
                break;
            }
            self.advance(self.at + STILL);
        }
        // Whoever should have been told: what is on the disk holds.
        self.learn_documents();
        let standings: Vec<_> = self.people.iter().map(Person::standing).collect();
        self.witness.tell(self.at, &Happening::Calm(&standings));
    }

    /// Everybody leaves, and everything expires.
    fn end(&mut self) {
        self.note(|| "everybody leaves".to_owned());
        for person in 0..self.people.len() {
            let now = self.at;
            self.people[person].leave(now);
            self.drive_person(person);
        }
        self.advance(self.at + END);
        let mut remains = Remains::default();
        if let Some(life) = &self.server.life {
            remains.shards = life
                .shards
                .iter()
                .map(|shard| (shard.counts(), shard.remembered()))
                .collect();
            remains.deadlines = life
                .shards
                .iter()
                .filter(|shard| shard.poll_timeout().is_some())
                .count();
            remains.objects = life.store.status().objects;
        }
        let busy =
            |person: &&Person| !person.agent.is_idle() || person.agent.poll_timeout().is_some();
        remains.agents = (self.people.iter().enumerate())
            .map(|(number, person)| (number, person.agent.remembered()))
            .collect();
        remains.busy = (self.people.iter().enumerate())
            .filter(|(_, person)| busy(person))
            .map(|(number, _)| number)
            .collect();
        self.witness.tell(self.at, &Happening::Over(&remains));
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!(
                "{:12.6} {}",
                self.at.as_micros() as f64 / 1e6,
                line()
            ));
        }
    }

    pub(crate) const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    pub(crate) fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.at + after, event);
    }

    pub(crate) fn schedule_at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Scheduled {
            at,
            order: self.order,
            event,
        }));
    }

    /// Lives through everything until then.
    fn advance(&mut self, until: Instant) {
        self.advance_while(until, |_| true);
    }

    /// The same, but stops as soon as `waits` is over.
    pub(crate) fn advance_while(&mut self, until: Instant, waits: impl Fn(&Self) -> bool) {
        loop {
            if !waits(self) {
                return;
            }
            let queued = self.queue.peek().map(|next| next.0.at);
            let deadline = self.next_deadline();
            let next = queued.into_iter().chain(deadline.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.at = self.at.max(next);
            match deadline.filter(|(at, _)| queued.is_none_or(|queued| *at <= queued)) {
                Some((_, who)) => self.meet_deadline(who),
                None => {
                    if let Some(Reverse(scheduled)) = self.queue.pop() {
                        self.happen(scheduled.event);
                    }
                }
            }
            self.watch_stop();
        }
        self.at = self.at.max(until);
    }

    /// Whose deadline comes first, and when.
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        let late = if self.broken.how == Breakage::ForgetsTheTime {
            5
        } else {
            0
        };
        let shards = self.server.life.iter().flat_map(|life| {
            life.shards.iter().enumerate().filter_map(|(index, shard)| {
                let at = life.world_time(shard.poll_timeout()?);
                Some((at + Duration::from_secs(late), Due::Shard(index as u16)))
            })
        });
        let people = self
            .people
            .iter()
            .enumerate()
            .filter_map(|(number, person)| {
                let at = person
                    .agent
                    .poll_timeout()
                    .filter(|_| !self.numbed.contains(&number))?;
                Some((at, Due::Person(number)))
            });
        let stop = self
            .server
            .life
            .iter()
            .filter_map(|life| Some((life.stopping?.0, Due::Stop)));
        shards
            .chain(people)
            .chain(stop)
            .min_by_key(|(at, due)| (*at, *due))
    }

    fn meet_deadline(&mut self, due: Due) {
        match due {
            Due::Shard(shard) => self.shard_timeout(shard),
            Due::Person(number) => {
                let now = self.at;
                self.people[number].agent.handle_timeout(now);
                self.drive_person(number);
            }
            Due::Stop => self.finish_stop(true),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Operation(index) => {
                if let Some((_, operation)) = self.plan.operations.get(index).cloned() {
                    self.note(|| format!("* {operation}"));
                    self.draw(ladder::PointKind::Note, false, || operation.to_string());
                    self.operate(operation);
                }
            }
            Event::ToServer {
                peer,
                connection,
                bytes,
            } => self.reach_server(peer, connection, &bytes),
            Event::ToPeer {
                peer,
                connection,
                bytes,
            } => self.reach_peer(peer, connection, &bytes),
            Event::Unreachable { peer, tcp, to } => self.person_unreachable(peer, tcp, to),
            Event::Tear { connection } => self.break_connection(connection),
            Event::Start { shards } => {
                if self.server.life.is_none() {
                    self.start_server(shards);
                }
            }
            Event::Room => self.make_room(),
            Event::TryAgain(number) => {
                let now = self.at;
                self.people[number].try_again(now);
                self.drive_person(number);
            }
            Event::OddSends {
                peer,
                bytes,
                always,
            } => {
                let odd = peer - self.people.len();
                if always || !self.odds[odd].is_answered(&bytes) {
                    self.send_to_server(peer, false, &bytes);
                }
            }
            other => self.happen_in_life(other),
        }
    }

    /// What is meant for one life of the server, and lost with it.
    fn happen_in_life(&mut self, event: Event) {
        match event {
            Event::ToShard {
                life,
                shard,
                flow,
                bytes,
            } if self.is_alive(life) => {
                self.shard_message(shard, &flow, &bytes);
            }
            Event::Undeliverable {
                life,
                shard,
                token,
                why,
            } if self.is_alive(life) => {
                self.shard_undeliverable(shard, token, why);
            }
            Event::Written { life } if self.is_alive(life) => {
                self.written();
            }
            Event::Durable {
                life,
                shard,
                sequence,
            } if self.is_alive(life) => {
                self.shard_durable(shard, sequence);
            }
            Event::Kept { life } if self.is_alive(life) => self.document_kept(),
            Event::ToldShard {
                life,
                from,
                shard,
                told,
            } if self.is_alive(life) => self.shard_told(from, shard, told),
            Event::Resolved { life, shard, name } if self.is_alive(life) => {
                self.shard_resolved(shard, &name);
            }
            _ => {}
        }
    }

    fn is_alive(&self, life: u32) -> bool {
        self.server
            .life
            .as_ref()
            .is_some_and(|alive| alive.number == life)
    }

    fn operate(&mut self, operation: Operation) {
        let now = self.at;
        let person = match operation {
            Operation::Watch { who, whom, expires } => {
                self.people[who].watch(now, whom, expires);
                who
            }
            Operation::Unwatch(who) => {
                self.people[who].unwatch(now);
                who
            }
            Operation::Ask { who, expires } => {
                self.people[who].ask(now, expires);
                who
            }
            Operation::Fetch { who, whom } => {
                self.people[who].fetch(now, whom);
                who
            }
            Operation::Publish {
                who,
                expires,
                large,
            } => {
                self.people[who].publish(now, expires, large);
                who
            }
            Operation::Change { who, large } => {
                self.people[who].change(now, large);
                who
            }
            Operation::Unpublish(who) => {
                self.people[who].unpublish(now);
                who
            }
            Operation::Forget(who) => {
                self.close_connections(who);
                self.people[who].forget(now);
                who
            }
            Operation::Refuse {
                who,
                status,
                retry_after,
            } => {
                self.refusals[who].push_back((status, retry_after));
                return;
            }
            other => return self.operate_odd(other),
        };
        self.drive_person(person);
    }

    fn operate_odd(&mut self, operation: Operation) {
        let first = self.people.len();
        let (peer, bytes) = match operation {
            Operation::OddWatch {
                who,
                whom,
                expires,
                answers,
                named,
            } => (
                who,
                Some(self.odds[who].watch(whom, expires, answers, named)),
            ),
            Operation::OddRefresh { who, moves } => (who, self.odds[who].refresh(moves)),
            Operation::OddAsk { who, how } => (who, Some(self.odds[who].ask(how))),
            Operation::OddEnd(who) => (who, self.odds[who].end()),
            Operation::OddPublish {
                who,
                expires,
                modify,
            } => (who, Some(self.odds[who].publish(expires, modify))),
            Operation::Garbage(who) => {
                let bytes = self.odds[who].garbage();
                return self.send_to_server(first + who, false, &bytes);
            }
            other => return self.operate_world(other),
        };
        let Some(bytes) = bytes else { return };
        let bytes: Arc<[u8]> = bytes.into();
        for (index, after) in AGAIN_MS.iter().enumerate() {
            // Now and then it repeats itself although it was answered.
            let always = index == 0 || self.chance.below(5) == 0;
            let event = Event::OddSends {
                peer: first + peer,
                bytes: Arc::clone(&bytes),
                always,
            };
            self.schedule(Duration::from_millis(*after), event);
        }
    }

    fn operate_world(&mut self, operation: Operation) {
        match operation {
            Operation::Crash { down_ms, shards } if self.server.life.is_some() => {
                self.crash();
                self.schedule(Duration::from_millis(down_ms), Event::Start { shards });
            }
            Operation::Stop {
                down_ms,
                shards,
                drain,
            } => self.begin_stop(down_ms, shards, drain),
            Operation::Reload {
                handling,
                interval_ms,
            } => self.reload(handling, interval_ms),
            Operation::Rules { whom, rules } => self.put_rules(&user(whom), rules),
            Operation::Permanent { whom, says } => self.put_permanent(&user(whom), says),
            Operation::Cut { who, lasts_ms } => {
                self.links[who].cut_until = self.at + Duration::from_millis(lasts_ms);
            }
            Operation::Break { who, at_once } => self.break_connections(who, at_once),
            Operation::Connecting { who, how } => self.links[who].connecting = how,
            Operation::DiskFull { lasts_ms } => {
                self.full_until = self.at + Duration::from_millis(lasts_ms);
                self.make_room();
                self.schedule(Duration::from_millis(lasts_ms), Event::Room);
            }
            Operation::DiskSlow { lasts_ms } => {
                self.slow_until = self.at + Duration::from_millis(lasts_ms);
            }
            Operation::WallStep { by_ms } => {
                self.tally.wall_steps += 1;
                self.server.step_wall(by_ms);
            }
            _ => {}
        }
    }

    /// A connection as shards name it.
    pub(crate) const fn connection_id(connection: u64) -> ConnectionId {
        ConnectionId(connection)
    }
}

/// Whose deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Shard(u16),
    Person(usize),
    Stop,
}
