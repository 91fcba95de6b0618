//! What a seed means: who lives in the world, how bad its network is, and what happens when.
//!
//! A plan is made whole before anything runs, so that a failing one can be shortened operation by operation.

use std::fmt;

use machine::Random;
use machine::settings::Handling;

use crate::rules::{Gives, Rules};

/// One story to be told by the world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything that is left to chance comes from it.
    pub seed: u64,
    /// The server's shards in its first life.
    pub shards: u16,
    /// Of 1000 datagrams, so many are lost.
    pub lost: u64,
    /// Of 1000 datagrams, so many arrive twice.
    pub doubled: u64,
    /// Of 1000 datagrams, so many are seconds late.
    pub late: u64,
    /// The slowest ordinary datagram, in milliseconds.
    pub delay_ms_max: u64,
    /// The slowest ordinary commit, in milliseconds.
    pub commit_ms_max: u64,
    /// `notify_interval_ms_min` at the beginning.
    pub interval_ms: u32,
    /// `default_handling` at the beginning.
    pub handling: Handling,
    /// Whether the server's Contact is a name instead of an address.
    pub named: bool,
    /// Whether everybody's rules are by lists that somebody else keeps, who may be another shard's.
    pub listed: bool,
    /// Users with an agent each: which presentity they are, and whether they speak TCP.
    pub people: Vec<(u8, bool)>,
    /// Peers that follow a script.
    pub odds: u8,
    /// In order of time.
    pub operations: Vec<(u64, Operation)>,
}

