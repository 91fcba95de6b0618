//! SUBSCRIBE and PUBLISH of who has to prove who she is (RFC 3261 §22, RFC 8760).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says where it breaks"
)]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use machine::settings::{Digest, DigestUser, Identity, Network, Settings};
use sip::digest::{Algorithm, Answer, Challenge, ha1};
use world::{Sent, World, pidf, settings};

fn digest() -> Digest {
    let user = |name: &str| {
        let hash = |algorithm| Some(ha1(algorithm, name, "example.com", "secret"));
        let user = DigestUser {
            aor: format!("sip:{name}@example.com"),
            ha1_sha256: hash(Algorithm::Sha256),
            ha1_md5: hash(Algorithm::Md5),
        };
        (name.to_owned(), user)
    };
    Digest {
        algorithms: Algorithm::ALL.to_vec(),
        nonce_key: [9; 32],
        realms: BTreeMap::from([("example.com".into(), "example.com".into())]),
        users: BTreeMap::from([("example.com".into(), ["alice", "bob"].map(user).into())]),
    }
}

fn closed() -> Settings {
    let mut settings = settings();
    settings.identity = Identity {
        digest: Some(Arc::new(digest())),
        ..Identity::default()
    };
    settings
}

/// From anywhere but here.
fn stranger() -> shard::Flow {
    shard::Flow {
        peer: "192.0.2.7:7000".parse().unwrap(),
        ..World::udp(7000)
    }
}

fn say(world: &mut World, flow: &shard::Flow, text: &str) -> Sent {
    let sent = world.say(flow, text);
    sent.into_iter()
        .find(|sent| sent.status() != 0)
        .expect("an answer")
}

fn challenges(answer: &Sent) -> Vec<&str> {
    let lines = answer.head.lines();
    lines
        .filter_map(|line| line.strip_prefix("WWW-Authenticate: "))
        .collect()
}

/// The request again, with the answer to a challenge.
fn with_proof(text: &str, challenge: &str, username: &str, password: &str, count: u32) -> String {
    let (method, rest) = text.split_once(' ').unwrap();
    let uri = rest.split_once(' ').unwrap().0;
    let proof = Challenge::read(challenge).unwrap().answer(&Answer {
        username,
        password,
        method,
        uri,
        count,
        cnonce: "cnonce",
    });
    // Each is a request of its own: another branch, the next CSeq.
    let text = text.replacen("branch=z9hG4bK", &format!("branch=z9hG4bKp{count}"), 1);
    let (head, rest) = text.split_once("CSeq: ").unwrap();
    let (number, rest) = rest.split_once(' ').unwrap();
    let number = number.parse::<u32>().unwrap() + count;
    format!("{head}Authorization: {proof}\r\nCSeq: {number} {rest}")
}

#[test]
fn who_proves_nothing_is_challenged_as_by_a_user_agent_the_better_algorithm_first() {
    let mut world = World::with(closed());
    let text = world.subscribe_text("bob", 7000, "");
    let answer = say(&mut world, &World::udp(7000), &text);
    assert_eq!(answer.status(), 401);
    let offered = challenges(&answer);
    assert_eq!(offered.len(), 2);
    assert!(offered[0].contains("realm=\"example.com\"") && offered[0].contains("SHA-256"));
    assert!(offered[1].contains("MD5") && offered[1].contains("qop=\"auth\""));
    assert!(!answer.head.contains("stale") && !answer.head.contains("Proxy-"));
    let text = world.publish_text(
        "Content-Type: application/pidf+xml\r\n",
        &pidf("open", "hi"),
    );
    let answer = say(&mut world, &World::udp(6000), &text);
    assert_eq!((answer.status(), challenges(&answer).len()), (401, 2));
}

#[test]
fn with_either_algorithm_she_is_who_she_proves_to_be() {
    for place in [0, 1] {
        let mut world = World::with(closed());
        let fields = "Content-Type: application/pidf+xml\r\n";
        let text = world.publish_text(fields, &pidf("open", "hi"));
        let answer = say(&mut world, &World::udp(6000), &text);
        let proved = with_proof(&text, challenges(&answer)[place], "alice", "secret", 1);
        assert_eq!(say(&mut world, &World::udp(6000), &proved).status(), 200);
        let text = world.subscribe_text("bob", 7000, "");
        let answer = say(&mut world, &World::udp(7000), &text);
        let proved = with_proof(&text, challenges(&answer)[place], "bob", "secret", 1);
        assert_eq!(say(&mut world, &World::udp(7000), &proved).status(), 200);
    }
}

