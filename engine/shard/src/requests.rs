//! From a request to its answer: transaction, grammar, method, who asks whom, and the engine that decides.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use events::dialog::Tag;
use events::fingerprint::{Fingerprint, LastChange};
use events::subscription::Origin;
use events::watcher::{self, Believed};
use events::{Context, Rejection};
use machine::settings::{Domain, Transport};
use sip::{Message, Method, Name, Uri};
use transaction::{Received, TransactionKey};

use crate::gate::{Grants, Held, Reply};
use crate::identity::ADDRESS_BYTES_MAX;
use crate::inputs::Flow;
use crate::outputs::{Destination, Send};
use crate::policy::MayPublish;
use crate::record::Happened;
use crate::shard::{ALLOW, Duty, Room, Shard};

/// A connection for an answer is given so long.
const CONNECT_MS_MAX: u32 = 4_000;

/// Refused INVITEs that wait for their ACK. The refusal goes out eleven times where none comes, and whoever forges the
/// source of an INVITE makes us send them to somebody else: 1000 are 350 messages a second at most. Beyond it INVITEs are
/// refused without a transaction, once each time they come (RFC 3261 §8.2.7).
const INVITES_MAX: usize = 1000;

/// An answer that reads no state is the same when it is made again: only what is no longer than this is remembered for
/// retransmissions, so that nobody fills the memory with what strangers wrote.
const REMEMBERED_BYTES_MAX: usize = 2048;

/// The value of a header field of an answer.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Number(u32),
    /// Our Contact by the flow that the request came by.
    OurContact,
}

/// What a peer should wait before it tries a node again that is full or stopping.
const RETRY_AFTER_SECONDS: u32 = 5;

impl Shard {
    pub(crate) fn handle_request(&mut self, flow: &Flow, request: &Message<'_>) {
        if request.essentials().is_err() {
            return self.dropped("topmost Via, From, To, Call-ID or CSeq is not usable");
        }
        // Remembered on streams too: a client that lost its connection sends the same request again on a new one.
        let transaction = match self
            .transactions
            .receive(self.now.monotonic, request, false)
        {
            Received::New(transaction) => transaction,
            Received::Retransmission(Some(response)) => {
                let head = response.to_vec();
                self.repeated(request);
                let to = self.destination(flow, request);
                return self.send_now(Send {
                    to,
                    head,
                    body: Bytes::new(),
                    token: 0,
                    cause: self.cause,
                });
            }
            Received::Retransmission(None) => return self.repeated(request),
            Received::Ack => return,
            Received::Full => {
                self.happens_to_transaction(transaction::Happened::TransactionsFull {});
                let rejection =
                    Rejection::unavailable("Too many transactions", RETRY_AFTER_SECONDS);
                return self.refuse(flow, request, None, &rejection);
            }
        };
        let mut kept = Some(transaction);
        if request.method() == Method::Invite {
            if self.invites.len() < INVITES_MAX {
                let to = self.destination(flow, request);
                self.invites.insert(transaction, to);
            } else {
                self.transactions.forget(transaction);
                kept = None;
            }
        }
        if let Err(rejection) = self.decide_request(flow, request, transaction) {
            self.refuse(flow, request, kept, &rejection);
        }
    }

    fn repeated(&mut self, request: &Message<'_>) {
        let method = request.method().known_name();
        self.happens_to_transaction(transaction::Happened::RequestRepeated { method });
    }

