//! The flows of the presence server as (time, input) → outputs.

mod world;

use std::time::Duration;

use machine::settings::Handling;
use world::{World, pidf, settings};

const DOCUMENT: &str = "Content-Type: application/pidf+xml\r\nExpires: 600\r\n";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// PS-1.0-int-M-0100.
///
///   source              presence server             watcher
///      |                      |<-- SUBSCRIBE ----------|
///      |                      |--- 200, NOTIFY ------->|
///      |--- PUBLISH --------->|                        |
///      |<-- 200, SIP-ETag ----|--- NOTIFY (open) ----->|
#[test]
fn a_publication_reaches_the_watcher() {
    let mut world = World::new();
    let (answer, first) = world.watch("bob", 7000, "Expires: 300\r\n");
    assert_eq!((answer.status(), answer.need("Expires")), (200, "300"));
    assert!(
        first.body.contains("closed"),
        "nothing published is the neutral document: {}",
        first.body
    );
    assert_eq!(first.need("Subscription-State"), "active;expires=300");

    let from = world.sent.len();
    let tag = world.publish_open("at lunch");
    assert!(!tag.is_empty());
    let notifies = world.notifies(from);
    assert_eq!(notifies.len(), 1);
    assert!(notifies[0].body.contains("open") && notifies[0].body.contains("at lunch"));
    assert_eq!(notifies[0].cseq(), first.cseq() + 1);
    assert_eq!(notifies[0].need("Content-Type"), "application/pidf+xml");
    // RFC 3261 §12.2.1.1: the dialog's URIs and tags, mirrored.
    assert!(
        notifies[0]
            .need("From")
            .starts_with("<sip:alice@example.com>;tag=")
    );
    assert_eq!(notifies[0].need("To"), "<sip:bob@example.com>;tag=wbob");
    assert!(
        notifies[0]
            .head
            .starts_with("NOTIFY sip:bob@127.0.0.1:7000 SIP/2.0\r\n")
    );
}

#[test]
fn a_refresh_gives_a_new_tag_and_notifies_nobody() {
    let mut world = World::new();
    let tag = world.publish_open("here");
    world.watch("bob", 7000, "");
    let from = world.sent.len();
    let answer = world.publish(&format!("SIP-If-Match: {tag}\r\nExpires: 600\r\n"), "");
    assert_eq!(answer.status(), 200);
    assert_ne!(answer.need("SIP-ETag"), tag);
    assert!(world.notifies(from).is_empty());
    // The old tag died at once.
    assert_eq!(
        world
            .publish(&format!("SIP-If-Match: {tag}\r\n"), "")
            .status(),
        412
    );
}

#[test]
fn the_same_document_again_says_nothing_new() {
    let mut world = World::new();
    let tag = world.publish_open("here");
    world.watch("bob", 7000, "");
    let from = world.sent.len();
    let fields = format!("SIP-If-Match: {tag}\r\n{DOCUMENT}");
    assert_eq!(world.publish(&fields, &pidf("open", "here")).status(), 200);
    assert!(world.notifies(from).is_empty());
}

#[test]
fn a_removal_leaves_the_neutral_document() {
    let mut world = World::new();
    let tag = world.publish_open("here");
    let (_, first) = world.watch("bob", 7000, "");
    assert!(first.body.contains("open"));
    let from = world.sent.len();
    let answer = world.publish(&format!("SIP-If-Match: {tag}\r\nExpires: 0\r\n"), "");
    assert_eq!((answer.status(), answer.need("Expires")), (200, "0"));
    assert!(answer.header("SIP-ETag").is_some());
    let notifies = world.notifies(from);
    assert_eq!(notifies.len(), 1);
    assert!(notifies[0].body.contains("closed") && !notifies[0].body.contains("here"));
}

/// PS-1.0-int-M-0110.
#[test]
fn an_expired_publication_is_notified_within_a_second_and_its_tag_is_dead() {
    let mut world = World::new();
    world.watch("bob", 7000, "");
    let tag = world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 60\r\n",
        &pidf("open", "x"),
    );
    let tag = tag.need("SIP-ETag").to_owned();
    let open = world.notifies(0).pop().unwrap();
    world.ok(&open);
    let from = world.sent.len();
    world.advance(secs(59));
    assert!(world.notifies(from).is_empty());
    world.advance(Duration::from_millis(1100));
    let notifies = world.notifies(from);
    assert_eq!(notifies.len(), 1);
    assert!(notifies[0].body.contains("closed"));
    assert_eq!(
        world
            .publish(&format!("SIP-If-Match: {tag}\r\n"), "")
            .status(),
        412
    );
}

/// PS-1.0-int-M-0120.
#[test]
fn a_fetch_ends_with_its_notify_and_is_never_stored() {
    let mut world = World::new();
    world.publish_open("here");
    let stored = world.disk.len();
    let (answer, notify) = world.subscribe("bob", 7000, "Expires: 0\r\n");
    assert_eq!((answer.status(), answer.need("Expires")), (200, "0"));
    assert_eq!(
        notify.need("Subscription-State"),
        "terminated;reason=timeout"
    );
    assert!(notify.body.contains("here"));
    world.ok(&notify);
    assert_eq!(world.disk.len(), stored);
    assert_eq!(world.shard.counts().subscriptions, 0);
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 60\r\n");
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 481);
}

