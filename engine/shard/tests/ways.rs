//! The way of a NOTIFY: route sets, flows, sizes, names, windows (standards C6, RFC 3261 §18.1.1).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says where it breaks"
)]

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use machine::settings::{ListenerId, Transport};
use shard::{ConnectionId, Destination, Undeliverable};
use world::{Sent, World, pidf, settings};

fn udp_to(port: u16) -> Destination {
    Destination::Datagram {
        listener: ListenerId(0),
        to: SocketAddr::from(([127, 0, 0, 1], port)),
    }
}

fn tcp_to(port: u16, connect_ms_max: u32) -> Destination {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    Destination::Stream {
        transport: Transport::Tcp,
        listener: ListenerId(1),
        to,
        connect_ms_max,
    }
}

#[test]
fn the_whole_route_set_is_used_in_order() {
    let mut world = World::new();
    let routes = "Record-Route: <sip:127.0.0.1:7101;lr>, <sip:scscf1.home1.net;lr>\r\nRecord-Route: <sip:pcscf1.home1.net:5088;lr>\r\n";
    let (answer, notify) = world.subscribe("bob", 7000, routes);
    assert_eq!(
        notify.need("Route"),
        "<sip:127.0.0.1:7101;lr>, <sip:scscf1.home1.net;lr>, <sip:pcscf1.home1.net:5088;lr>"
    );
    assert!(
        notify
            .head
            .starts_with("NOTIFY sip:bob@127.0.0.1:7000 SIP/2.0\r\n")
    );
    assert_eq!(notify.to, udp_to(7101));
    // RFC 3261 §12.1.1: and the answer carries it back.
    assert_eq!(answer.head.matches("Record-Route:").count(), 2);
}

#[test]
fn a_strict_router_first_becomes_the_request_uri() {
    let mut world = World::new();
    let routes = "Record-Route: <sip:127.0.0.1:7102>, <sip:other.net;lr>\r\n";
    let (_, notify) = world.subscribe("bob", 7000, routes);
    assert!(
        notify
            .head
            .starts_with("NOTIFY sip:127.0.0.1:7102 SIP/2.0\r\n"),
        "{}",
        notify.head
    );
    assert_eq!(
        notify.need("Route"),
        "<sip:other.net;lr>, <sip:bob@127.0.0.1:7000>"
    );
    assert_eq!(notify.to, udp_to(7102));
}

#[test]
fn a_large_notify_goes_by_tcp_and_falls_back_to_udp_for_ten_minutes() {
    let mut world = World::new();
    world.watch("bob", 7000, "Expires: 3600\r\n");
    let from = world.sent.len();
    let long = "x".repeat(1500);
    let tag = world.publish_open(&long);
    let first = world.notifies(from).remove(0);
    assert_eq!(first.to, tcp_to(7000, 500));
    assert!(
        first
            .need("Via")
            .starts_with("SIP/2.0/TCP ps.example.com:5060;branch=z9hG4bK")
    );
    world
        .shard
        .handle_undeliverable(world.now, first.token, Undeliverable::NotConnected);
    world.run();
    let second = world.notifies(from).remove(1);
    assert_eq!(second.to, udp_to(7000));
    assert_eq!((second.cseq(), &second.body), (first.cseq(), &first.body));
    assert_ne!(
        second.need("Via"),
        first.need("Via"),
        "another transport is another transaction"
    );
    assert!(world.ok(&second).is_empty());
    // Remembered: the next goes by UDP at once; after ten minutes TCP is tried again.
    let change = |world: &mut World, tag: &str, note: &str| {
        let fields = format!(
            "SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\nExpires: 3600\r\n"
        );
        world
            .publish(&fields, &pidf("open", note))
            .need("SIP-ETag")
            .to_owned()
    };
    let tag = change(&mut world, &tag, &"y".repeat(1500));
    let third = world.notifies(from).remove(2);
    assert_eq!(third.to, udp_to(7000));
    world.ok(&third);
    world.advance(Duration::from_secs(601));
    change(&mut world, &tag, &"z".repeat(1500));
    assert_eq!(world.notifies(from).remove(3).to, tcp_to(7000, 500));
}

#[test]
fn a_known_path_mtu_decides_instead_of_1300() {
    let mut settings = settings();
    settings.path_mtu = 9000;
    let mut world = World::with(settings);
    world.publish_open(&"x".repeat(4000));
    let (_, notify) = world.subscribe("bob", 7000, "");
    assert_eq!(notify.to, udp_to(7000));
}

