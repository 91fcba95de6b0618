//! Clients recover from every answer in the table: what each failure makes of a PUBLISH and of a SUBSCRIBE, of the first and of
//! those that follow, and that everything is well again afterwards.

use std::time::Duration;

use agent::{End, Event, UsageId};
use events::publisher::Operation as Did;
use machine::settings::Handling;
use sim::{Breakage, Operation, Outcome, Plan, STATUSES, run};

/// What a client makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// It is over, and says with which status.
    Ends,
    /// It is over: nobody answered, says a proxy.
    NoAnswer,
    /// It is tried again in a while.
    Waits,
    /// The dialog or the publication is lost; another is begun at once.
    Anew,
    /// The dialog is lost; another is begun in a while.
    WaitsAnew,
    /// It is asked for longer, at once.
    Longer,
}

/// RFC 3903 §4 and §4.1; 408 from a proxy is what Timer F says.
fn to_publish(status: u16, initial: bool) -> Reaction {
    match (status, initial) {
        (408, true) => Reaction::NoAnswer,
        (412, false) => Reaction::Anew,
        (423, _) => Reaction::Longer,
        (408 | 480 | 491 | 500 | 502 | 503 | 504, _) => Reaction::Waits,
        _ => Reaction::Ends,
    }
}

/// RFC 6665 §4.1.2.1 and §4.1.2.2, RFC 5057 §5.1.
fn to_subscribe(status: u16, initial: bool) -> Reaction {
    match (status, initial) {
        (408, true) => Reaction::NoAnswer,
        (481, false) => Reaction::Anew,
        (423, _) => Reaction::Longer,
        (480 | 491 | 500 | 502 | 503 | 504, true) | (480 | 502, false) => Reaction::WaitsAnew,
        (408 | 491 | 500 | 503 | 504, false) => Reaction::Waits,
        _ => Reaction::Ends,
    }
}

const SECOND: u64 = 1_000_000;

/// A world in which nothing goes wrong but what the story says.
fn tell(operations: Vec<(u64, Operation)>) -> Outcome {
    let plan = Plan {
        seed: 1,
        shards: 2,
        lost: 0,
        doubled: 0,
        late: 0,
        delay_ms_max: 1,
        commit_ms_max: 0,
        interval_ms: 0,
        handling: Handling::Allow,
        named: false,
        listed: false,
        people: vec![(0, false), (1, true)],
        odds: 1,
        operations,
    };
    run(plan, Breakage::None, true)
}

fn refuse(status: u16, retry_after: u32) -> Operation {
    Operation::Refuse {
        who: 0,
        status,
        retry_after,
    }
}

/// Long enough for everything to happen before the calm.
fn later() -> (u64, Operation) {
    (200 * SECOND, Operation::WallStep { by_ms: 0 })
}

const PUBLISH: Operation = Operation::Publish {
    who: 0,
    expires: 60,
    large: false,
};
const CHANGE: Operation = Operation::Change {
    who: 0,
    large: false,
};
const WATCH: Operation = Operation::Watch {
    who: 0,
    whom: 1,
    expires: 60,
};

/// What person 0 was shown first, later than `after` seconds, and when.
fn first_shown(outcome: &Outcome, after: u64) -> (Duration, Event) {
    let begin = Duration::from_secs(1 + after);
    let found = outcome.shown.iter().find_map(|(at, who, event)| {
        let at = Duration::from_micros(at.as_micros());
        (*who == 0 && at > begin).then(|| (at, event.clone()))
    });
    found.unwrap_or_else(|| unreachable!("she is shown something"))
}

fn usage_of(event: &Event) -> UsageId {
    match event {
        Event::Published { usage, .. }
        | Event::Accepted { usage, .. }
        | Event::Notified { usage, .. }
        | Event::Watcher { usage, .. }
        | Event::Again { usage, .. }
        | Event::Ended { usage, .. } => *usage,
    }
}

#[track_caller]
fn reacts(outcome: &Outcome, after: u64, status: u16, expected: Reaction) {
    assert!(
        outcome.violations.is_empty(),
        "{status}: {:#?}",
        outcome.violations
    );
    let (_, event) = first_shown(outcome, after);
    let reaction = match &event {
        Event::Ended {
            end: End::Refused { status: told, .. },
            ..
        } if *told == status => Reaction::Ends,
        Event::Ended {
            end: End::NoAnswer, ..
        } => Reaction::NoAnswer,
        Event::Again {
            anew: true, after, ..
        } if after.is_zero() => Reaction::Anew,
        Event::Published {
            operation: Did::Initial,
            ..
        } if status == 412 => Reaction::Anew,
        Event::Again {
            anew: true, usage, ..
        } if is_watch(outcome, *usage) => Reaction::WaitsAnew,
        Event::Again { .. } => Reaction::Waits,
        Event::Published { expires, .. } if *expires > 60 => Reaction::Longer,
        // By whichever comes first of its 2xx and its NOTIFY.
        Event::Accepted {
            expires: Some(granted),
            ..
        }
        | Event::Notified {
            expires: Some(granted),
            ..
        } if *granted > 60 => Reaction::Longer,
        other => unreachable!("{status}: {other:?}"),
    };
    assert_eq!(reaction, expected, "{status}: {event:?}");
    if matches!(event, Event::Ended { .. }) {
        // Nothing comes after the end.
        let usage = usage_of(&event);
        let of_it = |(_, who, event): &&(_, usize, Event)| *who == 0 && usage_of(event) == usage;
        let last = outcome.shown.iter().rfind(of_it);
        assert!(last.is_some_and(|last| last.2 == event), "{last:?}");
    }
}