    fn decide_request(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        transaction: TransactionKey,
    ) -> Result<(), Rejection> {
        let limits = &self.settings.limits;
        if request.head().len() > limits.head_bytes_max as usize {
            return Err(Rejection::new(513, ""));
        }
        request.check()?;
        if request.body().len() > limits.body_bytes_max as usize {
            return Err(Rejection::new(413, ""));
        }
        let method = request.method();
        if method == Method::Cancel {
            // RFC 3261 §9.2: what it would cancel has been answered already; a CANCEL of nothing is 481.
            let status = if self.transactions.cancelled(request).is_some() {
                200
            } else {
                481
            };
            self.answer(
                flow,
                request,
                transaction,
                status,
                None,
                &[],
                Grants::Nothing,
                false,
            );
            return Ok(());
        }
        self.admit(request)?;
        match method {
            Method::Publish => self.publish(flow, request, transaction),
            Method::Subscribe => self.subscribe(flow, request, transaction),
            _ => {
                self.is_served(request)?;
                let abilities = self.abilities();
                let fields = abilities.iter();
                let fields: Vec<(Name, Value<'_>)> = fields
                    .map(|(name, value)| (*name, Value::Text(value)))
                    .collect();
                self.answer(
                    flow,
                    request,
                    transaction,
                    200,
                    None,
                    &fields,
                    Grants::Nothing,
                    false,
                );
                Ok(())
            }
        }
    }

    /// What holds for every method that we handle, before anybody looks at what is asked.
    fn admit(&mut self, request: &Message<'_>) -> Result<(), Rejection> {
        match request.method() {
            Method::Subscribe | Method::Publish | Method::Options => {}
            Method::Other(_) => return Err(Rejection::new(501, "").with(Name::Allow, ALLOW)),
            _ => return Err(Rejection::new(405, "").with(Name::Allow, ALLOW)),
        }
        if self.duty == Duty::Stopping {
            return Err(Rejection::unavailable("Stopping", RETRY_AFTER_SECONDS));
        }
        // What is decided waits for the disk, whose pace nobody knows: no more of it than of transactions.
        let kept_max = self.settings.limits.transactions_max as usize;
        if self.gate.len() >= kept_max {
            return Err(Rejection::unavailable(
                "The store is slow",
                RETRY_AFTER_SECONDS,
            ));
        }
        if self
            .merged
            .is_merged(self.now.monotonic, request, &self.partitioner, kept_max)
        {
            return Err(Rejection::new(482, "Merged request"));
        }
        // RFC 3261 §8.2.2.3: none of the extensions that a peer may require is ours.
        if request.require().next().is_some() {
            let required: Vec<&str> = request.require().collect();
            return Err(Rejection::new(420, "").with(Name::Unsupported, required.join(", ")));
        }
        Ok(())
    }

    /// RFC 3261 §11.2: OPTIONS to us, or to a user or a domain that we serve; 404 for anybody else.
    fn is_served(&self, request: &Message<'_>) -> Result<(), Rejection> {
        let uri = Uri::parse(request.request_uri())?;
        if self.directory.is_us(&uri) {
            Ok(())
        } else {
            self.presentity(request).map(|_| ())
        }
    }

    /// RFC 3261 §8.2.3: a body that isn't understood is refused, unless it says that it need not be.
    fn refuse_body(request: &Message<'_>) -> Result<(), Rejection> {
        if request.body().is_empty() {
            return Ok(());
        }
        let disposition = request
            .header_text(Name::ContentDisposition)
            .unwrap_or_default();
        let optional = disposition
            .to_ascii_lowercase()
            .replace(' ', "")
            .contains("handling=optional");
        if optional {
            return Ok(());
        }
        // No type of body is understood in a SUBSCRIBE.
        Err(Rejection::new(415, "").with(Name::Accept, ""))
    }

    /// RFC 3903 §6 step 1: the canonical address of record that the Request-URI means, if it is served here.
    fn presentity(&self, request: &Message<'_>) -> Result<(String, Arc<Domain>), Rejection> {
        let unknown = || Rejection::new(404, "");
        let uri = Uri::parse(request.request_uri())?;
        if uri.user.is_none() && uri.scheme != sip::Scheme::Tel {
            return Err(unknown());
        }
        let presentity = self.directory.canonical(&uri).ok_or_else(unknown)?;
        let domain = self.directory.domain(&presentity).ok_or_else(unknown)?;
        if domain.presence.presentities_listed_only && !self.directory.is_listed(&presentity) {
            return Err(unknown());
        }
        if presentity.len() > ADDRESS_BYTES_MAX {
            return Err(Rejection::new(414, ""));
        }
        // Numbers, and so keys of the store, are unique within a partition because one shard makes them all. A request for
        // another shard's user comes here while a reload renames users, and is for the right one when it comes again.
        let partition = self.partitioner.partition(&presentity);
        if partition.shard(self.shards) != self.index {
            return Err(Rejection::new(500, "Being renamed").with(Name::RetryAfter, "1"));
        }
        Ok((presentity, domain.clone()))
    }

    /// Everything: the presentity herself. What her own rules let (OMA `pub-handling`), and where they say nothing what the operator lets.
    fn lets_publish(&mut self, domain: &Domain, source: &str, presentity: &str) -> MayPublish {
        if watcher::is(source, presentity) {
            return MayPublish::Everything;
        }
        let (mut judge, _) = self.judge_and_events();
        let own = judge.may_publish(presentity, source);
        own.unwrap_or_else(|| {
            let mut sources = watcher::identities(source);
            match sources.any(|source| may_publish(domain, source, presentity)) {
                true => MayPublish::Everything,
                false => MayPublish::Nothing,
            }
        })
    }

    fn last_change(&self, request: &Message<'_>) -> LastChange {
        LastChange {
            fingerprint: Fingerprint::of(request, &self.partitioner),
            at: self.now.wall,
        }
    }

    fn full(&self) -> Option<&'static str> {
        match self.room {
            Room::Plenty => None,
            Room::Full("disk") => Some("Disk full"),
            Room::Full(_) => Some("Memory full"),
        }
    }

