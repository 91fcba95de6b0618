//! The agent against a peer that is written line by line: what leaves, what is shown, at which time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

mod peer;

use std::time::Duration;

use agent::{End, Event, Hop, Operation, Phase, Publication, Transport, UsageId};
use bytes::Bytes;
use peer::*;
use sip::Name;

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

fn watcher() -> World {
    World::new(BOB, udp(SERVER))
}

fn notified(
    usage: u32,
    phase: Phase,
    expires: Option<u32>,
    reason: Option<&str>,
    body: &'static str,
) -> Event {
    Event::Notified {
        usage: UsageId(usage),
        phase,
        expires,
        reason: reason.map(ToOwned::to_owned),
        content_type: (!body.is_empty()).then(|| "application/pidf+xml".to_owned()),
        body: Bytes::from_static(body.as_bytes()),
    }
}

/// A watcher that is active by one NOTIFY; its SUBSCRIBE.
fn active() -> (World, String) {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 3600);
    let (_, subscribe) = world.one();
    world.answer(
        udp(SERVER),
        &subscribe,
        200,
        &[("Expires", "3600"), ("Contact", "<sip:192.0.2.5:5060>")],
    );
    world.receive(
        udp(SERVER),
        &notify(&subscribe, 1, "active;expires=3600", "", "<one/>"),
    );
    assert_eq!(status(&world.one().1), 200);
    assert_eq!(
        world.events(),
        [notified(1, Phase::Active, Some(3600), None, "<one/>")]
    );
    (world, subscribe)
}

#[test]
fn a_subscribe_has_what_it_must_have() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 60);
    let (to, subscribe) = world.one();
    assert_eq!(to, udp(SERVER));
    assert!(
        subscribe.starts_with("SUBSCRIBE sip:alice@example.com SIP/2.0\r\n"),
        "{subscribe}"
    );
    assert!(field(&subscribe, Name::Via).starts_with("SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK"));
    assert!(field(&subscribe, Name::Via).ends_with(";rport"));
    assert_eq!(field(&subscribe, Name::To), "<sip:alice@example.com>");
    assert!(field(&subscribe, Name::From).starts_with("<sip:bob@example.com>;tag="));
    assert_eq!(field(&subscribe, Name::CSeq), "1 SUBSCRIBE");
    assert_eq!(field(&subscribe, Name::MaxForwards), "70");
    assert_eq!(
        field(&subscribe, Name::Contact),
        "<sip:bob@192.0.2.1:40000>"
    );
    assert_eq!(field(&subscribe, Name::Event), "presence");
    assert_eq!(field(&subscribe, Name::Expires), "60");
    assert_eq!(field(&subscribe, Name::Accept), "application/pidf+xml");
    assert_eq!(field(&subscribe, Name::UserAgent), "test");
}

#[test]
fn over_udp_an_unanswered_subscribe_is_repeated_and_then_given_up() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    let mut times = Vec::new();
    while !world.agent.is_idle() {
        times.push(world.fire());
    }
    assert_eq!(times.len(), 11);
    assert!(
        world.sent.iter().all(|(_, bytes)| text(bytes) == subscribe),
        "the same bytes each time"
    );
    assert_eq!(world.sent.len(), 10);
    assert_eq!(
        world.events(),
        [Event::Ended {
            usage: UsageId(1),
            end: End::NoAnswer
        }]
    );
    assert_eq!(world.now, 32_000);
}

