//! The notifier's side of a dialog (RFC 3261 §12.1.1): what a SUBSCRIBE left behind, packed, and the head of a NOTIFY made from it.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddrV4};

use machine::Partition;
use sip::{Message, Uri};

use crate::answer::Rejection;

/// The texts of one dialog in one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    packed: Box<[u8]>,
    next_hop: NextHop,
}

/// What the texts say of the next hop, so that no NOTIFY reads its URI again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextHop {
    /// This address.
    Plain(SocketAddrV4),
    /// It takes a closer look.
    Other,
    /// A strict router comes first in the route set (RFC 3261 §12.2.1.1): NOTIFYs are composed the long way.
    Strict,
}

/// The fields in the order in which they are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    CallId,
    LocalUri,
    Remote,
    RemoteTag,
    Contact,
    Routes,
    Event,
}

const FIELDS: usize = 7;

/// The longest packed dialog: a Call-ID, From, To, Contact and 20 routes of 200 bytes each fit four times.
pub const DIALOG_BYTES_MAX: usize = 16_384;

impl Dialog {
    /// Reads the dialog that a SUBSCRIBE begins. The caller has checked the message.
    pub fn of_subscribe(request: &Message<'_>) -> Result<Self, Rejection> {
        let essentials = request.essentials()?;
        let contact = contact_of(request)?;
        let mut routes = String::new();
        // RFC 3261 §12.1.1: the route set is the Record-Route in order, all URI parameters kept.
        for route in request.record_routes() {
            let route = route?;
            // RFC 3261 §20.30: where a NOTIFY goes first; another scheme has no host that it could go to.
            match Uri::parse(route.uri).map(|uri| uri.scheme) {
                Ok(sip::Scheme::Sip | sip::Scheme::Sips) => {}
                _ => return Err(Rejection::new(400, "Record-Route is not a SIP URI")),
            }
            if !routes.is_empty() {
                routes.push_str(", ");
            }
            routes.push_str(&unfold(route.text()));
        }
        let event = request
            .header(sip::Name::Event)
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        Self::pack([
            essentials.call_id,
            essentials.to.uri,
            &unfold(essentials.from.text()),
            // RFC 3261 §12.1.1: a From without a tag (RFC 2543) has the null tag.
            essentials.from.tag().unwrap_or_default(),
            contact,
            &routes,
            &unfold(&event),
        ])
        .ok_or_else(|| Rejection::new(413, "Dialog too large"))
    }

    fn pack(fields: [&str; FIELDS]) -> Option<Self> {
        let length = 2 * FIELDS + fields.iter().map(|field| field.len()).sum::<usize>();
        if length > DIALOG_BYTES_MAX {
            return None;
        }
        let mut packed = Vec::with_capacity(length);
        for field in fields {
            packed.extend_from_slice(&(field.len() as u16).to_le_bytes());
        }
        for field in fields {
            packed.extend_from_slice(field.as_bytes());
        }
        let strict =
            first_route(fields[Field::Routes as usize]).is_some_and(|first| !is_loose(first));
        let mut this = Self {
            packed: packed.into(),
            next_hop: NextHop::Strict,
        };
        if !strict {
            this.next_hop = plain_address(this.next_hop()).map_or(NextHop::Other, NextHop::Plain);
        }
        Some(this)
    }

    /// Where each field begins, and where the last ends.
    fn bounds(&self) -> [usize; FIELDS + 1] {
        let mut bounds = [2 * FIELDS; FIELDS + 1];
        for (index, length) in self.packed.chunks_exact(2).take(FIELDS).enumerate() {
            let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
            bounds[index + 1] = bounds[index] + length;
        }
        bounds
    }

