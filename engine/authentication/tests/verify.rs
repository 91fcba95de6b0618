//! Credentials of every kind against what is asked for.

#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::collections::BTreeMap;

use authentication::{NONCE_SECONDS_MAX, Refused, Replay, Request, challenges, verify};
use machine::Wall;
use machine::settings::{Digest, DigestUser};
use sip::digest::{Algorithm, Answer, Challenge, ha1};

const NOW: Wall = Wall::from_millis(1_700_000_000_000);
const URI: &str = "sip:bob@example.com";

fn digest() -> Digest {
    let hash = |algorithm| Some(ha1(algorithm, "alice", "example.com", "secret"));
    let alice = DigestUser {
        aor: "sip:alice@example.com".into(),
        ha1_sha256: hash(Algorithm::Sha256),
        ha1_md5: hash(Algorithm::Md5),
    };
    Digest {
        algorithms: Algorithm::ALL.to_vec(),
        nonce_key: [9; 32],
        realms: BTreeMap::from([("example.com".into(), "example.com".into())]),
        users: BTreeMap::from([(
            "example.com".into(),
            BTreeMap::from([("alice".into(), alice)]),
        )]),
    }
}

/// The answer to the first challenge, or to that with the algorithm.
fn answered(digest: &Digest, at: Wall, algorithm: Algorithm, count: u32, password: &str) -> String {
    let written = challenges(digest, "example.com", at, 7, Refused::Missing);
    let mut read = written.iter().filter_map(|value| Challenge::read(value));
    let challenge = read
        .find(|challenge| challenge.algorithm == algorithm)
        .unwrap();
    challenge.answer(&Answer {
        username: "alice",
        password,
        method: "SUBSCRIBE",
        uri: URI,
        count,
        cnonce: "c",
    })
}

fn check<'d>(
    digest: &'d Digest,
    value: &str,
    now: Wall,
    replay: &mut Replay,
) -> Result<&'d str, Refused> {
    let request = Request {
        method: "SUBSCRIBE",
        is_uri: &|uri| uri == URI,
    };
    verify(digest, [value], &request, now, replay)
}

#[test]
fn either_algorithm_proves_who_she_is_and_the_better_is_offered_first() {
    let digest = digest();
    let offered = challenges(&digest, "example.com", NOW, 7, Refused::Missing);
    assert!(offered[0].contains("algorithm=SHA-256") && offered[1].contains("algorithm=MD5"));
    assert!(!offered[0].contains("stale"));
    for (count, algorithm) in [(1, Algorithm::Sha256), (2, Algorithm::Md5)] {
        let value = answered(&digest, NOW, algorithm, count, "secret");
        let proved = check(&digest, &value, NOW, &mut Replay::default());
        assert_eq!(proved, Ok("sip:alice@example.com"));
    }
}

#[test]
fn what_was_sent_once_is_stale_when_it_comes_again() {
    let digest = digest();
    let mut replay = Replay::default();
    let first = answered(&digest, NOW, Algorithm::Sha256, 1, "secret");
    assert!(check(&digest, &first, NOW, &mut replay).is_ok());
    assert_eq!(
        check(&digest, &first, NOW, &mut replay),
        Err(Refused::Stale)
    );
    let second = answered(&digest, NOW, Algorithm::Sha256, 2, "secret");
    assert!(check(&digest, &second, NOW, &mut replay).is_ok());
    let stale = challenges(&digest, "example.com", NOW, 8, Refused::Stale);
    assert!(stale.iter().all(|value| value.ends_with("stale=true")));
}

#[test]
fn only_who_knows_the_password_is_told_that_a_nonce_is_stale() {
    let digest = digest();
    let later = Wall::from_millis(NOW.as_millis() + (NONCE_SECONDS_MAX + 1) * 1000);
    let mut replay = Replay::default();
    let right = answered(&digest, NOW, Algorithm::Sha256, 1, "secret");
    assert_eq!(
        check(&digest, &right, later, &mut replay),
        Err(Refused::Stale)
    );
    let wrong = answered(&digest, NOW, Algorithm::Sha256, 1, "Secret");
    assert_eq!(
        check(&digest, &wrong, later, &mut replay),
        Err(Refused::Wrong)
    );
    assert_eq!(
        check(&digest, &wrong, NOW, &mut replay),
        Err(Refused::Wrong)
    );
    assert!(replay.is_empty(), "who failed takes no place");
}

