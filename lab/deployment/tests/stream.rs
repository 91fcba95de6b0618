//! Streams: how messages are cut, what an attacker tries, what a slow peer costs the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use deployment::deadline::now;
use deployment::peer::{Answering, Peer, unique};
use deployment::presence::long_pidf;
use deployment::wire::Wire;
use deployment::{Deadline, Over, Request, Server, Watcher};

fn options(peer: &Peer) -> Request {
    peer.request("OPTIONS", "sip:example.com", "sip:bob@example.com")
}

/// Many requests in one write, and one request in many writes.
#[test]
fn messages_are_cut_wherever_the_reads_fall() {
    let server = Server::start(());
    let mut peer = server.peer(Over::Tcp4);
    let requests: Vec<Request> = (0..50).map(|_| options(&peer)).collect();
    let bytes: Vec<u8> = requests.iter().flat_map(Request::to_bytes).collect();
    peer.send_bytes(&bytes);
    for request in &requests {
        assert_eq!(peer.response_to(request).status(), Some(200));
    }
    let slowly = options(&peer);
    for byte in slowly.to_bytes() {
        peer.send_bytes(&[byte]);
    }
    assert_eq!(peer.response_to(&slowly).status(), Some(200));
}

/// RFC 5626 §4.4.1: a double CRLF is answered by one, between messages and before the first.
#[test]
fn keep_alives_are_answered() {
    let server = Server::start(());
    let mut peer = server.peer(Over::Tcp4);
    peer.send_bytes(b"\r\n\r\n");
    peer.expect_pong();
    let request = options(&peer);
    assert_eq!(peer.exchange(&request).status(), Some(200));
    peer.send_bytes(b"\r\n\r\n");
    peer.expect_pong();
    // RFC 3261 §7.5: a lone CRLF before a message is passed over.
    let request = options(&peer);
    peer.send_bytes(&[b"\r\n", &request.to_bytes()[..]].concat());
    assert_eq!(peer.response_to(&request).status(), Some(200));
}

/// Content-Length that two readers would read differently: the rest of the stream is never read as a request.
#[test]
fn nothing_is_smuggled_past_content_length() {
    let server = Server::start(());
    let lengths: [(&str, &[&str]); 9] = [
        ("negative", &["-1"]),
        ("two that differ", &["0", "5"]),
        ("two that differ, the long one first", &["500", "0"]),
        ("a list", &["0, 5"]),
        ("no number", &["x"]),
        ("hexadecimal", &["0x0"]),
        ("signed", &["+0"]),
        ("beyond any number", &["99999999999999999999999999"]),
        ("missing", &[]),
    ];
    let attacks: Vec<_> = lengths
        .into_iter()
        .map(|(name, values)| {
            let mut peer = server.peer(Over::Tcp4);
            let (outer, inner) = (options(&peer), options(&peer));
            let text = String::from_utf8(outer.to_bytes()).expect("text");
            let fields: String = values
                .iter()
                .map(|value| format!("Content-Length: {value}\r\n"))
                .collect();
            let text = text.replace("Content-Length: 0\r\n", &fields);
            peer.send_bytes(&[text.as_bytes(), &inner.to_bytes()[..]].concat());
            (name, outer, peer)
        })
        .collect();
    for (name, outer, mut peer) in attacks {
        peer.expect_close();
        let at_once = Deadline::after(Duration::from_millis(1));
        while let Some(answer) = peer.find(at_once, |_| true) {
            assert_eq!(
                Some(answer.call_id()),
                outer.header("Call-ID"),
                "{name}: an inner request was served:\n{answer}"
            );
            assert!(answer.status() >= Some(400), "{name}: served:\n{answer}");
        }
    }
}

/// A body over its bound is answered 413, read and thrown away; the connection goes on (up to 1 MiB).
#[test]
fn an_oversized_body_is_thrown_away() {
    let server = Server::start("limits.body_bytes_max = 4096");
    let mut peer = server.peer(Over::Tcp4);
    let large = options(&peer).body("text/plain", vec![b'x'; 300_000]);
    let after = options(&peer);
    peer.send_bytes(&[large.to_bytes(), after.to_bytes()].concat());
    assert_eq!(peer.response_to(&large).status(), Some(413));
    assert_eq!(peer.response_to(&after).status(), Some(200));
}

/// Beyond 1 MiB nobody reads on: answered, then closed.
#[test]
fn a_huge_body_closes_the_connection() {
    let server = Server::start("limits.body_bytes_max = 4096");
    let mut peer = server.peer(Over::Tcp4);
    let huge = options(&peer)
        .set("Content-Type", "text/plain")
        .set("Content-Length", 200_000_000);
    peer.send(&huge);
    peer.expect_close();
    if let Some(answer) = peer.find(Deadline::after(Duration::from_millis(1)), |_| true) {
        assert_eq!(answer.status(), Some(413), "{answer}");
    }
    other_is_served(&server);
}

