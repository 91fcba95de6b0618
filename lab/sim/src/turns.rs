//! The server in the world: inputs to its shards, and what becomes of their outputs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use machine::Now;
use machine::settings::Handling;
use shard::{Destination, Flow, Output, Room, Send, Shard, Undeliverable};
use sip::Message;

use ladder::PointKind;

use crate::breakage::Breakage;
use crate::happening::Happening;
use crate::network::{digest, summary};
use crate::settings::{address, peer_at, settings};
use crate::witness::Turn;
use crate::world::{Event, World};

/// How long a clean stop waits for answers.
const STOP_MAX: Duration = Duration::from_secs(5);

impl World {
    /// One input of one shard, and everything that comes of it.
    pub(crate) fn turn(
        &mut self,
        shard: u16,
        message: Option<&Message<'_>>,
        input: impl FnOnce(&mut Shard, Now),
    ) {
        let (at, wall) = (self.at, self.server.wall(self.at));
        let Some(life) = &mut self.server.life else {
            return;
        };
        let now = life.now(at, wall);
        let Some(machine) = life.shards.get_mut(usize::from(shard)) else {
            return;
        };
        input(machine, now);
        let cause = machine.cause();
        let mut outputs = Vec::new();
        while let Some(output) = machine.poll_output() {
            outputs.push(output);
        }
        if let Some(message) = message {
            self.draw_cause(message.bytes(), cause);
        }
        self.witness.turn(&Turn {
            at,
            now,
            message,
            outputs: &outputs,
        });
        for output in outputs {
            self.fulfil(shard, output);
        }
    }

    fn fulfil(&mut self, shard: u16, output: Output) {
        match output {
            Output::Commit(mut batch) => {
                self.broken.spoil_batch(&mut batch);
                let sequence = batch.sequence;
                let Some(life) = &self.server.life else {
                    return;
                };
                let number = life.number;
                life.store.submit(batch);
                let most = if self.at < self.slow_until {
                    4_000
                } else {
                    self.plan.commit_ms_max
                };
                let after = Duration::from_micros(20) + self.server.jitter(most * 1000 + 1);
                self.last_written = (self.at + after).max(self.last_written);
                self.schedule_at(self.last_written, Event::Written { life: number });
                if self.broken.how == Breakage::SendsBeforeCommit {
                    self.schedule(
                        Duration::ZERO,
                        Event::Durable {
                            life: number,
                            shard,
                            sequence,
                        },
                    );
                }
            }
            Output::Send(send) => self.leave(shard, send),
            Output::Keep(write) => self.keep(write),
            Output::Tell(to, told) => self.tell(shard, to, told),
            Output::Answered(answer) => {
                self.note(|| format!("  shard {shard}: document {}", answer.status));
                self.answered(answer);
            }
            // Nobody asks here.
            Output::Explained(..) => {}
            Output::Resolve(name) => {
                let Some(life) = self.server.life.as_ref().map(|life| life.number) else {
                    return;
                };
                let after = self.server.jitter(300_000);
                self.schedule(after, Event::Resolved { life, shard, name });
            }
            Output::Record(cause, event) => {
                self.note(|| {
                    let mut line = format!("  shard {shard}: {}", event.kind().name);
                    event.fields(&mut |name, value| line.push_str(&format!(" {name}={value}")));
                    format!("{line} cause={cause}")
                });
                self.draw_event(cause, &event);
            }
        }
    }

