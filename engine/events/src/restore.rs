//! From records to state after a start: what was acknowledged is there again, with its tags and its dialogs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use machine::settings::{Handling, ListenerId, Presence, Transport};
use machine::{Cause, Instant, Key, Now, Wall};

use crate::dialog::Dialog;
use crate::fingerprint::{Fingerprint, LastChange, Maker};
use crate::resource::{AnsweredByAll, Publication};
use crate::sight::{Given, WHOLE};
use crate::state::{Done, EventState, RETRANSMISSIONS_LAST, Timer};
use crate::stored::{Decoder, Unreadable};
use crate::subscription::{Origin, Owed, Phase, Reason, Subscription};
use crate::watcher::Believed;

impl EventState {
    /// One live object: its first bytes, then what was appended, in order. Called for every object, then `restored`.
    pub fn restore(
        &mut self,
        now: Now,
        key: Key,
        chain: &[Vec<u8>],
        presence_of: &dyn Fn(&str) -> Presence,
    ) -> Result<(), Unreadable> {
        let (first, rest) = chain
            .split_first()
            .ok_or(Unreadable("an object without a beginning"))?;
        let mut fields = Decoder::new(first);
        match fields.u8()? {
            b'P' => self.restore_publication(now, key, &mut fields, rest, presence_of),
            b'S' => self.restore_subscription(now, key, &mut fields, rest, presence_of),
            b'N' => {
                self.used_epoch(fields.u32()?);
                Ok(())
            }
            b'R' => self.restore_resource(key, &mut fields, presence_of),
            _ => Err(Unreadable("an object of an unknown kind")),
        }
    }

    fn restored_resource(
        &mut self,
        fields: &mut Decoder<'_>,
        presence_of: &dyn Fn(&str) -> Presence,
    ) -> Result<u32, Unreadable> {
        let package = fields.text()?;
        let index = self.packages.iter().position(|known| known.name == package);
        let index = index.ok_or(Unreadable(
            "an event package that this version does not have",
        ))?;
        let name = fields.text()?;
        Ok(self.resource(index as u8, name, &presence_of(name)))
    }

    fn restore_resource(
        &mut self,
        key: Key,
        fields: &mut Decoder<'_>,
        presence_of: &dyn Fn(&str) -> Presence,
    ) -> Result<(), Unreadable> {
        let slot = self.restored_resource(fields, presence_of)?;
        let resource = &mut self.resources[slot as usize];
        resource.key = key;
        resource.stored = true;
        resource.answered = AnsweredByAll {
            digest: fields.u64()?,
            stamp: fields.u64()?,
        };
        resource.published = fields.u8()? != 0;
        Ok(())
    }

    fn restore_publication(
        &mut self,
        now: Now,
        key: Key,
        fields: &mut Decoder<'_>,
        rest: &[Vec<u8>],
        presence_of: &dyn Fn(&str) -> Presence,
    ) -> Result<(), Unreadable> {
        let slot = self.restored_resource(fields, presence_of)?;
        let mut publication = read_publication(now, key, fields)?;
        publication.appends = u8::try_from(rest.len()).unwrap_or(u8::MAX);
        for appended in rest {
            // A late copy of an earlier request is recognised too.
            self.remember(publication.change.fingerprint, published(&publication));
            let mut fields = Decoder::new(appended);
            match fields.u8()? {
                b'r' => {
                    publication.entity_tag = fields.u64()?;
                    publication.granted = fields.u32()?;
                    publication.deadline = fields.wall()?;
                    publication.change = fields.change()?;
                }
                b'i' => {
                    publication.maker.fingerprint = Fingerprint(fields.u64()?);
                    publication.maker_tag = fields.u64()?;
                    let done = Done::Published {
                        entity_tag: publication.maker_tag,
                        partition: key.partition(),
                    };
                    self.remember(publication.maker.fingerprint, done);
                }
                b'g' => {
                    let entity_tag = fields.u64()?;
                    let change = fields.change()?;
                    let done = Done::Published {
                        entity_tag,
                        partition: key.partition(),
                    };
                    self.remember(change.fingerprint, done);
                    self.timers
                        .set(now.monotonic + RETRANSMISSIONS_LAST, Timer::Forget(key));
                    return Ok(());
                }
                _ => return Err(Unreadable("an unknown change of a publication")),
            }
        }
        let left = time_left(now, publication.deadline, publication.granted);
        publication.expires_at = now.monotonic + left;
        self.remember(publication.change.fingerprint, published(&publication));
        let timer = Timer::PublicationExpires {
            resource: slot,
            key,
        };
        publication.timer = Some(self.timers.set(publication.expires_at, timer));
        self.publications += 1;
        self.resources[slot as usize].publications.push(publication);
        Ok(())
    }

