//! What NOTIFY and SUBSCRIBE look like on the wire: routes, transports, retransmissions, failures.

use std::time::Duration;

use deployment::deadline::{Deadline, now};
use deployment::message::uri;
use deployment::peer::{Answering, Peer, unique};
use deployment::presence::long_pidf;
use deployment::wire::{Path, Wire};
use deployment::{Notification, Over, Request, Server, Watcher};

fn routes(notification: &Notification) -> Vec<&str> {
    notification.message.values("route")
}

/// standards.md C6: Record-Route in the order received becomes Route; the first is the next hop; Contact is the Request-URI.
#[test]
fn a_route_set_is_followed_in_order() {
    let server = Server::start(());
    let peer = server.peer(Over::Udp4);
    let near = format!("<sip:{};lr>", peer.address());
    let mut watcher = Watcher::new(peer, "bob", "alice")
        .with(
            "Record-Route",
            &format!("{near}, <sip:middle.example.net;lr;x=a%2Cb>;y=\"a,b\""),
        )
        .with(
            "Record-Route",
            "<sip:far.example.net:5070;transport=tcp;lr>",
        )
        .with("Contact", "\"Bob, at home\" <sip:bob@192.0.2.7:5099;x=1>");
    for notification in [
        watcher.subscribe(600),
        watcher.subscribe(600),
        watcher.subscribe(0),
    ] {
        let message = &notification.message;
        assert_eq!(
            message.request_uri(),
            "sip:bob@192.0.2.7:5099;x=1",
            "{message}"
        );
        // RFC 3261 §12.1.1: the list of URIs with all their parameters.
        let expect = [
            near.as_str(),
            "<sip:middle.example.net;lr;x=a%2Cb>",
            "<sip:far.example.net:5070;transport=tcp;lr>",
        ];
        let uris: Vec<String> = routes(&notification)
            .into_iter()
            .map(|route| format!("<{}>", uri(route)))
            .collect();
        assert_eq!(uris, expect, "{message}");
    }
}

/// RFC 3261 §12.2.1.1: a first hop without lr is a strict router; it becomes the Request-URI and the remote target the last Route.
#[test]
fn a_strict_router_gets_what_it_expects() {
    let server = Server::start(());
    let peer = server.peer(Over::Udp4);
    let strict = format!("sip:{}", peer.address());
    let mut watcher = Watcher::new(peer, "bob", "alice")
        .with(
            "Record-Route",
            &format!("<{strict}>, <sip:far.example.net;lr>"),
        )
        .with("Contact", "<sip:bob@192.0.2.7>");
    let notification = watcher.subscribe(600);
    assert_eq!(
        notification.message.request_uri(),
        strict,
        "{}",
        notification.message
    );
    assert_eq!(
        routes(&notification),
        ["<sip:far.example.net;lr>", "<sip:bob@192.0.2.7>"],
        "{}",
        notification.message
    );
}

/// A route set belongs to the dialog's beginning; the remote target is that of the latest SUBSCRIBE (RFC 3261 §12.2.2).
#[test]
fn a_refresh_moves_the_target_and_not_the_routes() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut elsewhere = server.peer(Over::Udp4);
    elsewhere.answering = Answering::Manual;
    let request = watcher
        .subscribe_request(600)
        .set("Contact", elsewhere.contact("bob"));
    let response = watcher.peer.exchange(&request);
    assert_eq!(response.status(), Some(200), "{response}");
    let moved = elsewhere.receive_request();
    assert_eq!(
        moved.request_uri(),
        uri(request.header("Contact").unwrap_or_default()),
        "{moved}"
    );
    elsewhere.answer(&moved, 200, &[]);
    watcher.assert_silent(Duration::from_millis(20));
}

/// RFC 3261 §16.4 as far as it concerns a user agent: a Route that names us is where we are.
#[test]
fn a_route_that_names_us_is_served() {
    let server = Server::start(());
    for over in Over::BOTH {
        let us = server.address(over);
        let mut watcher = server
            .watcher(over, "bob", "alice")
            .with("Route", &format!("<sip:{us};lr>"));
        assert!(routes(&watcher.subscribe(600)).is_empty());
        watcher.subscribe(600);
    }
}