#[test]
fn notify_before_the_2xx_is_taken_and_a_refresh_goes_to_its_contact_by_its_route() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 3600);
    let (_, subscribe) = world.one();
    let routes = "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8:5080;lr>\r\n";
    world.receive(
        udp("192.0.2.7:5060"),
        &notify(&subscribe, 9, "active;expires=100", routes, "<one/>"),
    );
    let (to, ok) = world.one();
    assert_eq!(
        (to, status(&ok)),
        (udp("192.0.2.7:5060"), 200),
        "back to where it came from"
    );
    // The 2xx names other routes and another target: only the target counts.
    let other = [
        ("Record-Route", "<sip:192.0.2.9;lr>"),
        ("Contact", "<sip:pa@192.0.2.6>"),
        ("Expires", "3600"),
    ];
    world.answer(udp("192.0.2.7:5060"), &subscribe, 200, &other);
    world.nothing();
    let when = world.fire_until_sent();
    assert!((80_000..90_000).contains(&when), "{when}");
    let (to, refresh) = world.one();
    assert_eq!(to, udp("192.0.2.7:5060"));
    assert!(
        refresh.starts_with("SUBSCRIBE sip:pa@192.0.2.6 SIP/2.0\r\n"),
        "{refresh}"
    );
    assert_eq!(
        field(&refresh, Name::Route),
        "<sip:192.0.2.7;lr>, <sip:192.0.2.8:5080;lr>"
    );
    assert_eq!(
        field(&refresh, Name::To),
        "<sip:alice@example.com>;tag=server-tag"
    );
    assert_eq!(field(&refresh, Name::CSeq), "2 SUBSCRIBE");
    assert_eq!(
        field(&refresh, Name::CallId),
        field(&subscribe, Name::CallId)
    );
}

#[test]
fn a_strict_router_gets_itself_as_request_uri() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    let routes = "Record-Route: <sip:192.0.2.7>, <sip:192.0.2.8;lr>\r\n";
    world.receive(
        udp("192.0.2.7:5060"),
        &notify(&subscribe, 1, "active;expires=60", routes, ""),
    );
    world.answer(udp("192.0.2.7:5060"), &subscribe, 200, &[("Expires", "60")]);
    world.one();
    world.fire_until_sent();
    let (to, refresh) = world.one();
    assert_eq!(to, udp("192.0.2.7:5060"));
    assert!(
        refresh.starts_with("SUBSCRIBE sip:192.0.2.7 SIP/2.0\r\n"),
        "{refresh}"
    );
    assert_eq!(
        field(&refresh, Name::Route),
        "<sip:192.0.2.8;lr>, <sip:192.0.2.5:5060>"
    );
}

#[test]
fn a_host_name_in_a_contact_is_reached_where_the_peer_speaks_from() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    let moved = notify(&subscribe, 1, "active;expires=60", "", "")
        .replace("<sip:192.0.2.5:5060>", "<sip:ps.home2.net;gr=1>");
    world.receive(udp("192.0.2.77:5090"), &moved);
    world.answer(
        udp("192.0.2.77:5090"),
        &subscribe,
        200,
        &[("Expires", "60")],
    );
    world.one();
    world.fire_until_sent();
    let (to, refresh) = world.one();
    assert_eq!(to, udp("192.0.2.77:5090"));
    assert!(
        refresh.starts_with("SUBSCRIBE sip:ps.home2.net;gr=1 SIP/2.0\r\n"),
        "{refresh}"
    );
}

#[test]
fn a_retransmitted_notify_gets_the_same_answer_and_is_shown_once() {
    let (mut world, subscribe) = active();
    let again = notify(&subscribe, 2, "active;expires=3000", "", "<two/>");
    world.receive(udp(SERVER), &again);
    let (_, first) = world.one();
    world.now += 500;
    world.receive(udp(SERVER), &again);
    let (_, second) = world.one();
    assert_eq!(first, second);
    assert_eq!(
        world.events(),
        [notified(1, Phase::Active, Some(3000), None, "<two/>")]
    );
    // An older number by another transaction is out of order.
    world.receive(
        udp(SERVER),
        &notify(&subscribe, 1, "active", "", "<one/>").replace("z9hG4bKn1", "z9hG4bKother"),
    );
    assert_eq!(status(&world.one().1), 500);
    assert_eq!(world.events(), []);
}

