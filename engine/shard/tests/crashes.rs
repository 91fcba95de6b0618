//! What the simulator found: crashes, starts and clocks that break what was promised.

mod world;

use std::time::Duration;

use machine::settings::Handling;
use world::{World, pidf};

/// An hour, in which everything lapses that was granted for less.
const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_fetch_that_nobody_answers_makes_a_start_repeat_nothing() {
    let mut world = World::new();
    world.publish_open("here");
    let (_, silent) = world.subscribe("carol", 7001, "Expires: 0\r\n");
    world.watch("bob", 7000, "Expires: 600\r\n");
    assert!(silent.is_notify(), "the fetch is open all the time");
    // The record is lazy: it rides with whatever is written next.
    world.watch("dave", 7002, "Expires: 600\r\n");
    world.crash();
    assert!(world.notifies(0).is_empty(), "{:#?}", world.sent);
}

#[test]
fn a_last_notify_that_nobody_answers_makes_a_start_repeat_nothing_to_others() {
    let mut world = World::new();
    world.publish_open("here");
    let (answer, _) = world.watch("carol", 7001, "Expires: 600\r\n");
    let text = world.resubscribe_text("carol", 7001, &answer, 2, "Expires: 0\r\n");
    world.say(&World::udp(7001), &text);
    world.watch("bob", 7000, "Expires: 600\r\n");
    world.crash();
    let again: Vec<_> = world
        .notifies(0)
        .into_iter()
        .filter(|notify| !notify.need("Subscription-State").starts_with("terminated"))
        .collect();
    assert!(again.is_empty(), "{again:#?}");
}

#[test]
fn a_clean_stop_still_waits_for_the_answer_to_a_fetch() {
    let mut world = World::new();
    let (_, open) = world.subscribe("carol", 7001, "Expires: 0\r\n");
    world.shard.handle_stop(world.now);
    assert!(!world.shard.is_quiet());
    world.ok(&open);
    assert!(world.shard.is_quiet());
}

#[test]
fn a_clock_set_forward_makes_no_copy_publish_again() {
    let mut world = World::new();
    let text = world.publish_text(
        "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
        &pidf("open", "once"),
    );
    let tag = world.say(&World::udp(6000), &text)[0]
        .need("SIP-ETag")
        .to_owned();
    world.set_clock(HOUR_MS);
    // By the wall it has lapsed while nobody ran; another start finds nothing of it but that.
    world.crash();
    world.advance(Duration::from_secs(2));
    world.crash();
    let answer = world.say(&World::udp(6000), &text).remove(0);
    assert_eq!(answer.need("SIP-ETag"), tag);
    assert_eq!(answer.need("Expires"), "0", "nothing of it is left");
    assert_eq!(world.shard.counts().publications, 0);
    world.advance(Duration::from_secs(40));
    assert!(world.disk.is_empty(), "{:?}", world.disk);
}

#[test]
fn a_copy_of_what_was_modified_since_publishes_nothing_after_a_crash() {
    let mut world = World::new();
    let text = world.publish_text(
        "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
        &pidf("open", "first"),
    );
    let tag = world.say(&World::udp(6000), &text)[0]
        .need("SIP-ETag")
        .to_owned();
    let fields = format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\n");
    let newer = world.publish(&fields, &pidf("open", "second"));
    assert_eq!(newer.status(), 200);
    for _ in 0..2 {
        world.crash();
        let answer = world.say(&World::udp(6000), &text).remove(0);
        assert_eq!(answer.need("SIP-ETag"), tag, "the same answer again");
        assert_eq!(world.shard.counts().publications, 1);
    }
}

#[test]
fn a_copy_of_a_subscribe_whose_watcher_moved_begins_nothing_after_a_crash() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "Expires: 600\r\n");
    let sent = world.say(&World::udp(7000), &text);
    world.ok(&sent[1]);
    // Another Contact is written whole.
    let moved = world.resubscribe_text("bob", 7009, &sent[0], 2, "Expires: 600\r\n");
    let refreshed = world.say(&World::udp(7009), &moved);
    assert_eq!(refreshed[0].status(), 200);
    world.ok(&refreshed[1]);
    for _ in 0..2 {
        world.crash();
        let answer = world.say(&World::udp(7000), &text).remove(0);
        assert_eq!(answer.to_tag(), sent[0].to_tag());
        assert_eq!(world.shard.counts().subscriptions, 1);
    }
}

#[test]
fn what_lapses_unseen_while_nobody_ran_is_no_news() {
    let mut world = World::new();
    // Two sources say the same of the same tuple: whichever lapses, nobody sees a difference.
    let fields = "Content-Type: application/pidf+xml\r\nExpires: ";
    world.publish(&format!("{fields}5\r\n"), &pidf("open", "same"));
    world.publish(&format!("{fields}600\r\n"), &pidf("open", "same"));
    world.watch("bob", 7000, "Expires: 600\r\n");
    world.watch("carol", 7001, "Expires: 600\r\n");
    world.set_clock(10_000);
    world.crash();
    assert_eq!(world.shard.counts().publications, 1);
    assert!(world.notifies(0).is_empty(), "{:#?}", world.sent);
}

#[test]
fn the_same_answer_after_a_crash_promises_no_more_than_is_left() {
    let mut world = World::new();
    let subscribe = world.subscribe_text("bob", 7000, "Expires: 60\r\n");
    world.say(&World::udp(7000), &subscribe);
    let publish = world.publish_text(
        "Content-Type: application/pidf+xml\r\nExpires: 60\r\n",
        &pidf("open", "x"),
    );
    world.say(&World::udp(6000), &publish);
    world.advance(Duration::from_secs(20));
    world.crash();
    for (port, text) in [(7000, &subscribe), (6000, &publish)] {
        let answer = world.say(&World::udp(port), text).remove(0);
        let left: u32 = answer.need("Expires").parse().unwrap();
        assert!((39..=40).contains(&left), "{left} of 60 are left after 20");
    }
}