#[test]
fn an_unsubscribe_is_answered_and_the_last_notify_says_timeout() {
    let mut world = World::new();
    let (answer, _) = world.watch("bob", 7000, "");
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 0\r\n");
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!((sent[0].status(), sent[0].need("Expires")), (200, "0"));
    assert_eq!(
        sent[1].need("Subscription-State"),
        "terminated;reason=timeout"
    );
    world.ok(&sent[1]);
    assert_eq!(world.shard.counts().subscriptions, 0);
    world.advance(secs(40));
    assert!(
        world.disk.is_empty(),
        "nothing outlives its end: {:?}",
        world.disk
    );
    assert_eq!(world.shard.remembered(), 0);
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_by_itself() {
    let mut world = World::new();
    world.watch("bob", 7000, "Expires: 30\r\n");
    let from = world.sent.len();
    world.advance(secs(31));
    let notifies = world.notifies(from);
    assert_eq!(
        notifies[0].need("Subscription-State"),
        "terminated;reason=timeout"
    );
    world.ok(&notifies[0]);
    world.advance(secs(40));
    assert_eq!(
        world
            .notifies(from)
            .iter()
            .filter(|sent| sent.cseq() != notifies[0].cseq())
            .count(),
        0
    );
    assert!(world.disk.is_empty());
}

#[test]
fn a_refresh_of_a_subscription_gives_the_whole_state_again() {
    let mut world = World::new();
    world.publish_open("here");
    let (answer, first) = world.watch("bob", 7000, "Expires: 60\r\n");
    world.advance(secs(30));
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 60\r\n");
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!(sent[0].status(), 200);
    assert_eq!(sent[1].cseq(), first.cseq() + 1);
    assert!(sent[1].body.contains("here"));
    assert_eq!(sent[1].need("Subscription-State"), "active;expires=60");
    world.ok(&sent[1]);
    // RFC 3261 §12.2.2: a lower CSeq is 500.
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 60\r\n");
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 500);
}

#[test]
fn one_notify_is_in_flight_and_the_newest_state_follows() {
    let mut world = World::new();
    let (_, first) = world.subscribe("bob", 7000, "");
    let mut tag = world.publish_open("one");
    for note in ["two", "three"] {
        let fields = format!("SIP-If-Match: {tag}\r\n{DOCUMENT}");
        tag = world
            .publish(&fields, &pidf("open", note))
            .need("SIP-ETag")
            .to_owned();
    }
    assert_eq!(
        world.notifies(0).len(),
        1,
        "nothing while the first is unanswered"
    );
    let sent = world.ok(&first);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body.contains("three"));
    assert!(world.ok(&sent[0]).is_empty());
}

#[test]
fn an_unanswered_notify_is_sent_again_and_ends_the_subscription_at_timer_f() {
    let mut world = World::new();
    let (answer, first) = world.subscribe("bob", 7000, "");
    world.advance(Duration::from_millis(600));
    let again = world.notifies(0);
    assert_eq!(again.len(), 2);
    assert_eq!(
        (again[0].head.clone(), again[0].body.clone()),
        (again[1].head.clone(), first.body.clone())
    );
    world.advance(secs(33));
    // Timer E: 0.5, 1, 2, 4, 4, 4 … s; Timer F at 32 s.
    assert_eq!(world.notifies(0).len(), 11);
    assert_eq!(world.shard.counts().subscriptions, 0);
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "");
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 481);
}

#[test]
fn answers_to_notify_end_the_subscription_or_do_not() {
    for (status, ends) in [
        (404, true),
        (405, true),
        (410, true),
        (416, true),
        (480, true),
        (481, true),
        (485, true),
        (489, true),
        (501, true),
        (604, true),
        (401, false),
        (407, false),
        (500, false),
        (503, false),
        (603, false),
    ] {
        let mut world = World::new();
        let (_, first) = world.subscribe("bob", 7000, "");
        world.respond(&first, status, "Retry-After: 7\r\n");
        assert_eq!(world.shard.counts().subscriptions == 0, ends, "{status}");
        let from = world.sent.len();
        world.publish_open("news");
        assert!(
            world.notifies(from).is_empty(),
            "{status}: held back or over"
        );
        world.advance(secs(8));
        assert_eq!(
            world.notifies(from).is_empty(),
            ends,
            "{status}: later, where it did not end"
        );
    }
}

#[test]
fn the_interval_holds_changes_back_and_the_newest_leaves_at_its_end() {
    let mut settings = settings();
    settings.domains[0].presence.notify_interval_ms_min = 5000;
    let mut world = World::with(settings);
    world.watch("bob", 7000, "");
    world.advance(secs(6));
    let from = world.sent.len();
    let mut tag = world.publish_open("one");
    assert_eq!(
        world.notifies(from).len(),
        1,
        "after quiet a change goes at once"
    );
    let one = world.notifies(from).remove(0);
    world.ok(&one);
    for note in ["two", "three", "four"] {
        world.advance(secs(1));
        let fields = format!("SIP-If-Match: {tag}\r\n{DOCUMENT}");
        tag = world
            .publish(&fields, &pidf("open", note))
            .need("SIP-ETag")
            .to_owned();
    }
    assert_eq!(world.notifies(from).len(), 1);
    world.advance(Duration::from_millis(2100));
    let notifies = world.notifies(from);
    assert_eq!(notifies.len(), 2);
    assert!(notifies[1].body.contains("four"));
}