/// RFC 3261 §7.3.3, §7.3.1: one-letter names, folds, spaces around colons, names in any case.
#[test]
fn a_request_may_be_written_in_many_ways() {
    let server = Server::start(());
    for over in Over::BOTH {
        let mut peer = server.peer(over);
        peer.answering = Answering::Auto;
        let (call_id, contact) = (unique(), peer.contact("bob"));
        let text = format!(
            "SUBSCRIBE sip:alice@example.com SIP/2.0\r\nv : {}\r\nMAX-FORWARDS:70\r\nf:\r\n \"Bob \\\"B\\\"\" <sip:bob@example.com>\r\n\t;tag=b\r\n\
             t: sip:alice@example.com\r\ni: {call_id}\r\ncseq: 4711\r\n  SUBSCRIBE\r\nm: {contact}\r\no: presence\r\nk: eventlist,\r\n gruu\r\n\
             expires: 600\r\nX-Unknown: {}\r\nl:0\r\n\r\n",
            peer.via(),
            "y".repeat(500),
        );
        peer.send_bytes(text.as_bytes());
        let response = peer
            .find(Deadline::default(), |message| message.status().is_some())
            .expect("an answer");
        assert_eq!(response.status(), Some(200), "{response}");
        assert_eq!(response.cseq(), (4711, "SUBSCRIBE"));
        assert_eq!(response.uri("to"), Some("sip:alice@example.com"));
        let notify = peer.receive_request();
        assert_eq!(
            (notify.uri("to"), notify.tag("to")),
            (Some("sip:bob@example.com"), Some("b")),
            "{notify}"
        );
        assert_eq!(notify.expect("event"), "presence");
    }
}

/// An IPv6 Contact and Via; our own Contact is one that a watcher can use.
#[test]
fn ipv6_addresses_are_written_and_read() {
    let server = Server::start(());
    for over in [Over::Udp6, Over::Tcp6] {
        let mut watcher = server.watcher(over, "bob", "alice");
        let notification = watcher.subscribe(600);
        let message = &notification.message;
        assert!(message.expect("via").contains(" [::1]:"), "{message}");
        assert!(message.request_uri().contains("@[::1]:"), "{message}");
        // The refresh goes to the Contact of the 2xx as Request-URI.
        watcher.subscribe(600);
    }
}

/// The Event of a NOTIFY is the SUBSCRIBE's, with its id (standards.md C2).
#[test]
fn an_event_id_is_kept() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.event = "presence;id=x7".to_owned();
    watcher.subscribe(600);
    watcher.subscribe(0);
}

/// RFC 3261 §18.1.1: a NOTIFY over 1300 bytes leaves by TCP where the hop takes it; what is shorter by UDP as asked.
#[test]
fn a_long_notify_goes_by_tcp() {
    let server = Server::start(());
    let mut watcher = Watcher::new(server.listening_peer(), "bob", "alice");
    let short = watcher.subscribe(600);
    assert!(
        matches!(short.message.path, Path::Datagram(_)),
        "{}",
        short.message
    );
    let mut source = server.source(Over::Udp4, "alice", "desk");
    for word in ["long ", "longer "] {
        let document = long_pidf(&source.presentity, "desk", word, 1400);
        source.publish_document(600, &document);
        let long = watcher.notify();
        assert!(
            matches!(long.message.path, Path::Stream(_)),
            "{} bytes came by UDP",
            long.message.raw.len()
        );
        assert!(long.message.raw.len() > 1300);
    }
    assert_eq!(
        watcher.peer.wire.newest_stream(),
        Some(0),
        "one connection serves both"
    );
    source.publish(600, "short");
    assert!(matches!(
        watcher.sees("short").message.path,
        Path::Datagram(_)
    ));
}

/// The same where nobody accepts connections: UDP after all, and remembered for that hop.
#[test]
fn a_long_notify_falls_back_to_udp() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Tcp4, "alice", "desk");
    for word in ["long ", "longer "] {
        let document = long_pidf(&source.presentity, "desk", word, 3000);
        let begin = now();
        source.publish_document(600, &document);
        let long = watcher.notify();
        assert!(matches!(long.message.path, Path::Datagram(_)));
        assert!(long.message.raw.len() > 1300);
        // A refusal on loopback comes at once; 500 ms are for those who say nothing.
        assert!(long.at.saturating_duration_since(begin) < Duration::from_secs(2));
    }
}

