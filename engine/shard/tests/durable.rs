//! Nothing acknowledged is lost, and nothing leaves before it is stored.

mod world;

use std::time::Duration;

use machine::settings::Handling;
use world::{World, pidf};

#[test]
fn nothing_leaves_before_its_batch_is_durable() {
    let mut world = World::new();
    world.prompt = false;
    let text = world.subscribe_text("bob", 7000, "");
    assert!(world.say(&World::udp(7000), &text).is_empty());
    // The same bytes again meanwhile: nothing either.
    assert!(world.say(&World::udp(7000), &text).is_empty());
    world.make_durable();
    assert_eq!(
        world
            .sent
            .iter()
            .map(|sent| sent.status())
            .collect::<Vec<_>>(),
        [200, 0]
    );
    // Now the answer is replayed.
    assert_eq!(
        world.say(&World::udp(7000), &text)[0].head,
        world.sent[0].head
    );
    // A refusal reads no state and leaves at once.
    let text = world.publish_text("SIP-If-Match: 000abc\r\n", "");
    assert_eq!(world.say(&World::udp(6000), &text)[0].status(), 412);
}

#[test]
fn a_fetch_waits_for_the_undurable_state_that_it_shows() {
    let mut world = World::new();
    world.prompt = false;
    let text = world.publish_text("Content-Type: application/pidf+xml\r\n", &pidf("open", "x"));
    assert!(world.say(&World::udp(6000), &text).is_empty());
    let text = world.subscribe_text("bob", 7000, "Expires: 0\r\n");
    assert!(world.say(&World::udp(7000), &text).is_empty());
    world.make_durable();
    assert_eq!(
        world
            .sent
            .iter()
            .map(|sent| sent.status())
            .collect::<Vec<_>>(),
        [200, 200, 0]
    );
}

#[test]
fn after_a_crash_tags_and_dialogs_go_on_and_nobody_hears_anything_twice() {
    let mut world = World::new();
    let tag = world.publish_open("here");
    let (_, first) = world.watch("bob", 7000, "Expires: 600\r\n");
    world.crash();
    world.advance(Duration::from_secs(2));
    assert!(
        world.notifies(0).is_empty(),
        "no NOTIFY says nothing new: {:#?}",
        world.sent
    );
    let answer = world.publish(
        &format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\n"),
        &pidf("open", "back"),
    );
    assert_eq!(answer.status(), 200);
    let notifies = world.notifies(0);
    assert_eq!(notifies.len(), 1);
    assert!(notifies[0].body.contains("back"));
    assert_eq!(notifies[0].need("Call-ID"), first.need("Call-ID"));
    assert_eq!(notifies[0].need("From"), first.need("From"));
    assert_eq!(
        notifies[0].cseq(),
        first.cseq() + 65_536,
        "far above whatever the life before may have said"
    );
}

#[test]
fn after_a_clean_stop_cseq_has_no_gap() {
    let mut world = World::new();
    let (_, first) = world.watch("bob", 7000, "");
    world.stop_and_start();
    assert!(world.notifies(0).is_empty());
    world.publish_open("news");
    assert_eq!(world.notifies(0)[0].cseq(), first.cseq() + 1);
}

#[test]
fn an_answer_that_was_not_on_record_is_the_only_reason_to_repeat() {
    let mut world = World::new();
    world.subscribe("bob", 7000, "");
    world.crash();
    let notifies = world.notifies(0);
    assert_eq!(
        notifies.len(),
        1,
        "the NOTIFY that answers the SUBSCRIBE is still owed"
    );
    world.ok(&notifies[0]);
    world.crash();
    assert!(world.notifies(0).is_empty());
}