/// Something that happens at a time of its own (microseconds since the beginning).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A person watches a presentity.
    Watch {
        /// Which person.
        who: usize,
        /// Which presentity.
        whom: u8,
        /// Seconds to ask for.
        expires: u32,
    },
    /// A person watches nobody any more.
    Unwatch(usize),
    /// A person asks who watches her, from now on.
    Ask {
        /// Which person.
        who: usize,
        /// Seconds to ask for.
        expires: u32,
    },
    /// A person looks once.
    Fetch {
        /// Which person.
        who: usize,
        /// Which presentity.
        whom: u8,
    },
    /// A person publishes.
    Publish {
        /// Which person.
        who: usize,
        /// Seconds to ask for.
        expires: u32,
        /// More than a datagram should carry.
        large: bool,
    },
    /// What a person publishes changes.
    Change {
        /// Which person.
        who: usize,
        /// More than a datagram should carry.
        large: bool,
    },
    /// A person publishes no more.
    Unpublish(usize),
    /// A person's program dies and is started again; it knows nothing of the life before.
    Forget(usize),
    /// A proxy on the way answers the next request of a person.
    Refuse {
        /// Which person.
        who: usize,
        /// With this status.
        status: u16,
        /// And this Retry-After; 0: none.
        retry_after: u32,
    },
    /// A scripted peer subscribes.
    OddWatch {
        /// Which peer.
        who: usize,
        /// Which presentity.
        whom: u8,
        /// Seconds to ask for.
        expires: u32,
        /// How it answers NOTIFYs; 0: never.
        answers: u16,
        /// Its Contact is a name.
        named: bool,
    },
    /// A scripted peer refreshes its subscription.
    OddRefresh {
        /// Which peer.
        who: usize,
        /// With another Contact than before.
        moves: bool,
    },
    /// A scripted peer asks for what deserves to be refused.
    OddAsk {
        /// Which peer.
        who: usize,
        /// What.
        how: Flaw,
    },
    /// A scripted peer ends its subscription.
    OddEnd(usize),
    /// A scripted peer publishes for the presentity that it is.
    OddPublish {
        /// Which peer.
        who: usize,
        /// Seconds to ask for; 0 removes.
        expires: u32,
        /// With the entity-tag that it heard last, and a body.
        modify: bool,
    },
    /// A scripted peer sends what nobody can read.
    Garbage(usize),
    /// The server's process dies.
    Crash {
        /// And is started again after so many milliseconds.
        down_ms: u64,
        /// With so many shards.
        shards: u16,
    },
    /// The server is stopped in good order.
    Stop {
        /// And is started again after so many milliseconds.
        down_ms: u64,
        /// With so many shards.
        shards: u16,
        /// Its watchers are handed away first.
        drain: bool,
    },
    /// The settings change.
    Reload {
        /// `default_handling`.
        handling: Handling,
        /// `notify_interval_ms_min`.
        interval_ms: u32,
    },
    /// A presentity's rules change.
    Rules {
        /// Which presentity.
        whom: u8,
        /// What each user is given from now on.
        rules: Rules,
    },
    /// What a presentity keeps of herself for good changes.
    Permanent {
        /// Which presentity.
        whom: u8,
        /// Told apart by this; `None`: nothing any more.
        says: Option<u64>,
    },
    /// Nothing passes between a peer and the server for a while.
    Cut {
        /// Which peer.
        who: usize,
        /// So many milliseconds.
        lasts_ms: u64,
    },
    /// The connections of a peer break.
    Break {
        /// Which peer.
        who: usize,
        /// Not in the middle of what is sent next.
        at_once: bool,
    },
    /// What becomes of new connections with a peer.
    Connecting {
        /// Which peer.
        who: usize,
        /// What.
        how: Connecting,
    },
    /// The disk is full for a while.
    DiskFull {
        /// So many milliseconds.
        lasts_ms: u64,
    },
    /// The disk takes long for a while.
    DiskSlow {
        /// So many milliseconds.
        lasts_ms: u64,
    },
    /// The server's wall clock steps.
    WallStep {
        /// By so many milliseconds.
        by_ms: i64,
    },
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// It comes about.
    Works,
    /// It is refused at once.
    Refused,
    /// Nobody answers.
    Stalls,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// SUBSCRIBE without Event: 489.
    NoEvent,
    /// SUBSCRIBE that accepts only what there is not: 406.
    Unacceptable,
    /// SUBSCRIBE that requires an extension: 420.
    Extension,
    /// SUBSCRIBE to somebody elsewhere: 404.
    Elsewhere,
    /// SUBSCRIBE without Contact: 400.
    NoContact,
    /// SUBSCRIBE in a dialog that never was: 481.
    NoDialog,
    /// SUBSCRIBE with a header section over its bound: 513.
    LongHead,
    /// PUBLISH of plain text: 415.
    PlainText,
    /// PUBLISH for somebody else: 403.
    Foreign,
    /// PUBLISH that says nothing: 400.
    Empty,
    /// PUBLISH of a body over its bound: 413.
    LongBody,
    /// PUBLISH with an entity-tag that never was: 412.
    NoTag,
    /// REGISTER: 405.
    Register,
    /// A method that nobody knows: 501.
    Unknown,
}

impl Flaw {
    /// Each.
    pub const ALL: [Self; 14] = [
        Self::NoEvent,
        Self::Unacceptable,
        Self::Extension,
        Self::Elsewhere,
        Self::NoContact,
        Self::NoDialog,
        Self::LongHead,
        Self::PlainText,
        Self::Foreign,
        Self::Empty,
        Self::LongBody,
        Self::NoTag,
        Self::Register,
        Self::Unknown,
    ];

