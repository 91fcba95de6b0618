//! The driver on real sockets against a peer of a few lines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use agent::{Agent, End, Event, Hop, Phase, Transport, UsageId};
use client::{Clock, Direction, Driver, Handler, Outcome};
use machine::Instant;
use sip::{Message, response_to};

struct Fetch {
    events: Vec<Event>,
    traced: Vec<Direction>,
}

impl Handler for Fetch {
    fn begin(&mut self, agent: &mut Agent, now: Instant) {
        agent.watch(now, "sip:alice@example.com", 0);
    }

    fn event(&mut self, _agent: &mut Agent, _now: Instant, event: Event) {
        self.events.push(event);
    }

    fn give_up(&mut self) -> bool {
        true
    }

    fn trace(&mut self, direction: Direction, _hop: Hop, _bytes: &[u8]) {
        self.traced.push(direction);
    }
}

fn run(addresses: Vec<SocketAddr>, transport: Transport, timeout_ms: u64) -> (Outcome, Fetch) {
    let mut fetch = Fetch {
        events: Vec::new(),
        traced: Vec::new(),
    };
    let driver = Driver {
        identity: "sip:bob@example.com".to_owned(),
        transport,
        addresses,
        user_agent: "test".to_owned(),
        login: None,
        timeout: Duration::from_millis(timeout_ms),
        clock: Clock::new(),
    };
    let outcome = driver.run(&mut fetch).unwrap();
    (outcome, fetch)
}

/// The 200 and the NOTIFY that answer a SUBSCRIBE.
fn answers(
    subscribe: &[u8],
    from: SocketAddr,
    local: SocketAddr,
    transport: &str,
) -> (Vec<u8>, Vec<u8>) {
    let subscribe = Message::parse(subscribe).unwrap();
    let mut ok = Vec::new();
    let mut writer = response_to(&mut ok, &subscribe, 200, "", Some("t"), Some(from));
    writer
        .named("Expires", "0")
        .named("Contact", format!("<sip:{local}>"));
    writer.end(0);
    let notify = format!(
        "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
         From: {};tag=t\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 NOTIFY\r\nContact: <sip:{local}>\r\nEvent: presence\r\n\
         Subscription-State: terminated;reason=timeout\r\nContent-Type: application/pidf+xml\r\nContent-Length: 4\r\n\r\n<x/>",
        subscribe.contact().unwrap().unwrap().uri,
        subscribe.to().unwrap().text(),
        subscribe.from().unwrap().text(),
        subscribe.call_id().unwrap(),
    );
    (ok, notify.into_bytes())
}

fn assert_fetched(outcome: Outcome, fetch: &Fetch) {
    assert_eq!(outcome, Outcome::Done);
    let body = fetch.events.iter().find_map(|event| match event {
        Event::Notified {
            phase: Phase::Terminated,
            body,
            ..
        } => Some(body.clone()),
        _ => None,
    });
    assert_eq!(body.as_deref(), Some(&b"<x/>"[..]));
    assert_eq!(
        fetch.events.last(),
        Some(&Event::Ended {
            usage: UsageId(1),
            end: End::Fetched
        })
    );
    assert!(fetch.traced.len() >= 3);
}

#[test]
fn fetch_by_udp_with_the_notify_from_another_port() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(server) = UdpSocket::bind(host) else {
            println!("skipped: no {host}");
            continue;
        };
        let address = server.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            let other = UdpSocket::bind(host).unwrap();
            other
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let (ok, notify) = answers(&buffer[..length], from, other.local_addr().unwrap(), "UDP");
            server.send_to(&ok, from).unwrap();
            other.send_to(&notify, from).unwrap();
            let (length, _) = other.recv_from(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        });
        let (outcome, fetch) = run(vec![address], Transport::Udp, 5000);
        assert_fetched(outcome, &fetch);
        assert!(peer.join().unwrap().starts_with("SIP/2.0 200 OK\r\n"));
    }
}

fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut message = Vec::new();
    let mut byte = [0];
    while !message.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        message.push(byte[0]);
    }
    message
}

#[test]
fn fetch_by_tcp_with_the_notify_on_a_connection_of_the_peers() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, from) = server.accept().unwrap();
        let subscribe = read_message(&mut stream);
        let (ok, notify) = answers(&subscribe, from, address, "TCP");
        stream.write_all(&ok).unwrap();
        let contact = Message::parse(&subscribe)
            .unwrap()
            .contact()
            .unwrap()
            .unwrap()
            .uri
            .to_owned();
        let port = contact
            .trim_end_matches(";transport=tcp")
            .rsplit(':')
            .next()
            .unwrap()
            .parse::<u16>()
            .unwrap();
        let mut back = TcpStream::connect(("127.0.0.1", port)).unwrap();
        back.write_all(b"\r\n\r\n").unwrap();
        // In two pieces, the second late.
        back.write_all(&notify[..100]).unwrap();
        back.write_all(&notify[100..]).unwrap();
        let mut pong = [0; 2];
        back.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\r\n");
        String::from_utf8(read_message(&mut back)).unwrap()
    });
    let (outcome, fetch) = run(vec![address], Transport::Tcp, 5000);
    assert_fetched(outcome, &fetch);
    assert!(
        peer.join().unwrap().starts_with("SIP/2.0 200 OK\r\n"),
        "the answer left before the end"
    );
}

#[test]
fn nobody_there_is_learnt_at_once_and_the_next_address_tried() {
    let free = |host: &str| UdpSocket::bind(host).unwrap().local_addr().unwrap();
    for transport in [Transport::Udp, Transport::Tcp] {
        let before = Clock::new();
        let (outcome, fetch) = run(
            vec![free("127.0.0.1:0"), free("127.0.0.1:0")],
            transport,
            20_000,
        );
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(
            fetch.events,
            [Event::Ended {
                usage: UsageId(1),
                end: End::NoAnswer
            }],
            "{transport:?}"
        );
        assert_eq!(fetch.traced.len(), 2, "one SUBSCRIBE to each address");
        assert!(before.now().since(Instant::ZERO) < Duration::from_secs(5));
    }
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (outcome, fetch) = run(vec![silent.local_addr().unwrap()], Transport::Udp, 700);
    assert_eq!(outcome, Outcome::NoAnswer);
    assert_eq!(fetch.traced.len(), 2, "sent twice within 700 ms");
}