#[test]
fn a_wrong_password_is_challenged_anew_and_a_used_proof_is_stale() {
    let mut world = World::with(closed());
    let text = world.subscribe_text("bob", 7000, "");
    let answer = say(&mut world, &World::udp(7000), &text);
    let challenge = challenges(&answer)[0].to_owned();
    let wrong = with_proof(&text, &challenge, "bob", "guess", 1);
    let answer = say(&mut world, &World::udp(7000), &wrong);
    assert_eq!(
        (answer.status(), answer.head.contains("stale")),
        (401, false)
    );
    let right = with_proof(&text, &challenge, "bob", "secret", 2);
    assert_eq!(say(&mut world, &World::udp(7000), &right).status(), 200);
    // Somebody copied it, and sends it as a request of her own.
    let again = right.replacen("branch=z9hG4bK", "branch=z9hG4bKx", 1);
    let again = again.replacen("Call-ID: ", "Call-ID: x", 1);
    let answer = say(&mut world, &World::udp(7000), &again);
    assert_eq!(
        (answer.status(), answer.head.contains("stale=true")),
        (401, true)
    );
}

#[test]
fn who_proves_to_be_another_than_from_says_is_refused() {
    let mut world = World::with(closed());
    let text = world.subscribe_text("bob", 7000, "");
    let answer = say(&mut world, &World::udp(7000), &text);
    let other = with_proof(&text, challenges(&answer)[0], "alice", "secret", 1);
    assert_eq!(say(&mut world, &World::udp(7000), &other).status(), 403);
    // Bob may prove to be himself; that does not make alice's presence his to publish.
    let text = world.publish_text(
        "Content-Type: application/pidf+xml\r\n",
        &pidf("open", "hi"),
    );
    let answer = say(&mut world, &World::udp(6000), &text);
    let text = text.replace(
        "From: <sip:alice@example.com>",
        "From: <sip:bob@example.com>",
    );
    let other = with_proof(&text, challenges(&answer)[0], "bob", "secret", 1);
    assert_eq!(say(&mut world, &World::udp(6000), &other).status(), 403);
}

#[test]
fn a_refresh_in_the_dialog_has_to_prove_it_too() {
    let mut world = World::with(closed());
    let text = world.subscribe_text("bob", 7000, "");
    let answer = say(&mut world, &World::udp(7000), &text);
    let challenge = challenges(&answer)[0].to_owned();
    let proved = with_proof(&text, &challenge, "bob", "secret", 1);
    let answer = say(&mut world, &World::udp(7000), &proved);
    let contact = answer.need("Contact").trim_matches(['<', '>']).to_owned();
    let refresh = |count: u32| {
        text.replacen("sip:alice@example.com", &contact, 1)
            .replace(
                "To: <sip:alice@example.com>",
                &format!("To: <sip:alice@example.com>;tag={}", answer.to_tag()),
            )
            .replace("CSeq: 1 ", &format!("CSeq: {} ", count + 1))
            .replacen("branch=z9hG4bK", &format!("branch=z9hG4bKr{count}"), 1)
    };
    let refused = say(&mut world, &World::udp(7000), &refresh(1));
    assert_eq!(refused.status(), 401, "{}", refused.head);
    let proved = with_proof(&refresh(2), &challenge, "bob", "secret", 2);
    let taken = say(&mut world, &World::udp(7000), &proved);
    assert_eq!(taken.status(), 200, "{}", taken.head);
}

#[test]
fn a_restart_asks_nobody_again() {
    let mut world = World::with(closed());
    let text = world.subscribe_text("bob", 7000, "");
    let answer = say(&mut world, &World::udp(7000), &text);
    let challenge = challenges(&answer)[0].to_owned();
    world.crash();
    let proved = with_proof(&text, &challenge, "bob", "secret", 1);
    assert_eq!(say(&mut world, &World::udp(7000), &proved).status(), 200);
}

