//! The agent, a clock, and a server's side that a test writes line by line.

use std::net::SocketAddr;

use agent::{Agent, Event, Hop, Login, Output, Start, Transport};
use machine::Instant;
use sip::{Message, Name, response_to};

pub(crate) const SERVER: &str = "192.0.2.5:5060";
pub(crate) const LOCAL: &str = "192.0.2.1:40000";

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

pub(crate) fn hop(transport: Transport, address: &str) -> Hop {
    Hop {
        transport,
        address: address.parse().unwrap(),
    }
}

pub(crate) fn udp(address: &str) -> Hop {
    hop(Transport::Udp, address)
}

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: u64,
    pub(crate) sent: Vec<(Hop, Vec<u8>)>,
    pub(crate) shown: Vec<Event>,
    /// Statuses of `Event::Accepted`, which few tests look at.
    pub(crate) accepted: Vec<u16>,
}

impl World {
    pub(crate) fn new(identity: &str, server: Hop) -> Self {
        Self::with_login(identity, server, None)
    }

    pub(crate) fn with_login(identity: &str, server: Hop, login: Option<Login>) -> Self {
        let local: SocketAddr = LOCAL.parse().unwrap();
        let start = Start {
            identity: identity.to_owned(),
            server,
            local,
            user_agent: "test".to_owned(),
            seed: 42,
            login,
        };
        Self {
            agent: Agent::new(start),
            now: 0,
            sent: Vec::new(),
            shown: Vec::new(),
            accepted: Vec::new(),
        }
    }

    pub(crate) fn time(&self) -> Instant {
        at(self.now)
    }

    /// Takes what the agent wants done.
    pub(crate) fn settle(&mut self) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Send { hop, bytes } => {
                    let message = Message::parse(&bytes).expect("a message");
                    assert_eq!(message.check(), Ok(()), "{}", text(&bytes));
                    self.sent.push((hop, bytes));
                }
                Output::Show(Event::Accepted { status, .. }) => self.accepted.push(status),
                Output::Show(event) => self.shown.push(event),
            }
        }
    }

    /// The only message sent since the last look.
    pub(crate) fn one(&mut self) -> (Hop, String) {
        self.settle();
        assert_eq!(
            self.sent.len(),
            1,
            "{:#?}",
            self.sent
                .iter()
                .map(|(_, bytes)| text(bytes))
                .collect::<Vec<_>>()
        );
        let (hop, bytes) = self.sent.remove(0);
        (hop, text(&bytes))
    }

    pub(crate) fn nothing(&mut self) {
        self.settle();
        assert!(self.sent.is_empty(), "{}", text(&self.sent[0].1));
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.settle();
        std::mem::take(&mut self.shown)
    }

    pub(crate) fn receive(&mut self, from: Hop, message: &str) {
        self.agent
            .handle_message(at(self.now), from, message.as_bytes());
    }

    /// Answers a request of the agent's from `from`.
    pub(crate) fn answer(
        &mut self,
        from: Hop,
        request: &str,
        status: u16,
        fields: &[(&str, &str)],
    ) {
        let message = response(request, status, fields);
        self.receive(from, &message);
    }

    /// Lets time pass to the next deadline; what it was.
    pub(crate) fn fire(&mut self) -> u64 {
        let timer = self.agent.poll_timeout().expect("a deadline");
        self.now = timer.as_micros().div_ceil(1000);
        self.agent.handle_timeout(timer);
        self.settle();
        self.now
    }

    /// Lets time pass until something is sent.
    pub(crate) fn fire_until_sent(&mut self) -> u64 {
        while self.sent.is_empty() {
            self.fire();
        }
        self.now
    }
}

pub(crate) fn response(request: &str, status: u16, fields: &[(&str, &str)]) -> String {
    let request = Message::parse(request.as_bytes()).unwrap();
    let mut out = Vec::new();
    let mut writer = response_to(&mut out, &request, status, "", Some("server-tag"), None);
    for (name, value) in fields {
        writer.named(name, value);
    }
    writer.end(0);
    text(&out)
}

/// A NOTIFY in the dialog that this SUBSCRIBE asks for.
pub(crate) fn notify(subscribe: &str, cseq: u32, state: &str, more: &str, body: &str) -> String {
    let subscribe = Message::parse(subscribe.as_bytes()).unwrap();
    let target = subscribe.contact().unwrap().unwrap().uri;
    let to = subscribe.from().unwrap();
    let from = subscribe.to().unwrap();
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/pidf+xml\r\n"
    };
    format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/UDP {SERVER};branch=z9hG4bKn{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <{}>;tag=server-tag\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:{SERVER}>\r\n\
         Event: presence\r\nSubscription-State: {state}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
        from.uri,
        to.text(),
        subscribe.call_id().unwrap(),
        body.len(),
    )
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A header field of a message, as written.
pub(crate) fn field(message: &str, name: Name) -> String {
    let message = Message::parse(message.as_bytes()).unwrap();
    message
        .headers(name)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(", ")
}

pub(crate) fn status(message: &str) -> u16 {
    Message::parse(message.as_bytes())
        .unwrap()
        .status()
        .expect("a response")
}