    /// The status that it deserves.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoEvent => 489,
            Self::Unacceptable => 406,
            Self::Extension => 420,
            Self::Elsewhere => 404,
            Self::NoContact | Self::Empty => 400,
            Self::NoDialog => 481,
            Self::LongHead => 513,
            Self::PlainText => 415,
            Self::Foreign => 403,
            Self::LongBody => 413,
            Self::NoTag => 412,
            Self::Register => 405,
            Self::Unknown => 501,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Presentities of the world.
pub(crate) const USERS: u8 = 3;

/// The failures that a SUBSCRIBE or PUBLISH may be answered with: those that this server gives, those that RFC 3903 §4, RFC 6665
/// §4.1.2 and RFC 5057 §5.1 speak of, and what proxies on the way say.
pub const STATUSES: [u16; 31] = [
    400, 401, 403, 404, 405, 406, 407, 408, 410, 412, 413, 415, 420, 421, 423, 480, 481, 482, 483,
    489, 491, 500, 501, 502, 503, 504, 505, 513, 600, 603, 604,
];

impl Plan {
    /// The plan that a seed means.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_0f71_d195);
        let rough = random.below(4);
        let people = (0..2 + random.below(4))
            .map(|_| (random.below(u64::from(USERS)) as u8, random.below(3) == 0))
            .collect();
        let mut plan = Self {
            seed,
            shards: 1 + random.below(5) as u16,
            lost: [0, 20, 100, 300][rough as usize],
            doubled: [0, 20, 150, 150][rough as usize],
            late: [0, 5, 50, 100][rough as usize],
            delay_ms_max: [1, 20, 200, 900][random.below(4) as usize],
            commit_ms_max: [0, 2, 30, 400][random.below(4) as usize],
            interval_ms: [0, 1000, 5000][random.below(3) as usize],
            handling: [
                Handling::Allow,
                Handling::Allow,
                Handling::Confirm,
                Handling::PoliteBlock,
            ][random.below(4) as usize],
            named: random.below(3) == 0,
            // By chance of its own, so that what else happens is what it was.
            listed: Random::new(seed ^ 0x4826_5025).below(3) == 0,
            people,
            odds: 1 + random.below(3) as u8,
            operations: Vec::new(),
        };
        let mut at = 0;
        let hasty = random.below(3) == 0;
        for _ in 0..10 + random.below(50) {
            // Bursts within one commit, seconds, minutes: all distances matter.
            at += match random.below(if hasty { 3 } else { 5 }) {
                0 => random.below(2_000),
                1 => random.below(300_000),
                2 => random.below(3_000_000),
                3 => random.below(20_000_000),
                _ => random.below(150_000_000),
            };
            let operation = plan.operation(&mut random);
            let again = match operation {
                // Now and then the next life dies before it has settled, some of them in their first moments.
                Operation::Crash { down_ms, .. } if random.below(3) == 0 => {
                    let far = [300, 30_000, 3_000_000][random.below(3) as usize];
                    Some(at + down_ms * 1000 + random.below(far))
                }
                _ => None,
            };
            plan.operations.push((at, operation));
            if let Some(again) = again {
                at = again;
                let operation = Self::fault(25, &mut random, (0, 0));
                plan.operations.push((at, operation));
            }
        }
        plan.somebody_asks();
        plan.somebody_keeps();
        plan
    }

    /// In some worlds presentities keep something of themselves for good. By chance of their own, so that what else happens is what it was.
    fn somebody_keeps(&mut self) {
        let mut random = Random::new(self.seed ^ 0x4827_4827);
        let last = self.operations.last().map_or(0, |(at, _)| *at);
        for _ in 0..random.below(3) * random.below(4) {
            let whom = random.below(u64::from(USERS)) as u8;
            let says = (random.below(3) > 0).then(|| random.below(4));
            let at = random.below(last + 1);
            self.operations
                .push((at, Operation::Permanent { whom, says }));
        }
        self.operations.sort_by_key(|(at, _)| *at);
    }

    /// Some ask who watches them. By chance of their own, so that what else happens is what it was.
    fn somebody_asks(&mut self) {
        let mut random = Random::new(self.seed ^ 0x3857_3858);
        let last = self.operations.last().map_or(0, |(at, _)| *at);
        for who in 0..self.people.len() {
            if random.below(3) == 0 {
                let expires = [60, 90, 600][random.below(3) as usize];
                let at = random.below(last / 2 + 1);
                self.operations.push((at, Operation::Ask { who, expires }));
            }
        }
        self.operations.sort_by_key(|(at, _)| *at);
    }