    fn restore_subscription(
        &mut self,
        now: Now,
        key: Key,
        fields: &mut Decoder<'_>,
        rest: &[Vec<u8>],
        presence_of: &dyn Fn(&str) -> Presence,
    ) -> Result<(), Unreadable> {
        let resource = self.restored_resource(fields, presence_of)?;
        let (mut subscription, mut sight) = read_subscription(key, resource, fields)?;
        subscription.appends = u8::try_from(rest.len()).unwrap_or(u8::MAX);
        subscription.maker = Maker::of(subscription.change.fingerprint, now.monotonic);
        for appended in rest {
            // A late copy of an earlier request is recognised too.
            let done = Done::Subscribed {
                tag: subscription.tag(),
            };
            self.remember(subscription.change.fingerprint, done.clone());
            let over = !apply(&mut subscription, &mut sight, appended)?;
            self.remember(subscription.maker.fingerprint, done);
            if over {
                // It ended by a request, and the last NOTIFY was answered: only the request's answer is remembered.
                self.remember(
                    subscription.change.fingerprint,
                    Done::Unsubscribed {
                        tag: subscription.tag(),
                    },
                );
                self.timers
                    .set(now.monotonic + RETRANSMISSIONS_LAST, Timer::Forget(key));
                return Ok(());
            }
        }
        let left = time_left(now, subscription.deadline, subscription.granted);
        subscription.expires_at = now.monotonic + left;
        let (change, phase, asked) = (subscription.change, subscription.phase, subscription.asked);
        let done = match phase {
            Phase::Live => Done::Subscribed {
                tag: subscription.tag(),
            },
            Phase::Ending(_) => Done::Unsubscribed {
                tag: subscription.tag(),
            },
        };
        self.remember(change.fingerprint, done);
        let at = subscription.expires_at;
        subscription.sight = self.resources[resource as usize].sights.join(sight, None);
        let slot = self.insert(subscription);
        let newest = &mut self.resources[resource as usize].asked;
        *newest = (*newest).max(asked);
        if phase == Phase::Live {
            self.subscriptions[slot as usize].expiry =
                Some(self.timers.set(at, Timer::SubscriptionExpires(key)));
        }
        Ok(())
    }

    fn remember(&mut self, request: Fingerprint, done: Done) {
        // For 64·T1 from the start on, whatever the wall clock says: it may have stepped while nobody ran.
        if request.0 != 0 {
            self.done.insert(request, done);
        }
    }

    /// After the last `restore`: what lapsed meanwhile is gone, resources that nothing needs are dropped (not before: what
    /// needs one may be restored after what no longer does), every watcher is decided by the rules that hold now, and
    /// who may not know the newest state is owed a NOTIFY.
    pub fn restored(&mut self, now: Now, mut decide: impl FnMut(&str, &str) -> Option<Given>) {
        self.record_epoch();
        self.timers
            .set(now.monotonic + RETRANSMISSIONS_LAST, Timer::ForgetChanges);
        let resources: Vec<u32> = self.resources.iter().map(|(slot, _)| slot as u32).collect();
        let decided = self.decided(&mut decide);
        for (slot, given) in &decided {
            if let Some(given) = given {
                self.recognise(*slot, given);
            }
        }
        let mut answered = Vec::with_capacity(resources.len());
        for slot in &resources {
            let publications = &mut self.resources[*slot as usize].publications;
            publications.sort_by_key(|publication| publication.order);
            let on_record = self.resources[*slot as usize].answered;
            answered.push((on_record, self.answered_parts(*slot, on_record.digest)));
            self.let_lapse(now, *slot);
        }
        let over = |subscription: &Subscription| subscription.expires_at <= now.monotonic;
        let lapsed: Vec<Key> = self
            .subscriptions
            .iter()
            .filter(|(_, each)| over(each))
            .map(|(_, each)| each.key)
            .collect();
        for key in lapsed {
            self.subscription_expires(now, key);
        }
        for (slot, (answered, parts)) in resources.into_iter().zip(answered) {
            self.owe_after_start(slot, answered, &parts);
        }
        for (slot, given) in decided {
            self.apply_given(now, slot, given);
        }
        self.redecide_waiting(None, &mut decide);
    }

    /// She is given what is on record: only the record's digest was known until now.
    fn recognise(&mut self, slot: u32, given: &Given) {
        let subscription = &self.subscriptions[slot as usize];
        if subscription.handling == given.handling && self.sight_digest(slot) == given.digest() {
            let sights = &mut self.resources[subscription.resource as usize].sights;
            sights.know(subscription.sight, given.sight.clone());
        }
    }

