//! What a user keeps of herself for good (RFC 4827), at one shard: the lowest publication, which never lapses.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod world;

use std::time::Duration;

use world::{World, pidf};

const PERMANENT: &str = "pidf-manipulation/users/sip:alice@example.com/index";
const RULES: &str = "pres-rules/users/sip:alice@example.com/index";

/// Permanent state with a note of its own; its service is the one that `pidf` publishes.
fn always(note: &str) -> String {
    pidf("closed", note)
}

/// A person in a sphere.
fn in_sphere(sphere: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
         <dm:person xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"p\">\
         <r:sphere xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\"><r:{sphere}/></r:sphere></dm:person></presence>"
    )
}

impl World {
    /// What bob was told since `before`, all of it answered.
    fn told(&mut self, before: usize) -> Vec<String> {
        let notifies = self.notifies(before);
        for notify in &notifies {
            assert_eq!(
                notify.need("Subscription-State").split(';').next(),
                Some("active")
            );
            self.ok(notify);
        }
        notifies.into_iter().map(|notify| notify.body).collect()
    }

    /// Puts the document or a node of it; what bob was told in that step.
    fn keeps(&mut self, path: &str, body: &str) -> Vec<String> {
        let before = self.sent.len();
        let put = self.put(path, body);
        assert!(put.status < 300, "{} {}", put.status, put.body);
        self.told(before)
    }
}

fn only(told: &[String]) -> &str {
    let [one] = told else {
        unreachable!("one NOTIFY, not {told:#?}");
    };
    one
}

#[test]
fn each_change_of_it_reaches_whoever_watches_in_its_step() {
    let mut world = World::new();
    let (_, first) = world.watch("bob", 7000, "");
    let neutral = first.body;
    let told = world.keeps(PERMANENT, &always("Ask Carol"));
    assert!(only(&told).contains("closed") && only(&told).contains("Ask Carol"));
    let node = format!("{PERMANENT}/~~/presence/tuple%5b@id=%22phone%22%5d/note");
    let told = world.keeps(&node, "<note>Ask Dave</note>");
    assert!(only(&told).contains("Ask Dave") && !only(&told).contains("Carol"));
    assert!(world.keeps(&node, "<note>Ask Dave</note>").is_empty());
    let before = world.sent.len();
    assert_eq!(world.delete(&node).status, 200);
    assert!(!only(&world.told(before)).contains("<note>"));
    let before = world.sent.len();
    assert_eq!(world.delete(PERMANENT).status, 200);
    assert_eq!(only(&world.told(before)), neutral);
}

#[test]
fn it_gives_way_to_what_is_published_and_is_there_again_when_that_lapses() {
    let mut world = World::new();
    world.keeps(PERMANENT, &always("Ask Carol"));
    let (_, first) = world.watch("bob", 7000, "");
    assert!(first.body.contains("Ask Carol"));
    let before = world.sent.len();
    world.publish_open("here");
    let told = world.told(before);
    assert!(only(&told).contains("open") && !only(&told).contains("closed"));
    // However young it is.
    assert!(world.keeps(PERMANENT, &always("Ask Dave")).is_empty());
    let before = world.sent.len();
    world.advance(Duration::from_secs(600));
    assert!(only(&world.told(before)).contains("Ask Dave"));
    // It never lapses.
    let before = world.sent.len();
    world.advance(Duration::from_secs(2_900));
    assert!(world.told(before).is_empty());
}

#[test]
fn rules_are_about_it_like_about_everything() {
    let mut world = World::new();
    world.put(
        RULES,
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\">\
         <cp:rule id=\"a\"><cp:actions><sub-handling>allow</sub-handling></cp:actions><cp:transformations>\
         <provide-services><all-services/></provide-services></cp:transformations></cp:rule></cp:ruleset>",
    );
    world.watch("bob", 7000, "");
    let told = world.keeps(PERMANENT, &pidf("open", "Ask Carol"));
    assert!(only(&told).contains("open") && !only(&told).contains("Ask Carol"));
    // Another note is nothing that bob sees.
    assert!(world.keeps(PERMANENT, &pidf("open", "Ask Dave")).is_empty());
    let explained = world
        .shard
        .explain(
            world.now,
            "sip:alice@example.com",
            Some("sip:bob@example.com"),
            None,
        )
        .unwrap();
    assert!(String::from_utf8_lossy(&explained.whole).contains("Ask Dave"));
    assert!(explained.withheld.iter().any(|one| one.what == "note"));
}

