//! What came of what: from a PUBLISH to each NOTIFY that it caused, and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says so by failing"
)]

mod world;

use std::time::Duration;

use events::Happened;
use shard::{Cause, Event};
use world::{World, pidf, settings};

/// Names and watchers of what came of one input.
fn of(world: &World, cause: Cause) -> Vec<String> {
    let of = world.happened.iter().filter(|(of, _)| *of == cause);
    of.map(|(_, event)| {
        let mut line = event.kind().name.to_owned();
        event.fields(&mut |name, value| {
            if ["watcher", "cseq", "watchers", "status", "why"].contains(&name) {
                line.push_str(&format!(" {value}"));
            }
        });
        line
    })
    .collect()
}

#[test]
fn a_cause_leads_from_a_publish_to_each_notify_and_its_answer() {
    let mut world = World::new();
    for (watcher, port) in [("bob", 7001), ("carol", 7002)] {
        world.watch(watcher, port, "");
    }
    let before = world.sent.len();
    let answer = world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
        &pidf("open", "here"),
    );
    let notifies = world.notifies(before);
    assert_eq!(notifies.len(), 2);
    assert!(answer.cause.is_known());
    for notify in &notifies {
        assert_eq!(notify.cause, answer.cause);
        world.ok(notify);
    }
    assert_eq!(
        of(&world, answer.cause),
        [
            "publication.stored",
            "state.changed 2",
            "request.accepted 200",
            "notify.sent sip:bob@example.com 2",
            "notify.sent sip:carol@example.com 2",
            "notify.accepted sip:bob@example.com 2",
            "notify.accepted sip:carol@example.com 2",
        ]
    );
}

#[test]
fn what_waits_for_the_interval_bears_the_cause_of_the_newest_state() {
    let mut settings = settings();
    settings.domains[0].presence.notify_interval_ms_min = 5000;
    let mut world = World::with(settings);
    world.watch("bob", 7001, "");
    let first = world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
        &pidf("open", "one"),
    );
    let before = world.sent.len();
    let tag = first.need("SIP-ETag").to_owned();
    let second = world.publish(
        &format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\nExpires: 600\r\n"),
        &pidf("open", "two"),
    );
    assert!(
        world.happened.iter().any(|(cause, event)| *cause == second.cause
            && matches!(event, Event::Events(Happened::NotifyDeferred { wait_ms, .. }) if *wait_ms > 0)),
        "{:?}",
        world.happened
    );
    world.advance(Duration::from_secs(6));
    let notifies = world.notifies(before);
    // One, which nobody answers: it is repeated, of the same cause.
    assert!(!notifies.is_empty());
    for notify in notifies {
        assert_eq!((notify.cause, notify.cseq()), (second.cause, 2));
    }
    assert_ne!(first.cause, second.cause);
}

#[test]
fn an_expiry_is_the_cause_of_its_notify() {
    let mut world = World::new();
    world.watch("bob", 7001, "");
    world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 60\r\n",
        &pidf("open", "here"),
    );
    for notify in world.notifies(0) {
        world.ok(&notify);
    }
    let before = world.sent.len();
    world.advance(Duration::from_secs(61));
    let lapsed = world
        .happened
        .iter()
        .find(|(_, event)| {
            matches!(event, Event::Events(Happened::PublicationEnded { why, .. }) if *why == "expired")
        })
        .expect("it lapses")
        .0;
    assert_eq!(world.notifies(before)[0].cause, lapsed);
}
