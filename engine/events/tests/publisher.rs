//! The source's machine: scripts of (time, input) → outputs, and its whole table of transitions as a golden file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use events::publisher::{Cause, End, Operation, Output, Phase, Publisher, Response};
use machine::{Instant, Random};

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn ok(tag: &str, expires: u32) -> Response<'_> {
    Response {
        status: 200,
        entity_tag: Some(tag),
        expires: Some(expires),
        ..Response::default()
    }
}

fn status(status: u16) -> Response<'static> {
    Response {
        status,
        ..Response::default()
    }
}

fn publish(
    operation: Operation,
    tag: Option<&str>,
    expires: u32,
    body: Option<&'static str>,
) -> Output {
    let body = body.map(|body| Bytes::from_static(body.as_bytes()));
    Output::Publish {
        operation,
        if_match: tag.map(ToOwned::to_owned),
        expires,
        body,
    }
}

fn published(operation: Operation, tag: &str, expires: u32) -> Output {
    Output::Published {
        operation,
        entity_tag: Some(tag.to_owned()),
        expires,
    }
}

fn outputs(publisher: &mut Publisher) -> Vec<Output> {
    std::iter::from_fn(|| publisher.poll_output()).collect()
}

fn fire(publisher: &mut Publisher) -> u64 {
    let timer = publisher.poll_timeout().expect("a timer");
    publisher.handle_timeout(timer - Duration::from_micros(1));
    assert_eq!(publisher.poll_output(), None, "early");
    publisher.handle_timeout(timer);
    timer.as_micros() / 1000
}

fn started() -> Publisher {
    let mut publisher = Publisher::new(60, Bytes::from_static(b"one"), Random::new(1));
    publisher.start(at(0));
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Initial, None, 60, Some("one"))]
    );
    publisher
}

fn live() -> Publisher {
    let mut publisher = started();
    publisher.handle_response(at(10), &ok("t1", 60));
    assert_eq!(
        outputs(&mut publisher),
        [published(Operation::Initial, "t1", 60)]
    );
    publisher
}

#[test]
fn initial_refresh_modify_remove() {
    let mut publisher = live();
    let when = fire(&mut publisher);
    assert!((48_000..54_010).contains(&when), "{when}");
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Refresh, Some("t1"), 60, None)]
    );
    publisher.handle_response(at(when), &ok("t2", 60));
    assert_eq!(
        outputs(&mut publisher),
        [published(Operation::Refresh, "t2", 60)]
    );
    publisher.change(at(when + 5), Bytes::from_static(b"two"));
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Modify, Some("t2"), 60, Some("two"))]
    );
    publisher.handle_response(at(when + 10), &ok("t3", 60));
    outputs(&mut publisher);
    publisher.stop(at(when + 20));
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Remove, Some("t3"), 0, None)]
    );
    publisher.handle_response(at(when + 30), &ok("t4", 0));
    assert_eq!(outputs(&mut publisher), [Output::End(End::Removed)]);
    assert_eq!(publisher.poll_timeout(), None);
}

#[test]
fn one_at_a_time_and_the_newest_follows() {
    let mut publisher = started();
    publisher.change(at(1), Bytes::from_static(b"two"));
    publisher.change(at(2), Bytes::from_static(b"three"));
    assert_eq!(outputs(&mut publisher), []);
    publisher.handle_response(at(10), &ok("t1", 60));
    assert_eq!(
        outputs(&mut publisher),
        [
            published(Operation::Initial, "t1", 60),
            publish(Operation::Modify, Some("t1"), 60, Some("three"))
        ]
    );
    publisher.stop(at(11));
    assert_eq!(outputs(&mut publisher), [], "first the answer");
    publisher.handle_response(at(12), &ok("t2", 60));
    let removal = publish(Operation::Remove, Some("t2"), 0, None);
    assert_eq!(
        outputs(&mut publisher),
        [published(Operation::Modify, "t2", 60), removal]
    );
}

#[test]
fn an_unknown_tag_is_answered_by_the_whole_state_without_a_tag() {
    let mut publisher = live();
    fire(&mut publisher);
    outputs(&mut publisher);
    publisher.handle_response(at(55_000), &status(412));
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Initial, None, 60, Some("one"))]
    );
    // Should even that be 412, it is the server that is wrong.
    publisher.handle_response(at(55_010), &status(412));
    assert_eq!(outputs(&mut publisher), [Output::End(End::Refused(412))]);
}