#[test]
fn who_guesses_too_often_waits_and_those_on_this_machine_do_not() {
    let mut settings = closed();
    settings.limits.auth_failures_per_minute_per_source_max = 3;
    let mut world = World::with(settings);
    let text = world.subscribe_text("bob", 7000, "");
    let answer = say(&mut world, &stranger(), &text);
    let challenge = challenges(&answer)[0].to_owned();
    for count in 1..=3 {
        let wrong = with_proof(&text, &challenge, "bob", "guess", count);
        let status = say(&mut world, &stranger(), &wrong).status();
        assert_eq!(status, if count < 3 { 401 } else { 503 });
    }
    // Even the right one isn't told.
    let right = with_proof(&text, &challenge, "bob", "secret", 4);
    let answer = say(&mut world, &stranger(), &right);
    assert_eq!(answer.status(), 503);
    assert!(answer.need("Retry-After").parse::<u32>().unwrap() <= 60);
    let here = with_proof(&text, &challenge, "bob", "secret", 5);
    assert_eq!(say(&mut world, &World::udp(7000), &here).status(), 200);
    world.advance(Duration::from_secs(60));
    let later = world.subscribe_text("bob", 7000, "");
    let later = with_proof(&later, &challenge, "bob", "secret", 6);
    assert_eq!(say(&mut world, &stranger(), &later).status(), 200);
}

#[test]
fn an_assertion_goes_before_a_proof_and_from_is_believed_only_where_it_may_be() {
    let mut settings = closed();
    settings.identity.trusted_peers = vec![Network {
        address: "192.0.2.0".parse().unwrap(),
        prefix: 24,
    }];
    let mut world = World::with(settings);
    let text = world.subscribe_text(
        "bob",
        7000,
        "P-Asserted-Identity: <sip:bob@example.com>\r\n",
    );
    assert_eq!(say(&mut world, &stranger(), &text).status(), 200);
    // A trusted peer that asserts nobody is like anyone.
    let text = world.subscribe_text("carol", 7000, "");
    assert_eq!(say(&mut world, &stranger(), &text).status(), 401);

    let mut settings = closed();
    settings.identity.from_is_identity = true;
    let mut world = World::with(settings);
    let text = world.subscribe_text("bob", 7000, "");
    assert_eq!(say(&mut world, &World::udp(7000), &text).status(), 200);
    let text = world.subscribe_text("carol", 7000, "Authorization: Digest username=\"bob\"\r\n");
    assert_eq!(say(&mut world, &World::udp(7000), &text).status(), 400);
}

/// Where a trusted peer stands.
fn trusted() -> shard::Flow {
    shard::Flow {
        peer: "192.0.2.7:7000".parse().unwrap(),
        ..World::udp(7000)
    }
}

fn trusting() -> Settings {
    let mut settings = closed();
    settings.identity.trusted_peers = vec![Network {
        address: "192.0.2.0".parse().unwrap(),
        prefix: 24,
    }];
    settings
}

const BOB: &str = "P-Asserted-Identity: <sip:bob@example.com>\r\n";

fn believed(world: &mut World) -> Option<shard::Believed> {
    let (alice, bob) = ("sip:alice@example.com", Some("sip:bob@example.com"));
    let explained = world.shard.explain(world.now, alice, bob, None);
    explained.unwrap().believed
}

#[test]
fn a_trusted_peer_that_asserts_nobody_refreshed_dialogs_that_it_had_not_asserted() {
    let mut world = World::with(trusting());
    assert_eq!(believed(&mut world), None);
    // Bob proved who he is, and his dialog is no trusted peer's.
    let text = world.subscribe_text("bob", 7000, "");
    let challenge = say(&mut world, &World::udp(7000), &text);
    let challenge = challenges(&challenge)[0].to_owned();
    let proved = with_proof(&text, &challenge, "bob", "secret", 1);
    let answer = say(&mut world, &World::udp(7000), &proved);
    assert_eq!(answer.status(), 200);
    assert_eq!(believed(&mut world), Some(shard::Believed::Digest));
    let refresh = world.resubscribe_text("bob", 7000, &answer, 8, "");
    assert_eq!(say(&mut world, &trusted(), &refresh).status(), 401);
    // With an assertion, or a proof, it is refreshed through whomever.
    let refresh = world.resubscribe_text("bob", 7000, &answer, 9, "");
    let proved = with_proof(&refresh, &challenge, "bob", "secret", 2);
    assert_eq!(say(&mut world, &trusted(), &proved).status(), 200);
    let refresh = world.resubscribe_text("bob", 7000, &answer, 20, BOB);
    assert_eq!(say(&mut world, &trusted(), &refresh).status(), 200);
    assert_eq!(believed(&mut world), Some(shard::Believed::Asserted));
}