    fn publish(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        transaction: TransactionKey,
    ) -> Result<(), Rejection> {
        let (presentity, domain) = self.presentity(request)?;
        // RFC 3903 §6 step 2 comes before who may: an unknown event is nobody's to publish.
        self.events.published_package(request)?;
        let (identity, _) = self.identity(flow, request)?;
        let may = self.lets_publish(&domain, &identity, &presentity);
        let bounds = xml::Bounds {
            depth_max: self.settings.limits.xml_depth_max,
            nodes_max: self.settings.limits.xml_nodes_max,
        };
        if let Some(why) = may.refuses(request.body(), &bounds) {
            return Err(Rejection::new(403, why));
        }
        let change = self.last_change(request);
        let tag = self.tag_of(&presentity, change.fingerprint);
        let settings = self.settings.clone();
        let context = Context {
            now: self.now,
            presentity: &presentity,
            identity: &identity,
            presence: &domain.presence,
            limits: &settings.limits,
            full: self.full(),
        };
        let published = self.events.handle_publish(context, request, change)?;
        self.follow_spheres();
        let fields = [
            (Name::SipEtag, Value::Text(&published.entity_tag)),
            (Name::Expires, Value::Number(published.expires)),
        ];
        let grants = published
            .key
            .map_or(Grants::Nothing, |key| Grants::Publication(presentity, key));
        let tag = Some(tag.as_str());
        self.answer(flow, request, transaction, 200, tag, &fields, grants, true);
        Ok(())
    }