#[test]
fn what_is_not_ours_is_refused_in_the_right_words() {
    let (mut world, subscribe) = active();
    let good = notify(&subscribe, 2, "active", "", "<two/>");
    let cases: [(&str, &str, u16, Name, &str); 10] = [
        (
            "Event: presence",
            "Event: dialog",
            489,
            Name::AllowEvents,
            "presence, presence.winfo",
        ),
        (
            "Event: presence\r\n",
            "",
            489,
            Name::AllowEvents,
            "presence, presence.winfo",
        ),
        (
            "Event: presence",
            "Event: presence;id=7",
            481,
            Name::Allow,
            "",
        ),
        ("Call-ID: ", "Call-ID: x", 481, Name::Allow, ""),
        ("tag=server-tag", "tag=fork", 481, Name::Allow, ""),
        ("Subscription-State: active\r\n", "", 400, Name::Allow, ""),
        (
            "application/pidf+xml",
            "text/plain",
            415,
            Name::Accept,
            "application/pidf+xml",
        ),
        (
            "Max-Forwards",
            "Require: eventlist\r\nMax-Forwards",
            420,
            Name::Unsupported,
            "eventlist",
        ),
        ("NOTIFY", "MESSAGE", 405, Name::Allow, "NOTIFY, OPTIONS"),
        ("NOTIFY", "SING", 501, Name::Allow, ""),
    ];
    for (n, (from, to, expected, name, value)) in cases.into_iter().enumerate() {
        let bad = good
            .replace(from, to)
            .replace("z9hG4bKn2", &format!("z9hG4bKcase{n}"));
        world.receive(udp(SERVER), &bad);
        let (_, answer) = world.one();
        assert_eq!(
            (status(&answer), field(&answer, name).as_str()),
            (expected, value),
            "{to}"
        );
        assert_eq!(world.events(), [], "{to}");
    }
    // It is still there.
    world.receive(udp(SERVER), &good);
    assert_eq!(status(&world.one().1), 200);
}

#[test]
fn options_are_answered_and_nonsense_is_not() {
    let (mut world, subscribe) = active();
    let good = notify(&subscribe, 2, "active", "", "<two/>");
    let options = good
        .replace("NOTIFY", "OPTIONS")
        .replace("z9hG4bKn2", "z9hG4bKo");
    world.receive(udp(SERVER), &options);
    let (_, answer) = world.one();
    assert_eq!(
        (status(&answer), field(&answer, Name::Allow).as_str()),
        (200, "NOTIFY, OPTIONS")
    );
    for nonsense in [
        "",
        "\r\n\r\n",
        "hello\r\n\r\n",
        "NOTIFY sip:x SIP/2.0\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
    ] {
        world.receive(udp(SERVER), nonsense);
        world.nothing();
    }
    // It is still there.
    world.receive(udp(SERVER), &good);
    assert_eq!(status(&world.one().1), 200);
}

#[test]
fn an_invite_is_refused_until_it_is_acknowledged() {
    let (mut world, subscribe) = active();
    let invite = notify(&subscribe, 5, "active", "", "").replace("NOTIFY", "INVITE");
    world.receive(udp(SERVER), &invite);
    let (to, refusal) = world.one();
    assert_eq!((to, status(&refusal)), (udp(SERVER), 405));
    assert_eq!(world.fire(), 500);
    assert_eq!(world.one(), (to, refusal), "Timer G");
    world.receive(
        udp(SERVER),
        &invite
            .replace("INVITE sip", "ACK sip")
            .replace("5 INVITE", "5 ACK"),
    );
    world.nothing();
    assert_eq!(world.fire(), 5500, "Timer I");
    world.nothing();
}