/// A header section over its bound is answered 513 from what was read of it, or the connection just closes; memory is not the sender's to fill.
#[test]
fn an_endless_header_section_closes_the_connection() {
    let server = Server::start("limits.head_bytes_max = 8192");
    let mut peer = server.peer(Over::Tcp4);
    let text = String::from_utf8(options(&peer).to_bytes()).expect("text");
    peer.send_bytes(text.trim_end().as_bytes());
    peer.send_bytes(b"\r\nSubject: ");
    for _ in 0..64 {
        peer.send_bytes(&[b'x'; 1024]);
    }
    peer.expect_close();
    if let Some(answer) = peer.find(Deadline::after(Duration::from_millis(1)), |_| true) {
        assert_eq!(answer.status(), Some(513), "{answer}");
    }
    other_is_served(&server);
}

/// Bytes that are no SIP at all end the connection, not the server.
#[test]
fn nonsense_closes_the_connection() {
    let server = Server::start(());
    let mut peers = Vec::new();
    for nonsense in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0\0\0\0\r\n\r\n\r\n\r\n",
    ] {
        let mut peer = server.peer(Over::Tcp4);
        peer.send_bytes(nonsense);
        peer.wire.shut(0);
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.expect_close();
    }
    other_is_served(&server);
}

/// RFC 3261 §18.3: a message that never ends is no message; the peer's own end closes it.
#[test]
fn half_a_message_is_nothing() {
    let server = Server::start(());
    let mut peer = server.peer(Over::Tcp4);
    let bytes = options(&peer).to_bytes();
    peer.send_bytes(&bytes[..bytes.len() - 2]);
    peer.wire.shut(0);
    peer.expect_close();
    assert!(
        peer.find(Deadline::after(Duration::from_millis(1)), |_| true)
            .is_none()
    );
}

#[track_caller]
fn other_is_served(server: &Server) {
    let mut peer = server.peer(Over::Tcp4);
    let request = options(&peer);
    assert_eq!(peer.exchange(&request).status(), Some(200));
}

/// A watcher that reads nothing, many times over, delays nobody: another sees each change at once.
#[test]
fn a_stalled_watcher_delays_nobody() {
    let server = Server::start(());
    let address = server.address(Over::Tcp4);
    // A raw connection that subscribes many times and never reads.
    let mut stalled = TcpStream::connect(address).expect("a connection");
    let here = stalled.local_addr().expect("an address");
    for number in 0..60 {
        let request = Request::new("SUBSCRIBE", "sip:alice@example.com")
            .with(
                "Via",
                format!("SIP/2.0/TCP {here};branch=z9hG4bK{}", unique()),
            )
            .with("Max-Forwards", 70)
            .with(
                "From",
                format!("<sip:stalled{number}@example.com>;tag={}", unique()),
            )
            .with("To", "<sip:alice@example.com>")
            .with("Call-ID", unique())
            .with("CSeq", "1 SUBSCRIBE")
            .with("Contact", format!("<sip:stalled@{here};transport=tcp>"))
            .with("Event", "presence")
            .with("Expires", 600);
        stalled
            .write_all(&request.to_bytes())
            .expect("the server reads");
    }
    let mut first = [0; 1];
    stalled.read_exact(&mut first).expect("the server answers");

    let mut watcher = server.watcher(Over::Tcp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    let document = long_pidf(&source.presentity, "desk", "much to say ", 60_000);
    for _ in 0..3 {
        let document = document.replacen("much", &unique(), 1);
        let begin = now();
        // Over UDP a body of this size does not fit a datagram with its head; the source speaks TCP here.
        source.peer = server.peer(Over::Tcp4);
        source.publish_document(600, &document);
        watcher.notify();
        let took = now().saturating_duration_since(begin);
        assert!(
            took < Duration::from_secs(2),
            "a stalled watcher delayed another by {took:?}"
        );
    }
    drop(stalled);
}

/// A black hole on UDP that never answers delays nobody.
#[test]
fn a_silent_watcher_delays_nobody() {
    let server = Server::start(());
    let mut silent: Vec<Watcher> = (0..30)
        .map(|number| server.watcher(Over::Udp4, &format!("silent{number}"), "alice"))
        .collect();
    for watcher in &mut silent {
        watcher.peer.answering = Answering::Never;
        watcher.manual = true;
        watcher.try_subscribe(600);
    }
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    for note in ["one", "two", "three"] {
        let begin = now();
        source.publish(600, note);
        watcher.sees(note);
        let took = now().saturating_duration_since(begin);
        assert!(
            took < Duration::from_secs(1),
            "silent watchers delayed another by {took:?}"
        );
    }
}

/// A second connection of the same peer, and one that closes at once, leave the first alone.
#[test]
fn connections_are_independent() {
    let server = Server::start(());
    let address = server.address(Over::Tcp4);
    let mut watcher = server.watcher(Over::Tcp4, "bob", "alice");
    watcher.subscribe(600);
    for _ in 0..20 {
        drop(Peer::new(Wire::stream(address), address));
    }
    let mut source = server.source(Over::Tcp4, "alice", "desk");
    source.publish(600, "undisturbed");
    watcher.sees("undisturbed");
}
