//! A raw SIP user agent: sends what a test writes, retransmits as RFC 3261 §17 says, answers NOTIFYs, forgets nothing it received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::deadline::{Deadline, now};
use crate::message::{Message, parameter};
use crate::request::Request;
use crate::wire::{Arrival, Path, Wire};

/// RFC 3261 §17.1.1.1: first interval between two sendings of one request over UDP.
const T1: Duration = Duration::from_millis(500);

/// What happens to a request from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// 200 as soon as it is read.
    Auto,
    /// The test answers; what is retransmitted meanwhile is counted and dropped.
    Manual,
    /// Nobody answers, retransmissions are kept like anything else.
    Never,
}

/// A user agent on sockets of its own.
pub struct Peer {
    /// The sockets.
    pub wire: Wire,
    /// Where its requests go.
    pub server: SocketAddr,
    /// How NOTIFYs are met.
    pub answering: Answering,
    /// Retransmitted requests that were met with the stored answer, or dropped because the first still lies unread.
    pub retransmissions: usize,
    /// Keep-alive answers received.
    pub pongs: usize,
    /// Connections that the other side closed.
    pub closed: Vec<usize>,
    inbox: VecDeque<(Instant, Message)>,
    answered: BTreeMap<String, Vec<u8>>,
    seen: BTreeSet<String>,
}

static COUNTER: AtomicU64 = AtomicU64::new(1);

