//! Who waits for a place in a hop's window gets it, whatever those before her do with theirs.

mod world;

use std::time::Duration;

use world::{World, settings};

fn to(world: &World, from: usize, watcher: &str) -> usize {
    let call_id = format!("sub-{watcher}");
    let notifies = world.notifies(from);
    notifies
        .iter()
        .filter(|notify| notify.need("Call-ID") == call_id)
        .count()
}

#[test]
fn a_place_that_its_next_watcher_does_not_take_goes_to_the_one_behind_her() {
    let mut settings = settings();
    settings.limits.unanswered_per_hop_max = 1;
    let mut world = World::with(settings);
    world.watch("bob", 7000, "");
    world.watch("carol", 7000, "");
    world.watch("dave", 7000, "");
    let from = world.sent.len();
    world.publish_open("news");
    let first = world.notifies(from);
    assert_eq!(first.len(), 1, "the window is one: {first:#?}");
    assert_eq!(first[0].need("Call-ID"), "sub-bob");
    // Carol waits behind bob, and moves away meanwhile. Dave waits behind her.
    let carol = world
        .sent
        .iter()
        .find(|sent| sent.status() == 200 && sent.need("Call-ID") == "sub-carol")
        .cloned()
        .expect("her dialog");
    let text = world.resubscribe_text("carol", 7100, &carol, 2, "");
    world.say(&World::udp(7100), &text);
    world.ok(&first[0]);
    assert_eq!(to(&world, from, "carol"), 1);
    assert_eq!(to(&world, from, "dave"), 1, "{:#?}", world.notifies(from));
}

#[test]
fn a_silent_watcher_gives_her_place_up_and_nobody_behind_her_is_forgotten() {
    let mut settings = settings();
    settings.limits.unanswered_per_hop_max = 1;
    let mut world = World::with(settings);
    let watchers = ["bob", "carol", "dave", "erin"];
    for watcher in watchers {
        world.watch(watcher, 7000, "");
    }
    let from = world.sent.len();
    world.publish_open("news");
    // Nobody answers: each place is given back with the first retransmission.
    world.advance(Duration::from_secs(5));
    for watcher in watchers {
        assert!(to(&world, from, watcher) >= 1, "{watcher} was told nothing");
    }
}
