//! What passes in the world, as a trace that a ladder is drawn from.

use std::sync::Arc;

use ladder::{Actor, Arrival, Point, PointKind, Trace, What};
use machine::{Cause, Instant};
use shard::Event;

use crate::plan::Plan;
use crate::world::World;

/// How much is drawn of what comes after the first broken promise, in microseconds.
const AFTERMATH: u64 = 2_000_000;

/// The trace of one world.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) trace: Trace,
    server: Actor,
    peers: Vec<Actor>,
    /// Nothing later is drawn.
    ends: u64,
}

impl Picture {
    /// The people of a plan and its scripted peers, the server among them.
    pub(crate) fn of(plan: &Plan) -> Self {
        let people = plan.people.iter().enumerate();
        let people = people.map(|(number, (who, tcp))| {
            let user = ["alice", "bob", "carol"][usize::from(*who) % 3];
            format!("{user} {number}{}", if *tcp { " tcp" } else { "" })
        });
        let odds =
            (0..usize::from(plan.odds)).map(|odd| format!("odd {}", plan.people.len() + odd));
        let names: Vec<String> = people.chain(odds).collect();
        let mut trace = Trace::new(format!("seed {}", plan.seed));
        for (number, name) in names.iter().enumerate() {
            if number == names.len().div_ceil(2) {
                trace.actor("server");
            }
            trace.actor(name);
        }
        Self::new(trace, &names)
    }

    /// These peers, by number.
    pub(crate) fn new(mut trace: Trace, names: &[String]) -> Self {
        let peers = names.iter().map(|name| trace.actor(name)).collect();
        Self {
            server: trace.actor("server"),
            trace,
            peers,
            ends: u64::MAX,
        }
    }

    fn push(&mut self, at: Instant, what: What) {
        if at.as_micros() <= self.ends {
            self.trace.push(at.as_micros(), what);
        }
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the peer with this number to the server.
    Up(usize),
    /// From the server to it.
    Down(usize),
}

impl World {
    /// Bytes leave now, and arrive then: never, once, or several times.
    pub(crate) fn draw_message(
        &mut self,
        way: Way,
        over: &str,
        bytes: &[u8],
        arrivals: &[Instant],
    ) {
        let at = self.at;
        let broken = self
            .witness
            .violations
            .first()
            .map(|violation| violation.at);
        let Some(picture) = &mut self.picture else {
            return;
        };
        if let Some(broken) = broken {
            picture.ends = broken.as_micros() + AFTERMATH;
        }
        let (Way::Up(peer) | Way::Down(peer)) = way;
        let Some(peer) = picture.peers.get(peer).copied() else {
            return;
        };
        let (from, to) = if let Way::Up(_) = way {
            (peer, picture.server)
        } else {
            (picture.server, peer)
        };
        let lost = [Arrival::Lost];
        let arrivals: Vec<Arrival> = arrivals
            .iter()
            .map(|at| Arrival::At(at.as_micros()))
            .collect();
        for arrival in if arrivals.is_empty() {
            &lost[..]
        } else {
            &arrivals[..]
        } {
            let what = What::Message {
                from,
                to,
                over: over.to_owned(),
                bytes: bytes.to_vec(),
                arrival: *arrival,
                cause: None,
            };
            picture.push(at, what);
        }
    }

    /// The pieces of a stream that a message leaves in: it arrives with the last of them, if none is missing.
    pub(crate) fn draw_pieces(&mut self, way: Way, bytes: &[u8], pieces: &[(Instant, Arc<[u8]>)]) {
        let length: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        let last = pieces.last().filter(|_| length == bytes.len());
        let arrivals: Vec<Instant> = last.map(|(at, _)| *at).into_iter().collect();
        self.draw_message(way, "tcp", bytes, &arrivals);
    }

    /// What this input or output, whose bytes passed last, is the cause of or came of.
    pub(crate) fn draw_cause(&mut self, bytes: &[u8], cause: Cause) {
        let cause = self.cause(cause);
        if let (Some(picture), Some(cause)) = (&mut self.picture, cause) {
            picture.trace.explain(bytes, cause);
        }
    }

    /// Something happened in a shard.
    pub(crate) fn draw_event(&mut self, cause: Cause, event: &Event) {
        let (at, cause) = (self.at, self.cause(cause));
        let Some(picture) = &mut self.picture else {
            return;
        };
        let mut point = Point::new(PointKind::Event, Some(picture.server), event.kind().name);
        event.fields(&mut |name, value| point.fields.push((name.to_owned(), value.to_string())));
        point.cause = cause;
        picture.push(at, What::Point(point));
    }

    /// Causes count anew in each life of the server.
    fn cause(&self, cause: Cause) -> Option<String> {
        let life = self
            .server
            .life
            .as_ref()
            .filter(|_| cause.is_known() && self.picture.is_some())?;
        Some(format!("{}/{cause}", life.number))
    }

    /// Something happens at the server, or to everybody.
    pub(crate) fn draw(
        &mut self,
        kind: PointKind,
        at_server: bool,
        words: impl FnOnce() -> String,
    ) {
        let at = self.at;
        if let Some(picture) = &mut self.picture {
            let actor = at_server.then_some(picture.server);
            picture.push(at, What::Point(Point::new(kind, actor, words())));
        }
    }

    /// Something happens at a peer.
    pub(crate) fn draw_at(&mut self, peer: usize, words: impl FnOnce() -> String) {
        let at = self.at;
        if let Some(picture) = &mut self.picture {
            let actor = picture.peers.get(peer).copied();
            picture.push(at, What::Point(Point::new(PointKind::Note, actor, words())));
        }
    }
}