/// A token that no other in this process (nor, with luck, on this machine) equals.
pub fn unique() -> String {
    format!(
        "{:x}x{:x}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}

impl Peer {
    /// A peer that speaks to `server` over these sockets.
    pub fn new(wire: Wire, server: SocketAddr) -> Self {
        Self {
            wire,
            server,
            answering: Answering::Auto,
            retransmissions: 0,
            pongs: 0,
            closed: Vec::new(),
            inbox: VecDeque::new(),
            answered: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Its own HOST:PORT.
    pub fn address(&self) -> SocketAddr {
        self.wire.address()
    }

    /// `UDP` or `TCP`.
    pub fn transport(&self) -> &'static str {
        if self.wire.is_stream() { "TCP" } else { "UDP" }
    }

    /// A Via value with a fresh branch.
    pub fn via(&self) -> String {
        format!(
            "SIP/2.0/{} {};branch=z9hG4bK{};rport",
            self.transport(),
            self.address(),
            unique()
        )
    }

    /// A Contact at which it can be reached the way it came.
    pub fn contact(&self, user: &str) -> String {
        let parameters = if self.wire.is_stream() {
            ";transport=tcp"
        } else {
            ""
        };
        format!("<sip:{user}@{}{parameters}>", self.address())
    }

    /// A request outside any dialog with every field that must be there.
    pub fn request(&self, method: &str, uri: &str, from: &str) -> Request {
        Request::new(method, uri)
            .with("Via", self.via())
            .with("Max-Forwards", 70)
            .with("From", format!("<{from}>;tag={}", unique()))
            .with("To", format!("<{uri}>"))
            .with("Call-ID", unique())
            .with("CSeq", format!("1 {method}"))
    }

    /// Sends bytes as they are along the peer's way to the server.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let path = match self.wire.newest_stream() {
            Some(number) if self.wire.is_stream() => Path::Stream(number),
            None if self.wire.is_stream() => Path::Stream(self.wire.connect(self.server)),
            _ => Path::Datagram(self.server),
        };
        self.wire.send(path, bytes);
    }

    /// Sends a request once.
    pub fn send(&mut self, request: &Request) {
        self.send_bytes(&request.to_bytes());
    }

    /// Sends a request, again as often as RFC 3261 §17.1.2 says, and gives the final response, checked against the request.
    #[track_caller]
    pub fn exchange(&mut self, request: &Request) -> Message {
        self.exchange_while(request, &mut || false)
    }

    /// The same; `between` is called often meanwhile, and when it gives true the request is sent again at once.
    #[track_caller]
    pub fn exchange_while(
        &mut self,
        request: &Request,
        between: &mut dyn FnMut() -> bool,
    ) -> Message {
        let bytes = request.to_bytes();
        let sent = Message::read(&bytes, Path::Sent)
            .expect("a request that can be matched with its response");
        self.send_bytes(&bytes);
        let deadline = Deadline::default();
        let mut interval = T1;
        let mut again = Deadline::after(interval);
        loop {
            let slice = Deadline::after(Duration::from_millis(20))
                .or(deadline)
                .or(again);
            if let Some(response) = self.find(slice, |message| answers(message, &sent)) {
                check_response(&sent, &response, self.address());
                return response;
            }
            assert!(
                deadline.left().is_some(),
                "no answer to\n{sent}\nbut {}",
                self.pending()
            );
            let revived = between();
            // RFC 3261 §17.1.2.2: over UDP only, doubling up to T2.
            if revived || again.left().is_none() {
                if revived || !self.wire.is_stream() {
                    self.send_bytes(&bytes);
                }
                interval = if revived {
                    T1
                } else {
                    (interval * 2).min(8 * T1)
                };
                again = Deadline::after(interval);
            }
        }
    }

    /// The next response to this request, retransmitted ones too; nothing is sent.
    #[track_caller]
    pub fn response_to(&mut self, request: &Request) -> Message {
        let sent = Message::read(&request.to_bytes(), Path::Sent)
            .expect("a request that can be matched with its response");
        self.find(Deadline::default(), |message| answers(message, &sent))
            .unwrap_or_else(|| panic!("no answer to\n{sent}\nbut {}", self.pending()))
    }

    /// The first message that fits, waiting until the deadline.
    pub fn find(&mut self, deadline: Deadline, fits: impl Fn(&Message) -> bool) -> Option<Message> {
        self.find_timed(deadline, fits).map(|(_, message)| message)
    }

    /// The same with the time at which it was read.
    pub fn find_timed(
        &mut self,
        deadline: Deadline,
        fits: impl Fn(&Message) -> bool,
    ) -> Option<(Instant, Message)> {
        loop {
            if let Some(at) = self.inbox.iter().position(|(_, message)| fits(message)) {
                return self.inbox.remove(at);
            }
            deadline.left()?;
            self.pump(deadline);
        }
    }

    /// The next request from the server.
    #[track_caller]
    pub fn receive_request(&mut self) -> Message {
        self.find(Deadline::default(), |message| message.status().is_none())
            .unwrap_or_else(|| panic!("no request came, but {}", self.pending()))
    }

    /// The next message of any kind.
    #[track_caller]
    pub fn receive(&mut self) -> Message {
        self.find(Deadline::default(), |_| true)
            .expect("a message from the server")
    }

    /// Reads whatever comes until `wait` is over, and ends the test if any of it fits.
    #[track_caller]
    pub fn assert_silent(&mut self, wait: Duration, unwanted: impl Fn(&Message) -> bool) {
        if let Some(message) = self.find(Deadline::after(wait), unwanted) {
            panic!("nothing of the kind should have come:\n{message}");
        }
    }

    /// Waits until the server closed a connection of this peer.
    #[track_caller]
    pub fn expect_close(&mut self) {
        let deadline = Deadline::default();
        while self.closed.is_empty() {
            assert!(
                deadline.left().is_some(),
                "the connection should have been closed; {}",
                self.pending()
            );
            self.pump(deadline);
        }
    }

    /// Waits for the answer to a keep-alive.
    #[track_caller]
    pub fn expect_pong(&mut self) {
        let deadline = Deadline::default();
        let before = self.pongs;
        while self.pongs == before {
            assert!(deadline.left().is_some(), "no CRLF came back");
            self.pump(deadline);
        }
    }

    /// Answers a request the way it came; a retransmission of it gets the same again.
    pub fn answer(&mut self, request: &Message, status: u16, fields: &[(&str, &str)]) {
        let bytes = response_to(request, status, fields);
        if let Some(branch) = request.branch() {
            self.answered.insert(branch.to_owned(), bytes.clone());
        }
        self.wire.send(request.path, &bytes);
    }

    /// What lies unread, for the message of a failure.
    pub fn pending(&self) -> String {
        match self.inbox.len() {
            0 => "nothing else came".to_owned(),
            count => {
                let starts: Vec<&str> = self
                    .inbox
                    .iter()
                    .map(|(_, message)| message.start.as_str())
                    .collect();
                format!("{count} other messages: {starts:?}")
            }
        }
    }

    fn pump(&mut self, deadline: Deadline) {
        for arrival in self.wire.receive(deadline) {
            match arrival {
                Arrival::Pong(_) => self.pongs += 1,
                Arrival::Closed(number) => self.closed.push(number),
                Arrival::Message(path, bytes) => {
                    let message = Message::read(&bytes, path).unwrap_or_else(|why| {
                        panic!(
                            "{why} in what the server sent:\n{}",
                            String::from_utf8_lossy(&bytes)
                        )
                    });
                    self.keep(message);
                }
            }
        }
    }

    fn keep(&mut self, message: Message) {
        check_length(&message);
        check_grammar(&message);
        if message.status().is_none() {
            check_request(&message);
            let stored = message
                .branch()
                .and_then(|branch| self.answered.get(branch))
                .cloned();
            if let Some(answer) = stored {
                self.retransmissions += 1;
                self.wire.send(message.path, &answer);
                return;
            }
            let again = !self
                .seen
                .insert(message.branch().unwrap_or_default().to_owned());
            match self.answering {
                Answering::Auto => self.answer(&message, 200, &[]),
                // It lies in the inbox already; the test will answer it there.
                Answering::Manual if again => {
                    self.retransmissions += 1;
                    return;
                }
                Answering::Manual | Answering::Never => {}
            }
        }
        self.inbox.push_back((now(), message));
    }
}

/// A response with the fields that RFC 3261 §8.2.6.2 has copied.
fn response_to(request: &Message, status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status} Said By Test\r\n");
    for (name, value) in &request.headers {
        if matches!(name.as_str(), "via" | "from" | "to" | "call-id" | "cseq") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text.into_bytes()
}

fn answers(message: &Message, sent: &Message) -> bool {
    message.status().is_some_and(|status| status >= 200)
        && message.branch() == sent.branch()
        && message.header("cseq") == sent.header("cseq")
        && message.header("call-id") == sent.header("call-id")
}

/// RFC 3261 §8.2.6.2: Via (in order), From, Call-ID, CSeq equal those of the request; To too, and has a tag. RFC 3581 §4: rport.
#[track_caller]
pub fn check_response(request: &Message, response: &Message, address: SocketAddr) {
    for name in ["from", "call-id", "cseq"] {
        assert_eq!(
            response.header(name),
            request.header(name),
            "{name} is not the request's in\n{response}"
        );
    }
    assert_eq!(
        response.uri("to"),
        request.uri("to"),
        "To is not the request's in\n{response}"
    );
    match request.tag("to") {
        Some(tag) => assert_eq!(
            response.tag("to"),
            Some(tag),
            "the tag of To changed in\n{response}"
        ),
        None => assert!(response.tag("to").is_some(), "To has no tag in\n{response}"),
    }
    let (sent, back) = (request.values("via"), response.values("via"));
    assert_eq!(
        sent.len(),
        back.len(),
        "Via values are not the request's in\n{response}"
    );
    assert_eq!(
        sent[1..],
        back[1..],
        "Via values are not the request's in\n{response}"
    );
    let place = |via: &str| {
        via.split(';')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        place(sent[0]),
        place(back[0]),
        "the topmost Via is not the request's in\n{response}"
    );
    if parameter(sent[0], "rport").is_some() {
        assert_eq!(
            parameter(back[0], "rport"),
            Some(address.port().to_string().as_str()),
            "rport in\n{response}"
        );
        let received: Option<std::net::IpAddr> =
            parameter(back[0], "received").and_then(|host| host.parse().ok());
        assert_eq!(
            received,
            Some(address.ip()),
            "RFC 3581 §4: received beside rport in\n{response}"
        );
    }
    if response.status() == Some(405) {
        assert!(
            response.header("allow").is_some(),
            "405 without Allow:\n{response}"
        );
    }
}

/// Content-Length equals the body's length, and a body has a type.
#[track_caller]
fn check_length(message: &Message) {
    if let Some(length) = message.header("content-length") {
        assert_eq!(
            length,
            message.body.len().to_string(),
            "Content-Length of\n{message}"
        );
    }
    assert_eq!(
        message.header("content-type").is_some(),
        !message.body.is_empty(),
        "a type where there is a body:\n{message}"
    );
}

/// A second opinion: the product's own reader finds every field that it knows well-formed.
#[track_caller]
fn check_grammar(message: &Message) {
    let verdict = match sip::Message::parse(&message.raw) {
        Ok(read) => read.check().err().map(|flaw| flaw.to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = verdict {
        panic!("{why} in\n{message}");
    }
}

/// What every request of a user agent carries (RFC 3261 §8.1.1).
#[track_caller]
fn check_request(message: &Message) {
    for name in ["via", "max-forwards", "from", "to", "call-id", "cseq"] {
        assert_eq!(
            message.headers(name).count(),
            1,
            "exactly one {name} in\n{message}"
        );
    }
    let branch = message
        .branch()
        .unwrap_or_else(|| panic!("no branch in\n{message}"));
    assert!(
        branch.starts_with("z9hG4bK") && branch.len() > 7,
        "branch without the magic cookie in\n{message}"
    );
    assert!(
        (1..=255).contains(&message.number("max-forwards")),
        "Max-Forwards in\n{message}"
    );
    assert!(
        message.tag("from").is_some(),
        "From has no tag in\n{message}"
    );
    assert_eq!(
        message.cseq().1,
        message.method(),
        "CSeq names another method in\n{message}"
    );
    let transport = match message.path {
        Path::Stream(_) => "SIP/2.0/TCP ",
        _ => "SIP/2.0/UDP ",
    };
    assert!(
        message.expect("via").starts_with(transport),
        "Via names another transport than it came by in\n{message}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Peer, Peer) {
        let any = "127.0.0.1:9".parse().unwrap();
        let mut left = Peer::new(Wire::datagrams(any), any);
        let mut right = Peer::new(Wire::datagrams(any), left.address());
        left.server = right.address();
        right.answering = Answering::Never;
        (left, right)
    }

    #[test]
    fn an_exchange_survives_a_lost_request_and_a_foreign_response() {
        let (mut left, mut right) = pair();
        let request = left.request("OPTIONS", "sip:a@example.com", "sip:b@example.com");
        let answerer = std::thread::spawn(move || {
            let lost = right.receive_request();
            let again = right.receive_request();
            assert_eq!(lost.raw, again.raw);
            let foreign = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=y\r\nFrom: <sip:b@x>;tag=1\r\n\
                To: <sip:a@x>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
            right.wire.send(again.path, foreign.as_bytes());
            let via = format!(
                "{};received=127.0.0.1",
                again
                    .expect("via")
                    .replace(";rport", &format!(";rport={}", right.server.port()))
            );
            let mut again = again;
            again
                .headers
                .iter_mut()
                .for_each(|(name, value)| match name.as_str() {
                    "via" => value.clone_from(&via),
                    "to" => value.push_str(";tag=1"),
                    _ => {}
                });
            right.answer(&again, 404, &[]);
        });
        assert_eq!(left.exchange(&request).status(), Some(404));
        answerer.join().unwrap();
    }

    #[test]
    fn a_retransmitted_request_gets_the_stored_answer_and_is_seen_once() {
        let (mut left, mut right) = pair();
        let request = left.request("NOTIFY", "sip:a@example.com", "sip:b@example.com");
        left.send(&request);
        let received = right.receive_request();
        right.answer(&received, 481, &[("X-Test", "1")]);
        let first = left.response_to(&request);
        left.send(&request);
        right.assert_silent(Duration::from_millis(20), |_| true);
        assert_eq!(right.retransmissions, 1);
        assert_eq!(left.response_to(&request).raw, first.raw);
    }

    #[test]
    #[should_panic(expected = "magic cookie")]
    fn a_branch_without_its_cookie_is_noticed() {
        let (mut left, mut right) = pair();
        left.send(
            &left
                .request("NOTIFY", "sip:a@example.com", "sip:b@example.com")
                .set("Via", "SIP/2.0/UDP 127.0.0.1:1;branch=1"),
        );
        right.receive_request();
    }
}
