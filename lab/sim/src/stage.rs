//! A world whose peers follow a call flow: the driver of `scenario` without sockets, in a time that costs nothing.

use std::sync::Arc;
use std::time::Duration;

use ladder::Trace;
use machine::settings::Handling;
use machine::{Instant, Random};
use scenario::{Asked, Driver, Flow, Place, Received, Told, Transport};

use crate::breakage::Breakage;
use crate::picture::{Picture, Way};
use crate::plan::Plan;
use crate::settings::{address, with_needs};
use crate::world::World;

/// A peer that somebody outside plays: what came for it, and has not been taken.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    pub(crate) inbox: Vec<(Instant, Arc<[u8]>)>,
}

/// How long anything that has to come may take, in the world's time.
const PATIENCE: u64 = 5_000_000;

/// A world for one flow. Nothing goes wrong in it, and everything in it comes from the seed.
pub struct Stage {
    world: World,
    transport: Transport,
    chance: Random,
    /// Whatever is drawn begins here.
    trace: Trace,
    /// The checkers know one longest duration; where a flow needs another, only its own expectations judge.
    is_watched: bool,
}

impl Stage {
    /// A server as the flow needs it, and a place for each actor.
    pub fn new(flow: &Flow, transport: Transport, seed: u64) -> Self {
        Self::broken(flow, transport, seed, Breakage::None)
    }

    /// The same with a server that is broken on purpose.
    pub fn broken(flow: &Flow, transport: Transport, seed: u64, breakage: Breakage) -> Self {
        let handling = match flow.needs.watchers {
            scenario::Handling::Allow => Handling::Allow,
            scenario::Handling::Confirm => Handling::Confirm,
            scenario::Handling::PoliteBlock => Handling::PoliteBlock,
            scenario::Handling::Block => Handling::Block,
        };
        let plan = Plan {
            seed,
            shards: 2,
            lost: 0,
            doubled: 0,
            late: 0,
            delay_ms_max: 1,
            commit_ms_max: 0,
            interval_ms: 0,
            handling,
            named: false,
            listed: false,
            people: Vec::new(),
            odds: 0,
            operations: Vec::new(),
        };
        let mut world = World::new(plan, breakage, false);
        let names: Vec<String> = flow.actors.iter().map(|actor| actor.name.clone()).collect();
        world.settings = Arc::new(with_needs(&world.settings, &flow.needs));
        world.invite(names.len());
        world.begin();
        // What is drawn begins with the flow.
        world.picture = Some(Picture::new(flow.trace(), &names));
        // A life of its own, apart from the server's randomness.
        let chance = Random::new(seed ^ 0xf10f_f10f);
        Self {
            world,
            transport,
            chance,
            trace: flow.trace(),
            is_watched: flow.needs.publish_seconds_max.is_none(),
        }
    }
}

impl Driver for Stage {
    fn now(&mut self) -> u64 {
        self.world.at.as_micros()
    }

    fn identity(&self, user: &str) -> String {
        format!("sip:{user}@example.com")
    }

    fn place(&self, actor: usize) -> Place {
        Place {
            transport: self.transport,
            address: address(actor),
        }
    }

    fn token(&mut self) -> String {
        format!("{:016x}", self.chance.next_u64())
    }

    fn send(&mut self, actor: usize, bytes: &[u8]) -> Result<(), String> {
        self.world
            .send_to_server(actor, self.transport == Transport::Tcp, bytes);
        Ok(())
    }

    fn receive(&mut self, until: u64) -> Result<Option<Received>, String> {
        let until = Instant::from_micros(until);
        self.world.advance_while(until, |world| {
            world.guests.iter().all(|guest| guest.inbox.is_empty())
        });
        let guests = self.world.guests.iter_mut().enumerate();
        let mut waiting = guests.filter(|(_, guest)| !guest.inbox.is_empty());
        Ok(waiting.next().map(|(actor, guest)| {
            let (at, bytes) = guest.inbox.remove(0);
            Received {
                actor,
                at: at.as_micros(),
                bytes: bytes.to_vec(),
            }
        }))
    }

    fn ask(&mut self, actor: usize, asked: &Asked) -> Result<(u64, Told), String> {
        let now = self.world.at;
        let bytes = asked.write("example.com", "/xcap-root");
        self.world
            .draw_message(Way::Up(actor), "http", &bytes, &[now]);
        let told = self.world.ask(asked);
        let now = self.world.at;
        self.world
            .draw_message(Way::Down(actor), "http", &told.write(), &[now]);
        Ok((now.as_micros(), told))
    }

    fn patience(&self) -> u64 {
        PATIENCE
    }

    fn trace(&mut self) -> &mut Trace {
        match &mut self.world.picture {
            Some(picture) => &mut picture.trace,
            None => &mut self.trace,
        }
    }

    /// The promises of the world hold for flows too.
    fn verdict(&mut self) -> Result<(), String> {
        let later = self.world.at + Duration::from_millis(100);
        self.world.advance_while(later, |_| true);
        match self.world.witness.violations.first() {
            Some(violation) if self.is_watched => Err(format!(
                "{}: {}; promised: {}",
                violation.checker, violation.what, violation.promise
            )),
            _ => Ok(()),
        }
    }
}
