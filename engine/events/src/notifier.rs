//! The notifier's side of SUBSCRIBE (RFC 6665 §4.2.1): new, refresh, end, fetch.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use documents::watcherinfo::Event;
use machine::settings::{Handling, Presence, Profile};
use machine::{Cause, Instant, Key, Now, Wall};
use sip::{Message, Name};

use crate::answer::Rejection;
use crate::dialog::{Dialog, Tag, contact_of, write_number};
use crate::fingerprint::{LastChange, Maker};
use crate::happened::Happened;
use crate::package::Package;
use crate::sight::Given;
use crate::state::{APPENDS_MAX, Context, Done, EventState, RETRANSMISSIONS_LAST, Timer};
use crate::stored::Encoder;
use crate::subscription::{Origin, Owed, Phase, Reason, Subscription};
use crate::watcher;
use crate::written::Kind;

/// What the 2xx says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// 200, or 202 while the presentity has not decided.
    pub status: u16,
    /// Our tag.
    pub tag: Tag,
    /// Expires.
    pub expires: u32,
    /// Whose clock starts when the 2xx leaves.
    pub key: Option<Key>,
}

impl Subscribed {
    const fn ended(status: u16, tag: Tag) -> Self {
        Self {
            status,
            tag,
            expires: 0,
            key: None,
        }
    }
}

impl EventState {
    /// Handles a SUBSCRIBE outside a dialog. `given` is what the presentity's rules give the watcher.
    pub fn handle_subscribe(
        &mut self,
        context: Context<'_>,
        request: &Message<'_>,
        change: LastChange,
        origin: Origin,
        given: Given,
    ) -> Result<Subscribed, Rejection> {
        if let Some(answer) = self.subscribed_before(context, change) {
            return Ok(answer);
        }
        let package = self.package(request)?;
        let given = self.given_of(package, context.presentity, context.identity, given);
        let handling = given.handling;
        let is_winfo = self.winfo.tells_of(package).is_some();
        let known = self.by_name[usize::from(package)].get(context.presentity);
        let unpublished = known.is_none_or(|slot| {
            let resource = &self.resources[*slot as usize];
            resource.publications.is_empty() && resource.permanent.is_none() && !resource.published
        });
        if context.presence.unknown_presentity_is_404 && unpublished && !is_winfo {
            return Err(Rejection::new(404, ""));
        }
        let notify_type = acceptable(self.packages[usize::from(package)], request)?;
        let expires = granted(request, context.presence)?;
        let dialog = Dialog::of_subscribe(request)?;
        if handling == Handling::Block {
            // RFC 5025 §3.2.1, RFC 6665 §4.2.1.3: no dialog, no NOTIFY.
            return Err(Rejection::new(403, ""));
        }
        self.room_for_subscription(package, context, expires)?;
        let tag = self.begin(
            context,
            package,
            notify_type,
            dialog,
            request,
            change,
            origin,
            given,
            expires,
        );
        Ok(Subscribed {
            status: status(context.presence, handling),
            tag,
            expires,
            key: Some(key_of(tag)),
        })
    }

    /// The same request again, after a crash: the same answer, and nothing begins twice.
    fn subscribed_before(&self, context: Context<'_>, change: LastChange) -> Option<Subscribed> {
        match self.already_done(change)? {
            Done::Subscribed { tag } => {
                let Some(slot) = self.by_key.get(&key_of(*tag)) else {
                    // It was there after the start, and is over since.
                    return Some(Subscribed::ended(200, *tag));
                };
                let subscription = &self.subscriptions[*slot as usize];
                let status = status(context.presence, subscription.handling);
                Some(Subscribed {
                    status,
                    tag: subscription.tag(),
                    expires: subscription.remaining(context.now.monotonic),
                    key: None,
                })
            }
            Done::Unsubscribed { tag } => Some(Subscribed::ended(200, *tag)),
            Done::Published { .. } => None,
        }
    }