#[test]
fn a_nonce_of_another_key_is_stale_and_one_of_another_life_is_not() {
    let mut other = digest();
    other.nonce_key = [8; 32];
    let value = answered(&other, NOW, Algorithm::Sha256, 1, "secret");
    let ours = digest();
    let refused = check(&ours, &value, NOW, &mut Replay::default());
    assert_eq!(refused, Err(Refused::Stale));
    let value = answered(&digest(), NOW, Algorithm::Sha256, 5, "secret");
    assert!(check(&digest(), &value, NOW, &mut Replay::default()).is_ok());
}

#[test]
fn what_is_not_offered_or_not_known_proves_nothing() {
    let mut only_better = digest();
    only_better.algorithms = vec![Algorithm::Sha256];
    let md5 = answered(&digest(), NOW, Algorithm::Md5, 1, "secret");
    assert_eq!(
        check(&only_better, &md5, NOW, &mut Replay::default()),
        Err(Refused::Wrong)
    );
    let good = answered(&digest(), NOW, Algorithm::Sha256, 1, "secret");
    for (from, to, expected) in [
        ("\"alice\"", "\"mallory\"", Refused::Wrong),
        (
            "realm=\"example.com\"",
            "realm=\"example.org\"",
            Refused::Missing,
        ),
        ("Digest ", "Basic ", Refused::Missing),
        ("SHA-256", "SHA-512-256", Refused::Wrong),
        (
            "qop=auth",
            "qop=auth-int",
            Refused::Malformed("Authorization is not of qop=auth"),
        ),
        (
            ", qop=auth",
            "",
            Refused::Malformed("Authorization is not of qop=auth"),
        ),
        (
            "nc=00000001",
            "nc=1",
            Refused::Malformed("Authorization has no good nc"),
        ),
        (
            "nc=00000001",
            "nc=00000000",
            Refused::Malformed("Authorization has no good nc"),
        ),
        (
            "cnonce=\"c\"",
            "cnonce=\"\"",
            Refused::Malformed("Authorization has no cnonce"),
        ),
        (
            "sip:bob",
            "sip:eve",
            Refused::Malformed("Authorization is for another URI"),
        ),
        ("nc=00000001", "nc=00000002", Refused::Wrong),
        ("nonce=\"", "nonce=\"0", Refused::Wrong),
    ] {
        let other = good.replacen(from, to, 1);
        assert_ne!(other, good, "{from}");
        assert_eq!(
            check(&digest(), &other, NOW, &mut Replay::default()),
            Err(expected),
            "{other}"
        );
    }
    let request = Request {
        method: "PUBLISH",
        is_uri: &|_| true,
    };
    let digest = digest();
    let refused = verify(&digest, [&*good], &request, NOW, &mut Replay::default());
    assert_eq!(refused, Err(Refused::Wrong));
}

#[test]
fn credentials_for_others_are_passed_over() {
    let good = answered(&digest(), NOW, Algorithm::Sha256, 1, "secret");
    let other = good.replace("realm=\"example.com\"", "realm=\"proxy\"");
    let request = Request {
        method: "SUBSCRIBE",
        is_uri: &|_| true,
    };
    let values = ["Basic eDp5", &*other, &*good];
    let digest = digest();
    let proved = verify(&digest, values, &request, NOW, &mut Replay::default());
    assert_eq!(proved, Ok("sip:alice@example.com"));
}

#[test]
fn settings_that_are_printed_show_no_secret() {
    let text = format!("{:?}", digest());
    assert!(text.contains("sip:alice@example.com"), "{text}");
    assert!(!text.contains(&ha1(Algorithm::Md5, "alice", "example.com", "secret")));
    assert!(!text.contains("nonce_key"));
}