fn is_watch(outcome: &Outcome, usage: UsageId) -> bool {
    let published =
        |event: &Event| matches!(event, Event::Published { usage: other, .. } if *other == usage);
    !outcome
        .shown
        .iter()
        .any(|(_, who, event)| *who == 0 && published(event))
}

#[test]
fn a_first_publish() {
    for status in STATUSES {
        let outcome = tell(vec![
            (SECOND, refuse(status, 0)),
            (2 * SECOND, PUBLISH),
            later(),
        ]);
        reacts(&outcome, 1, status, to_publish(status, true));
    }
}

#[test]
fn a_modification() {
    for status in STATUSES {
        let outcome = tell(vec![
            (SECOND, PUBLISH),
            (4 * SECOND, refuse(status, 0)),
            (5 * SECOND, CHANGE),
            later(),
        ]);
        reacts(&outcome, 4, status, to_publish(status, false));
    }
}

#[test]
fn a_refresh_of_a_publication() {
    for status in STATUSES {
        let outcome = tell(vec![
            (SECOND, PUBLISH),
            (4 * SECOND, refuse(status, 0)),
            later(),
        ]);
        reacts(&outcome, 4, status, to_publish(status, false));
    }
}

#[test]
fn a_first_subscribe() {
    for status in STATUSES {
        let outcome = tell(vec![
            (SECOND, refuse(status, 0)),
            (2 * SECOND, WATCH),
            later(),
        ]);
        reacts(&outcome, 1, status, to_subscribe(status, true));
    }
}

#[test]
fn a_refresh_of_a_subscription() {
    for status in STATUSES {
        let outcome = tell(vec![
            (SECOND, WATCH),
            (4 * SECOND, refuse(status, 0)),
            later(),
        ]);
        reacts(&outcome, 4, status, to_subscribe(status, false));
    }
}

#[test]
fn a_fetch_ends_with_every_answer() {
    for status in STATUSES {
        let fetch = Operation::Fetch { who: 0, whom: 1 };
        let outcome = tell(vec![
            (SECOND, refuse(status, 0)),
            (2 * SECOND, fetch),
            later(),
        ]);
        assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
        let (_, event) = first_shown(&outcome, 1);
        assert!(matches!(event, Event::Ended { .. }), "{status}: {event:?}");
    }
}

#[test]
fn who_leaves_is_gone_within_seconds_whatever_is_answered() {
    for status in STATUSES {
        for (begin, stop) in [
            (PUBLISH, Operation::Unpublish(0)),
            (WATCH, Operation::Unwatch(0)),
        ] {
            let outcome = tell(vec![
                (SECOND, begin),
                (4 * SECOND, refuse(status, 0)),
                (5 * SECOND, stop),
                later(),
            ]);
            assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
            let (at, event) = first_shown(&outcome, 4);
            assert!(matches!(event, Event::Ended { .. }), "{status}: {event:?}");
            assert!(at < Duration::from_secs(11), "{status}: {at:?}");
        }
    }
}

#[test]
fn nobody_comes_back_before_retry_after() {
    for status in STATUSES {
        for (operation, waits) in [
            (PUBLISH, to_publish(status, true) == Reaction::Waits),
            (WATCH, to_subscribe(status, true) == Reaction::WaitsAnew),
        ] {
            if !waits {
                continue;
            }
            let outcome = tell(vec![
                (SECOND, refuse(status, 40)),
                (2 * SECOND, operation),
                later(),
            ]);
            assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
            let (asked, event) = first_shown(&outcome, 1);
            assert!(matches!(event, Event::Again { .. }), "{status}: {event:?}");
            let (back, event) = first_shown(&outcome, 3);
            let taken = matches!(event, Event::Published { .. } | Event::Accepted { .. });
            assert!(taken, "{status}: {event:?}");
            assert!(
                back >= asked + Duration::from_secs(40),
                "{status}: {back:?}"
            );
        }
    }
}