#[test]
fn what_lapsed_while_nobody_ran_is_notified_after_the_start() {
    let mut world = World::new();
    let answer = world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 30\r\n",
        &pidf("open", "x"),
    );
    assert_eq!(answer.status(), 200);
    world.watch("bob", 7000, "Expires: 600\r\n");
    world.watch("carol", 7001, "Expires: 20\r\n");
    world.now.wall = world.now.wall + Duration::from_secs(40);
    world.crash();
    world.advance(Duration::from_millis(100));
    let mut said: Vec<(String, bool)> = world
        .notifies(0)
        .iter()
        .map(|notify| {
            (
                notify.need("To").to_owned(),
                notify
                    .need("Subscription-State")
                    .starts_with("terminated;reason=timeout"),
            )
        })
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            ("<sip:bob@example.com>;tag=wbob".to_owned(), false),
            ("<sip:carol@example.com>;tag=wcarol".to_owned(), true)
        ]
    );
    assert!(
        world
            .notifies(0)
            .iter()
            .all(|notify| !notify.body.contains("open"))
    );
}

/// Decision 4: fingerprint. The request that the crash left unanswered comes again.
#[test]
fn the_same_request_again_after_a_crash_takes_effect_once() {
    let mut world = World::new();
    let publish = world.publish_text("Content-Type: application/pidf+xml\r\n", &pidf("open", "x"));
    let first = world.say(&World::udp(6000), &publish)[0].clone();
    let subscribe = world.subscribe_text("bob", 7000, "Expires: 600\r\n");
    let second = world.say(&World::udp(7000), &subscribe)[0].clone();
    world.crash();
    let again = world.say(&World::udp(6000), &publish);
    assert_eq!(again[0].need("SIP-ETag"), first.need("SIP-ETag"));
    let again = world.say(&World::udp(7000), &subscribe);
    assert_eq!(again[0].need("To"), second.need("To"));
    assert_eq!(
        (
            world.shard.counts().publications,
            world.shard.counts().subscriptions
        ),
        (1, 1)
    );
    // So with a modification, a removal, a refresh and an end.
    let tag = first.need("SIP-ETag").to_owned();
    let modify = world.publish_text(
        &format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\n"),
        &pidf("open", "y"),
    );
    let modified = world.say(&World::udp(6000), &modify)[0].clone();
    world.crash();
    assert_eq!(
        world.say(&World::udp(6000), &modify)[0].need("SIP-ETag"),
        modified.need("SIP-ETag")
    );
    let tag = modified.need("SIP-ETag").to_owned();
    let remove = world.publish_text(&format!("SIP-If-Match: {tag}\r\nExpires: 0\r\n"), "");
    let removed = world.say(&World::udp(6000), &remove)[0].clone();
    let end = world.resubscribe_text("bob", 7000, &second, 2, "Expires: 0\r\n");
    let ended = world.say(&World::udp(7000), &end)[0].clone();
    assert_eq!((removed.status(), ended.status()), (200, 200));
    world.crash();
    let again = world.say(&World::udp(6000), &remove)[0].clone();
    assert_eq!(
        (
            again.status(),
            again.need("SIP-ETag"),
            again.need("Expires")
        ),
        (200, removed.need("SIP-ETag"), "0")
    );
    assert_eq!(world.say(&World::udp(7000), &end)[0].status(), 200);
    assert_eq!(world.shard.counts().publications, 0);
}

#[test]
fn a_clock_that_goes_back_extends_nothing_beyond_what_was_granted() {
    let mut world = World::new();
    world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 30\r\n",
        &pidf("open", "x"),
    );
    world.now.wall = machine::Wall::from_millis(1_700_000_000_000);
    world.crash();
    assert_eq!(world.shard.counts().publications, 1);
    world.advance(Duration::from_secs(31));
    assert_eq!(world.shard.counts().publications, 0);
}

#[test]
fn everything_ends_and_nothing_stays() {
    let mut world = World::new();
    for round in 0..20 {
        let tag = world.publish_open(&format!("round {round}"));
        let (answer, _) = world.watch(&format!("bob{round}"), 7000 + round, "");
        let fields = format!("SIP-If-Match: {tag}\r\nExpires: 0\r\n");
        world.publish(&fields, "");
        let neutral = world.notifies(0).pop().unwrap();
        world.ok(&neutral);
        let text = world.resubscribe_text(
            &format!("bob{round}"),
            7000 + round,
            &answer,
            2,
            "Expires: 0\r\n",
        );
        let sent = world.say(&World::udp(7000 + round), &text);
        world.ok(&sent[1]);
    }
    world.advance(Duration::from_secs(70));
    let counts = world.shard.counts();
    assert_eq!(
        (
            counts.presentities,
            counts.publications,
            counts.subscriptions
        ),
        (0, 0, 0)
    );
    assert_eq!(world.shard.remembered(), 0);
    assert!(world.disk.is_empty(), "{:?}", world.disk);
    assert!(world.shard.is_quiet());
    assert_eq!(world.shard.poll_timeout(), None);
}