#[test]
fn a_given_tag_is_never_replaced() {
    let body = Bytes::from_static(b"one");
    let mut publisher = Publisher::with_entity_tag(60, "t9", Some(body), Random::new(1));
    publisher.start(at(0));
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Modify, Some("t9"), 60, Some("one"))]
    );
    publisher.handle_response(at(1), &status(412));
    assert_eq!(outputs(&mut publisher), [Output::End(End::Refused(412))]);

    for (answer, end) in [
        (200, End::Removed),
        (412, End::Refused(412)),
        (503, End::Abandoned),
    ] {
        let mut publisher = Publisher::with_entity_tag(60, "t9", None, Random::new(1));
        publisher.remove(at(0));
        assert_eq!(
            outputs(&mut publisher),
            [publish(Operation::Remove, Some("t9"), 0, None)]
        );
        publisher.handle_response(at(1), &status(answer));
        assert_eq!(outputs(&mut publisher), [Output::End(end)]);
    }
    let mut publisher = Publisher::with_entity_tag(60, "t9", None, Random::new(1));
    publisher.start(at(0));
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Refresh, Some("t9"), 60, None)]
    );
}

#[test]
fn interval_too_brief() {
    let mut publisher = started();
    publisher.handle_response(
        at(1),
        &Response {
            min_expires: Some(300),
            ..status(423)
        },
    );
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Initial, None, 300, Some("one"))]
    );
    publisher.handle_response(
        at(2),
        &Response {
            min_expires: Some(300),
            ..status(423)
        },
    );
    assert_eq!(outputs(&mut publisher), [Output::End(End::Refused(423))]);
}

#[test]
fn a_server_that_is_away_is_waited_for_and_what_lapsed_meanwhile_is_published_anew() {
    let mut publisher = live();
    let refresh = fire(&mut publisher);
    outputs(&mut publisher);
    publisher.handle_response(
        at(refresh),
        &Response {
            retry_after: Some(120),
            ..status(503)
        },
    );
    let [
        Output::Again {
            cause: Cause::Status(503),
            after,
        },
    ] = outputs(&mut publisher)[..]
    else {
        panic!()
    };
    assert!((120..=121).contains(&after.as_secs()));
    assert_eq!(fire(&mut publisher), 60_010, "the expiry comes first");
    assert_eq!(outputs(&mut publisher), []);
    publisher.change(at(70_000), Bytes::from_static(b"two"));
    fire(&mut publisher);
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Initial, None, 60, Some("two"))]
    );
}

#[test]
fn nobody_there() {
    let mut publisher = started();
    publisher.handle_no_answer(at(32_000));
    assert_eq!(outputs(&mut publisher), [Output::End(End::NoAnswer)]);

    // A modification that nobody answered is not forgotten.
    let mut publisher = live();
    publisher.change(at(100), Bytes::from_static(b"two"));
    outputs(&mut publisher);
    publisher.handle_no_answer(at(32_100));
    assert!(matches!(
        outputs(&mut publisher)[..],
        [Output::Again {
            cause: Cause::NoAnswer,
            ..
        }]
    ));
    fire(&mut publisher);
    assert_eq!(
        outputs(&mut publisher),
        [publish(Operation::Modify, Some("t1"), 60, Some("two"))]
    );

    // Removal gives up in time for a person to wait for it.
    let mut publisher = live();
    publisher.stop(at(100));
    outputs(&mut publisher);
    assert_eq!(fire(&mut publisher), 4100);
    assert_eq!(outputs(&mut publisher), [Output::End(End::Abandoned)]);
}

#[test]
fn a_server_that_grants_nothing_is_not_asked_in_a_circle() {
    let mut publisher = started();
    publisher.handle_response(at(0), &ok("t1", 0));
    outputs(&mut publisher);
    assert!(fire(&mut publisher) >= 500);
}

fn in_phase(phase: Phase) -> Publisher {
    let mut publisher = Publisher::new(600, Bytes::from_static(b"one"), Random::new(7));
    if phase == Phase::Init {
        return publisher;
    }
    publisher.start(at(0));
    if phase != Phase::Publishing {
        publisher.handle_response(at(0), &ok("t1", 600));
    }
    if matches!(phase, Phase::Waiting | Phase::Terminated) {
        publisher.change(at(0), Bytes::from_static(b"two"));
        publisher.handle_response(
            at(0),
            &status(if phase == Phase::Waiting { 500 } else { 403 }),
        );
    }
    if phase == Phase::Removing {
        publisher.stop(at(0));
    }
    outputs(&mut publisher);
    assert_eq!(publisher.phase(), phase);
    publisher
}

type Input = Box<dyn Fn(&mut Publisher)>;