    /// What watchers have answered who see a part of the view that is on record: which sight, and what their part says.
    fn answered_parts(&self, slot: u32, digest: u64) -> Vec<(u32, u64)> {
        let resource = &self.resources[slot as usize];
        if resource.sights.len() == 0 || digest == 0 {
            return Vec::new();
        }
        let package = self.packages[usize::from(resource.package)];
        let view = resource.compose(package, None, |body| self.digest(body));
        if view.digest != digest {
            return Vec::new();
        }
        let known = resource.sights.known();
        known
            .map(|(at, sight)| (at, self.digest(&sight.show(&resource.name, &view.body))))
            .collect()
    }

    /// What lapsed while nobody ran is gone before anybody is told anything.
    fn let_lapse(&mut self, now: Now, slot: u32) {
        let publications = &self.resources[slot as usize].publications;
        let lapsed: Vec<Key> = publications
            .iter()
            .filter(|publication| publication.expires_at <= now.monotonic)
            .map(|publication| publication.key)
            .collect();
        for key in lapsed {
            self.publication_expires(now, slot, key);
        }
    }

    /// `answered`: what was on record before anything lapsed; `parts`: what that was for those who see a part.
    fn owe_after_start(&mut self, slot: u32, answered: AnsweredByAll, parts: &[(u32, u64)]) {
        if !self.resources.contains(slot as usize) {
            return;
        }
        if self.resources[slot as usize].subscriptions.is_empty() {
            self.release_resource(slot);
            return;
        }
        for index in 0..self.resources[slot as usize].subscriptions.len() {
            let each = self.resources[slot as usize].subscriptions[index];
            let subscription = &mut self.subscriptions[each as usize];
            let sees = subscription.handling == Handling::Allow;
            let covered = answered.stamp > subscription.asked && !(sees && answered.digest == 0);
            if subscription.phase != Phase::Live || !covered {
                self.owe(each, Owed::AtOnce);
                continue;
            }
            subscription.answered_pending = subscription.handling == Handling::Confirm;
            let sight = subscription.sight;
            let now_seen = self.body(each).digest;
            let part = parts.iter().find(|(at, _)| *at == sight);
            let known = match part {
                _ if !sees => now_seen,
                _ if sight == WHOLE => answered.digest,
                Some((_, part)) => *part,
                // What she answered was a part of a view that is no longer there, or a part that nobody knows how to cut out.
                None => FORGOTTEN,
            };
            self.subscriptions[each as usize].answered = known;
            if known != now_seen {
                // What she answered last is known: should it come back before she is told, there is nothing to tell.
                self.owe(each, Owed::Change);
            }
        }
    }
}

/// What no view says: whoever answered it is told what she sees.
const FORGOTTEN: u64 = u64::MAX;

/// Reads the first bytes of a publication: as it was when they were written.
fn read_publication(
    now: Now,
    key: Key,
    fields: &mut Decoder<'_>,
) -> Result<Publication, Unreadable> {
    let entity_tag = fields.u64()?;
    let (granted, deadline, accepted) = (fields.u32()?, fields.wall()?, fields.wall()?);
    let (order, change) = (fields.u64()?, fields.change()?);
    Ok(Publication {
        key,
        entity_tag,
        granted,
        deadline,
        accepted,
        order,
        change,
        maker: Maker::of(change.fingerprint, now.monotonic),
        maker_tag: entity_tag,
        content_type: fields.text()?.into(),
        body: fields.bytes()?.into(),
        expires_at: Instant::ZERO,
        timer: None,
        appends: 0,
    })
}