#[test]
fn a_removed_publication_does_not_make_a_start_forget_what_everybody_knows() {
    let mut world = World::new();
    let tag = world.publish_open("here");
    world.watch("bob", 7000, "Expires: 600\r\n");
    let removal = world.publish(&format!("SIP-If-Match: {tag}\r\nExpires: 0\r\n"), "");
    assert_eq!(removal.status(), 200);
    let notify = world.notifies(0).pop().expect("the neutral document");
    world.ok(&notify);
    // The removal is remembered for its retransmission when the process dies.
    world.crash();
    world.advance(Duration::from_secs(2));
    assert!(world.notifies(0).is_empty(), "{:#?}", world.notifies(0));
    world.crash();
    assert!(world.notifies(0).is_empty(), "{:#?}", world.notifies(0));
}

#[test]
fn a_watcher_who_is_politely_blocked_learns_nothing_from_a_crash() {
    let mut settings = world::settings();
    settings.domains[0].presence.default_handling = machine::settings::Handling::PoliteBlock;
    let mut world = World::with(settings);
    world.watch("bob", 7000, "Expires: 600\r\n");
    world.crash();
    world.advance(Duration::from_secs(2));
    assert!(world.notifies(0).is_empty(), "nothing was published");
    world.publish_open("here");
    world.advance(Duration::from_secs(2));
    world.crash();
    world.advance(Duration::from_secs(2));
    assert!(world.notifies(0).is_empty(), "she published");
    let answer = world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 30\r\n",
        &pidf("open", "x"),
    );
    assert_eq!(answer.status(), 200);
    world.now.wall = world.now.wall + Duration::from_secs(40);
    world.crash();
    world.advance(Duration::from_secs(2));
    assert!(world.notifies(0).is_empty(), "and it lapsed");
}

#[test]
fn a_life_that_uses_its_numbers_up_takes_none_from_the_next() {
    let mut world = World::new();
    let mut tags = vec![world.publish_open("first")];
    world.watch("bob", 7000, "Expires: 600\r\n");
    world.shard.skip_numbers(u32::MAX - 3);
    for life in 0..4 {
        for turn in 0..5 {
            let tag = tags.last().expect("there is one").clone();
            let fields = format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\n");
            let answer = world.publish(&fields, &pidf("open", &format!("{life}-{turn}")));
            assert_eq!(answer.status(), 200, "{}", answer.head);
            let tag = answer.need("SIP-ETag").to_owned();
            assert!(!tags.contains(&tag), "{tag} comes twice: {tags:?}");
            tags.push(tag);
            for notify in world.notifies(0) {
                world.ok(&notify);
            }
        }
        world.crash();
        assert!(
            world.notifies(0).is_empty(),
            "what was answered is on record"
        );
    }
}

#[test]
fn a_clock_set_back_revives_no_subscription_that_was_told_its_end() {
    let mut world = World::new();
    world.watch("bob", 7000, "Expires: 10\r\n");
    world.advance(Duration::from_secs(11));
    let last = world.notifies(0).pop().expect("the last NOTIFY");
    assert_eq!(last.need("Subscription-State"), "terminated;reason=timeout");
    world.set_clock(-60_000);
    world.crash();
    // Its answer was not on record, so it may come again; nothing else may.
    for notify in world.notifies(0) {
        assert_eq!(
            notify.need("Subscription-State"),
            "terminated;reason=timeout"
        );
        world.ok(&notify);
    }
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn a_dialog_has_a_contact_after_a_start_with_other_listeners() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "");
    let sent = world.say(&World::tcp(7000), &text);
    let contact = sent[1].need("Contact").to_owned();
    world.ok(&sent[1]);
    world.settings.listeners.remove(0);
    world.crash();
    world.publish_open("news");
    let notify = world.notifies(0).pop().expect("news");
    assert_eq!(notify.need("Contact"), contact);
}

