//! The watcher's machine: scripts of (time, input) → outputs, and its whole table of transitions as a golden file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

use std::fmt::Write;
use std::time::Duration;

use events::subscriber::{Answer, Cause, End, Notify, Output, Phase, Response, Subscriber};
use machine::{Instant, Random};
use sip::SubscriptionState;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn state(text: &str) -> Option<SubscriptionState<'_>> {
    (!text.is_empty()).then(|| SubscriptionState::parse(text).unwrap())
}

fn ok(expires: u32) -> Response<'static> {
    Response {
        status: 200,
        remote_tag: Some("r"),
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

fn notify(subscriber: &mut Subscriber, ms: u64, cseq: u32, text: &str) -> Answer {
    subscriber.handle_notify(
        at(ms),
        &Notify {
            remote_tag: Some("r"),
            cseq,
            state: state(text),
        },
    )
}

fn outputs(subscriber: &mut Subscriber) -> Vec<Output> {
    std::iter::from_fn(|| subscriber.poll_output()).collect()
}

fn ask(dialog: u32, expires: u32) -> Output {
    Output::Subscribe { dialog, expires }
}

/// Fires the next timer; its time in milliseconds.
fn fire(subscriber: &mut Subscriber) -> u64 {
    let timer = subscriber.poll_timeout().expect("a timer");
    subscriber.handle_timeout(timer - Duration::from_micros(1));
    assert_eq!(subscriber.poll_output(), None, "early");
    subscriber.handle_timeout(timer);
    timer.as_micros() / 1000
}

fn started(expires: u32) -> Subscriber {
    let mut subscriber = Subscriber::new(expires, Random::new(1));
    subscriber.start(at(0));
    assert_eq!(outputs(&mut subscriber), [ask(1, expires)]);
    subscriber
}

/// Active since 20 ms, for 60 s.
fn active() -> Subscriber {
    let mut subscriber = started(60);
    subscriber.handle_response(at(10), 1, &ok(60));
    assert_eq!(
        notify(&mut subscriber, 20, 1, "active;expires=60"),
        Answer::Accept
    );
    assert_eq!(
        outputs(&mut subscriber),
        [Output::State {
            phase: Phase::Active,
            expires: 60
        }]
    );
    subscriber
}

#[test]
fn a_subscription_is_refreshed_between_80_and_90_percent_of_what_was_granted() {
    let mut subscriber = started(3600);
    subscriber.handle_response(at(10), 1, &ok(100));
    notify(&mut subscriber, 20, 1, "pending;expires=100");
    assert_eq!(
        outputs(&mut subscriber),
        [Output::State {
            phase: Phase::Pending,
            expires: 100
        }]
    );
    notify(&mut subscriber, 500, 2, "active");
    assert_eq!(
        outputs(&mut subscriber),
        [Output::State {
            phase: Phase::Active,
            expires: 99
        }]
    );
    let when = fire(&mut subscriber);
    assert!((80_000..90_020).contains(&when), "{when}");
    assert_eq!(outputs(&mut subscriber), [ask(1, 3600)]);
    // The second period counts from its own 2xx; an unchanged state is not told again.
    subscriber.handle_response(at(when), 1, &ok(100));
    notify(&mut subscriber, when, 3, "active;expires=100");
    assert_eq!(outputs(&mut subscriber), []);
    let again = fire(&mut subscriber);
    assert!((when + 80_000..when + 90_000).contains(&again), "{again}");
}

#[test]
fn notify_before_the_2xx_installs_and_the_shorter_expiry_wins() {
    let mut subscriber = started(60);
    assert_eq!(
        notify(&mut subscriber, 5, 7, "active;expires=30"),
        Answer::Accept
    );
    assert_eq!(
        outputs(&mut subscriber),
        [Output::State {
            phase: Phase::Active,
            expires: 30
        }]
    );
    subscriber.handle_response(at(10), 1, &ok(60));
    let when = fire(&mut subscriber);
    assert!((24_000..27_010).contains(&when), "{when}");
    assert_eq!(outputs(&mut subscriber), [ask(1, 60)]);
}

#[test]
fn a_lost_2xx_does_not_matter_once_the_notify_is_there() {
    let mut subscriber = started(600);
    notify(&mut subscriber, 5, 7, "active;expires=600");
    outputs(&mut subscriber);
    subscriber.handle_no_answer(at(32_000), 1);
    assert_eq!(outputs(&mut subscriber), []);
    let when = fire(&mut subscriber);
    assert!((480_000..572_000).contains(&when), "{when}");
    assert_eq!(outputs(&mut subscriber), [ask(1, 600)]);
}

#[test]
fn timer_n_ends_what_never_notifies() {
    for expires in [0, 600] {
        let mut subscriber = started(expires);
        subscriber.handle_response(at(10), 1, &ok(expires));
        assert_eq!(fire(&mut subscriber), 32_000);
        assert_eq!(outputs(&mut subscriber), [Output::End(End::NoNotify)]);
        assert_eq!(subscriber.poll_timeout(), None);
    }
}

#[test]
fn timer_n_of_a_refresh_subscribes_anew_but_never_kills_a_live_one() {
    let mut subscriber = active();
    let when = fire(&mut subscriber);
    assert_eq!(outputs(&mut subscriber), [ask(1, 60)]);
    subscriber.handle_response(at(when), 1, &ok(600));
    assert_eq!(fire(&mut subscriber), when + 32_000);
    assert_eq!(
        outputs(&mut subscriber),
        [
            Output::Again {
                cause: Cause::NoNotify,
                after: Duration::ZERO,
                anew: true
            },
            ask(2, 60)
        ]
    );
    // The same with its NOTIFY: no Timer N is left.
    let mut subscriber = active();
    let when = fire(&mut subscriber);
    notify(&mut subscriber, when, 2, "active;expires=600");
    subscriber.handle_response(at(when), 1, &ok(600));
    outputs(&mut subscriber);
    assert!(fire(&mut subscriber) > when + 40_000);
    assert_eq!(outputs(&mut subscriber), [ask(1, 60)]);
}

#[test]
fn cseq_of_notify() {
    let mut subscriber = active();
    assert_eq!(
        notify(&mut subscriber, 30, 5, "active;expires=60"),
        Answer::Accept
    );
    assert_eq!(
        notify(&mut subscriber, 40, 5, "active;expires=60"),
        Answer::Repeated
    );
    assert_eq!(
        notify(&mut subscriber, 50, 4, "terminated;reason=rejected"),
        Answer::Reject(500)
    );
    // A gap is legal (RFC 3261 §12.2.2).
    assert_eq!(
        notify(&mut subscriber, 60, 70_000, "active;expires=60"),
        Answer::Accept
    );
    assert_eq!(notify(&mut subscriber, 70, 70_001, ""), Answer::Reject(400));
    let fork = Notify {
        remote_tag: Some("other"),
        cseq: 1,
        state: state("active"),
    };
    assert_eq!(subscriber.handle_notify(at(80), &fork), Answer::Reject(481));
    let torn = Notify {
        remote_tag: None,
        cseq: 70_002,
        state: state("active"),
    };
    assert_eq!(subscriber.handle_notify(at(80), &torn), Answer::Reject(400));
    assert_eq!(outputs(&mut subscriber), []);
}

#[test]
fn the_notify_of_a_fork_wins_over_the_2xx_of_another() {
    let mut subscriber = started(60);
    subscriber.handle_response(
        at(10),
        1,
        &Response {
            remote_tag: Some("a"),
            ..ok(60)
        },
    );
    assert_eq!(
        notify(&mut subscriber, 20, 1, "active;expires=60"),
        Answer::Accept
    );
    assert_eq!(subscriber.remote_tag(), Some("r"));
    let other = Notify {
        remote_tag: Some("a"),
        cseq: 1,
        state: state("active"),
    };
    assert_eq!(
        subscriber.handle_notify(at(30), &other),
        Answer::Reject(481)
    );
}

#[test]
fn a_fetch_ends_by_its_notify() {
    for text in ["terminated;reason=timeout", "active;expires=0", "pending"] {
        let mut subscriber = started(0);
        subscriber.handle_response(at(10), 1, &ok(0));
        assert_eq!(notify(&mut subscriber, 20, 1, text), Answer::Accept);
        assert_eq!(outputs(&mut subscriber), [Output::End(End::Fetched)]);
        assert_eq!(notify(&mut subscriber, 30, 2, text), Answer::Reject(481));
        assert_eq!(subscriber.poll_timeout(), None);
    }
}

#[test]
fn a_fetch_whose_notify_overtakes_the_2xx_waits_for_it_but_shows_nothing_more() {
    for answered in [true, false] {
        let mut subscriber = started(0);
        assert_eq!(
            notify(&mut subscriber, 20, 1, "terminated;reason=timeout"),
            Answer::Accept
        );
        assert_eq!(outputs(&mut subscriber), []);
        assert_eq!(
            notify(&mut subscriber, 30, 2, "active"),
            Answer::Reject(481)
        );
        assert_eq!(
            subscriber.poll_timeout(),
            None,
            "only the transaction's timers run"
        );
        if answered {
            subscriber.handle_response(
                at(40),
                1,
                &Response {
                    status: 202,
                    ..ok(0)
                },
            );
        } else {
            subscriber.handle_no_answer(at(32_000), 1);
        }
        assert_eq!(outputs(&mut subscriber), [Output::End(End::Fetched)]);
    }
}

#[test]
fn nobody_there_at_first_is_the_end_later_it_is_waited_out() {
    let mut subscriber = started(60);
    subscriber.handle_no_answer(at(32_000), 1);
    assert_eq!(outputs(&mut subscriber), [Output::End(End::NoAnswer)]);

    let mut subscriber = active();
    let mut now = fire(&mut subscriber);
    let mut waits = Vec::new();
    let mut dialog = 1;
    for _ in 0..8 {
        for output in outputs(&mut subscriber) {
            match output {
                Output::Subscribe {
                    dialog: in_dialog, ..
                } => dialog = in_dialog,
                Output::Again { after, .. } => waits.push(after.as_millis()),
                other => panic!("{other:?}"),
            }
        }
        subscriber.handle_no_answer(at(now), dialog);
        now = subscriber.poll_timeout().unwrap().as_micros() / 1000;
        subscriber.handle_timeout(at(now));
    }
    assert!(dialog >= 2, "the old dialog lapsed");
    assert!(waits.iter().all(|wait| *wait <= 32_000), "{waits:?}");
    assert!(waits.last().is_some_and(|wait| *wait >= 8_000), "{waits:?}");
    // The server is back.
    outputs(&mut subscriber);
    subscriber.handle_response(at(now), subscriber.dialog(), &ok(60));
    notify(&mut subscriber, now, 1, "active;expires=60");
    assert_eq!(
        outputs(&mut subscriber),
        [Output::State {
            phase: Phase::Active,
            expires: 60
        }]
    );
}

#[test]
fn a_restarted_server_without_memory_gets_a_new_subscription_at_once() {
    let mut subscriber = active();
    let when = fire(&mut subscriber);
    outputs(&mut subscriber);
    subscriber.handle_response(at(when), 1, &status(481));
    assert_eq!(
        outputs(&mut subscriber),
        [
            Output::Again {
                cause: Cause::Status(481),
                after: Duration::ZERO,
                anew: true
            },
            ask(2, 60)
        ]
    );
    // What still comes in the old dialog is not ours any more.
    subscriber.handle_response(at(when), 1, &ok(60));
    assert_eq!(subscriber.phase(), Phase::NotifyWait);
}

#[test]
fn a_peer_that_ends_every_subscription_at_once_is_not_asked_in_a_circle() {
    let mut subscriber = active();
    let mut asked = 0;
    let mut now = 100;
    for cseq in 2..10 {
        notify(&mut subscriber, now, cseq, "terminated;reason=deactivated");
        let asks = |outputs: Vec<Output>| {
            outputs
                .iter()
                .filter(|output| matches!(output, Output::Subscribe { .. }))
                .count()
        };
        asked += asks(outputs(&mut subscriber));
        if subscriber.phase() == Phase::Waiting {
            now = fire(&mut subscriber);
            asked += asks(outputs(&mut subscriber));
        }
        subscriber.handle_response(at(now), subscriber.dialog(), &ok(60));
        notify(&mut subscriber, now, 1, "active;expires=60");
        outputs(&mut subscriber);
    }
    assert_eq!(asked, 8);
    assert!(now > 30_000, "eight new dialogs within {now} ms");
}

#[test]
fn interval_too_brief() {
    let mut subscriber = started(1);
    for least in [60, 61, 62] {
        subscriber.handle_response(
            at(1),
            1,
            &Response {
                min_expires: Some(least),
                ..status(423)
            },
        );
        assert_eq!(outputs(&mut subscriber), [ask(1, least)]);
    }
    subscriber.handle_response(
        at(1),
        1,
        &Response {
            min_expires: Some(63),
            ..status(423)
        },
    );
    assert_eq!(outputs(&mut subscriber), [Output::End(End::Refused(423))]);
    for least in [None, Some(1)] {
        let mut subscriber = started(1);
        subscriber.handle_response(
            at(1),
            1,
            &Response {
                min_expires: least,
                ..status(423)
            },
        );
        assert_eq!(outputs(&mut subscriber), [Output::End(End::Refused(423))]);
    }
}

#[test]
fn stopping_waits_for_the_last_notify_but_not_long() {
    let mut subscriber = active();
    subscriber.stop(at(1000));
    assert_eq!(outputs(&mut subscriber), [ask(1, 0)]);
    subscriber.handle_response(at(1010), 1, &ok(0));
    assert_eq!(outputs(&mut subscriber), []);
    assert_eq!(
        notify(&mut subscriber, 1020, 2, "terminated;reason=timeout"),
        Answer::Accept
    );
    assert_eq!(outputs(&mut subscriber), [Output::End(End::Stopped)]);

    let mut subscriber = active();
    subscriber.stop(at(1000));
    outputs(&mut subscriber);
    assert_eq!(fire(&mut subscriber), 5000);
    assert_eq!(outputs(&mut subscriber), [Output::End(End::Stopped)]);

    // Asked before the first answer: ended as soon as there is something to end.
    let mut subscriber = started(60);
    subscriber.stop(at(5));
    assert_eq!(outputs(&mut subscriber), []);
    subscriber.handle_response(at(10), 1, &ok(60));
    assert_eq!(outputs(&mut subscriber), [ask(1, 0)]);
    subscriber.handle_response(at(20), 1, &status(481));
    assert_eq!(outputs(&mut subscriber), [Output::End(End::Stopped)]);
}

/// A subscriber in each phase, at 60 000 ms.
fn in_phase(phase: Phase) -> Subscriber {
    let mut subscriber = Subscriber::new(600, Random::new(7));
    if phase == Phase::Init {
        return subscriber;
    }
    subscriber.start(at(0));
    match phase {
        Phase::Pending => drop(notify(&mut subscriber, 0, 10, "pending;expires=600")),
        Phase::Active => drop(notify(&mut subscriber, 0, 10, "active;expires=600")),
        Phase::Waiting => drop(notify(
            &mut subscriber,
            0,
            10,
            "terminated;reason=probation;retry-after=900",
        )),
        Phase::Terminated => drop(notify(&mut subscriber, 0, 10, "terminated;reason=rejected")),
        Phase::Init | Phase::NotifyWait => {}
    }
    if matches!(phase, Phase::Pending | Phase::Active) {
        // A refresh is on its way, so that every answer has its question.
        subscriber.handle_response(at(0), 1, &ok(600));
        subscriber.handle_timeout(subscriber.poll_timeout().unwrap());
    }
    outputs(&mut subscriber);
    assert_eq!(subscriber.phase(), phase);
    subscriber
}

type Input = Box<dyn Fn(&mut Subscriber, u64) -> String>;

fn every_input() -> Vec<(String, Input)> {
    let mut inputs: Vec<(String, Input)> = Vec::new();
    for code in [
        100, 200, 202, 302, 400, 401, 403, 404, 405, 406, 407, 408, 410, 413, 415, 416, 420, 421,
        423, 480, 481, 482, 483, 484, 485, 489, 491, 500, 501, 502, 503, 504, 505, 513, 600, 603,
        604, 606,
    ] {
        let input = move |subscriber: &mut Subscriber, ms: u64| {
            subscriber.handle_response(
                at(ms),
                subscriber.dialog(),
                &Response {
                    remote_tag: Some("r"),
                    ..status(code)
                },
            );
            String::new()
        };
        inputs.push((code.to_string(), Box::new(input)));
    }
    let after = move |subscriber: &mut Subscriber, ms: u64| {
        let response = Response {
            retry_after: Some(120),
            ..status(503)
        };
        subscriber.handle_response(at(ms), subscriber.dialog(), &response);
        String::new()
    };
    inputs.push(("503, 120".to_owned(), Box::new(after)));
    for text in [
        "",
        "active;expires=60",
        "pending",
        "dormant",
        "terminated",
        "terminated;reason=deactivated",
        "terminated;reason=timeout",
        "terminated;reason=probation",
        "terminated;reason=probation;retry-after=120",
        "terminated;reason=giveup",
        "terminated;reason=giveup;retry-after=120",
        "terminated;reason=rejected",
        "terminated;reason=noresource",
        "terminated;reason=invariant",
        "terminated;reason=sunspots",
        "terminated;reason=sunspots;retry-after=120",
        "Terminated;reason=Rejected",
    ] {
        let input = move |subscriber: &mut Subscriber, ms: u64| {
            format!("{:?} ", notify(subscriber, ms, 11, text))
        };
        inputs.push((format!("NOTIFY {text}"), Box::new(input)));
    }
    inputs.push((
        "no answer".to_owned(),
        Box::new(|subscriber, ms| {
            subscriber.handle_no_answer(at(ms), subscriber.dialog());
            String::new()
        }),
    ));
    inputs.push((
        "stop".to_owned(),
        Box::new(|subscriber, ms| {
            subscriber.stop(at(ms));
            String::new()
        }),
    ));
    inputs
}

/// Every phase × every input: what it becomes and what it does. Waits are rounded to a range, since they are spread.
#[test]
fn the_whole_table() {
    let mut out = String::new();
    for phase in [
        Phase::Init,
        Phase::NotifyWait,
        Phase::Pending,
        Phase::Active,
        Phase::Waiting,
        Phase::Terminated,
    ] {
        for (name, input) in every_input() {
            let mut subscriber = in_phase(phase);
            let told = input(&mut subscriber, 540_000);
            let outputs = outputs(&mut subscriber);
            if outputs.is_empty() && told.is_empty() && subscriber.phase() == phase {
                continue; // No effect that anyone sees.
            }
            if told == "Reject(481) "
                && matches!(phase, Phase::Init | Phase::Waiting | Phase::Terminated)
            {
                assert!(
                    outputs.is_empty() && subscriber.phase() == phase,
                    "{phase:?} {name}"
                );
                continue; // No NOTIFY is ours then.
            }
            let mut shown = String::new();
            for output in outputs {
                match output {
                    Output::Again { cause, after, anew } => {
                        let after = match after.as_secs() {
                            0 if after.is_zero() => "at once",
                            120.. => "as told",
                            _ => "soon",
                        };
                        write!(
                            shown,
                            " again({cause:?}, {after}{})",
                            if anew { ", anew" } else { "" }
                        )
                        .unwrap();
                    }
                    Output::Subscribe { dialog, expires } => {
                        write!(shown, " SUBSCRIBE({dialog}, {expires})").unwrap()
                    }
                    Output::State { phase, expires } => {
                        write!(shown, " state({phase:?}, {expires})").unwrap()
                    }
                    Output::End(end) => write!(shown, " end({end:?})").unwrap(),
                }
            }
            writeln!(
                out,
                "{:<10} {name:<45} {:<10} {told}{}",
                format!("{phase:?}"),
                format!("{:?}", subscriber.phase()),
                shown.trim_start()
            )
            .unwrap();
        }
    }
    golden("subscriber.txt", &out);
}

fn golden(name: &str, out: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, out).unwrap();
    }
    assert_eq!(out, std::fs::read_to_string(path).unwrap());
}