#[test]
fn a_subscribe_by_tcp_is_notified_on_its_connection() {
    let mut world = World::new();
    let text = world
        .subscribe_text("bob", 7000, "")
        .replace("SIP/2.0/UDP", "SIP/2.0/TCP")
        .replace(
            "Contact: <sip:bob@127.0.0.1:7000>",
            "Contact: <sip:bob@127.0.0.1:7000;transport=tcp>",
        );
    // It came from another port than it listens on; its Via says who it is.
    let sent = world.say(&World::tcp(40_000), &text);
    for each in &sent {
        let Destination::Connection { connection, .. } = each.to else {
            panic!("{:?}", each.to)
        };
        assert_eq!(connection, ConnectionId(40_000));
    }
    assert!(sent[0].need("Contact").contains("transport=tcp"));
    // A stream does not retransmit; Timer F still ends it.
    world.advance(Duration::from_secs(31));
    assert_eq!(world.notifies(0).len(), 1);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn a_contact_behind_a_translator_is_notified_at_the_source() {
    let mut world = World::new();
    let text = world
        .subscribe_text("bob", 7000, "")
        .replace("127.0.0.1:7000", "10.1.2.3:5060");
    let sent = world.say(&World::udp(45_000), &text);
    assert_eq!(sent[0].to, udp_to(45_000));
    assert!(
        sent[0]
            .need("Via")
            .contains(";received=127.0.0.1;rport=45000")
    );
    assert_eq!(sent[1].to, udp_to(45_000));
    assert!(sent[1].head.starts_with("NOTIFY sip:bob@10.1.2.3:5060 "));
    // Behind a proxy the route is what counts.
    let text = world
        .subscribe_text("carol", 7000, "Record-Route: <sip:127.0.0.1:7200;lr>\r\n")
        .replace("127.0.0.1:7000", "10.1.2.3:5060");
    let sent = world.say(&World::udp(45_000), &text);
    assert_eq!(sent[1].to, udp_to(7200));
}

#[test]
fn an_ipv6_contact_is_an_address() {
    let mut world = World::new();
    let mut settings = world.settings.clone();
    let mut v6 = settings.listeners[0].clone();
    v6.bound = "[::1]:5060".parse().unwrap();
    v6.advertise_host = "[2001:db8::1]".to_owned();
    settings.listeners.push(v6);
    world.shard.handle_settings(world.now, settings.into());
    let text = world
        .subscribe_text("bob", 7000, "")
        .replace("<sip:bob@127.0.0.1:7000>", "<sip:bob@[2001:db8::9]:7000>");
    let sent = world.say(&World::udp(7000), &text);
    let to = "[2001:db8::9]:7000".parse().unwrap();
    assert_eq!(
        sent[1].to,
        Destination::Datagram {
            listener: ListenerId(2),
            to
        }
    );
    assert!(sent[1].need("Via").contains("[2001:db8::1]:5060;"));
}

#[test]
fn a_named_contact_waits_for_its_address() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "").replace(
        "<sip:bob@127.0.0.1:7000>",
        "<sip:bob@Phone.example.org:7000>",
    );
    assert_eq!(world.say(&World::udp(7000), &text).len(), 1);
    assert_eq!(world.resolves, ["phone.example.org"]);
    world.shard.handle_resolved(
        world.now,
        "phone.example.org",
        &["127.0.0.1".parse().unwrap()],
    );
    world.run();
    assert_eq!(world.notifies(0)[0].to, udp_to(7000));
}

#[test]
fn a_name_without_an_address_is_given_up_after_a_few_tries() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "").replace(
        "<sip:bob@127.0.0.1:7000>",
        "<sip:bob@nowhere.invalid.example:7000>",
    );
    world.say(&World::udp(7000), &text);
    for _ in 0..8 {
        let name = "nowhere.invalid.example";
        world.shard.handle_resolved(world.now, name, &[]);
        world.run();
        world.advance(Duration::from_secs(60));
    }
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn a_hop_has_a_window_and_a_silent_one_opens_it_again() {
    let mut settings = settings();
    settings.limits.unanswered_per_hop_max = 3;
    let mut world = World::with(settings);
    let mut first = Vec::new();
    for watcher in 0..10 {
        let text = world.subscribe_text(&format!("w{watcher}"), 7000, "");
        first.extend(
            world
                .say(&World::udp(7000), &text)
                .into_iter()
                .filter(|sent| sent.is_notify()),
        );
    }
    assert_eq!(first.len(), 3);
    // One answer lets one more leave.
    assert_eq!(world.ok(&first[0]).len(), 1);
    // No answers at all: a retransmitted NOTIFY no longer holds up the others.
    world.advance(Duration::from_millis(520));
    let mut cseqs: Vec<String> = world
        .notifies(0)
        .iter()
        .map(|notify| notify.need("Call-ID").to_owned())
        .collect();
    cseqs.sort();
    cseqs.dedup();
    assert_eq!(cseqs.len(), 7);
}