/// standards.md C10: these answers end the subscription, and nothing more is sent; the others leave it alive.
#[test]
fn answers_to_notify_that_end_a_subscription() {
    let server = Server::start(());
    let mut source = server.source(Over::Udp4, "alice", "desk");
    let end = [
        404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604,
    ];
    let live = [400, 401, 403, 407, 486, 500, 503, 600];
    let mut watchers: Vec<(u16, Watcher)> = end
        .into_iter()
        .chain(live)
        .map(|status| {
            let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
            watcher.subscribe(600);
            watcher.manual = true;
            (status, watcher)
        })
        .collect();
    source.publish(600, "one");
    for (status, watcher) in &mut watchers {
        let notification = watcher.sees("one");
        watcher
            .peer
            .answer(&notification.message, *status, &[("Retry-After", "1")]);
        watcher.manual = false;
    }
    // An answer and a request that follow each other come to different sockets of the server: nobody promises their order.
    await_subscriptions(&server, live.len());
    for (status, watcher) in &mut watchers {
        let response = watcher.try_subscribe(600);
        let expect = if end.contains(status) { 481 } else { 200 };
        assert_eq!(
            response.status(),
            Some(expect),
            "after {status} to a NOTIFY:\n{response}"
        );
        if expect == 200 {
            watcher.sees("one");
        }
    }
    source.publish(600, "two");
    for (status, watcher) in &mut watchers {
        if end.contains(status) {
            watcher.assert_silent(Duration::from_millis(1));
        } else {
            watcher.sees("two");
        }
    }
}

/// Waits until the server holds so many.
fn await_subscriptions(server: &Server, count: usize) {
    let deadline = Deadline::default();
    let holds = format!("\"subscriptions\":{count},");
    loop {
        let status = server.run(&["status", "--json", "--config", "tidings.toml"]);
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        if said.contains(&holds) {
            return;
        }
        assert!(
            deadline.left().is_some(),
            "{count} subscriptions, not {said}"
        );
    }
}

/// One NOTIFY in flight per subscription; what changes meanwhile follows as its newest state, in one.
#[test]
fn one_notify_is_in_flight_and_the_newest_state_follows() {
    let server = Server::start(());
    for over in Over::BOTH {
        let alice = format!("alice-{over:?}");
        let mut watcher = server.watcher(over, "bob", &alice);
        watcher.subscribe(600);
        watcher.manual = true;
        let mut source = server.source(over, &alice, "desk");
        source.publish(600, "one");
        let first = watcher.sees("one");
        for note in ["two", "three", "four"] {
            source.publish(600, note);
        }
        watcher
            .peer
            .assert_silent(Duration::from_millis(50), |message| {
                message.status().is_none()
            });
        watcher.peer.answer(&first.message, 200, &[]);
        let next = watcher.sees("four");
        watcher.peer.answer(&next.message, 200, &[]);
        watcher.manual = false;
        watcher.assert_unnotified();
    }
}

/// RFC 3261 §17.1.2: an unanswered NOTIFY is repeated after 0.5, 1, 2, 4 … s, unchanged, over UDP; after 32 s it has failed and the
/// subscription is removed (standards.md C10). A provisional answer in between slows it down and ends nothing.
#[test]
fn an_unanswered_notify_is_repeated_and_then_given_up() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    watcher.peer.answering = Answering::Never;
    watcher.manual = true;
    source.publish(600, "anybody?");
    let first = watcher.sees("anybody?");
    let mut last = first.at;
    for gap in [500, 1000, 2000, 4000, 4000, 4000] {
        let (at, again) = watcher
            .peer
            .find_timed(Deadline::default(), |message| message.status().is_none())
            .expect("a retransmission");
        assert_eq!(again.raw, first.message.raw, "a retransmission differs");
        let waited = at.saturating_duration_since(last).as_millis();
        assert!(
            (gap * 8 / 10..gap * 14 / 10 + 200).contains(&waited),
            "repeated after {waited} ms instead of {gap}"
        );
        last = at;
    }
    // 64·T1 after the first: then the dialog is gone. Until then it may live.
    let rest = Duration::from_secs(33).saturating_sub(now().saturating_duration_since(first.at));
    let more = watcher.peer.find(Deadline::after(rest), |message| {
        message.branch() != first.message.branch()
    });
    assert!(more.is_none(), "another message: {more:?}");
    watcher.refused(600, 481);
}