fn every_input() -> Vec<(String, Input)> {
    let mut inputs: Vec<(String, Input)> = Vec::new();
    for code in [
        100, 200, 202, 302, 400, 401, 403, 404, 405, 406, 407, 408, 412, 413, 415, 420, 423, 480,
        481, 489, 491, 500, 501, 502, 503, 504, 505, 513, 600, 603, 604,
    ] {
        let response = move |publisher: &mut Publisher| {
            publisher.handle_response(
                at(10),
                &Response {
                    entity_tag: Some("t2"),
                    ..status(code)
                },
            );
        };
        inputs.push((code.to_string(), Box::new(response)));
    }
    inputs.push((
        "200, no SIP-ETag".to_owned(),
        Box::new(|p| p.handle_response(at(10), &status(200))),
    ));
    inputs.push((
        "no answer".to_owned(),
        Box::new(|p| p.handle_no_answer(at(10))),
    ));
    inputs.push((
        "change".to_owned(),
        Box::new(|p| p.change(at(10), Bytes::from_static(b"new"))),
    ));
    inputs.push(("stop".to_owned(), Box::new(|p| p.stop(at(10)))));
    inputs.push((
        "timer".to_owned(),
        Box::new(|p| {
            if let Some(timer) = p.poll_timeout() {
                p.handle_timeout(timer);
            }
        }),
    ));
    inputs
}

#[test]
fn the_whole_table() {
    let mut out = String::new();
    let phases = [
        Phase::Init,
        Phase::Publishing,
        Phase::Published,
        Phase::Waiting,
        Phase::Removing,
        Phase::Terminated,
    ];
    for phase in phases {
        for (name, input) in every_input() {
            let mut publisher = in_phase(phase);
            input(&mut publisher);
            let outputs = outputs(&mut publisher);
            if outputs.is_empty() && publisher.phase() == phase {
                continue; // No effect that anyone sees.
            }
            let mut shown = String::new();
            for output in outputs {
                match output {
                    Output::Publish {
                        operation,
                        if_match,
                        expires,
                        body,
                    } => {
                        let body = body.map_or_else(
                            || "-".to_owned(),
                            |body| String::from_utf8_lossy(&body).into_owned(),
                        );
                        let tag = if_match.unwrap_or_else(|| "-".to_owned());
                        write!(shown, " PUBLISH({operation:?}, {tag}, {expires}, {body})").unwrap();
                    }
                    Output::Published {
                        entity_tag,
                        expires,
                        ..
                    } => {
                        write!(
                            shown,
                            " published({}, {expires})",
                            entity_tag.as_deref().unwrap_or("-")
                        )
                        .unwrap();
                    }
                    Output::Again { cause, .. } => write!(shown, " again({cause:?})").unwrap(),
                    Output::End(end) => write!(shown, " end({end:?})").unwrap(),
                }
            }
            writeln!(
                out,
                "{:<10} {name:<16} {:<10}{shown}",
                format!("{phase:?}"),
                format!("{:?}", publisher.phase())
            )
            .unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/publisher.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &out).unwrap();
    }
    assert_eq!(out, std::fs::read_to_string(path).unwrap());
}

proptest::proptest! {
    /// Whatever comes in whatever order: one PUBLISH at a time (RFC 3903 §4), nothing after the end, the newest state last.
    #[test]
    fn promises_hold_in_any_order(steps in proptest::collection::vec((0usize..48, 0u64..40_000), 1..120)) {
        let inputs = every_input();
        let mut publisher = Publisher::new(60, Bytes::from_static(b"one"), Random::new(3));
        let (mut now, mut open, mut over) = (0, false, false);
        publisher.start(at(0));
        for (which, wait) in steps {
            while let Some(output) = publisher.poll_output() {
                proptest::prop_assert!(!over, "{output:?} after the end");
                match output {
                    Output::Publish { operation, if_match, body, .. } => {
                        proptest::prop_assert!(!open, "two at a time");
                        open = true;
                        proptest::prop_assert_eq!(if_match.is_none(), operation == Operation::Initial);
                        proptest::prop_assert_eq!(body.is_some(), matches!(operation, Operation::Initial | Operation::Modify));
                    }
                    Output::End(_) => over = true,
                    Output::Published { .. } | Output::Again { .. } => {}
                }
            }
            open &= !over;
            proptest::prop_assert!(over || open || publisher.poll_timeout().is_some());
            let until = now + wait;
            for _ in 0..1000 {
                let Some(timer) = publisher.poll_timeout().filter(|timer| *timer <= at(until)) else { break };
                publisher.handle_timeout(timer);
            }
            proptest::prop_assert!(publisher.poll_timeout().is_none_or(|timer| timer > at(until)), "time stands still");
            now = until;
            let sent = publisher.poll_output();
            proptest::prop_assert!(sent.is_none() || !open || matches!(sent, Some(Output::End(_))), "two at a time: {:?}", sent);
            match sent {
                Some(Output::Publish { .. }) => open = true,
                Some(Output::End(_)) => over = true,
                _ => {}
            }
            match inputs.get(which) {
                Some((name, input)) => {
                    open &= name == "100" || name == "change" || name == "stop" || name == "timer";
                    input(&mut publisher);
                }
                None => {
                    publisher.handle_no_answer(at(now));
                    open = false;
                }
            }
        }
    }
}