#[test]
fn the_peer_that_asserted_need_not_assert_again_and_no_other_may_be_silent() {
    let mut world = World::with(trusting());
    let text = world.subscribe_text("bob", 7000, BOB);
    let answer = say(&mut world, &trusted(), &text);
    assert_eq!(answer.status(), 200);
    for (turn, starts) in [false, true].into_iter().enumerate() {
        if starts {
            world.crash();
            assert_eq!(believed(&mut world), Some(shard::Believed::Asserted));
        }
        let cseq = 10 + 10 * turn as u32;
        let silent = world.resubscribe_text("bob", 7000, &answer, cseq, "");
        assert_eq!(say(&mut world, &trusted(), &silent).status(), 200);
        let other = shard::Flow {
            peer: "192.0.2.8:7000".parse().unwrap(),
            ..trusted()
        };
        let silent = world.resubscribe_text("bob", 7000, &answer, cseq + 1, "");
        assert_eq!(say(&mut world, &other, &silent).status(), 401);
        let carol = "P-Asserted-Identity: <sip:carol@example.com>\r\n";
        let differs = world.resubscribe_text("bob", 7000, &answer, cseq + 2, carol);
        assert_eq!(say(&mut world, &trusted(), &differs).status(), 403);
    }
}

#[test]
fn of_two_asserted_identities_only_the_first_was_looked_at() {
    const RULES: &str = "pres-rules/users/sip:alice@example.com/index";
    let rules = |who: &str, handling: &str| {
        format!(
            "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\">\
             <cp:rule id=\"a\"><cp:conditions><cp:identity>{who}</cp:identity></cp:conditions><cp:actions>\
             <sub-handling>{handling}</sub-handling></cp:actions></cp:rule></cp:ruleset>"
        )
    };
    let tel = rules("<cp:one id=\"tel:+15551234\"/>", "block");
    let sip = rules("<cp:one id=\"sip:bob@example.com\"/>", "block");
    let others = rules(
        "<cp:many><cp:except id=\"tel:+15551234\"/></cp:many>",
        "block",
    );
    let both = [
        "P-Asserted-Identity: <tel:+1-555-1234>, <sip:bob@example.com>\r\n",
        "P-Asserted-Identity: <sip:bob@example.com>\r\nP-Asserted-Identity: <tel:+15551234>\r\n",
    ];
    for fields in both {
        for (rules, status) in [(&tel, 403), (&sip, 403), (&others, 200)] {
            let mut world = World::with(trusting());
            world.reload(|settings| {
                settings.domains[0].presence.default_handling = machine::settings::Handling::Allow;
            });
            assert!(world.put(RULES, rules).status < 300);
            let text = world.subscribe_text("bob", 7000, fields);
            assert_eq!(say(&mut world, &trusted(), &text).status(), status);
        }
        // Whoever watches already is decided by both, after a start too.
        let mut world = World::with(trusting());
        let text = world.subscribe_text("bob", 7000, fields);
        assert_eq!(say(&mut world, &trusted(), &text).status(), 200);
        assert_eq!(believed(&mut world), Some(shard::Believed::Asserted));
        world.crash();
        for notify in world.notifies(0) {
            world.ok(&notify);
        }
        let before = world.sent.len();
        assert!(world.put(RULES, &others).status < 300);
        assert!(world.notifies(before).is_empty());
        assert!(world.put(RULES, &tel).status < 300);
        let ended = &world.notifies(before)[0];
        assert_eq!(
            ended.need("Subscription-State"),
            "terminated;reason=rejected"
        );
    }
    let mut world = World::with(trusting());
    let two = "P-Asserted-Identity: <sip:bob@example.com>, <sip:carol@example.com>\r\n";
    let text = world.subscribe_text("bob", 7000, two);
    assert_eq!(say(&mut world, &trusted(), &text).status(), 400);
}

#[test]
fn whoever_fails_to_prove_is_counted_with_the_reason() {
    let mut world = World::with(closed());
    let text = world.subscribe_text("bob", 7000, "");
    let challenge = say(&mut world, &World::udp(7000), &text);
    let challenge = challenges(&challenge)[0].to_owned();
    for (password, count) in [("wrong", 1), ("secret", 2), ("secret", 2)] {
        let text = world.subscribe_text("bob", 7000, "");
        let text = with_proof(&text, &challenge, "bob", password, count);
        let text = text.replace("Call-ID: ", &format!("Call-ID: {}", world.serial()));
        say(&mut world, &World::udp(7000), &text);
    }
    let failed = world.happened.iter().filter_map(|(_, event)| match event {
        shard::Event::Shard(shard::Happened::AuthenticationFailed { why }) => Some(*why),
        _ => None,
    });
    assert_eq!(failed.collect::<Vec<_>>(), ["wrong", "stale"]);
}