/// Over a reliable transport nothing is repeated (RFC 3261 §17.1.2.2).
#[test]
fn nothing_is_repeated_over_tcp() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Tcp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    watcher.peer.answering = Answering::Never;
    watcher.manual = true;
    source.publish(600, "once");
    watcher.sees("once");
    watcher.assert_silent(Duration::from_millis(1200));
}

/// A late retransmission of the SUBSCRIBE gets the stored answer; one dialog, one NOTIFY.
#[test]
fn a_retransmitted_subscribe_makes_one_dialog() {
    let server = Server::start(());
    for over in Over::BOTH {
        let mut watcher = server.watcher(over, "bob", "alice");
        let request = watcher.subscribe_request(600);
        // Both copies lie in the socket at once: the second comes while the first is being decided, or after.
        watcher.peer.send(&request);
        let response = watcher.peer.exchange(&request);
        watcher.accept(&request, &response);
        watcher.notify();
        let late = watcher.peer.exchange(&request);
        assert_eq!(response.raw, late.raw);
        watcher.assert_unnotified();
    }
}

/// RFC 3856 §6.9, RFC 3261 §8.2.2.2: the other branch of a forked SUBSCRIBE makes no second dialog.
#[test]
fn a_forked_subscribe_makes_one_dialog() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    let request = watcher.subscribe_request(600);
    let response = watcher.peer.exchange(&request);
    watcher.accept(&request, &response);
    watcher.notify();
    let other = request.clone().set("Via", watcher.peer.via());
    let merged = watcher.peer.exchange(&other);
    assert_eq!(merged.status(), Some(482), "{merged}");
    watcher.assert_unnotified();
}

/// The state is read when the SUBSCRIBE comes: many watchers of one user see the same, each in her own dialog.
#[test]
fn many_watchers_see_each_change_once() {
    let server = Server::start(());
    let mut watchers: Vec<Watcher> = (0..20)
        .map(|number| {
            server.watcher(
                if number % 2 == 0 {
                    Over::Udp4
                } else {
                    Over::Tcp4
                },
                &format!("bob{number}"),
                "alice",
            )
        })
        .collect();
    for watcher in &mut watchers {
        watcher.subscribe(600);
    }
    let mut source = server.source(Over::Udp4, "alice", "desk");
    for note in ["one", "two", "three"] {
        source.publish(600, note);
        let bodies: Vec<Vec<u8>> = watchers
            .iter_mut()
            .map(|watcher| watcher.sees(note).message.body)
            .collect();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// RFC 3581 and RFC 3261 §18.2.1: the response goes to where the request came from, whatever sent-by says; without rport to the port in Via.
#[test]
fn responses_find_their_way() {
    let server = Server::start(());
    let mut peer = server.peer(Over::Udp4);
    let port = peer.address().port();
    let lying = peer.request("OPTIONS", "sip:example.com", "sip:bob@example.com");
    let lying = lying.set(
        "Via",
        format!("SIP/2.0/UDP 192.0.2.1:9;branch=z9hG4bK{};rport", unique()),
    );
    assert_eq!(peer.exchange(&lying).status(), Some(200));

    let mut plain = server.peer(Over::Udp4);
    let request = plain.request("OPTIONS", "sip:example.com", "sip:bob@example.com");
    let request = request.set(
        "Via",
        format!("SIP/2.0/UDP host.invalid:{port};branch=z9hG4bK{}", unique()),
    );
    plain.send(&request);
    let response = peer.response_to(&request);
    assert_eq!(response.status(), Some(200));
    assert!(
        response.expect("via").contains("received=127.0.0.1"),
        "{response}"
    );
}

/// A TCP watcher whose connection is gone is reached by a new one to its Contact.
#[test]
fn a_watcher_whose_connection_is_gone_is_called_back() {
    let server = Server::start(());
    let mut watcher = Watcher::new(server.listening_peer(), "bob", "alice");
    let tcp = server.address(Over::Tcp4);
    let contact = format!("<sip:bob@{};transport=tcp>", watcher.peer.address());
    let mut caller = Peer::new(Wire::stream(tcp), tcp);
    let request: Request = watcher
        .subscribe_request(600)
        .set("Via", caller.via())
        .set("Contact", contact);
    let response = caller.exchange(&request);
    watcher.accept(&request, &response);
    let first = watcher.notify();
    assert!(
        matches!(first.message.path, Path::Stream(_)),
        "{}",
        first.message
    );
    drop(caller);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    source.publish(600, "still there");
    watcher.sees("still there");
}