/// `open`: the dialog whose SUBSCRIBE is unanswered.
fn watch_outputs(subscriber: &mut Subscriber, open: &mut Option<u32>, over: &mut bool) {
    while let Some(output) = subscriber.poll_output() {
        assert!(!*over, "{output:?} after the end");
        if let Output::Subscribe { dialog, .. } = output {
            assert_ne!(*open, Some(dialog), "two at a time");
            *open = Some(dialog);
        }
        *over |= matches!(output, Output::End(_));
    }
}

proptest::proptest! {
    /// Whatever comes in whatever order: one SUBSCRIBE at a time, nothing after the end, and a deadline while anything is
    /// waited for.
    #[test]
    fn promises_hold_in_any_order(
        expires in proptest::sample::select(vec![0u32, 1, 60, 3600]),
        steps in proptest::collection::vec((0usize..64, 0u64..40_000), 1..120),
    ) {
        let inputs = every_input();
        let mut subscriber = Subscriber::new(expires, Random::new(3));
        let (mut now, mut open, mut over) = (0, None, false);
        subscriber.start(at(0));
        for (which, wait) in steps {
            watch_outputs(&mut subscriber, &mut open, &mut over);
            proptest::prop_assert_eq!(over, subscriber.phase() == Phase::Terminated);
            // Without a deadline only an unanswered SUBSCRIBE can wake it, whose transaction ends by itself.
            let waits = open.is_some() || subscriber.poll_timeout().is_some();
            proptest::prop_assert!(over || waits);
            let until = now + wait;
            for _ in 0..1000 {
                let Some(timer) = subscriber.poll_timeout().filter(|timer| *timer <= at(until)) else { break };
                subscriber.handle_timeout(timer);
            }
            proptest::prop_assert!(subscriber.poll_timeout().is_none_or(|timer| timer > at(until)), "time stands still");
            watch_outputs(&mut subscriber, &mut open, &mut over);
            now = until;
            match inputs.get(which) {
                Some((name, input)) => {
                    open = open.filter(|_| name.starts_with("NOTIFY") || name == "stop" || name == "100");
                    input(&mut subscriber, now);
                }
                None => {
                    open = None;
                    subscriber.handle_no_answer(at(now), subscriber.dialog());
                }
            }
        }
    }
}