    fn operation(&self, random: &mut Random) -> Operation {
        let who = random.below(self.people.len() as u64) as usize;
        let odd = random.below(u64::from(self.odds)) as usize;
        let anybody = random.below(self.people.len() as u64 + u64::from(self.odds)) as usize;
        let whom = random.below(u64::from(USERS)) as u8;
        let expires = [30, 60, 61, 90, 300, 600][random.below(6) as usize];
        let large = random.below(6) == 0;
        if random.below(10) == 0 {
            let mut gives = || Gives::ALL[random.below(Gives::ALL.len() as u64) as usize];
            let rules = std::array::from_fn(|_| gives());
            return Operation::Rules { whom, rules };
        }
        match random.below(40) {
            0..5 => Operation::Watch { who, whom, expires },
            5 => Operation::Unwatch(who),
            6 => Operation::Fetch { who, whom },
            7..10 => Operation::Publish {
                who,
                expires,
                large,
            },
            10..15 => Operation::Change { who, large },
            15 => Operation::Unpublish(who),
            16 => Operation::Forget(who),
            17 => Operation::Refuse {
                who,
                status: STATUSES[random.below(STATUSES.len() as u64) as usize],
                retry_after: random.below(2) as u32 * random.below(20) as u32,
            },
            18..20 => {
                let answers = [0, 200, 200, 200, 481, 500, 503, 404, 408, 486];
                Operation::OddWatch {
                    who: odd,
                    whom,
                    expires: if random.below(4) == 0 { 0 } else { expires },
                    answers: answers[random.below(10) as usize],
                    named: random.below(3) == 0,
                }
            }
            20 => Operation::OddRefresh {
                who: odd,
                moves: random.below(3) == 0,
            },
            21 => Operation::OddEnd(odd),
            22..24 => Operation::OddPublish {
                who: odd,
                expires: if random.below(5) == 0 { 0 } else { expires },
                modify: random.below(2) == 0,
            },
            24 if random.below(3) == 0 => Operation::Garbage(odd),
            24 => Operation::OddAsk {
                who: odd,
                how: Flaw::ALL[random.below(Flaw::ALL.len() as u64) as usize],
            },
            kind => {
                // Connections are worth breaking where there are any.
                let streams = self.people.iter().position(|(_, tcp)| *tcp);
                Self::fault(kind, random, (anybody, streams.unwrap_or(who)))
            }
        }
    }

    fn fault(kind: u64, random: &mut Random, (anybody, streams): (usize, usize)) -> Operation {
        match kind {
            25..29 => Operation::Crash {
                down_ms: pause(random),
                shards: 1 + random.below(5) as u16,
            },
            29..31 => Operation::Stop {
                down_ms: pause(random),
                shards: 1 + random.below(5) as u16,
                drain: random.below(3) == 0,
            },
            31..33 => Operation::Reload {
                handling: [
                    Handling::Allow,
                    Handling::Confirm,
                    Handling::PoliteBlock,
                    Handling::Block,
                ][random.below(4) as usize],
                interval_ms: [0, 500, 5000][random.below(3) as usize],
            },
            33 => Operation::Cut {
                who: anybody,
                lasts_ms: random.below(50_000),
            },
            34 => Operation::Break {
                who: streams,
                at_once: random.below(3) == 0,
            },
            35 => Operation::Connecting {
                who: anybody,
                how: [Connecting::Works, Connecting::Refused, Connecting::Stalls]
                    [random.below(3) as usize],
            },
            36 => Operation::DiskFull {
                lasts_ms: random.below(60_000),
            },
            37 => Operation::DiskSlow {
                lasts_ms: random.below(20_000),
            },
            _ => {
                let far = [500, 5_000, 60_000, 3_600_000][random.below(4) as usize];
                let by = random.below(2 * far + 1) as i64 - far as i64;
                Operation::WallStep { by_ms: by }
            }
        }
    }
}

/// How long a server is down: shorter than any timer, or longer than most.
fn pause(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.below(20),
        1 | 2 => random.below(3_000),
        _ => random.below(100_000),
    }
}