    fn field(&self, field: Field) -> &str {
        let bounds = self.bounds();
        let bytes = &self.packed[bounds[field as usize]..bounds[field as usize + 1]];
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The watcher as her SUBSCRIBE's From has her.
    pub fn remote(&self) -> &str {
        self.field(Field::Remote)
    }

    /// As stored.
    pub fn to_bytes(&self) -> &[u8] {
        &self.packed
    }

    /// Reads what `to_bytes` gave; `None` when it isn't that.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = [""; FIELDS];
        let mut start = 2 * FIELDS;
        for (index, field) in fields.iter_mut().enumerate() {
            let length = usize::from(u16::from_le_bytes([
                *bytes.get(2 * index)?,
                *bytes.get(2 * index + 1)?,
            ]));
            *field = std::str::from_utf8(bytes.get(start..start + length)?).ok()?;
            start += length;
        }
        if start != bytes.len() {
            None
        } else {
            Self::pack(fields)
        }
    }

    /// The same dialog with a new remote target (RFC 6665 §4.4.1, RFC 3261 §12.2.2).
    pub fn with_contact(&self, contact: &str) -> Option<Self> {
        Self::pack([
            self.field(Field::CallId),
            self.field(Field::LocalUri),
            self.field(Field::Remote),
            self.field(Field::RemoteTag),
            contact,
            self.field(Field::Routes),
            self.field(Field::Event),
        ])
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.field(Field::CallId)
    }

    /// The peer's tag; empty for an RFC 2543 peer.
    pub fn remote_tag(&self) -> &str {
        self.field(Field::RemoteTag)
    }

    /// The remote target.
    pub fn contact(&self) -> &str {
        self.field(Field::Contact)
    }

    /// The Event header value, id included.
    pub fn event(&self) -> &str {
        self.field(Field::Event)
    }

    /// Whether proxies stand between.
    pub fn has_routes(&self) -> bool {
        !self.field(Field::Routes).is_empty()
    }

    /// The URI that a NOTIFY is sent to first: the topmost Route, else the remote target (RFC 3261 §12.2.1.1, §8.1.2).
    pub fn next_hop(&self) -> &str {
        first_route(self.field(Field::Routes)).map_or_else(|| self.contact(), route_uri)
    }

    /// Where `next_hop` is, if it is a sip URI with an IPv4 address, perhaps a port, and nothing that may say otherwise.
    pub const fn plain_next_hop(&self) -> Option<SocketAddrV4> {
        match self.next_hop {
            NextHop::Plain(address) => Some(address),
            NextHop::Other | NextHop::Strict => None,
        }
    }

    /// Writes start line and header section of a NOTIFY up to and including the empty line.
    pub fn write_notify(&self, out: &mut Vec<u8>, notify: &NotifyHead<'_>) {
        let bounds = self.bounds();
        let field = |field: Field| &self.packed[bounds[field as usize]..bounds[field as usize + 1]];
        self.write_target(out, notify, field);
        // RFC 3261 §12.2.1.1: From is our URI of the dialog with our tag, To the peer's with hers.
        push(
            out,
            [
                b"Max-Forwards: 70\r\nFrom: <",
                field(Field::LocalUri),
                b">;tag=",
            ],
        );
        notify.tag.write(out);
        push(
            out,
            [
                b"\r\nTo: ",
                field(Field::Remote),
                b"\r\nCall-ID: ",
                field(Field::CallId),
                b"\r\nCSeq: ",
            ],
        );
        write_number(out, u64::from(notify.cseq));
        push(
            out,
            [
                b" NOTIFY\r\nContact: <",
                notify.contact.as_bytes(),
                b">\r\nEvent: ",
                field(Field::Event),
                b"\r\nSubscription-State: ",
            ],
        );
        notify.state.write(out);
        if let Some(content_type) = notify.content_type {
            push(out, [b"\r\nContent-Type: ", content_type.as_bytes()]);
        }
        out.extend_from_slice(b"\r\nContent-Length: ");
        write_number(out, notify.content_length as u64);
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// Start line, Via, Route.
    fn write_target<'a>(
        &'a self,
        out: &mut Vec<u8>,
        notify: &NotifyHead<'_>,
        field: impl Fn(Field) -> &'a [u8],
    ) {
        if self.next_hop == NextHop::Strict {
            // RFC 3261 §12.2.1.1: the strict router's URI is the Request-URI, the remote target the last Route.
            let routes = self.field(Field::Routes);
            let first = first_route(routes).unwrap_or_default();
            let rest = routes[first.len()..].trim_start_matches([',', ' ']);
            let separator = if rest.is_empty() { "" } else { ", " };
            let _ = write!(out, "NOTIFY {} SIP/2.0\r\n", route_uri(first));
            write_via(out, notify);
            let _ = write!(out, "Route: {rest}{separator}<{}>\r\n", self.contact());
        } else {
            push(out, [b"NOTIFY ", field(Field::Contact), b" SIP/2.0\r\n"]);
            write_via(out, notify);
            let routes = field(Field::Routes);
            if !routes.is_empty() {
                push(out, [b"Route: ", routes, b"\r\n"]);
            }
        }
    }
}

