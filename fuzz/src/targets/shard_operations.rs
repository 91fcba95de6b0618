//! One shard and its store through any sequence of operations: requests, answers, time, crashes, reloads. What must hold is
//! in `promises` where it is about what leaves, in `world` where it is about time and the disk, and in `end` below.

mod peers;
mod promises;
mod world;

use std::time::Duration;

use machine::Limits;
use machine::settings::{Expires, Handling, Presence, Profile};
use shard::{Room, Undeliverable};

use peers::{EXPIRES, Kind};
use world::World;

/// Whoever does more says nothing new.
const OPERATIONS_MAX: usize = 96;

/// The operations and their arguments, byte by byte; what is not there any more is 0.
pub(crate) struct Script<'b>(&'b [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// One of `count`.
    pub(crate) fn one_of(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }
}

/// The first three bytes are the settings, the rest is a story.
pub fn run(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut world = World::new(&mut script);
    for _ in 0..OPERATIONS_MAX {
        let Some(operation) = script.next() else {
            break;
        };
        perform(&mut world, operation, &mut script);
    }
    end(world);
}

fn perform(world: &mut World, operation: u8, script: &mut Script<'_>) {
    crate::tell(|| {
        let at = world.now.monotonic.as_micros();
        format!(
            "{at} µs, operation {} with {:?} to come",
            operation % 28,
            script.0
        )
    });
    match operation % 28 {
        0 | 1 => world.ask(Kind::Publish, script),
        2 => world.ask(Kind::Refresh, script),
        3 => world.ask(Kind::Modify, script),
        4 => world.ask(Kind::Remove, script),
        5 | 6 => world.ask(Kind::Subscribe, script),
        7 => world.ask(Kind::Resubscribe, script),
        8 => world.ask(Kind::Unsubscribe, script),
        9 => world.ask(Kind::Fetch, script),
        10 => world.ask(Kind::Stranger, script),
        11 | 12 => world.answer(script),
        13 => world.advance(Duration::from_millis(u64::from(script.byte()) * 20)),
        14 => world.advance(Duration::from_secs(u64::from(script.byte()))),
        15 => world.advance(Duration::from_secs(u64::from(
            EXPIRES[script.one_of(EXPIRES.len())],
        ))),
        16 => world.durable(usize::from(script.byte()) + 1),
        17 => world.prompt = !world.prompt,
        18 => world.crash(script.byte()),
        19 => world.stop_and_start(),
        20 => world.reload(script),
        21 => world.repeat(script),
        22 => world.raw(script),
        23 => world.undeliverable(script, reason),
        24 => world.resolve(script),
        25 => world.step_wall(i64::from(script.byte() as i8) * 30_000),
        26 => world.room(match script.byte() & 3 {
            0 => Room::Full("memory"),
            1 => Room::Full("disk"),
            _ => Room::Plenty,
        }),
        _ => match script.byte() & 7 {
            0 => world.drain(),
            1 => world.start_compared(),
            _ => world.answer_all(),
        },
    }
}

fn reason(byte: u8) -> Undeliverable {
    match byte % 3 {
        0 => Undeliverable::NotConnected,
        1 => Undeliverable::Closed,
        _ => Undeliverable::Refused,
    }
}

/// `[presence]` and `[limits]` by two bytes. Zeros are the widest bounds and an open server.
pub(crate) fn rules(script: &mut Script<'_>) -> (Presence, Limits) {
    let (first, second) = (script.byte(), script.byte());
    let lasts = Expires {
        min: 5,
        default: 60,
        max: 600,
    };
    let presence = Presence {
        profile: if first & 4 == 0 {
            Profile::Oma10
        } else {
            Profile::Rfc6665
        },
        default_handling: match first & 3 {
            0 => Handling::Allow,
            1 => Handling::Confirm,
            2 => Handling::PoliteBlock,
            _ => Handling::Block,
        },
        publish_expires_seconds: lasts,
        subscribe_expires_seconds: lasts,
        notify_interval_ms_min: [0, 300, 5000, 0][usize::from(first >> 3 & 3)],
        unknown_presentity_is_404: first & 32 != 0,
        pending_body_is_empty: first & 64 != 0,
        ..Presence::default()
    };
    let wide = Limits::default();
    let small = |bit: u8, small: u32, wide: u32| if second & bit == 0 { wide } else { small };
    let limits = Limits {
        waiting_seconds_max: 60,
        publications_per_user_max: small(1, 2, wide.publications_per_user_max),
        subscriptions_per_presentity_max: small(2, 3, wide.subscriptions_per_presentity_max),
        subscriptions_per_watcher_max: small(4, 2, wide.subscriptions_per_watcher_max),
        body_bytes_max: small(8, 250, wide.body_bytes_max),
        view_bytes_max: small(16, 600, wide.view_bytes_max),
        transactions_max: small(32, 6, wide.transactions_max),
        unanswered_per_hop_max: small(64, 1, wide.unanswered_per_hop_max),
        xml_nodes_max: small(128, 8, wide.xml_nodes_max),
        ..wide
    };
    (presence, limits)
}

/// Everybody answers from now on and nobody asks for more: everything ends, and nothing is left of it.
fn end(mut world: World) {
    world.calm();
    world.advance(Duration::from_secs(900));
    world.advance(Duration::from_secs(2700));
    world.nothing_is_left();
}