#[test]
fn stopping_ends_the_subscription_and_waits_for_its_last_notify() {
    let (mut world, subscribe) = active();
    world.agent.stop_all(world.time());
    let (_, end) = world.one();
    assert_eq!(
        (field(&end, Name::Expires), field(&end, Name::CSeq)),
        ("0".to_owned(), "2 SUBSCRIBE".to_owned())
    );
    world.answer(udp(SERVER), &end, 200, &[("Expires", "0")]);
    assert_eq!(world.events(), []);
    world.receive(
        udp(SERVER),
        &notify(&subscribe, 2, "terminated;reason=timeout", "", ""),
    );
    assert_eq!(status(&world.one().1), 200);
    let last = notified(1, Phase::Terminated, None, Some("timeout"), "");
    assert_eq!(
        world.events(),
        [
            last,
            Event::Ended {
                usage: UsageId(1),
                end: End::Stopped
            }
        ]
    );
    assert!(world.agent.is_idle());
    world.receive(udp(SERVER), &notify(&subscribe, 3, "active", "", ""));
    assert_eq!(status(&world.one().1), 481, "gone");
}

#[test]
fn a_fetch_shows_the_document_and_ends() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 0);
    let (_, subscribe) = world.one();
    assert_eq!(field(&subscribe, Name::Expires), "0");
    world.answer(udp(SERVER), &subscribe, 202, &[("Expires", "0")]);
    world.receive(
        udp(SERVER),
        &notify(&subscribe, 1, "terminated;reason=timeout", "", "<one/>"),
    );
    let shown = notified(1, Phase::Terminated, None, Some("timeout"), "<one/>");
    assert_eq!(
        world.events(),
        [
            shown,
            Event::Ended {
                usage: UsageId(1),
                end: End::Fetched
            }
        ]
    );
    assert_eq!(world.accepted, [202]);
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    let answer = response(&subscribe, 403, &[]).replace("403 Forbidden", "403 She said no");
    world.receive(udp(SERVER), &answer);
    let end = End::Refused {
        status: 403,
        reason: "She said no".to_owned(),
    };
    assert_eq!(
        world.events(),
        [Event::Ended {
            usage: UsageId(1),
            end
        }]
    );
}

#[test]
fn a_server_that_lost_everything_gets_a_new_subscription() {
    let (mut world, subscribe) = active();
    world.fire_until_sent();
    let (_, refresh) = world.one();
    world.answer(udp(SERVER), &refresh, 481, &[]);
    let (to, anew) = world.one();
    assert_eq!(to, udp(SERVER));
    assert!(anew.starts_with("SUBSCRIBE sip:alice@example.com SIP/2.0\r\n"));
    assert_eq!(field(&anew, Name::To), "<sip:alice@example.com>");
    assert_ne!(field(&anew, Name::CallId), field(&subscribe, Name::CallId));
    assert_ne!(field(&anew, Name::From), field(&subscribe, Name::From));
    assert_eq!(field(&anew, Name::CSeq), "1 SUBSCRIBE");
    let why = "481 Call/Transaction Does Not Exist".to_owned();
    let [
        Event::Again {
            why: told,
            after: Duration::ZERO,
            anew: true,
            ..
        },
    ] = &world.events()[..]
    else {
        panic!()
    };
    assert!(told.starts_with("481 "), "{told}, for instance {why}");
    world.receive(udp(SERVER), &notify(&subscribe, 2, "active", "", ""));
    assert_eq!(status(&world.one().1), 481, "the old dialog");
    world.receive(
        udp(SERVER),
        &notify(&anew, 1, "active;expires=60", "", "<one/>"),
    );
    assert_eq!(
        world.events(),
        [notified(1, Phase::Active, Some(60), None, "<one/>")]
    );
}

fn publication(body: &str) -> Publication {
    Publication {
        resource: ALICE.to_owned(),
        expires: 60,
        content_type: "application/pidf+xml".to_owned(),
        body: Some(Bytes::copy_from_slice(body.as_bytes())),
        if_match: None,
    }
}