#[test]
fn a_state_that_changed_and_changed_back_is_not_notified() {
    let mut settings = settings();
    settings.domains[0].presence.notify_interval_ms_min = 5000;
    let mut world = World::with(settings);
    let tag = world.publish_open("one");
    world.watch("bob", 7000, "");
    let from = world.sent.len();
    let fields = format!("SIP-If-Match: {tag}\r\n{DOCUMENT}");
    let tag = world
        .publish(&fields, &pidf("closed", "two"))
        .need("SIP-ETag")
        .to_owned();
    let fields = format!("SIP-If-Match: {tag}\r\n{DOCUMENT}");
    world.publish(&fields, &pidf("open", "one"));
    world.advance(secs(10));
    assert!(world.notifies(from).is_empty());
}

#[test]
fn pending_polite_block_and_block_by_default_handling() {
    for (handling, status, state) in [
        (Handling::Confirm, 202, "pending;expires=300"),
        (Handling::PoliteBlock, 200, "active;expires=300"),
    ] {
        let mut settings = settings();
        settings.domains[0].presence.default_handling = handling;
        let mut world = World::with(settings);
        world.publish_open("secret");
        let (answer, notify) = world.watch("bob", 7000, "Expires: 300\r\n");
        assert_eq!(
            (answer.status(), notify.need("Subscription-State")),
            (status, state)
        );
        assert!(notify.body.contains("closed") && !notify.body.contains("secret"));
        let from = world.sent.len();
        let fields = DOCUMENT;
        world.publish(fields, &pidf("open", "more"));
        assert!(
            world.notifies(from).is_empty(),
            "activity of the presentity does not show"
        );
    }
    let mut settings = settings();
    settings.domains[0].presence.default_handling = Handling::Block;
    let mut world = World::with(settings);
    let text = world.subscribe_text("bob", 7000, "");
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!(
        sent.iter().map(|sent| sent.status()).collect::<Vec<_>>(),
        [403]
    );
    // The presentity herself is not subject to it.
    let (answer, _) = world.watch("alice", 7001, "");
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_reload_that_allows_or_blocks_shows_at_once() {
    let mut settings = settings();
    settings.domains[0].presence.default_handling = Handling::Confirm;
    settings.domains[0].presence.notify_interval_ms_min = 5000;
    let mut world = World::with(settings.clone());
    world.publish_open("here");
    world.watch("bob", 7000, "");
    let from = world.sent.len();
    settings.domains[0].presence.default_handling = Handling::Allow;
    world
        .shard
        .handle_settings(world.now, settings.clone().into());
    world.run();
    let notifies = world.notifies(from);
    assert!(
        notifies[0]
            .need("Subscription-State")
            .starts_with("active;expires=")
    );
    assert!(notifies[0].body.contains("here"));
    world.ok(&notifies[0]);
    settings.domains[0].presence.default_handling = Handling::Block;
    world.shard.handle_settings(world.now, settings.into());
    world.run();
    let last = world.notifies(from).pop().unwrap();
    assert_eq!(
        (last.need("Subscription-State"), last.body.as_str()),
        ("terminated;reason=rejected", "")
    );
    assert_eq!(last.header("Content-Type"), None);
}

#[test]
fn drain_deactivates_and_a_stop_refuses_new_requests_only() {
    let mut world = World::new();
    world.watch("bob", 7000, "");
    world.shard.handle_stop(world.now);
    world.run();
    assert!(world.shard.is_quiet());
    let text = world.subscribe_text("carol", 7001, "");
    let refused = world.say(&World::udp(7001), &text);
    assert_eq!(refused[0].status(), 503);
    assert!(refused[0].header("Retry-After").is_some());
    let from = world.sent.len();
    world.shard.handle_drain(world.now);
    world.run();
    let last = world.notifies(from).pop().unwrap();
    assert_eq!(
        last.need("Subscription-State"),
        "terminated;reason=deactivated"
    );
    assert!(!world.shard.is_quiet());
    world.ok(&last);
    assert!(world.shard.is_quiet());
}

#[test]
fn presentities_take_turns_so_that_none_holds_up_the_others() {
    let mut world = World::new();
    for watcher in 0..1000 {
        world.watch(&format!("w{watcher}"), 10_000 + watcher, "");
    }
    let from = world.sent.len();
    world.publish_open("to a thousand");
    let left = world.notifies(from).len();
    assert!(
        (256..1000).contains(&left),
        "turns, between which the sockets are looked at again, not {left}"
    );
    assert_eq!(world.shard.poll_timeout(), Some(world.now.monotonic));
    world.advance(Duration::from_micros(10));
    assert_eq!(world.notifies(from).len(), 1000);
}