/// What differs from NOTIFY to NOTIFY.
#[derive(Clone, Debug)]
pub struct NotifyHead<'a> {
    /// UDP or TCP.
    pub via_transport: &'a str,
    /// Public host and port of the listener that sends.
    pub sent_by: &'a str,
    /// Which attempt at which NOTIFY.
    pub branch: Branch,
    /// Our tag.
    pub tag: Tag,
    /// CSeq number.
    pub cseq: u32,
    /// URI of our Contact.
    pub contact: &'a str,
    /// Subscription-State.
    pub state: State,
    /// Absent for an empty body.
    pub content_type: Option<&'a str>,
    /// Bytes of body.
    pub content_length: usize,
}

/// Subscription-State as said in one NOTIFY (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Seconds left.
    Active(u32),
    /// Seconds left.
    Pending(u32),
    /// The reason.
    Terminated(&'static str),
}

impl State {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Active(expires) => {
                out.extend_from_slice(b"active;expires=");
                write_number(out, u64::from(expires));
            }
            Self::Pending(expires) => {
                out.extend_from_slice(b"pending;expires=");
                write_number(out, u64::from(expires));
            }
            // RFC 6665 §4.1.3: terminated carries a reason and no expires.
            Self::Terminated(reason) => {
                push(out, [b"terminated;reason=", reason.as_bytes()]);
            }
        }
    }

    /// The state's name, as written in Subscription-State.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active(_) => "active",
            Self::Pending(_) => "pending",
            Self::Terminated(_) => "terminated",
        }
    }
}

/// Our tag of a dialog: partition, number, and 32 bits that a stranger cannot guess (RFC 3261 §19.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Whose shard owns the dialog.
    pub partition: Partition,
    /// The subscription's number within the partition.
    pub number: u64,
    /// Unguessable.
    pub salt: u32,
}

impl Tag {
    /// Appends the tag's text.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.partition.digits());
        write_hex(out, self.number);
        out.push(b'.');
        write_hex(out, u64::from(self.salt));
    }

    /// The tag's text.
    pub fn text(self) -> String {
        let mut out = Vec::with_capacity(32);
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Reads a tag of ours; `None` when it isn't one.
    pub fn read(text: &str) -> Option<Self> {
        let (tag, mut parts) = Self::read_first(text)?;
        parts.next().is_none().then_some(tag)
    }

    /// A tag, and the parts behind it that further dots begin.
    fn read_first(text: &str) -> Option<(Self, impl Iterator<Item = &[u8]>)> {
        let (digits, rest) = text.as_bytes().split_at_checked(3)?;
        let mut parts = rest.split(|byte| *byte == b'.');
        let tag = Self {
            partition: Partition::from_digits(digits)?,
            number: read_hex(parts.next()?)?,
            salt: u32::try_from(read_hex(parts.next()?)?).ok()?,
        };
        Some((tag, parts))
    }
}

/// Our Via branch of a NOTIFY: its dialog's tag, CSeq and attempt, so that the response finds its way without a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Which dialog.
    pub tag: Tag,
    /// Which NOTIFY of it.
    pub cseq: u32,
    /// A request sent anew over another transport is another transaction.
    pub attempt: u8,
}

/// The cookie of RFC 3261 §8.1.1.7.
pub const COOKIE: &str = "z9hG4bK";