    fn subscribe(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        transaction: TransactionKey,
    ) -> Result<(), Rejection> {
        Self::refuse_body(request)?;
        // Well formed, so what was read leniently is what stands there.
        let to_tag = request.essentials()?.to.tag();
        let change = self.last_change(request);
        let settings = self.settings.clone();
        let answer = if let Some(to_tag) = to_tag {
            self.events.package(request)?;
            // RFC 6665 §4.2.1.2: a dialog that isn't ours is 481.
            let tag = Tag::read(to_tag).ok_or_else(|| Rejection::new(481, ""))?;
            let (watcher, believed) = self.dialog_identity(flow, request, tag)?;
            let origin = self.origin(flow, request, believed);
            let presence = self.dialog_presence(request, tag);
            let context = Context {
                now: self.now,
                presentity: "",
                identity: &watcher,
                presence: &presence,
                limits: &settings.limits,
                full: None,
            };
            self.events
                .handle_resubscribe(context, request, tag, change, origin)?
        } else {
            let (presentity, domain) = self.presentity(request)?;
            self.events.package(request)?;
            let (watcher, believed) = self.watcher(flow, request)?;
            let origin = self.origin(flow, request, believed);
            let given = self.given(&presentity, &watcher);
            let given = given.ok_or_else(|| Rejection::new(404, ""))?;
            let context = Context {
                now: self.now,
                presentity: &presentity,
                identity: &watcher,
                presence: &domain.presence,
                limits: &settings.limits,
                full: self.full(),
            };
            self.events
                .handle_subscribe(context, request, change, origin, given)?
        };
        let tag = answer.tag.text();
        let fields = [
            (Name::Expires, Value::Number(answer.expires)),
            (Name::Contact, Value::OurContact),
        ];
        let grants = answer.key.map_or(Grants::Nothing, Grants::Subscription);
        self.answer(
            flow,
            request,
            transaction,
            answer.status,
            Some(&tag),
            &fields,
            grants,
            true,
        );
        Ok(())
    }

    /// In a dialog whose latest SUBSCRIBE was asserted the same peer need not assert again (standards C9). Any other who asserts nobody,
    /// trusted or not, is treated like anyone.
    fn dialog_identity(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        tag: Tag,
    ) -> Result<(String, Believed), Rejection> {
        let key = machine::Key::new(tag.partition, tag.number);
        let silent = self.is_trusted(flow) && !request.has(Name::PAssertedIdentity);
        let Some(subscription) = self.events.subscription(key) else {
            // Nobody's dialog, which is 481 whoever asks.
            return Ok((String::new(), Believed::From));
        };
        let before = subscription.origin();
        let same_peer = before.peer.ip() == flow.peer.ip();
        if silent && same_peer && before.believed == Believed::Asserted {
            return Ok((subscription.watcher.to_string(), Believed::Asserted));
        }
        self.watcher(flow, request)
    }

    fn dialog_presence(&self, request: &Message<'_>, tag: Tag) -> machine::settings::Presence {
        let key = machine::Key::new(tag.partition, tag.number);
        let presentity = self.events.presentity(key).map(ToOwned::to_owned);
        let presentity = presentity.or_else(|| {
            request
                .to()
                .ok()
                .and_then(|to| self.directory.canonical_of(&to))
        });
        self.directory
            .presence(presentity.as_deref().unwrap_or_default())
    }

    /// How NOTIFYs go back (standards C6): by resolving the next hop, unless the flow itself is it.
    fn origin(&self, flow: &Flow, request: &Message<'_>, believed: Believed) -> Origin {
        Origin {
            listener: flow.listener,
            transport: flow.transport,
            peer: flow.peer,
            connection: flow.connection.map(|connection| connection.0),
            is_next_hop: self.flow_is_next_hop(flow, request).unwrap_or(false),
            believed,
        }
    }

