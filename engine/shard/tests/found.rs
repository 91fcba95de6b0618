//! What the simulator found, as short as it gets.

mod world;

use machine::settings::Handling;
use world::{World, settings};

fn watched() -> World {
    let mut world = World::new();
    world.watch("bob", 7000, "Expires: 600\r\n");
    world
}

fn reload(world: &mut World, handling: Handling) {
    let mut settings = settings();
    settings.domains[0].presence.default_handling = handling;
    world
        .shard
        .handle_settings(world.now, std::sync::Arc::new(settings.clone()));
    world.settings = settings;
    world.run();
}

#[test]
fn rules_that_change_nothing_that_she_sees_are_no_news() {
    let mut world = watched();
    let before = world.sent.len();
    // Nothing is published: who is politely blocked sees what everybody sees.
    reload(&mut world, Handling::PoliteBlock);
    assert!(world.notifies(before).is_empty());
    reload(&mut world, Handling::Allow);
    assert!(world.notifies(before).is_empty());
    // Pending is another state, whatever the document says.
    reload(&mut world, Handling::Confirm);
    let pending = world.notifies(before).pop().expect("a NOTIFY");
    assert!(pending.need("Subscription-State").starts_with("pending"));
    // There and back while it is unanswered: she is told once.
    reload(&mut world, Handling::PoliteBlock);
    reload(&mut world, Handling::Confirm);
    assert!(world.ok(&pending).iter().all(|sent| !sent.is_notify()));
}

#[test]
fn rules_that_change_over_a_start_and_take_nothing_are_no_news() {
    let mut world = watched();
    world.advance(std::time::Duration::from_secs(60));
    reload(&mut world, Handling::PoliteBlock);
    world.stop_and_start();
    assert!(world.notifies(0).is_empty());
    reload(&mut world, Handling::Allow);
    assert!(world.notifies(0).is_empty());
}

#[test]
fn a_subscribe_whose_notify_was_refused_begins_nothing_after_a_start() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "Expires: 600\r\n");
    let sent = world.say(&World::udp(7000), &text);
    world.respond(&sent[1], 481, "");
    assert_eq!(world.shard.counts().subscriptions, 0);
    world.crash();
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!(sent.len(), 1, "an answer, and nothing begins: {sent:#?}");
    assert_eq!(sent[0].need("Expires"), "0");
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn names_are_forgotten_when_their_answer_is_over() {
    let mut world = World::new();
    let text = world
        .subscribe_text("bob", 7000, "Expires: 0\r\n")
        .replace("bob@127.0.0.1:7000>", "bob@bobs.example.net>");
    world.say(&World::udp(7000), &text);
    let address = "192.0.2.7".parse().expect("an address");
    world
        .shard
        .handle_resolved(world.now, "bobs.example.net", &[address]);
    world.run();
    let notify = world.notifies(0).pop().expect("a NOTIFY");
    world.ok(&notify);
    world.advance(std::time::Duration::from_secs(300));
    assert_eq!(world.shard.remembered(), 0);
    assert_eq!(world.shard.poll_timeout(), None);
}

#[test]
fn a_subscription_that_was_there_after_a_start_and_ended_begins_nothing_either() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "Expires: 600\r\n");
    world.say(&World::udp(7000), &text);
    world.crash();
    let notify = world.notifies(0).pop().expect("a NOTIFY");
    world.respond(&notify, 481, "");
    assert_eq!(world.shard.counts().subscriptions, 0);
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!(sent.len(), 1, "an answer, and nothing begins: {sent:#?}");
    assert_eq!(world.shard.counts().subscriptions, 0);
}

#[test]
fn the_last_notify_of_who_was_blocked_meanwhile_tells_nothing() {
    let mut world = World::new();
    world.publish_open("secret");
    world.watch("bob", 7000, "Expires: 60\r\n");
    world.settings.domains[0].presence.default_handling = Handling::Block;
    // Nobody runs while it lapses and the rules change.
    world.now.wall = world.now.wall + std::time::Duration::from_secs(90);
    world.crash();
    let last = world.notifies(0).pop().expect("a NOTIFY");
    assert!(last.need("Subscription-State").starts_with("terminated"));
    assert!(!last.body.contains("secret"), "{}", last.body);
}

#[test]
fn a_clock_that_steps_while_nobody_runs_lets_nothing_be_done_twice() {
    let mut world = World::new();
    let text = world.publish_text(
        "Content-Type: application/pidf+xml\r\nExpires: 86400\r\n",
        &world::pidf("open", "once"),
    );
    let before = world.say(&World::udp(6000), &text);
    world.now.wall = world.now.wall + std::time::Duration::from_secs(3600);
    world.crash();
    let after = world.say(&World::udp(6000), &text);
    assert_eq!(before[0].need("SIP-ETag"), after[0].need("SIP-ETag"));
    assert_eq!(world.shard.counts().publications, 1);
}

#[test]
fn refreshes_use_up_no_tries_to_find_a_name() {
    let mut world = World::new();
    let text = world
        .subscribe_text("bob", 7000, "Expires: 600\r\n")
        .replace("bob@127.0.0.1:7000>", "bob@bobs.example.net>");
    let answer = world.say(&World::udp(7000), &text)[0].clone();
    for cseq in 2..8 {
        world
            .shard
            .handle_resolved(world.now, "bobs.example.net", &[]);
        world.run();
        let text = world
            .resubscribe_text("bob", 7000, &answer, cseq, "Expires: 600\r\n")
            .replace("bob@127.0.0.1:7000>", "bob@bobs.example.net>");
        assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 200);
        assert_eq!(world.shard.counts().subscriptions, 1);
    }
}

#[test]
fn a_late_copy_of_a_subscribe_that_was_refreshed_since_begins_nothing_after_a_start() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "Expires: 600\r\n");
    let answer = world.say(&World::udp(7000), &text)[0].clone();
    let refresh = world.resubscribe_text("bob", 7000, &answer, 2, "Expires: 600\r\n");
    world.say(&World::udp(7000), &refresh);
    world.crash();
    let again = world.say(&World::udp(7000), &text);
    assert_eq!(again.len(), 1, "an answer, and nothing begins: {again:#?}");
    assert_eq!(again[0].to_tag(), answer.to_tag());
    assert_eq!(world.shard.counts().subscriptions, 1);
}
