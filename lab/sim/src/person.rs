//! A person with the production agent: what she wants, what she sees, and what she does when it ends.

use std::collections::BTreeMap;

use agent::{Agent, End, Event, Hop, Publication, Start, Transport, UsageId};
use events::publisher::Operation;
use machine::Instant;

use crate::document::{document, user};
use crate::happening::Standing;
use crate::settings::{SERVER, address};

/// What she wants to see.
#[derive(Debug)]
struct Watching {
    whom: String,
    expires: u32,
    usage: Option<UsageId>,
    seen: Option<Vec<u8>>,
}

/// She wants to know who watches her.
#[derive(Debug)]
struct Asking {
    expires: u32,
    usage: Option<UsageId>,
    /// By the server's name for each: who, and how it stands.
    told: Option<BTreeMap<String, (String, &'static str)>>,
}

/// What she wants others to see.
#[derive(Debug)]
struct Publishing {
    note: u64,
    large: bool,
    expires: u32,
    usage: Option<UsageId>,
    taken: bool,
}

/// One person.
pub(crate) struct Person {
    number: usize,
    seed: u64,
    generation: u64,
    tcp: bool,
    /// Her address of record.
    pub identity: String,
    /// Her program.
    pub agent: Agent,
    watching: Option<Watching>,
    publishing: Option<Publishing>,
    asking: Option<Asking>,
    /// She wants nothing any more.
    pub leaving: bool,
    notes: u64,
}

impl Person {
    /// Person `number`, a user of the domain.
    pub(crate) fn new(seed: u64, number: usize, (who, tcp): (u8, bool)) -> Self {
        let identity = user(who);
        let agent = program(seed, number, tcp, &identity, 0);
        Self {
            number,
            seed,
            generation: 0,
            tcp,
            identity,
            agent,
            watching: None,
            publishing: None,
            asking: None,
            leaving: false,
            notes: 1000 * number as u64,
        }
    }

    /// She wants to watch somebody, and nobody else.
    pub(crate) fn watch(&mut self, now: Instant, whom: u8, expires: u32) {
        self.unwatch(now);
        self.watching = Some(Watching {
            whom: user(whom),
            expires,
            usage: None,
            seen: None,
        });
        self.try_again(now);
    }

    /// She wants to watch nobody.
    pub(crate) fn unwatch(&mut self, now: Instant) {
        if let Some(usage) = self.watching.take().and_then(|watching| watching.usage) {
            self.agent.stop(now, usage);
        }
    }

    /// She wants to know who watches her.
    pub(crate) fn ask(&mut self, now: Instant, expires: u32) {
        if self.asking.is_none() {
            self.asking = Some(Asking {
                expires,
                usage: None,
                told: None,
            });
            self.try_again(now);
        }
    }

    /// She looks once.
    pub(crate) fn fetch(&mut self, now: Instant, whom: u8) {
        self.agent.watch(now, &user(whom), 0);
    }

    /// She wants to publish.
    pub(crate) fn publish(&mut self, now: Instant, expires: u32, large: bool) {
        self.unpublish(now);
        self.notes += 1;
        let note = self.notes;
        self.publishing = Some(Publishing {
            note,
            large,
            expires,
            usage: None,
            taken: false,
        });
        self.try_again(now);
    }

    /// What she publishes is another.
    pub(crate) fn change(&mut self, now: Instant, large: bool) {
        self.notes += 1;
        let body = document(&self.identity, self.number, self.notes, large);
        if let Some(publishing) = &mut self.publishing {
            (publishing.note, publishing.large, publishing.taken) = (self.notes, large, false);
            if let Some(usage) = publishing.usage {
                self.agent.change(now, usage, body);
            }
        }
    }

    /// She wants to publish no more.
    pub(crate) fn unpublish(&mut self, now: Instant) {
        if let Some(usage) = self
            .publishing
            .take()
            .and_then(|publishing| publishing.usage)
        {
            self.agent.stop(now, usage);
        }
    }

    /// Her program dies and is started again.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.generation += 1;
        self.agent = program(
            self.seed,
            self.number,
            self.tcp,
            &self.identity,
            self.generation,
        );
        if let Some(watching) = &mut self.watching {
            (watching.usage, watching.seen) = (None, None);
        }
        if let Some(publishing) = &mut self.publishing {
            (publishing.usage, publishing.taken) = (None, false);
        }
        if let Some(asking) = &mut self.asking {
            (asking.usage, asking.told) = (None, None);
        }
        self.try_again(now);
    }