#[test]
fn the_last_notify_that_waits_for_the_disk_shows_no_more_than_the_new_rules_give() {
    let mut world = World::new();
    world.publish_open("secret");
    let (answer, _) = world.watch("bob", 7000, "Expires: 600\r\n");
    world.prompt = false;
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 0\r\n");
    assert!(world.say(&World::udp(7000), &text).is_empty());
    world.reload(|settings| {
        settings.domains[0].presence.default_handling = Handling::PoliteBlock;
    });
    let from = world.sent.len();
    while !world.pending.is_empty() {
        world.make_durable();
    }
    world.advance(Duration::from_millis(100));
    let notifies = world.notifies(from);
    assert_eq!(notifies.len(), 1, "{notifies:#?}");
    assert!(
        notifies[0]
            .need("Subscription-State")
            .starts_with("terminated")
    );
    assert!(!notifies[0].body.contains("secret"), "{}", notifies[0].body);
}

#[test]
fn a_state_that_lapses_and_comes_back_around_a_start_is_no_news() {
    let mut world = World::new();
    let fields = "Content-Type: application/pidf+xml\r\nExpires: ";
    world.publish(&format!("{fields}5\r\n"), &pidf("open", "same"));
    let named = world
        .subscribe_text("bob", 7000, "Expires: 600\r\n")
        .replace(
            "Contact: <sip:bob@127.0.0.1:7000>",
            "Contact: <sip:bob@named.example>",
        );
    world.say(&World::udp(7000), &named);
    let found = ["127.0.0.1".parse().unwrap()];
    world
        .shard
        .handle_resolved(world.now, "named.example", &found);
    world.run();
    let first = world.notifies(0).remove(0);
    world.ok(&first);
    // Something that takes the record along.
    world.watch("carol", 7001, "Expires: 600\r\n");
    world.set_clock(10_000);
    world.crash();
    // While bob's name is looked up again what lapsed is published again.
    world.publish(&format!("{fields}600\r\n"), &pidf("open", "same"));
    let from = world.sent.len();
    world
        .shard
        .handle_resolved(world.now, "named.example", &found);
    world.run();
    let to_bob: Vec<_> = world
        .notifies(from)
        .into_iter()
        .filter(|notify| notify.need("Call-ID") == "sub-bob")
        .collect();
    assert!(to_bob.is_empty(), "{to_bob:#?}");
}

#[test]
fn a_stop_leaves_no_gap_in_a_dialog_that_is_ending() {
    let mut world = World::new();
    let (answer, _) = world.watch("bob", 7000, "Expires: 600\r\n");
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 0\r\n");
    let last = world.say(&World::udp(7000), &text).remove(1);
    world.stop_and_start();
    let again = world.notifies(0).remove(0);
    assert_eq!(again.cseq(), last.cseq() + 1);
}

#[test]
fn a_stop_leaves_no_gap_for_what_still_waits_for_the_disk() {
    let mut world = World::new();
    let (_, first) = world.watch("bob", 7000, "Expires: 600\r\n");
    world.prompt = false;
    let text = world.publish_text("Content-Type: application/pidf+xml\r\n", &pidf("open", "x"));
    assert!(world.say(&World::udp(6000), &text).is_empty());
    world.shard.end(world.now);
    world.run();
    // The store writes all of it; nobody is there any more to send what waited.
    world.make_durable();
    world.prompt = true;
    world.crash();
    assert_eq!(world.notifies(0)[0].cseq(), first.cseq() + 1);
}

/// Found by the simulator: a disk too slow for a stop, and a reload taken back.
#[test]
fn a_decision_that_was_taken_back_before_a_stop_is_not_told_after_the_start() {
    let mut world = World::new();
    world.watch("bob", 7000, "Expires: 600\r\n");
    world.prompt = false;
    let from = world.sent.len();
    world.reload(|settings| settings.domains[0].presence.default_handling = Handling::Confirm);
    world.reload(|settings| settings.domains[0].presence.default_handling = Handling::Allow);
    assert!(world.notifies(from).is_empty());
    world.shard.end(world.now);
    world.run();
    world.make_durable();
    world.prompt = true;
    world.crash();
    let told = world.notifies(0);
    assert!(told.is_empty(), "{told:#?}");
}

/// "Answered by all" is lazy, but not later than what makes it untrue in the same turn.
#[test]
fn what_all_answered_does_not_come_after_what_changed_it_in_the_same_turn() {
    let mut world = World::new();
    let fields = "Content-Type: application/pidf+xml\r\nExpires: ";
    world.watch("bob", 7000, "Expires: 3600\r\n");
    let from = world.sent.len();
    world.publish(&format!("{fields}3600\r\n"), &pidf("open", "lasts"));
    let notify = world.notifies(from).remove(0);
    // His answer and the next PUBLISH come in one batch of datagrams.
    let brief = world.publish_text(&format!("{fields}1\r\n"), &pidf("open", "brief"));
    let answered = world.answer_text(&notify, 200, "");
    let now = world.now;
    world
        .shard
        .handle_datagram(now, &World::udp(7000), answered.as_bytes());
    world
        .shard
        .handle_datagram(now, &World::udp(6000), brief.as_bytes());
    world.run();
    world.set_clock(5_000);
    world.crash();
    let told = world.notifies(0);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(!told[0].body.contains("brief") && told[0].body.contains("lasts"));
}