#[test]
fn a_start_composes_it_again_and_tells_nobody_what_is_known() {
    let mut world = World::new();
    world.watch("bob", 7000, "");
    world.keeps(PERMANENT, &always("Ask Carol"));
    world.crash();
    assert!(world.notifies(0).is_empty());
    world.watch("carol", 7001, "");
    assert!(world.notifies(0)[0].body.contains("Ask Carol"));
    assert!(world.keeps(PERMANENT, &always("Ask Dave")).len() == 2);
}

#[test]
fn a_crash_between_the_put_and_its_notify_tells_after_the_start() {
    let mut world = World::new();
    world.watch("bob", 7000, "");
    world.keeps(PERMANENT, &always("Ask Carol"));
    // Kept, and what follows from it is on no disk.
    world.prompt = false;
    world.put(PERMANENT, &always("Ask Dave"));
    world.prompt = true;
    world.crash();
    assert!(only(&world.told(0)).contains("Ask Dave"));
    // Deleted in the same way.
    world.prompt = false;
    world.delete(PERMANENT);
    world.prompt = true;
    world.crash();
    assert!(!only(&world.told(0)).contains("Ask"));
}

#[test]
fn whoever_keeps_it_is_known() {
    let mut settings = world::settings();
    settings.domains[0].presence.unknown_presentity_is_404 = true;
    let mut world = World::with(settings);
    let text = world.subscribe_text("carol", 7001, "");
    assert_eq!(world.say(&World::udp(7001), &text)[0].status(), 404);
    world.keeps(PERMANENT, &always("Ask Carol"));
    world.subscribe("bob", 7000, "");
}

#[test]
fn a_sphere_for_good_holds_where_nobody_publishes_another() {
    let mut world = World::new();
    world.put(
        RULES,
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\">\
         <cp:rule id=\"a\"><cp:conditions><cp:sphere value=\"home\"/></cp:conditions><cp:actions>\
         <sub-handling>allow</sub-handling></cp:actions><cp:transformations><provide-persons><all-persons/></provide-persons>\
         <provide-sphere>true</provide-sphere></cp:transformations></cp:rule></cp:ruleset>",
    );
    let told = {
        world.watch("bob", 7000, "");
        world.keeps(PERMANENT, &in_sphere("home"))
    };
    // By the default she sees everything; by the rule a part of it, which is all there is.
    assert!(only(&told).contains("home"));
    let explained = |world: &mut World| {
        let bob = Some("sip:bob@example.com");
        let explained = world
            .shard
            .explain(world.now, "sip:alice@example.com", bob, None);
        explained.unwrap().decision.rules[0].applies
    };
    assert!(explained(&mut world));
    world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 60\r\n",
        &in_sphere("work"),
    );
    assert!(!explained(&mut world));
    world.crash();
    assert!(!explained(&mut world));
    world.advance(Duration::from_secs(61));
    assert!(explained(&mut world));
}

#[test]
fn what_does_not_compose_is_refused() {
    let mut world = World::new();
    world.watch("bob", 7000, "");
    let before = world.sent.len();
    for wrong in [
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\"><tuple/></presence>",
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"/>",
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"/>",
        "<other/>",
    ] {
        assert_eq!(world.put(PERMANENT, wrong).status, 409, "{wrong}");
    }
    // No larger than what is published.
    let long = always(&"x".repeat(70_000));
    assert_eq!(world.put(PERMANENT, &long).status, 413);
    assert_eq!(world.sent.len(), before);
}

#[test]
fn nothing_but_the_document_is_left_of_it() {
    let mut world = World::new();
    let before = world.shard.remembered();
    world.keeps(PERMANENT, &always("Ask Carol"));
    assert_eq!(world.shard.remembered(), before);
    assert_eq!(world.shard.counts().publications, 0);
    world.delete(PERMANENT);
    assert_eq!(world.shard.counts().presentities, 0);
}