    fn room_for_subscription(
        &self,
        package: u8,
        context: Context<'_>,
        expires: u32,
    ) -> Result<(), Rejection> {
        let limits = context.limits;
        // A fetch keeps nothing.
        if let Some(why) = context.full.filter(|_| expires > 0) {
            return Err(Rejection::unavailable(why, 30));
        }
        let watching = self.by_name[usize::from(package)]
            .get(context.presentity)
            .map_or(0, |slot| self.resources[*slot as usize].subscriptions.len());
        if watching >= limits.subscriptions_per_presentity_max as usize {
            return Err(Rejection::new(403, "Too many watchers of this user"));
        }
        let own = self
            .watchers
            .get(context.identity)
            .copied()
            .unwrap_or_default();
        if own >= limits.subscriptions_per_watcher_max {
            return Err(Rejection::new(
                403,
                "Too many subscriptions of this watcher",
            ));
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different thing that the request or the rules said"
    )]
    fn begin(
        &mut self,
        context: Context<'_>,
        package: u8,
        notify_type: u8,
        dialog: Dialog,
        request: &Message<'_>,
        change: LastChange,
        origin: Origin,
        given: Given,
        expires: u32,
    ) -> Tag {
        let number = self.next_number();
        let key = Key::new(self.partitioner.partition(context.presentity), number);
        let resource = self.resource(package, context.presentity, context.presence);
        let sights = &mut self.resources[resource as usize].sights;
        let (handling, sight) = (given.handling, sights.join(given.digest(), given.sight));
        let subscription = Subscription {
            key,
            salt: self.salt(number),
            resource,
            place: 0,
            watcher: Arc::from(context.identity),
            dialog,
            origin: origin.into(),
            notify_type,
            handling,
            sight,
            approved: false,
            phase: first_phase(expires),
            stored: expires > 0,
            remote_cseq: request.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            cseq_base: 0,
            cseq_starts: self.starts,
            sent: 0,
            granted: expires,
            expires_at: Instant::ZERO,
            deadline: Wall::default(),
            asked: self.next_number(),
            change,
            maker: Maker::of(change.fingerprint, context.now.monotonic),
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
        let tag = subscription.tag();
        let slot = self.insert(subscription);
        if expires > 0 {
            self.resources[resource as usize].asked = self.subscriptions[slot as usize].asked;
            self.grant_subscription(context.now, slot, expires);
            self.put_subscription(slot);
        }
        self.say_begun(slot, expires);
        self.owe(slot, Owed::AtOnce);
        self.watcher_came(context.now, slot);
        tag
    }

    /// What a stranger would have to guess of a tag, to answer a NOTIFY in the watcher's name or to speak in her dialog: by the
    /// store's key, since the numbers of `Random` betray those that follow them.
    fn salt(&mut self, number: u64) -> u32 {
        let mut text = [0; 20];
        text[..4].copy_from_slice(b"salt");
        text[4..12].copy_from_slice(&self.random.next_u64().to_le_bytes());
        text[12..].copy_from_slice(&number.to_le_bytes());
        self.partitioner.hash(&text) as u32
    }

    /// Puts a subscription in its place under its resource, its watcher and its dialog.
    pub(crate) fn insert(&mut self, mut subscription: Subscription) -> u32 {
        subscription.watcher = match self.watchers.get_key_value(&subscription.watcher) {
            Some((shared, _)) => shared.clone(),
            None => subscription.watcher,
        };
        *self
            .watchers
            .entry(subscription.watcher.clone())
            .or_insert(0) += 1;
        let (key, resource) = (subscription.key, subscription.resource);
        subscription.place = self.resources[resource as usize].subscriptions.len() as u32;
        let slot = self.subscriptions.insert(subscription) as u32;
        self.resources[resource as usize].subscriptions.push(slot);
        self.by_key.insert(key, slot);
        slot
    }

    /// Handles a SUBSCRIBE inside a dialog (RFC 6665 §4.2.1.2).
    pub fn handle_resubscribe(
        &mut self,
        context: Context<'_>,
        request: &Message<'_>,
        tag: Tag,
        change: LastChange,
        origin: Origin,
    ) -> Result<Subscribed, Rejection> {
        if let Some(answer) = self.subscribed_before(context, change) {
            return Ok(answer);
        }
        let package = self.package(request)?;
        let slot = self.find_dialog(request, tag)?;
        let subscription = &self.subscriptions[slot as usize];
        let cseq = request.cseq()?.number;
        if cseq <= subscription.remote_cseq {
            // RFC 3261 §12.2.2: out of order.
            return Err(Rejection::new(500, "CSeq out of order"));
        }
        if watcher::name(&subscription.watcher) != watcher::name(context.identity) {
            return Err(Rejection::new(403, "Another watcher's dialog"));
        }
        let notify_type = match request.accept().is_absent() {
            // RFC 6665 §4.1.2.1 says what absence means for a new subscription; a refresh keeps what was agreed.
            true => subscription.notify_type,
            false => acceptable(self.packages[usize::from(package)], request)?,
        };
        let expires = granted(request, context.presence)?;
        let moved = moved(&subscription.dialog, request)?;
        let asked = self.next_number();
        let subscription = &mut self.subscriptions[slot as usize];
        let rewritten = moved.is_some() || subscription.appends >= APPENDS_MAX;
        if let Some(dialog) = moved {
            subscription.dialog = dialog;
        }
        subscription.remote_cseq = cseq;
        subscription.notify_type = notify_type;
        subscription.origin = origin.into();
        subscription.asked = asked;
        // She is there again: what held NOTIFYs back no longer does.
        subscription.hold_until = None;
        subscription.failures = 0;
        subscription.change = change;
        self.resources[subscription.resource as usize].asked = asked;
        let status = status(context.presence, subscription.handling);
        if expires == 0 {
            if rewritten {
                self.rewrite_subscription(context.now, slot);
            }
            self.end(context.now, slot, Reason::Timeout);
            return Ok(Subscribed::ended(status, tag));
        }
        self.grant_subscription(context.now, slot, expires);
        if rewritten {
            self.rewrite_subscription(context.now, slot)
        } else {
            self.append_refresh(slot)
        }
        self.say_refreshed(slot, expires);
        // RFC 6665 §4.2.1.2: a refresh is answered with the whole state again.
        self.owe(slot, Owed::AtOnce);
        Ok(Subscribed {
            status,
            tag,
            expires,
            key: Some(key_of(tag)),
        })
    }

    fn find_dialog(&self, request: &Message<'_>, tag: Tag) -> Result<u32, Rejection> {
        // RFC 3261 §12.2.2, RFC 6665 §4.2.1.2: an unknown or ended dialog is 481.
        let gone = || Rejection::new(481, "");
        let slot = *self.by_key.get(&key_of(tag)).ok_or_else(gone)?;
        let subscription = &self.subscriptions[slot as usize];
        let essentials = request.essentials()?;
        let event = request.event()?.ok_or_else(gone)?;
        let ours = sip::Event::parse(subscription.dialog.event());
        let matches = subscription.salt == tag.salt
            && subscription.phase == Phase::Live
            && subscription.dialog.call_id() == essentials.call_id
            && subscription.dialog.remote_tag() == essentials.from.tag().unwrap_or_default()
            && ours.is_ok_and(|ours| ours.package == event.package && ours.id == event.id);
        if matches { Ok(slot) } else { Err(gone()) }
    }

    pub(crate) fn grant_subscription(&mut self, now: Now, slot: u32, expires: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        let lasts = Duration::from_secs(u64::from(expires));
        subscription.granted = expires;
        subscription.expires_at = now.monotonic + lasts;
        subscription.deadline = now.wall + lasts;
        let (key, at, old) = (
            subscription.key,
            subscription.expires_at,
            subscription.expiry,
        );
        self.subscriptions[slot as usize].expiry =
            self.set_timer(old, at, Timer::SubscriptionExpires(key));
    }

    /// The 2xx has left: the granted time counts from here.
    pub fn subscription_acknowledged(&mut self, now: Now, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &self.subscriptions[slot as usize];
        if subscription.phase == Phase::Live {
            let (granted, deadline) = (subscription.granted, subscription.deadline);
            self.grant_subscription(now, slot, granted);
            self.subscriptions[slot as usize].deadline = deadline;
        }
    }

    pub(crate) fn subscription_expires(&mut self, now: Now, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        subscription.expiry = None;
        if subscription.phase == Phase::Live {
            subscription.phase = Phase::Ending(Reason::Timeout);
            if let Some(record) = ending_record(subscription) {
                // Its deadline is on record, so nobody waits for this one. It keeps a wall clock that is set back from reviving,
                // at the next start, what the watcher was told is over.
                self.records.push_lazily(key, Kind::Append, &record);
            }
            self.end_began(now, slot);
        }
    }

    /// Ends a live subscription: the last NOTIFY is owed at once.
    pub(crate) fn end(&mut self, now: Now, slot: u32, reason: Reason) {
        let subscription = &mut self.subscriptions[slot as usize];
        if subscription.phase != Phase::Live {
            return;
        }
        subscription.phase = Phase::Ending(reason);
        if let Some(record) = ending_record(subscription) {
            self.records.push(subscription.key, Kind::Append, &record);
        }
        self.end_began(now, slot);
    }

    fn end_began(&mut self, now: Now, slot: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        let (timer, phase) = (subscription.expiry.take(), subscription.phase);
        self.cancel_timer(timer);
        self.uncover(slot);
        if let Phase::Ending(reason) = phase {
            self.watcher_left(now, slot, reason.event());
            self.happens_to(slot, self.cause, |presentity, watcher| {
                Happened::SubscriptionEnded {
                    presentity,
                    watcher,
                    why: reason.name(),
                }
            });
        }
        self.owe(slot, Owed::AtOnce);
    }

    /// The subscription is over and forgotten; `why` is for the log when nobody was told before.
    pub(crate) fn remove(&mut self, now: Now, slot: u32, why: Option<&'static str>) {
        if self.subscriptions[slot as usize].phase == Phase::Live {
            self.watcher_left(now, slot, Event::Timeout);
        }
        let subscription = self.subscriptions.remove(slot as usize);
        self.winfo.forget(subscription.key);
        self.cancel_timer(subscription.expiry);
        self.cancel_timer(subscription.wake);
        self.by_key.remove(&subscription.key);
        if let Some(hop) = subscription
            .in_flight
            .as_ref()
            .map(|flight| flight.hop)
            .filter(|hop| *hop != 0)
        {
            self.freed_hops.push(hop);
        }
        if let Some(count) = self.watchers.get_mut(&subscription.watcher) {
            *count -= 1;
            if *count == 0 {
                self.watchers.remove(&subscription.watcher);
            }
        }
        let resource = &mut self.resources[subscription.resource as usize];
        let name = resource.name.clone();
        resource.sights.leave(subscription.sight);
        resource
            .subscriptions
            .swap_remove(subscription.place as usize);
        let moved = resource
            .subscriptions
            .get(subscription.place as usize)
            .copied();
        if resource.subscriptions.is_empty() {
            resource.view = None;
        }
        if let Some(moved) = moved {
            self.subscriptions[moved as usize].place = subscription.place;
        }
        if let Some(why) = why.filter(|_| subscription.stored) {
            self.happens(Happened::SubscriptionEnded {
                presentity: name,
                watcher: subscription.watcher.clone(),
                why,
            });
        }
        self.forget(now, &subscription);
        self.settle(&subscription);
        self.release_resource(subscription.resource);
    }

    fn forget(&mut self, now: Now, subscription: &Subscription) {
        if !subscription.stored {
            return;
        }
        let granted = Duration::from_secs(u64::from(subscription.granted));
        let granted_at = subscription.expires_at - granted;
        if self.may_come_again(now, subscription.change, granted_at) {
            // The request that began or ended it may come again: remembered, so that nothing begins twice, whether its
            // watcher ended it or refused a NOTIFY, and the last NOTIFY is not repeated.
            let record = Encoder::new(b'f').end();
            self.records
                .push_lazily(subscription.key, Kind::Append, &record);
            self.timers.set(
                now.monotonic + RETRANSMISSIONS_LAST,
                Timer::Forget(subscription.key),
            );
        } else {
            self.remove_lazily(subscription.key);
        }
    }

    /// Written whole again, with the request that began it as long as that may come again.
    fn rewrite_subscription(&mut self, now: Now, slot: u32) {
        self.put_subscription(slot);
        let subscription = &self.subscriptions[slot as usize];
        if now.monotonic < subscription.maker.until {
            let record = Encoder::new(b'i').u64(subscription.maker.fingerprint.0);
            self.append(subscription.key, &record.end());
        }
    }

    pub(crate) fn put_subscription(&mut self, slot: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        subscription.appends = 0;
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let origin = subscription.origin();
        let texts = resource.name.len() + subscription.watcher.len();
        let texts = texts + subscription.dialog.to_bytes().len();
        let record = Encoder::with_texts(b'S', texts)
            .bytes(self.packages[usize::from(resource.package)].name.as_bytes())
            .bytes(resource.name.as_bytes())
            .bytes(subscription.watcher.as_bytes())
            .bytes(subscription.dialog.to_bytes())
            .u32(subscription.salt)
            .u32(subscription.cseq_base)
            .u32(subscription.cseq_starts)
            .u32(subscription.sent)
            .bytes(&origin_bytes(origin));
        self.put(
            subscription.key,
            &refresh_fields(record, subscription, self.sight_digest(slot)).end(),
        );
    }

    fn append_refresh(&mut self, slot: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        subscription.appends += 1;
        let record = Encoder::new(b'r').bytes(&origin_bytes(subscription.origin()));
        let subscription = &self.subscriptions[slot as usize];
        let record = refresh_fields(record, subscription, self.sight_digest(slot));
        self.append(subscription.key, &record.end());
    }

    /// The last call of a clean stop: CSeq numbers go on without a gap in the next life.
    pub fn close(&mut self) {
        let starts = self.starts;
        let all = self.subscriptions.iter();
        let slots: Vec<u32> = all
            .filter(|(_, subscription)| subscription.stored)
            .map(|(slot, _)| slot as u32)
            .collect();
        for slot in slots {
            let subscription = &mut self.subscriptions[slot as usize];
            let now = (
                subscription.cseq_base,
                subscription.cseq_starts,
                subscription.sent,
            );
            // What still waits to leave never will: its number is the next.
            let unsent = (subscription.in_flight.as_ref())
                .is_some_and(|flight| flight.since.is_none() && flight.client.is_none());
            let newest = subscription.cseq(starts).wrapping_sub(u32::from(unsent));
            subscription.cseq_base = newest & 0x7fff_ffff;
            subscription.cseq_starts = starts.wrapping_add(1);
            subscription.sent = 0;
            self.append_cseq_base(slot);
            let must = goes_whatever_it_says(&self.subscriptions[slot as usize]);
            if unsent && !must && self.knows(slot) {
                // What was decided and taken back before she heard of it: the next life has nothing to tell her.
                self.uncover(slot);
            }
            // So it is for the next life; what is left of this one counts on.
            let subscription = &mut self.subscriptions[slot as usize];
            (
                subscription.cseq_base,
                subscription.cseq_starts,
                subscription.sent,
            ) = now;
        }
    }

    pub(crate) fn append_cseq_base(&mut self, slot: u32) {
        let subscription = &self.subscriptions[slot as usize];
        let record = Encoder::new(b'c')
            .u32(subscription.cseq_base)
            .u32(subscription.cseq_starts);
        self.append_change(slot, record);
    }

    /// What changed of a stored subscription; the whole of it where its chain is long enough. That one is over is only in its chain.
    pub(crate) fn append_change(&mut self, slot: u32, record: Encoder) {
        let subscription = &mut self.subscriptions[slot as usize];
        if subscription.appends >= APPENDS_MAX && subscription.phase == Phase::Live {
            return self.put_subscription(slot);
        }
        subscription.appends += 1;
        let key = subscription.key;
        self.append(key, &record.end());
    }
}

/// The dialog with the remote target that this SUBSCRIBE names, where that is a new one (RFC 3261 §12.2.2).
fn moved(dialog: &Dialog, request: &Message<'_>) -> Result<Option<Dialog>, Rejection> {
    if request.contact()?.is_none() {
        return Ok(None);
    }
    let contact = contact_of(request)?;
    if contact == dialog.contact() {
        return Ok(None);
    }
    let moved = dialog.with_contact(contact);
    Ok(Some(
        moved.ok_or_else(|| Rejection::new(413, "Dialog too large"))?,
    ))
}

/// That it is over, and why.
fn ending_record(subscription: &Subscription) -> Option<Vec<u8>> {
    let Phase::Ending(reason) = subscription.phase else {
        return None;
    };
    let record = Encoder::new(b'e')
        .u8(reason.to_byte())
        .u32(subscription.remote_cseq)
        .change(subscription.change)
        .end();
    subscription.stored.then_some(record)
}

/// `sight`: the digest of what she sees.
fn refresh_fields(record: Encoder, subscription: &Subscription, sight: u64) -> Encoder {
    let record = record
        .u32(subscription.remote_cseq)
        .u32(subscription.granted)
        .wall(subscription.deadline)
        .u64(subscription.asked)
        .u8(subscription.notify_type)
        .u8(handling_byte(subscription.handling))
        .change(subscription.change);
    with_sight(record, sight)
}

/// The last field of a record, left out where everything is seen: records without it are of the time before there was any other.
pub(crate) fn with_sight(record: Encoder, sight: u64) -> Encoder {
    match sight {
        0 => record,
        sight => record.u64(sight),
    }
}

pub(crate) const fn handling_byte(handling: Handling) -> u8 {
    match handling {
        Handling::Block => 0,
        Handling::Confirm => 10,
        Handling::PoliteBlock => 20,
        Handling::Allow => 30,
    }
}

/// `LISTENER TRANSPORT BELIEVED NEXT-HOP ADDRESS`, as in `0 ud- 192.0.2.1:5060`.
fn origin_bytes(origin: Origin) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    write_number(&mut out, u64::from(origin.listener.0));
    let transport = match origin.transport.is_reliable() {
        true => b't',
        false => b'u',
    };
    let next_hop = if origin.is_next_hop { b'!' } else { b'-' };
    out.extend_from_slice(&[b' ', transport, origin.believed.to_byte(), next_hop, b' ']);
    match origin.peer {
        SocketAddr::V4(peer) => {
            for (at, byte) in peer.ip().octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_number(&mut out, u64::from(byte));
            }
            out.push(b':');
            write_number(&mut out, u64::from(peer.port()));
        }
        // Writing to a buffer in memory does not fail.
        SocketAddr::V6(peer) => drop(write!(out, "{peer}")),
    }
    out
}