#[test]
fn publish_change_stop() {
    let mut world = World::new(ALICE, udp(SERVER));
    let usage = world.agent.publish(world.time(), publication("<one/>"));
    let (_, initial) = world.one();
    assert!(
        initial.starts_with("PUBLISH sip:alice@example.com SIP/2.0\r\n")
            && initial.ends_with("\r\n\r\n<one/>")
    );
    assert_eq!(field(&initial, Name::SipIfMatch), "");
    assert_eq!(field(&initial, Name::ContentType), "application/pidf+xml");
    assert_eq!(field(&initial, Name::Contact), "");
    world.now = 3;
    world.answer(
        udp(SERVER),
        &initial,
        200,
        &[("Expires", "60"), ("SIP-ETag", "t1")],
    );
    let published = |operation, tag: &str, expires, ms| Event::Published {
        usage,
        operation,
        entity_tag: Some(tag.to_owned()),
        expires,
        took: Duration::from_millis(ms),
    };
    assert_eq!(world.events(), [published(Operation::Initial, "t1", 60, 3)]);
    world
        .agent
        .change(world.time(), usage, Bytes::from_static(b"<two/>"));
    let (_, modify) = world.one();
    assert_eq!(
        (field(&modify, Name::SipIfMatch), field(&modify, Name::CSeq)),
        ("t1".into(), "2 PUBLISH".into())
    );
    assert_ne!(field(&modify, Name::Via), field(&initial, Name::Via));
    world.answer(
        udp(SERVER),
        &modify,
        200,
        &[("Expires", "60"), ("SIP-ETag", "t2")],
    );
    assert_eq!(world.events(), [published(Operation::Modify, "t2", 60, 0)]);
    refresh_and_stop(&mut world, usage);
}

/// The second half of a publication's life.
fn refresh_and_stop(world: &mut World, usage: UsageId) {
    world.fire_until_sent();
    let (_, refresh) = world.one();
    assert_eq!(
        (
            field(&refresh, Name::SipIfMatch),
            field(&refresh, Name::ContentType)
        ),
        ("t2".into(), "".into())
    );
    assert!((48_003..54_003).contains(&world.now), "{}", world.now);
    world.answer(
        udp(SERVER),
        &refresh,
        200,
        &[("Expires", "60"), ("SIP-ETag", "t3")],
    );
    world.events();
    world.agent.stop(world.time(), usage);
    let (_, remove) = world.one();
    assert_eq!(
        (
            field(&remove, Name::SipIfMatch),
            field(&remove, Name::Expires)
        ),
        ("t3".into(), "0".into())
    );
    world.answer(
        udp(SERVER),
        &remove,
        200,
        &[("Expires", "0"), ("SIP-ETag", "t4")],
    );
    assert_eq!(
        world.events(),
        [Event::Ended {
            usage,
            end: End::Removed
        }]
    );
    assert_eq!(world.agent.poll_timeout(), None, "nothing is left");
}

#[test]
fn a_large_request_leaves_by_tcp_and_falls_back_to_udp() {
    let mut world = World::new(ALICE, udp(SERVER));
    let large = format!("<one>{}</one>", "x".repeat(1300));
    let usage = world.agent.publish(world.time(), publication(&large));
    let (to, by_tcp) = world.one();
    let tcp = hop(Transport::Tcp, SERVER);
    assert_eq!(to, tcp);
    assert!(field(&by_tcp, Name::Via).starts_with("SIP/2.0/TCP "));
    world.now = 500;
    world.agent.handle_unreachable(world.time(), tcp);
    let (to, by_udp) = world.one();
    assert_eq!(to, udp(SERVER));
    assert!(field(&by_udp, Name::Via).starts_with("SIP/2.0/UDP "));
    assert_eq!(field(&by_udp, Name::CSeq), field(&by_tcp, Name::CSeq));
    world.answer(
        udp(SERVER),
        &by_udp,
        200,
        &[("Expires", "60"), ("SIP-ETag", "t1")],
    );
    // Remembered for ten minutes.
    let change = |world: &mut World| {
        let tag = format!("t{}", world.now);
        world
            .agent
            .change(world.time(), usage, Bytes::from(large.clone()));
        world.settle();
        let (to, request) = world.sent.pop().expect("a PUBLISH");
        world.sent.clear();
        world.answer(
            to,
            &text(&request),
            200,
            &[("Expires", "60"), ("SIP-ETag", &tag)],
        );
        world.events();
        to
    };
    world.now = 600_000;
    assert_eq!(change(&mut world), udp(SERVER));
    world.now = 600_501;
    assert_eq!(change(&mut world), tcp);
}