    /// A message leaves the server, if nothing breaks it.
    fn leave(&mut self, shard: u16, send: Send) {
        let view = self.view_for(&send);
        let send = self.broken.spoil_send(send, view);
        if self.broken.leaves_unanswered(&send.head) {
            return;
        }
        if self.broken.how != Breakage::None && send.head.starts_with(b"NOTIFY") {
            let text = String::from_utf8_lossy(&send.head).into_owned();
            let field = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
                    .to_owned()
            };
            let cseq = field("CSeq: ")
                .split(' ')
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0);
            self.unrepeated
                .insert((field("Call-ID: "), cseq), send.clone());
        }
        self.transmit(shard, &send);
    }

    fn transmit(&mut self, shard: u16, send: &Send) {
        let mut bytes = send.head.clone();
        bytes.extend_from_slice(&send.body);
        self.note(|| format!("  server sends {}", summary(&bytes)));
        if let Ok(message) = Message::parse(&bytes) {
            if let Some(status) = message.status() {
                let to = message.method().name().to_owned();
                *self.tally.answers.entry((to, status)).or_default() += 1;
            }
            self.witness.sent(self.at, &message);
        }
        let failed = match send.to {
            Destination::Datagram { to, .. } => {
                if let Some(peer) =
                    peer_at(to.ip()).filter(|peer| *peer < self.links.len() && to == address(*peer))
                {
                    self.datagram_to_peer(peer, &bytes);
                }
                None
            }
            Destination::Connection {
                connection,
                otherwise,
                ..
            } => {
                if self.stream_to_peer(connection.0, &bytes) {
                    None
                } else {
                    match otherwise {
                        Some(to) => self.stream_to_address(to, peer_at(to.ip()), &bytes).err(),
                        None => Some((Undeliverable::Closed, Duration::from_micros(10))),
                    }
                }
            }
            Destination::Stream {
                to, connect_ms_max, ..
            } => {
                let failed = self.stream_to_address(to, peer_at(to.ip()), &bytes).err();
                failed.map(|(why, after)| {
                    let slow = after > Duration::from_millis(100);
                    (
                        why,
                        if slow {
                            Duration::from_millis(u64::from(connect_ms_max))
                        } else {
                            after
                        },
                    )
                })
            }
        };
        self.draw_cause(&bytes, send.cause);
        let life = self.server.life.as_ref().map(|life| life.number);
        if let (Some((why, after)), Some(life), 1..) = (failed, life, send.token) {
            self.schedule(
                after,
                Event::Undeliverable {
                    life,
                    shard,
                    token: send.token,
                    why,
                },
            );
        }
    }

    /// What everybody would see, for a server that tells everybody.
    fn view_for(&self, send: &Send) -> Option<Bytes> {
        let tells = [Breakage::TellsEverybody, Breakage::TellsWhoWaits];
        if !tells.contains(&self.broken.how) {
            return None;
        }
        let head = String::from_utf8_lossy(&send.head).into_owned();
        let from = head.lines().find_map(|line| line.strip_prefix("From: <"))?;
        Some(self.witness.model.view(from.split('>').next()?))
    }

    /// The node's work: whose message is it, and by what way does it get there?
    pub(crate) fn dispatch(&mut self, flow: Flow, bytes: &[u8]) {
        let Some(life) = &self.server.life else {
            return;
        };
        let (number, shards) = (life.number, life.shards.len() as u64);
        let receives = self.chance.below(shards) as u16;
        let owner = Message::parse(bytes).map_or(receives, |message| life.dispatch.shard(&message));
        // By a mailbox where another thread received it. A connection's messages keep their order.
        if owner != receives && flow.connection.is_none() {
            let after = self.server.jitter(1_500);
            let event = Event::ToShard {
                life: number,
                shard: owner,
                flow,
                bytes: bytes.into(),
            };
            self.schedule(after, event);
        } else {
            self.shard_message(owner, &flow, bytes);
        }
    }

    pub(crate) fn shard_message(&mut self, shard: u16, flow: &Flow, bytes: &[u8]) {
        let message = Message::parse(bytes).ok();
        let repeated = !self.handled.insert(digest(bytes));
        let spoilt = if repeated {
            self.broken.spoil_repeated(bytes)
        } else {
            None
        };
        let given = spoilt.as_deref().unwrap_or(bytes);
        self.turn(shard, message.as_ref(), |machine, now| {
            machine.handle_datagram(now, flow, given)
        });
        if self.broken.how != Breakage::None
            && let Some(message) = message.filter(|message| !message.is_request())
        {
            self.repeat_answered(shard, &message);
        }
    }

    fn repeat_answered(&mut self, shard: u16, answer: &Message<'_>) {
        let (Ok(call_id), Ok(cseq)) = (answer.call_id(), answer.cseq()) else {
            return;
        };
        let sent = self.unrepeated.remove(&(call_id.to_owned(), cseq.number));
        if let Some(again) = sent.and_then(|send| self.broken.repeat(&send)) {
            self.transmit(shard, &again);
        }
    }

    pub(crate) fn shard_timeout(&mut self, shard: u16) {
        self.turn(shard, None, |machine, now| machine.handle_timeout(now));
    }

    pub(crate) fn shard_undeliverable(&mut self, shard: u16, token: u64, why: Undeliverable) {
        self.turn(shard, None, |machine, now| {
            machine.handle_undeliverable(now, token, why)
        });
    }

    pub(crate) fn shard_durable(&mut self, shard: u16, sequence: u64) {
        self.turn(shard, None, |machine, now| {
            machine.handle_durable(now, sequence)
        });
    }

    pub(crate) fn shard_resolved(&mut self, shard: u16, name: &str) {
        let peer = name
            .strip_prefix("odd")
            .and_then(|rest| rest.split('.').next()?.parse().ok());
        // Now and then there is no answer.
        let found = peer.filter(|_| self.calm || self.chance.below(6) > 0);
        let addresses: Vec<IpAddr> = found.map(|peer| address(peer).ip()).into_iter().collect();
        self.turn(shard, None, |machine, now| {
            machine.handle_resolved(now, name, &addresses)
        });
        if addresses.is_empty() {
            self.witness.tell(self.at, &Happening::NotFound(name));
        }
    }

    /// The disk has one batch more.
    pub(crate) fn written(&mut self) {
        if !self.server.disk.step() {
            return;
        }
        let Some(life) = &self.server.life else {
            return;
        };
        let (number, durable) = (life.number, life.take_durable());
        for (shard, sequence) in durable {
            self.witness.durable(shard, sequence);
            let after = self.server.jitter(200);
            self.schedule(
                after,
                Event::Durable {
                    life: number,
                    shard,
                    sequence,
                },
            );
        }
    }

    fn every_shard(&mut self, mut input: impl FnMut(&mut Shard, Now)) {
        let shards = self
            .server
            .life
            .as_ref()
            .map_or(0, |life| life.shards.len() as u16);
        for shard in 0..shards {
            self.turn(shard, None, &mut input);
        }
    }

    /// The process starts on what the disk holds.
    pub(crate) fn start_server(&mut self, shards: u16) {
        self.note(|| format!("the server starts with {shards} shards"));
        if self.server.has_lived() {
            self.draw(PointKind::Up, true, || {
                format!("starts with {shards} shards")
            });
        }
        self.last_written = self.at;
        if let Err(why) = self.server.start(self.at, shards, &self.settings) {
            return self.note(|| format!("it does not start: {why}"));
        }
        let (at, wall) = (self.at, self.server.wall(self.at));
        let now = self.server.life.as_ref().map(|life| life.now(at, wall));
        if let Some(now) = now {
            self.witness.starting((at, now));
        }
        self.every_shard(|machine, now| machine.restored(now));
        let mut counts = shard::Counts::default();
        for machine in self.server.life.iter().flat_map(|life| &life.shards) {
            counts.presentities += machine.counts().presentities;
            counts.publications += machine.counts().publications;
            counts.subscriptions += machine.counts().subscriptions;
        }
        self.witness.started(self.at, counts);
        self.make_room();
    }

    /// The process dies.
    pub(crate) fn crash(&mut self) {
        let pending = self.server.disk.pending() as u64;
        let kept = self.server.crash();
        let ruled = self.learn_documents();
        self.tally.crashes += 1;
        self.tally.batches_lost += pending - kept.min(pending);
        self.tally.batches_kept += kept;
        self.note(|| format!("the server dies; the disk keeps {kept} batches more"));
        self.draw(PointKind::Down, true, || {
            format!("dies; the disk keeps {kept} batches more")
        });
        self.witness.crashed(self.at, kept, ruled);
        self.close_all_connections();
    }

    /// A stop in good order begins.
    pub(crate) fn begin_stop(&mut self, down_ms: u64, shards: u16, drain: bool) {
        let until = self.at + STOP_MAX;
        let Some(life) = &mut self.server.life else {
            return;
        };
        if life.stopping.is_some() {
            return;
        }
        life.stopping = Some((until, down_ms, shards));
        if drain {
            self.every_shard(|machine, now| machine.handle_drain(now));
        } else {
            self.every_shard(|machine, now| machine.handle_stop(now));
        }
    }

    /// A stop ends as soon as everything is quiet.
    pub(crate) fn watch_stop(&mut self) {
        let quiet =
            self.server.life.as_ref().is_some_and(|life| {
                life.stopping.is_some() && life.shards.iter().all(Shard::is_quiet)
            });
        if quiet {
            self.finish_stop(false);
        }
    }

    /// The process ends; `hasty`: not everything was said.
    pub(crate) fn finish_stop(&mut self, hasty: bool) {
        let Some((_, down_ms, shards)) = self.server.life.as_ref().and_then(|life| life.stopping)
        else {
            return;
        };
        // What the store of documents was given it writes before the process ends.
        while !self.server.keeping.is_empty() {
            self.document_kept();
        }
        self.every_shard(|machine, now| machine.end(now));
        self.server.close();
        self.note(|| {
            format!(
                "the server has stopped{}",
                if hasty { " in haste" } else { "" }
            )
        });
        self.draw(PointKind::Down, true, || "has stopped".to_owned());
        self.learn_documents();
        self.tally.stops += 1;
        self.witness.stopped(self.at, hasty);
        self.close_all_connections();
        self.schedule(Duration::from_millis(down_ms), Event::Start { shards });
    }

    /// A reload reaches every shard.
    pub(crate) fn reload(&mut self, handling: Handling, interval_ms: u32) {
        self.settings = Arc::new(settings(
            self.settings.number + 1,
            handling,
            interval_ms,
            self.plan.named,
        ));
        self.witness.reloaded(self.at, handling);
        let new = Arc::clone(&self.settings);
        self.every_shard(|machine, now| machine.handle_settings(now, Arc::clone(&new)));
    }

    /// The shards learn whether the disk is full.
    pub(crate) fn make_room(&mut self) {
        let full = self.at < self.full_until;
        self.server.disk.set_full(full);
        let room = if full {
            Room::Full("disk")
        } else {
            Room::Plenty
        };
        self.every_shard(|machine, _| machine.handle_room(room));
    }
}