    /// She wants nothing any more.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.leaving = true;
        self.unwatch(now);
        self.unpublish(now);
        self.asking = None;
        self.agent.stop_all(now);
    }

    /// What she wants and does not have, she asks for.
    pub(crate) fn try_again(&mut self, now: Instant) {
        if self.leaving {
            return;
        }
        if let Some(watching) = self
            .watching
            .as_mut()
            .filter(|watching| watching.usage.is_none())
        {
            watching.usage = Some(self.agent.watch(now, &watching.whom, watching.expires));
        }
        if let Some(asking) = self.asking.as_mut().filter(|each| each.usage.is_none()) {
            let usage = self
                .agent
                .watch_watchers(now, &self.identity, asking.expires);
            asking.usage = Some(usage);
        }
        if let Some(publishing) = self
            .publishing
            .as_mut()
            .filter(|wanted| wanted.usage.is_none())
        {
            let body = document(
                &self.identity,
                self.number,
                publishing.note,
                publishing.large,
            );
            let publication = Publication {
                resource: self.identity.clone(),
                expires: publishing.expires,
                content_type: "application/pidf+xml".to_owned(),
                body: Some(body),
                if_match: None,
            };
            publishing.usage = Some(self.agent.publish(now, publication));
        }
    }

    /// Her program shows something; true when she will try again in a while.
    pub(crate) fn see(&mut self, event: &Event) -> bool {
        match event {
            Event::Notified {
                usage, phase, body, ..
            } => {
                if let Some(watching) = self
                    .watching
                    .as_mut()
                    .filter(|each| each.usage == Some(*usage))
                {
                    watching.seen = (*phase != agent::Phase::Terminated).then(|| body.to_vec());
                }
                if let Some(asking) = self.asking_by(*usage) {
                    asking.told.get_or_insert_default();
                }
                false
            }
            Event::Published {
                usage, operation, ..
            } => {
                if let Some(wanted) = self
                    .publishing
                    .as_mut()
                    .filter(|each| each.usage == Some(*usage))
                {
                    wanted.taken |= matches!(operation, Operation::Initial | Operation::Modify);
                }
                false
            }
            Event::Again {
                usage, anew: true, ..
            } => {
                if let Some(watching) = self
                    .watching
                    .as_mut()
                    .filter(|each| each.usage == Some(*usage))
                {
                    watching.seen = None;
                }
                false
            }
            Event::Watcher {
                usage,
                id,
                watcher,
                status,
                ..
            } => {
                if let Some(asking) = self.asking_by(*usage) {
                    let told = asking.told.get_or_insert_default();
                    match *status {
                        "pending" | "active" => {
                            told.insert(id.clone(), (watcher.clone(), status));
                        }
                        _ => {
                            told.remove(id);
                        }
                    }
                }
                false
            }
            Event::Ended { usage, end } => self.ended(*usage, end),
            _ => false,
        }
    }

    fn asking_by(&mut self, usage: UsageId) -> Option<&mut Asking> {
        let asking = self.asking.as_mut();
        asking.filter(|each| each.usage == Some(usage))
    }

    fn ended(&mut self, ended: UsageId, _end: &End) -> bool {
        let mut again = false;
        if let Some(asking) = self.asking_by(ended) {
            (asking.usage, asking.told) = (None, None);
            again = true;
        }
        if let Some(watching) = self
            .watching
            .as_mut()
            .filter(|each| each.usage == Some(ended))
        {
            (watching.usage, watching.seen) = (None, None);
            again = true;
        }
        if let Some(wanted) = self
            .publishing
            .as_mut()
            .filter(|each| each.usage == Some(ended))
        {
            (wanted.usage, wanted.taken) = (None, false);
            again = true;
        }
        again
    }

    /// What she wants and has.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            who: self.number,
            identity: self.identity.clone(),
            watches: self
                .watching
                .as_ref()
                .map(|each| (each.whom.clone(), each.seen.clone())),
            asks: self.asking.as_ref().map(|each| {
                let told = each.told.as_ref()?;
                let mut told: Vec<_> = told.values().cloned().collect();
                told.sort_unstable();
                Some(told)
            }),
            publishes: self.publishing.as_ref().map(|each| (each.note, each.taken)),
        }
    }
}

fn program(seed: u64, number: usize, tcp: bool, identity: &str, generation: u64) -> Agent {
    Agent::new(Start {
        identity: identity.to_owned(),
        server: Hop {
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            address: SERVER,
        },
        local: address(number),
        user_agent: "sim".to_owned(),
        seed: seed ^ (number as u64 + 1) << 32 ^ (generation + 1) << 48,
        login: None,
    })
}