impl Branch {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(COOKIE.as_bytes());
        self.tag.write(out);
        out.push(b'.');
        write_hex(out, u64::from(self.cseq));
        out.push(b'.');
        write_hex(out, u64::from(self.attempt));
    }

    /// Reads a branch of ours; `None` when it isn't one.
    pub fn read(text: &str) -> Option<Self> {
        let (tag, mut parts) = Tag::read_first(text.strip_prefix(COOKIE)?)?;
        let (cseq, attempt) = (read_hex(parts.next()?)?, read_hex(parts.next()?)?);
        let this = Self {
            tag,
            cseq: u32::try_from(cseq).ok()?,
            attempt: u8::try_from(attempt).ok()?,
        };
        parts.next().is_none().then_some(this)
    }
}

/// The URI of the Contact that a SUBSCRIBE must have (RFC 6665 §4.1.2.1: it forms a dialog).
pub fn contact_of<'b>(request: &Message<'b>) -> Result<&'b str, Rejection> {
    let contact = request
        .contact()?
        .ok_or_else(|| Rejection::new(400, "No Contact"))?;
    match Uri::parse(contact.uri) {
        // RFC 3261 §19.1.1: it becomes the Request-URI of each NOTIFY, which has no headers.
        Ok(uri) if uri.headers.is_some() => Err(Rejection::new(400, "Contact with headers")),
        Ok(uri) if uri.scheme == sip::Scheme::Sip => Ok(contact.uri),
        // RFC 3261 §19.1: every hop to a sips target is TLS, which no listener speaks: better refused than sent in the clear.
        Ok(uri) if uri.scheme == sip::Scheme::Sips => {
            Err(Rejection::new(400, "A sips Contact needs TLS"))
        }
        _ => Err(Rejection::new(400, "Contact is not a SIP URI")),
    }
}

/// The first of several name-addrs; commas within angle brackets or quotes do not separate.
fn first_route(routes: &str) -> Option<&str> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, byte) in routes.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return Some(&routes[..at]),
            _ => {}
        }
    }
    Some(routes).filter(|routes| !routes.is_empty())
}

/// RFC 3263 §4: the address and port of a sip URI without transport or maddr.
fn plain_address(uri: &str) -> Option<SocketAddrV4> {
    let uri = Uri::parse(uri).ok()?;
    let says_more = |(name, _): (&str, _)| !name.eq_ignore_ascii_case("lr");
    if uri.scheme != sip::Scheme::Sip || uri.params.iter().any(says_more) {
        return None;
    }
    match uri.address()? {
        IpAddr::V4(address) => Some(SocketAddrV4::new(address, uri.port.unwrap_or(5060))),
        IpAddr::V6(_) => None,
    }
}

fn route_uri(route: &str) -> &str {
    sip::NameAddr::parse(route, sip::Name::Route).map_or(route, |address| address.uri)
}

fn is_loose(route: &str) -> bool {
    Uri::parse(route_uri(route)).is_ok_and(|uri| uri.has_param("lr"))
}

/// A folded header value on one line (RFC 3261 §7.3.1).
fn unfold(value: &str) -> Cow<'_, str> {
    if !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Cow::Borrowed(value);
    }
    let parts = value.split(['\r', '\n']).map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    Cow::Owned(parts.join(" "))
}

fn write_via(out: &mut Vec<u8>, notify: &NotifyHead<'_>) {
    // The branch comes first: the kernel steers the response by it (runtime/transport/steering).
    push(
        out,
        [
            b"Via: SIP/2.0/",
            notify.via_transport.as_bytes(),
            b" ",
            notify.sent_by.as_bytes(),
            b";branch=",
        ],
    );
    notify.branch.write(out);
    out.extend_from_slice(b";rport\r\n");
}

fn push<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub(crate) fn write_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_hex(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn read_hex(text: &[u8]) -> Option<u64> {
    let canonical =
        !text.is_empty() && text.len() <= 16 && (text.len() == 1 || text.first() != Some(&b'0'));
    if !canonical {
        return None;
    }
    text.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}
