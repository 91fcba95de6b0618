//! What people whom nobody knows can make us do, remember and send: little.

#![allow(clippy::expect_used, reason = "a helper fails its test")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use machine::Partitioner;
use machine::settings::Network;
use shard::{Destination, Dispatch, Flow, Shard, Start};
use sip::Message;
use world::{HASH_KEY, World, pidf, settings};

fn ask(method: &str, branch: &str, via: &str, from: &str) -> String {
    format!(
        "{method} sip:ps.example.com SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{branch}\r\nFrom: <sip:x@x.org>;tag=1{from}\r\n\
         To: <sip:ps.example.com>\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

fn stranger() -> Flow {
    Flow {
        peer: "203.0.113.5:5060".parse().expect("an address"),
        ..World::udp(0)
    }
}

#[test]
fn long_answers_to_strangers_are_made_again_instead_of_kept() {
    let mut world = World::new();
    let long = format!(";x=\"{}\"", "y".repeat(50_000));
    for (method, status) in [("OPTIONS", 200), ("MESSAGE", 405), ("INVITE", 405)] {
        let short = ask(method, &format!("{method}short"), "203.0.113.5", "");
        let long = ask(method, &format!("{method}long"), "203.0.113.5", &long);
        let before = world.shard.remembered();
        let first = world.say(&stranger(), &short);
        let with_short = world.shard.remembered() - before;
        let again = world.say(&stranger(), &short);
        assert_eq!(
            (first[0].status(), &first[0].head),
            (status, &again[0].head)
        );
        let before = world.shard.remembered();
        let first = world.say(&stranger(), &long);
        assert!(
            world.shard.remembered() - before < with_short,
            "{method}: the answer is not kept"
        );
        let again = world.say(&stranger(), &long);
        assert_eq!(
            (first[0].status(), &first[0].head),
            (status, &again[0].head),
            "{method}: and the same again"
        );
    }
}

#[test]
fn forged_invites_make_us_send_little() {
    let mut world = World::new();
    for index in 0..3000 {
        let sent = world.say(
            &stranger(),
            &ask("INVITE", &format!("i{index}"), "203.0.113.5", ""),
        );
        assert_eq!(sent[0].status(), 405);
    }
    world.advance(Duration::from_secs(40));
    assert!(world.sent.len() <= 3000 + 10 * 1000, "{}", world.sent.len());
    assert_eq!(world.shard.remembered(), 0);
}

#[test]
fn only_who_is_trusted_names_another_place_for_the_answer() {
    let place = |world: &mut World, flow: &Flow, branch: &str| {
        let text = ask("OPTIONS", branch, "203.0.113.5:5070;maddr=127.0.0.1", "");
        match world.say(flow, &text)[0].to {
            Destination::Datagram { to, .. } => to.to_string(),
            other => format!("{other:?}"),
        }
    };
    let mut world = World::new();
    assert_eq!(place(&mut world, &stranger(), "a"), "203.0.113.5:5070");
    let mut settings = settings();
    settings.identity.trusted_peers = vec![Network {
        address: [203, 0, 113, 5].into(),
        prefix: 32,
    }];
    let mut world = World::with(settings);
    assert_eq!(place(&mut world, &stranger(), "b"), "127.0.0.1:5070");
    assert_eq!(place(&mut world, &World::udp(7000), "c"), "127.0.0.1:5070");
}

#[test]
fn an_oversized_ack_is_not_answered() {
    let mut world = World::new();
    let head = ask("ACK", "a", "203.0.113.5", "");
    world
        .shard
        .handle_oversized(world.now, &World::tcp(7000), head.as_bytes(), 413);
    world.run();
    assert!(world.sent.is_empty(), "{:#?}", world.sent);
}

#[test]
fn addresses_of_users_are_no_place_to_store_things() {
    let mut world = World::new();
    let long = "a".repeat(1100);
    let text = world
        .subscribe_text("bob", 7000, "")
        .replace("SUBSCRIBE sip:alice@", &format!("SUBSCRIBE sip:{long}@"));
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 414);
    let text = world
        .subscribe_text("carol", 7000, "")
        .replace("From: <sip:carol@", &format!("From: <sip:{long}@"));
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 403);
    assert_eq!(world.shard.counts().presentities, 0);
}

/// A tag that somebody made up must not bring a user to another shard: keys are unique only among those of one.
#[test]
fn a_made_up_tag_brings_a_publication_to_no_other_shard() {
    let mut world = World::new();
    let partition = Partitioner::new(HASH_KEY).partition("sip:alice@example.com");
    let (home, other) = (partition.shard(2), 1 - partition.shard(2));
    let dispatch = Dispatch::new(HASH_KEY, 2, &settings());
    let foreign = if other == 0 { "000" } else { "fff" };
    let text = world
        .publish_text("Content-Type: application/pidf+xml\r\n", &pidf("open", "x"))
        .replace(
            "To: <sip:alice@example.com>",
            &format!("To: <sip:alice@example.com>;tag={foreign}1.1"),
        );
    let message = Message::parse(text.as_bytes()).expect("a request");
    assert_eq!(dispatch.shard(&message), home);
    // And when it gets there by a mistake (a reload is on its way), nothing is stored.
    let shard = Shard::new(Start {
        index: other,
        shards: 2,
        starts: 1,
        hash_key: HASH_KEY,
        seed: 1,
        settings: Arc::new(settings()),
        unanswered_max: 10,
        now: world.now,
    });
    world.shard = shard;
    world.shard.restored(world.now);
    let answer = world.say(&World::udp(6000), &text)[0].clone();
    assert_eq!((answer.status(), answer.need("Retry-After")), (500, "1"));
    assert!(world.disk.is_empty());
    assert_eq!(world.shard.counts().presentities, 0);
}

#[test]
fn a_response_of_another_method_or_behind_another_via_is_nobodys() {
    let mut world = World::new();
    let (_, notify) = world.subscribe("bob", 7000, "");
    let branch = notify.need("Via").to_owned();
    for response in [
        format!(
            "SIP/2.0 481 No\r\nVia: {branch}\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 PUBLISH\r\n\r\n"
        ),
        format!(
            "SIP/2.0 481 No\r\nVia: {branch}\r\nVia: SIP/2.0/UDP x\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 NOTIFY\r\n\r\n"
        ),
    ] {
        world.say(&World::udp(9), &response);
        assert_eq!(world.shard.counts().subscriptions, 1, "{response}");
    }
    world.respond(&notify, 481, "");
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn what_waits_for_a_slow_disk_is_bounded() {
    let mut settings = settings();
    settings.limits.transactions_max = 5;
    let mut world = World::with(settings);
    world.prompt = false;
    let mut refused = 0;
    for turn in 0..10 {
        let text = world.publish_text("Content-Type: application/pidf+xml\r\n", &pidf("open", "x"));
        refused += world.say(&World::udp(6000), &text).len();
        // A transaction without an answer is forgotten after 32 s; what was decided still waits.
        world.advance(Duration::from_secs(33));
        assert!(world.shard.counts().publications <= 5, "turn {turn}");
    }
    assert_eq!(refused, 5);
}