#[test]
fn a_watcher_that_a_drain_did_not_reach_is_told_after_the_next_start() {
    let mut world = World::new();
    world.watch("bob", 7000, "");
    world.shard.handle_drain(world.now);
    world.run();
    assert_eq!(
        world.notifies(0).pop().unwrap().need("Subscription-State"),
        "terminated;reason=deactivated"
    );
    // Nobody answers; the process ends all the same.
    world.stop_and_start();
    let last = world
        .notifies(0)
        .pop()
        .expect("the last NOTIFY is still owed");
    assert_eq!(
        last.need("Subscription-State"),
        "terminated;reason=deactivated"
    );
    world.ok(&last);
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn what_waits_for_the_disk_does_not_leave_when_the_rules_have_changed_meanwhile() {
    for handling in [Handling::Block, Handling::PoliteBlock] {
        let mut world = World::new();
        let (_, first) = world.watch("bob", 7000, "");
        world.prompt = false;
        let text = world.publish_text(
            "Content-Type: application/pidf+xml\r\n",
            &pidf("open", "secret"),
        );
        world.say(&World::udp(6000), &text);
        let mut settings = world.settings.clone();
        settings.domains[0].presence.default_handling = handling;
        world.shard.handle_settings(world.now, settings.into());
        world.run();
        let from = world.sent.len();
        world.make_durable();
        world.make_durable();
        let notifies = world.notifies(from);
        assert!(
            notifies
                .iter()
                .all(|notify| !notify.body.contains("secret")),
            "{notifies:#?}"
        );
        if handling == Handling::Block {
            assert_eq!(
                notifies[0].need("Subscription-State"),
                "terminated;reason=rejected"
            );
            assert_eq!(notifies[0].cseq(), first.cseq() + 1, "no gap");
        }
    }
}

#[test]
fn the_last_notify_of_a_fetch_that_waits_for_the_disk_shows_nothing_that_the_rules_have_taken_away()
{
    for handling in [Handling::Block, Handling::PoliteBlock] {
        let mut world = World::new();
        world.prompt = false;
        let text = world.publish_text(
            "Content-Type: application/pidf+xml\r\n",
            &pidf("open", "secret"),
        );
        world.say(&World::udp(6000), &text);
        let text = world.subscribe_text("bob", 7000, "Expires: 0\r\n");
        world.say(&World::udp(7000), &text);
        let mut settings = world.settings.clone();
        settings.domains[0].presence.default_handling = handling;
        world.shard.handle_settings(world.now, settings.into());
        world.run();
        world.make_durable();
        world.make_durable();
        let notifies = world.notifies(0);
        assert_eq!(notifies.len(), 1, "{notifies:#?}");
        assert!(!notifies[0].body.contains("secret"), "{notifies:#?}");
        assert!(
            notifies[0]
                .need("Subscription-State")
                .starts_with("terminated")
        );
        world.ok(&notifies[0]);
        assert_eq!(world.shard.counts().subscriptions, 0);
    }
}

#[test]
fn clean_stops_and_reloads_do_not_make_the_record_of_a_subscription_longer_and_longer() {
    let mut world = World::new();
    let (_, first) = world.watch("bob", 7000, "");
    for number in 0..60 {
        world.reload(|settings| {
            let handling = [Handling::Allow, Handling::PoliteBlock][number % 2];
            settings.domains[0].presence.default_handling = handling;
        });
        let owed = world.sent.last().filter(|sent| sent.is_notify()).cloned();
        owed.iter().for_each(|notify| drop(world.ok(notify)));
        world.stop_and_start();
    }
    let longest = world.disk.values().map(Vec::len).max();
    assert!(longest <= Some(20), "{longest:?}");
    let from = world.sent.len();
    world.reload(|settings| settings.domains[0].presence.default_handling = Handling::Allow);
    world.publish_open("news");
    let notifies = world.notifies(from);
    let newest = notifies.last().expect("a NOTIFY");
    assert!(
        newest.cseq() > first.cseq() && newest.cseq() < 200,
        "{}",
        newest.cseq()
    );
}