#[test]
fn a_peer_that_refused_tcp_is_forgotten_when_that_is_over() {
    let mut world = World::new(ALICE, udp(SERVER));
    let large = format!("<one>{}</one>", "x".repeat(1300));
    let usage = world.agent.publish(world.time(), publication(&large));
    world.one();
    world
        .agent
        .handle_unreachable(world.time(), hop(Transport::Tcp, SERVER));
    world.agent.leave(usage);
    world.settle();
    assert_eq!(world.agent.remembered(), 1, "the refusal");
    let over = world.agent.poll_timeout().expect("it ends");
    world.agent.handle_timeout(over);
    assert_eq!(world.agent.remembered(), 0);
    assert_eq!(world.agent.poll_timeout(), None);
}

#[test]
fn over_tcp_nothing_is_repeated_and_a_lost_connection_is_no_answer() {
    let tcp: Hop = hop(Transport::Tcp, SERVER);
    let mut world = World::new(BOB, tcp);
    world.agent.watch(world.time(), ALICE, 60);
    let (to, subscribe) = world.one();
    assert_eq!(to, tcp);
    assert_eq!(
        field(&subscribe, Name::Contact),
        "<sip:bob@192.0.2.1:40000;transport=tcp>"
    );
    // A NOTIFY by a connection of the server's is answered on it.
    let theirs = hop(Transport::Tcp, "192.0.2.5:33333");
    world.receive(
        theirs,
        &notify(&subscribe, 1, "active;expires=60", "", "<one/>").replace("/UDP", "/TCP"),
    );
    assert_eq!(world.one().0, theirs);
    world.answer(tcp, &subscribe, 200, &[("Expires", "60")]);
    world.events();
    let when = world.fire_until_sent();
    let (to, _) = world.one();
    assert_eq!(to, tcp, "the transport that was chosen, also in the dialog");
    world.agent.handle_unreachable(at(when), tcp);
    assert!(matches!(
        world.events()[..],
        [Event::Again { anew: false, .. }]
    ));
}

#[test]
fn a_second_via_in_a_response_is_not_for_us() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    let answer = response(&subscribe, 403, &[]);
    world.receive(
        udp(SERVER),
        &answer.replace("From:", "Via: SIP/2.0/UDP x;branch=z9hG4bKx\r\nFrom:"),
    );
    assert_eq!(world.events(), []);
    world.receive(udp(SERVER), &answer.replace("SUBSCRIBE", "PUBLISH"));
    assert_eq!(world.events(), [], "another method");
    world.receive(udp(SERVER), &answer);
    assert_eq!(world.events().len(), 1);
}

proptest::proptest! {
    /// Bytes that went wrong on the way are answered or dropped; the agent lives on and takes the next NOTIFY.
    #[test]
    fn torn_messages_do_no_harm(
        changes in proptest::collection::vec((0usize..800, proptest::num::u8::ANY), 0..12),
        length in 0usize..900,
        is_response in proptest::bool::ANY,
    ) {
        let (mut world, subscribe) = active();
        let good = if is_response { response(&subscribe, 200, &[]) } else { notify(&subscribe, 2, "active", "", "<two/>") };
        let mut bytes = good.into_bytes();
        for (place, value) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        world.agent.handle_message(world.time(), udp(SERVER), &bytes);
        while let Some(output) = world.agent.poll_output() {
            drop(output);
        }
        if !world.agent.is_idle() {
            world.receive(udp(SERVER), &notify(&subscribe, (1 << 31) - 1, "active", "", "<three/>"));
            proptest::prop_assert!(status(&world.one().1) <= 500);
        }
    }
}