/// RFC 6665 §4.4.3: a fetch ends with its first NOTIFY.
const fn first_phase(expires: u32) -> Phase {
    match expires {
        0 => Phase::Ending(Reason::Timeout),
        _ => Phase::Live,
    }
}

pub(crate) fn key_of(tag: Tag) -> Key {
    Key::new(tag.partition, tag.number)
}

/// C4: 202 while the presentity has not decided, under the profile of RFC 3265's day.
fn status(presence: &Presence, handling: Handling) -> u16 {
    match (presence.profile, handling) {
        (Profile::Oma10, Handling::Confirm) => 202,
        _ => 200,
    }
}

/// RFC 6665 §4.1.2.1: absent Accept means the package's default type; the best quality wins, then the package's order.
fn acceptable(package: &Package, request: &Message<'_>) -> Result<u8, Rejection> {
    let accept = request.accept();
    if accept.is_absent() {
        return Ok(0);
    }
    // What nearly everybody says: our best type, and nothing else.
    let mut texts = request.texts(Name::Accept);
    if let (Some(only), None) = (texts.next(), texts.next())
        && only == package.notify_types[0]
    {
        return Ok(0);
    }
    let mut best: Option<(u16, u8)> = None;
    for (index, kind) in package.notify_types.iter().enumerate() {
        let quality = accept.quality(kind);
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, index as u8));
        }
    }
    best.map(|(_, index)| index)
        .ok_or_else(|| Rejection::new(406, "").with(Name::Accept, package.notify_types.join(", ")))
}

/// RFC 6665 §4.2.1.1: 423 only for what is above 0, below the minimum and below an hour; never longer than asked.
fn granted(request: &Message<'_>, presence: &Presence) -> Result<u32, Rejection> {
    let bounds = presence.subscribe_expires_seconds;
    match request.expires()? {
        None => Ok(bounds.default),
        Some(0) => Ok(0),
        Some(expires) if expires < bounds.min && expires < 3600 => {
            Err(Rejection::interval_too_brief(bounds.min))
        }
        Some(expires) => Ok(expires.min(bounds.max)),
    }
}

/// Whether a NOTIFY is owed that goes whatever it says.
fn goes_whatever_it_says(subscription: &Subscription) -> bool {
    let flight = subscription.in_flight.as_ref();
    let flight = flight.map_or(Owed::Nothing, |flight| flight.owed);
    flight.max(subscription.owed) == Owed::AtOnce
}