    fn flow_is_next_hop(&self, flow: &Flow, request: &Message<'_>) -> Option<bool> {
        const INVALID: &[u8] = b".invalid";
        let route = request.record_routes().next();
        let routed = route.is_some();
        let next = match route {
            Some(route) => route.ok()?,
            None => request.contact().ok()??,
        };
        let uri = next.parsed().ok()?;
        let host = uri.host.as_bytes();
        let top = &host[host.len().saturating_sub(INVALID.len())..];
        if top.eq_ignore_ascii_case(INVALID) || (!routed && uri.has_param("ob")) {
            return Some(true);
        }
        let via = request.via().ok()?;
        let names_sent_by = uri.host.eq_ignore_ascii_case(via.host)
            && uri.port.unwrap_or(5060) == via.port.unwrap_or(5060);
        if flow.transport == Transport::Tcp {
            let wants_tcp = uri
                .param("transport")
                .is_none_or(|transport| transport.eq_ignore_ascii_case("tcp"));
            let address = uri
                .address()
                .map(|ip| SocketAddr::new(ip.to_canonical(), uri.port.unwrap_or(5060)));
            let peer = SocketAddr::new(flow.peer.ip().to_canonical(), flow.peer.port());
            return Some(wants_tcp && (names_sent_by || address == Some(peer)));
        }
        let nat = self
            .settings
            .listeners
            .get(usize::from(flow.listener.0))
            .is_some_and(|listener| listener.nat);
        // A Contact equal to the only Via's sent-by, which the source shows to be translated.
        let translated = || {
            via.address().map(|ip| ip.to_canonical()) != Some(flow.peer.ip().to_canonical())
                || via.port.unwrap_or(5060) != flow.peer.port()
        };
        let named = nat && !routed && names_sent_by && via.rport().is_some();
        Some(named && translated() && request.via_count() == 1)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an answer has that many parts, and only `answer` is called with them"
    )]
    fn answer(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        transaction: TransactionKey,
        status: u16,
        tag: Option<&str>,
        fields: &[(Name, Value<'_>)],
        grants: Grants,
        stateful: bool,
    ) {
        let fresh;
        let tag = match tag {
            Some(tag) => tag,
            None => {
                fresh = self.fresh_tag(request);
                &fresh
            }
        };
        let mut head = self.new_head();
        let mut writer =
            sip::response_to(&mut head, request, status, "", Some(tag), Some(flow.peer));
        if request.method() == Method::Subscribe && status < 300 {
            // RFC 3261 §12.1.1: the 2xx that makes a dialog carries the Record-Route back.
            writer.copy(request, Name::RecordRoute);
        }
        for (name, value) in fields {
            match value {
                Value::Text(text) => writer.header(*name, text),
                Value::Number(number) => writer.number(*name, u64::from(*number)),
                Value::OurContact => {
                    let contact = self.face(flow.listener).contact(flow.transport);
                    writer.pieces(*name, &[b"<", contact.as_bytes(), b">"])
                }
            };
        }
        writer.end(0);
        let send = Send {
            to: self.destination(flow, request),
            head,
            body: Bytes::new(),
            token: 0,
            cause: self.cause,
        };
        // What it did is said before that it was taken.
        self.say_what_happened();
        self.happens(Happened::RequestAccepted {
            method: request.method().known_name(),
            status,
        });
        let transaction = match stateful {
            true => Some(transaction),
            false => self.remembered_for(Some(transaction), &send.head),
        };
        let reply = Held::Reply(Reply {
            transaction,
            status,
            send,
            grants,
        });
        if stateful {
            self.hold(reply)
        } else {
            self.leave(reply)
        }
    }

    /// The transaction of an answer that reads no state, if it is to be remembered.
    fn remembered_for(
        &mut self,
        transaction: Option<TransactionKey>,
        answer: &[u8],
    ) -> Option<TransactionKey> {
        let transaction = transaction?;
        if answer.len() <= REMEMBERED_BYTES_MAX {
            return Some(transaction);
        }
        self.invites.remove(&transaction);
        self.transactions.forget(transaction);
        None
    }

    /// Refuses a request. Nothing was changed, so nothing needs to be durable.
    pub(crate) fn refuse(
        &mut self,
        flow: &Flow,
        request: &Message<'_>,
        transaction: Option<TransactionKey>,
        rejection: &Rejection,
    ) {
        let tag = self.fresh_tag(request);
        let mut head = self.new_head();
        let mut writer = sip::response_to(
            &mut head,
            request,
            rejection.status,
            &rejection.reason,
            Some(&tag),
            Some(flow.peer),
        );
        for (name, value) in &rejection.fields {
            writer.header(*name, value);
        }
        writer.end(0);
        let reason = if rejection.reason.is_empty() {
            sip::reason_phrase(rejection.status)
        } else {
            &rejection.reason
        };
        self.happens(Happened::RequestRefused {
            method: request.method().known_name(),
            status: rejection.status,
            reason: reason.to_owned(),
        });
        let send = Send {
            to: self.destination(flow, request),
            head,
            body: Bytes::new(),
            token: 0,
            cause: self.cause,
        };
        let transaction = self.remembered_for(transaction, &send.head);
        self.leave(Held::Reply(Reply {
            transaction,
            status: rejection.status,
            send,
            grants: Grants::Nothing,
        }));
    }

    /// Where the answer to a request goes. A stranger's maddr counts for nothing: otherwise everybody could make us send to
    /// whom they name, to what listens on this machine only too. RFC 3261 §18.1.1 has it for multicast, where we never listen.
    fn destination(&self, flow: &Flow, request: &Message<'_>) -> Destination {
        let maddr = flow.peer.ip().to_canonical().is_loopback() || self.is_trusted(flow);
        destination(flow, request, maddr)
    }

    /// A tag of no dialog, the same when the request comes again (RFC 3261 §8.2.7); its partition brings an ACK of a refused
    /// INVITE to this shard.
    fn fresh_tag(&self, request: &Message<'_>) -> String {
        let uri = Uri::parse(request.request_uri()).ok();
        let canonical = uri
            .and_then(|uri| self.directory.canonical(&uri))
            .unwrap_or_default();
        self.tag_of(&canonical, Fingerprint::of(request, &self.partitioner))
    }

    fn tag_of(&self, canonical: &str, fingerprint: Fingerprint) -> String {
        Tag {
            partition: self.partitioner.partition(canonical),
            number: 0,
            salt: fingerprint.0 as u32,
        }
        .text()
    }
}

/// RFC 3261 §18.2.2, RFC 3581 §4: where the answer to a request goes. `maddr`: whether the request may name another place.
fn destination(flow: &Flow, request: &Message<'_>, maddr: bool) -> Destination {
    let via = request.via().ok();
    let port = via.as_ref().and_then(|via| via.port).unwrap_or(5060);
    if let Some(connection) = flow.connection {
        // The connection it came by; when that is closed, a new one to where it came from, at the port in sent-by.
        let otherwise = Some(SocketAddr::new(flow.peer.ip(), port));
        return Destination::Connection {
            connection,
            otherwise,
            listener: flow.listener,
        };
    }
    let elsewhere: Option<IpAddr> = via.as_ref().filter(|_| maddr).and_then(|via| {
        let maddr = via.maddr()?;
        maddr
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    });
    let to = match (elsewhere, via.as_ref().and_then(|via| via.rport())) {
        (Some(maddr), _) => SocketAddr::new(maddr, port),
        (None, Some(_)) => flow.peer,
        (None, None) => SocketAddr::new(flow.peer.ip(), port),
    };
    if flow.transport == Transport::Udp {
        Destination::Datagram {
            listener: flow.listener,
            to,
        }
    } else {
        Destination::Stream {
            transport: flow.transport,
            listener: flow.listener,
            to,
            connect_ms_max: CONNECT_MS_MAX,
        }
    }
}

/// Whom `publish_by_others` names.
fn may_publish(domain: &Domain, source: &str, presentity: &str) -> bool {
    domain.presence.publish_by_others.iter().any(|other| {
        other.source == source
            && match other.presentities.strip_prefix('@') {
                Some(host) => presentity
                    .rsplit_once('@')
                    .is_some_and(|(_, of)| of.eq_ignore_ascii_case(host)),
                None => other.presentities == presentity,
            }
    })
}