/// Reads the first bytes of a subscription, as it was when they were written, and the digest of what its watcher saw.
fn read_subscription(
    key: Key,
    resource: u32,
    fields: &mut Decoder<'_>,
) -> Result<(Subscription, u64), Unreadable> {
    let watcher: Arc<str> = fields.text()?.into();
    let dialog =
        Dialog::from_bytes(fields.bytes()?).ok_or(Unreadable("a dialog that does not read"))?;
    let (salt, cseq_base, cseq_starts, sent) =
        (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
    let origin = read_origin(fields.bytes()?)?.into();
    let refreshed = Refreshed::read(fields)?;
    let subscription = Subscription {
        key,
        salt,
        resource,
        place: 0,
        watcher,
        dialog,
        origin,
        notify_type: refreshed.notify_type,
        handling: refreshed.handling,
        sight: WHOLE,
        approved: false,
        phase: Phase::Live,
        stored: true,
        remote_cseq: refreshed.remote_cseq,
        // What this life said before the record was written counts, what it said after does not: lives are far apart.
        cseq_base: cseq_base.wrapping_add(sent),
        cseq_starts,
        sent: 0,
        granted: refreshed.granted,
        expires_at: Instant::ZERO,
        deadline: refreshed.deadline,
        asked: refreshed.asked,
        change: refreshed.change,
        maker: Maker::default(),
        appends: 0,
        owed: Owed::Nothing,
        cause: Cause::NONE,
        queued: false,
        answered: 0,
        answered_pending: false,
        open: false,
        unsettled: false,
        notified_at: None,
        failures: 0,
        hold_until: None,
        in_flight: None,
        wake: None,
        expiry: None,
    };
    Ok((subscription, refreshed.sight))
}

/// What the request that made a publication what it is was answered.
const fn published(publication: &Publication) -> Done {
    Done::Published {
        entity_tag: publication.entity_tag,
        partition: publication.key.partition(),
    }
}

/// What a refresh writes.
struct Refreshed {
    remote_cseq: u32,
    granted: u32,
    deadline: Wall,
    asked: u64,
    notify_type: u8,
    handling: Handling,
    change: LastChange,
    sight: u64,
}

impl Refreshed {
    fn read(fields: &mut Decoder<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            remote_cseq: fields.u32()?,
            granted: fields.u32()?,
            deadline: fields.wall()?,
            asked: fields.u64()?,
            notify_type: fields.u8()?,
            handling: read_handling(fields.u8()?)?,
            change: fields.change()?,
            sight: fields.u64_if_any()?,
        })
    }
}

/// Applies one appended record; `false`: the subscription is over.
fn apply(
    subscription: &mut Subscription,
    sight: &mut u64,
    appended: &[u8],
) -> Result<bool, Unreadable> {
    let mut fields = Decoder::new(appended);
    match fields.u8()? {
        b'r' => {
            subscription.origin = read_origin(fields.bytes()?)?.into();
            let refreshed = Refreshed::read(&mut fields)?;
            subscription.remote_cseq = refreshed.remote_cseq;
            subscription.granted = refreshed.granted;
            subscription.deadline = refreshed.deadline;
            subscription.asked = refreshed.asked;
            subscription.notify_type = refreshed.notify_type;
            subscription.handling = refreshed.handling;
            subscription.change = refreshed.change;
            *sight = refreshed.sight;
        }
        b'e' => {
            let reason = Reason::from_byte(fields.u8()?).ok_or(Unreadable("an unknown reason"))?;
            subscription.phase = Phase::Ending(reason);
            subscription.remote_cseq = fields.u32()?;
            subscription.change = fields.change()?;
        }
        b'i' => subscription.maker.fingerprint = Fingerprint(fields.u64()?),
        b'f' => return Ok(false),
        b'c' => {
            subscription.cseq_base = fields.u32()?;
            subscription.cseq_starts = fields.u32()?;
        }
        b'h' => {
            let before = subscription.handling;
            subscription.handling = read_handling(fields.u8()?)?;
            subscription.asked = fields.u64()?;
            *sight = fields.u64_if_any()?;
            subscription.approved |= before == Handling::Confirm && subscription.handling > before;
        }
        _ => return Err(Unreadable("an unknown change of a subscription")),
    }
    Ok(true)
}

fn read_handling(byte: u8) -> Result<Handling, Unreadable> {
    Ok(match byte {
        0 => Handling::Block,
        10 => Handling::Confirm,
        20 => Handling::PoliteBlock,
        30 => Handling::Allow,
        _ => return Err(Unreadable("an unknown handling")),
    })
}

fn read_origin(bytes: &[u8]) -> Result<Origin, Unreadable> {
    let bad = Unreadable("an origin that does not read");
    let mut words = std::str::from_utf8(bytes)
        .map_err(|_| bad.clone())?
        .split(' ');
    let listener = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or(bad.clone())?;
    let how = words.next().ok_or(bad.clone())?;
    let peer: SocketAddr = words.next().and_then(|word| word.parse().ok()).ok_or(bad)?;
    Ok(Origin {
        listener: ListenerId(listener),
        transport: if how.starts_with('t') {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        peer,
        connection: None,
        is_next_hop: how.ends_with('!'),
        believed: Believed::from_byte(how.as_bytes().get(1).copied()),
    })
}

/// Stored as wall deadline and granted interval: never longer than granted, whatever the wall clock did.
fn time_left(now: Now, deadline: Wall, granted: u32) -> Duration {
    deadline
        .since(now.wall)
        .min(Duration::from_secs(u64::from(granted)))
}