#[test]
fn what_cannot_be_sent_is_tried_until_it_would_have_timed_out() {
    let mut world = World::new();
    let (_, notify) = world.subscribe("bob", 7000, "");
    world
        .shard
        .handle_undeliverable(world.now, notify.token, Undeliverable::Refused);
    world.advance(Duration::from_millis(600));
    assert_eq!(world.notifies(0).len(), 2, "once more after half a second");
    let mut last = 1;
    for _ in 0..40 {
        if world.notifies(0).len() > last {
            last = world.notifies(0).len();
            world
                .shard
                .handle_undeliverable(world.now, notify.token, Undeliverable::Refused);
        }
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(world.shard.counts().subscriptions, 0);
    assert!((5..20).contains(&last), "{last}");
}

#[test]
fn a_route_that_names_us_is_ours_and_the_request_is_served() {
    let mut world = World::new();
    let (answer, _) = world.subscribe("bob", 7000, "Route: <sip:ps.example.com;lr>\r\n");
    assert_eq!(answer.status(), 200);
}

/// The port that a peer connected from is no place to connect to; its Contact is.
#[test]
fn a_lost_connection_is_opened_to_the_contact() {
    let mut world = World::new();
    let text = world
        .subscribe_text("bob", 7000, "")
        .replace("SIP/2.0/UDP", "SIP/2.0/TCP")
        .replace(
            "Contact: <sip:bob@127.0.0.1:7000>",
            "Contact: <sip:bob@127.0.0.1:7000;transport=tcp>",
        );
    let sent = world.say(&World::tcp(40_000), &text);
    let contact = SocketAddr::from(([127, 0, 0, 1], 7000));
    let otherwise = |sent: &Sent| match sent.to {
        Destination::Connection { otherwise, .. } => otherwise,
        _ => None,
    };
    assert_eq!(otherwise(&sent[1]), Some(contact));

    // The 200 to the NOTIFY is not on record: it is sent again, and no connection of the former life is left.
    world.crash();
    assert_eq!(world.notifies(0)[0].to, tcp_to(7000, 4_000));
}

#[test]
fn a_contact_that_no_listener_of_ours_can_reach_is_given_up() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "");
    let text = text.replace("<sip:bob@127.0.0.1:7000>", "<sip:bob@[2001:db8::9]:7000>");
    assert_eq!(world.say(&World::udp(7000), &text).len(), 1);
    world.advance(Duration::from_secs(100));
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn changes_while_a_name_is_not_found_are_no_tries() {
    let mut world = World::new();
    let text = world
        .subscribe_text("bob", 7000, "")
        .replace("<sip:bob@127.0.0.1:7000>", "<sip:bob@bobs.example.net>");
    world.say(&World::udp(7000), &text);
    world
        .shard
        .handle_resolved(world.now, "bobs.example.net", &[]);
    world.run();
    for turn in 0..10 {
        world.publish_open(&format!("news {turn}"));
    }
    assert_eq!(world.shard.counts().subscriptions, 1);
    world.advance(std::time::Duration::from_secs(6));
    world.shard.handle_resolved(
        world.now,
        "bobs.example.net",
        &["192.0.2.7".parse().expect("an address")],
    );
    world.run();
    assert!(
        world
            .notifies(0)
            .pop()
            .expect("a NOTIFY")
            .body
            .contains("news 9")
    );
}

#[test]
fn what_a_subscribe_folds_a_notify_writes_on_one_line() {
    let mut world = World::new();
    let text = world
        .subscribe_text(
            "bob",
            7000,
            "Record-Route: \"a\r\n b\" <sip:127.0.0.1:7000;lr>;x=\"<sip:q@x>\"\r\n",
        )
        .replace("From: <", "From: \"Bob\r\n Builder\"\r\n <")
        .replace("\r\n", "\n");
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!(sent.len(), 2, "{sent:#?}");
    for message in &sent {
        assert!(
            !message.head.replace("\r\n", "").contains(['\r', '\n']),
            "{}",
            message.head
        );
    }
    assert_eq!(
        sent[1].need("To"),
        "\"Bob Builder\" <sip:bob@example.com>;tag=wbob"
    );
    assert!(
        sent[1]
            .need("Route")
            .starts_with("\"a b\" <sip:127.0.0.1:7000;lr>")
    );
    assert!(
        sent[1].head.starts_with("NOTIFY sip:bob@127.0.0.1:7000 "),
        "a loose router: {}",
        sent[1].head
    );
    let text = world
        .subscribe_text("carol", 7000, "")
        .replace("carol@127.0.0.1:7000>", "carol@127.0.0.1:7000?Subject=x>");
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 400);
}
