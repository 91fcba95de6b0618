//! The agent whose server asks who it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a test's helpers fail the test"
)]

mod peer;

use agent::{End, Event, Login, Publication};
use bytes::Bytes;
use peer::*;
use sip::digest::{Algorithm, Credentials, challenges, ha1};

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

fn watcher() -> World {
    let login = Login {
        username: "bob".to_owned(),
        password: "secret".to_owned(),
    };
    World::with_login(BOB, udp(SERVER), Some(login))
}

fn header<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    let start = format!("{name}: ");
    message
        .lines()
        .find_map(|line| line.strip_prefix(start.as_str()))
}

/// Answers as a server does that wants a proof.
fn challenge(world: &mut World, request: &str, status: u16, nonce: &str, stale: bool) {
    let name = if status == 407 {
        "Proxy-Authenticate"
    } else {
        "WWW-Authenticate"
    };
    let values = challenges("example.com", nonce, &Algorithm::ALL, stale);
    let fields: Vec<(&str, &str)> = values.iter().map(|value| (name, value.as_str())).collect();
    world.answer(udp(SERVER), request, status, &fields);
}

/// The count that a request proves, with which algorithm, of which nonce; checked.
fn proved(request: &str, name: &str) -> Option<(u32, Algorithm, String)> {
    let read = Credentials::read(header(request, name)?).unwrap().unwrap();
    let algorithm = read.algorithm.unwrap();
    let hash = ha1(algorithm, "bob", "example.com", "secret");
    let method = request.split(' ').next().unwrap();
    assert_eq!(read.uri, request.split(' ').nth(1).unwrap());
    assert!(read.prove(algorithm, &hash, method));
    Some((read.count().unwrap(), algorithm, read.nonce.to_owned()))
}

#[test]
fn who_is_asked_proves_it_with_the_better_algorithm_and_the_next_cseq() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 3600);
    let (_, first) = world.one();
    assert_eq!(proved(&first, "Authorization"), None);
    challenge(&mut world, &first, 401, "one", false);
    let (_, second) = world.one();
    let expected = (1, Algorithm::Sha256, "one".to_owned());
    assert_eq!(proved(&second, "Authorization"), Some(expected));
    assert_eq!(header(&first, "Call-ID"), header(&second, "Call-ID"));
    assert_eq!(header(&first, "From"), header(&second, "From"));
    assert_eq!(
        (header(&first, "CSeq"), header(&second, "CSeq")),
        (Some("1 SUBSCRIBE"), Some("2 SUBSCRIBE"))
    );
    assert!(world.events().is_empty());
    // The next request proves it at once.
    world.agent.watch(world.time(), "sip:carol@example.com", 60);
    let (_, other) = world.one();
    assert_eq!(proved(&other, "Authorization").unwrap().0, 2);
}

#[test]
fn a_wrong_password_is_told_once_and_not_tried_again() {
    let mut world = watcher();
    let usage = world.agent.watch(world.time(), ALICE, 3600);
    let (_, first) = world.one();
    challenge(&mut world, &first, 401, "one", false);
    let (_, second) = world.one();
    challenge(&mut world, &second, 401, "two", false);
    world.nothing();
    let events = world.events();
    assert!(
        matches!(&events[..], [Event::Ended { usage: ended, end: End::Refused { status: 401, .. } }] if *ended == usage),
        "{events:?}"
    );
}

#[test]
fn a_stale_nonce_is_replaced_without_a_word_and_a_server_that_says_stale_for_ever_is_left() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 3600);
    let (_, mut request) = world.one();
    challenge(&mut world, &request, 401, "one", false);
    let mut nonces = Vec::new();
    for nonce in ["two", "three", "four", "five"] {
        request = world.one().1;
        nonces.push(proved(&request, "Authorization").unwrap().2);
        challenge(&mut world, &request, 401, nonce, true);
    }
    assert_eq!(nonces, ["one", "two", "three", "four"]);
    world.nothing();
    assert!(matches!(&world.events()[..], [Event::Ended { .. }]));
}

#[test]
fn a_proxy_and_the_server_behind_it_may_both_ask() {
    let mut world = watcher();
    let publication = Publication {
        resource: BOB.to_owned(),
        expires: 3600,
        content_type: "application/pidf+xml".to_owned(),
        body: Some(Bytes::from_static(b"<p/>")),
        if_match: None,
    };
    world.agent.publish(world.time(), publication);
    let (_, first) = world.one();
    challenge(&mut world, &first, 407, "proxy", false);
    let (_, second) = world.one();
    assert_eq!(proved(&second, "Proxy-Authorization").unwrap().2, "proxy");
    challenge(&mut world, &second, 401, "server", false);
    let (_, third) = world.one();
    assert_eq!(proved(&third, "Proxy-Authorization").unwrap().0, 2);
    assert_eq!(proved(&third, "Authorization").unwrap().2, "server");
    assert!(third.ends_with("<p/>"));
    assert_eq!(header(&third, "CSeq"), Some("3 PUBLISH"));
    world.answer(
        udp(SERVER),
        &third,
        200,
        &[("SIP-ETag", "t"), ("Expires", "3600")],
    );
    assert!(matches!(&world.events()[..], [Event::Published { .. }]));
}

#[test]
fn what_cannot_be_answered_is_a_refusal() {
    for (login, value) in [
        (false, r#"Digest realm="x", nonce="n", qop="auth""#),
        (true, r#"Digest realm="x", nonce="n""#),
        (
            true,
            r#"Digest realm="x", nonce="n", qop="auth", algorithm=SHA-512-256"#,
        ),
        (true, r#"Basic realm="x""#),
    ] {
        let mut world = if login {
            watcher()
        } else {
            World::new(BOB, udp(SERVER))
        };
        world.agent.watch(world.time(), ALICE, 3600);
        let (_, first) = world.one();
        world.answer(udp(SERVER), &first, 401, &[("WWW-Authenticate", value)]);
        world.nothing();
        assert!(
            matches!(&world.events()[..], [Event::Ended { .. }]),
            "{value}"
        );
    }
}

#[test]
fn a_login_that_is_printed_shows_no_password() {
    let mut world = watcher();
    world.agent.watch(world.time(), ALICE, 3600);
    let (_, first) = world.one();
    challenge(&mut world, &first, 401, "one", false);
    assert!(!format!("{:?}", world.agent).contains("secret"));
}
