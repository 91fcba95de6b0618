//! What a presentity's rules make of her watchers, at one shard: each handling, each transition, views that watchers share.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod world;

use std::time::Duration;

use machine::settings::{Handling, Settings};
use world::{Sent, World, pidf};

const RULES: &str = "pres-rules/users/sip:alice@example.com/index";
const OMA_RULES: &str = "org.openmobilealliance.pres-rules/users/sip:alice@example.com/pres-rules";
const LISTS: &str = "resource-lists/users/sip:alice@example.com/index";
const ALL: &str = "<provide-services><all-services/></provide-services><provide-all-attributes/>";

fn confirming() -> Settings {
    let mut settings = world::settings();
    settings.domains[0].presence.default_handling = Handling::Confirm;
    settings
}

fn ruleset(rules: &[String]) -> String {
    format!(
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\" \
         xmlns:o=\"urn:oma:xml:xdm:common-policy\">{}</cp:ruleset>",
        rules.concat()
    )
}

fn rule(id: &str, conditions: &str, handling: &str, shows: &str) -> String {
    format!(
        "<cp:rule id=\"{id}\"><cp:conditions>{conditions}</cp:conditions><cp:actions><sub-handling>{handling}</sub-handling>\
         </cp:actions><cp:transformations>{shows}</cp:transformations></cp:rule>"
    )
}

fn one(who: &str) -> String {
    format!("<cp:identity><cp:one id=\"sip:{who}@example.com\"/></cp:identity>")
}

/// Rules that give bob this.
fn for_bob(handling: &str, shows: &str) -> String {
    ruleset(&[rule("bob", &one("bob"), handling, shows)])
}

fn neutral() -> String {
    String::from_utf8(presence::composition::neutral("sip:alice@example.com")).unwrap()
}

impl World {
    /// Puts rules for alice, and gives what left because of it.
    fn rules(&mut self, rules: &str) -> Vec<Sent> {
        let before = self.sent.len();
        let put = self.put(RULES, rules);
        assert!(put.status < 300, "{}", put.body);
        self.sent[before..].to_vec()
    }

    fn subscribe_raw(&mut self, watcher: &str, port: u16) -> Vec<Sent> {
        let text = self.subscribe_text(watcher, port, "");
        self.say(&World::udp(port), &text)
    }
}

fn state(notify: &Sent) -> &str {
    let state = notify.need("Subscription-State");
    state.split(";expires").next().unwrap()
}

#[test]
fn each_handling_is_answered_as_it_should_be() {
    for (handling, status, said, body) in [
        ("block", 403, "", None),
        ("confirm", 202, "pending", Some(neutral())),
        ("polite-block", 200, "active", Some(neutral())),
    ] {
        let mut world = World::new();
        world.publish_open("here");
        world.rules(&for_bob(handling, ALL));
        let sent = world.subscribe_raw("bob", 7000);
        assert_eq!(sent[0].status(), status, "{handling}");
        assert_eq!(sent.get(1).map(state).unwrap_or_default(), said);
        assert_eq!(sent.get(1).map(|sent| sent.body.clone()), body);
    }
    let mut world = World::new();
    world.publish_open("here");
    world.rules(&for_bob(
        "allow",
        "<provide-services><all-services/></provide-services>",
    ));
    let sent = world.subscribe_raw("bob", 7000);
    assert!(sent[1].body.contains("open") && !sent[1].body.contains("here"));
    // No rule is about carol: the default decides, and shows everything.
    let sent = world.subscribe_raw("carol", 7001);
    assert!(sent[1].body.contains("here"));
}

#[test]
fn a_presentity_sees_herself_whole_whatever_her_rules_say() {
    let mut world = World::new();
    world.publish_open("here");
    world.rules(&ruleset(&[rule("all", "", "block", "")]));
    let sent = world.subscribe_raw("alice", 7000);
    assert!(sent[0].status() == 200 && sent[1].body.contains("here"));
}

#[test]
fn rules_of_all_documents_are_one() {
    let mut world = World::with(confirming());
    world.publish_open("here");
    world.rules(&for_bob("block", ""));
    let allow = rule("x", &one("bob"), "allow", ALL);
    assert_eq!(world.put(OMA_RULES, &ruleset(&[allow])).status, 201);
    let sent = world.subscribe_raw("bob", 7000);
    assert!(sent[0].status() == 200 && sent[1].body.contains("here"));
    world.ok(&sent[1]);
    let before = world.sent.len();
    world.delete(OMA_RULES);
    assert_eq!(state(&world.sent[before]), "terminated;reason=rejected");
}

/// Standards §1.4–1.6: the table of transitions.
#[test]
fn each_change_of_rules_tells_a_live_watcher_once_what_it_makes_of_her() {
    let handlings = ["block", "confirm", "polite-block", "allow"];
    for before in &handlings[1..] {
        for after in handlings {
            let mut world = World::new();
            world.publish_open("here");
            world.rules(&for_bob(before, ALL));
            world.watch("bob", 7000, "");
            let told = world.rules(&for_bob(after, ALL));
            if *before == after {
                assert!(told.is_empty(), "{before} {after}");
                continue;
            }
            assert_eq!(told.len(), 1, "{before} {after}");
            let (said, body) = match after {
                "block" => ("terminated;reason=rejected", String::new()),
                "confirm" => ("pending", neutral()),
                "polite-block" => ("active", neutral()),
                _ => ("active", told[0].body.clone()),
            };
            assert_eq!(
                (state(&told[0]), &told[0].body),
                (said, &body),
                "{before} {after}"
            );
            assert_eq!(told[0].body.contains("here"), after == "allow");
            assert!(world.ok(&told[0]).is_empty());
        }
    }
}

#[test]
fn more_or_less_of_the_view_is_one_notify_and_the_same_is_none() {
    let mut world = World::new();
    world.publish_open("here");
    let services = "<provide-services><all-services/></provide-services>";
    world.rules(&for_bob("allow", services));
    let (_, notify) = world.watch("bob", 7000, "");
    assert!(!notify.body.contains("here"));
    let told = world.rules(&for_bob("allow", ALL));
    assert!(told.len() == 1 && told[0].body.contains("here"));
    world.ok(&told[0]);
    // Another permission that shows nothing more of this document.
    assert!(
        world
            .rules(&for_bob(
                "allow",
                &format!("{ALL}<provide-mood>true</provide-mood>")
            ))
            .is_empty()
    );
    let told = world.rules(&for_bob("allow", services));
    assert!(told.len() == 1 && !told[0].body.contains("here"));
    world.ok(&told[0]);
    // What she does not see is no news to her.
    let before = world.sent.len();
    world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
        &pidf("open", "elsewhere"),
    );
    let told = world.notifies(before);
    assert!(told.iter().all(|told| !told.body.contains("elsewhere")));
    for told in &told {
        world.ok(told);
    }
    assert!(world.shard.is_quiet());
}

#[test]
fn a_note_that_is_not_shown_is_no_news() {
    let mut world = World::new();
    let tag = world.publish_open("one");
    world.rules(&for_bob(
        "allow",
        "<provide-services><all-services/></provide-services>",
    ));
    world.watch("bob", 7000, "");
    let before = world.sent.len();
    let fields =
        format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\nExpires: 600\r\n");
    world.publish(&fields, &pidf("open", "two"));
    assert!(world.notifies(before).is_empty());
    assert!(world.shard.is_quiet());
}

#[test]
fn watchers_to_whom_the_same_is_shown_share_one_body() {
    let mut world = World::new();
    world.publish_open("here");
    let both = "<cp:identity><cp:one id=\"sip:bob@example.com\"/><cp:one id=\"sip:carol@example.com\"/></cp:identity>";
    world.rules(&ruleset(&[rule(
        "x",
        both,
        "allow",
        "<provide-services><all-services/></provide-services>",
    )]));
    world.keep_bodies = true;
    for (watcher, port) in [("bob", 7000), ("carol", 7001)] {
        world.watch(watcher, port, "");
    }
    let bodies: Vec<_> = world
        .bodies
        .iter()
        .filter(|body| !body.is_empty())
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0].as_ptr(), bodies[1].as_ptr());
}

#[test]
fn nobody_elses_watchers_are_touched_and_a_polite_block_stays_hidden() {
    let mut world = World::new();
    let tag = world.publish_open("here");
    world.rules(&for_bob("polite-block", ""));
    world.watch("bob", 7000, "");
    let before = world.sent.len();
    let fields =
        format!("SIP-If-Match: {tag}\r\nContent-Type: application/pidf+xml\r\nExpires: 600\r\n");
    world.publish(&fields, &pidf("closed", "gone"));
    world.advance(Duration::from_secs(700));
    assert!(world.notifies(before).is_empty());
}

#[test]
fn what_waits_for_the_disk_is_withdrawn_when_the_rules_take_it_away() {
    let mut world = World::new();
    world.publish_open("here");
    world.rules(&for_bob("allow", ALL));
    world.prompt = false;
    let text = world.subscribe_text("bob", 7000, "");
    assert!(world.say(&World::udp(7000), &text).is_empty());
    world.rules(&for_bob(
        "allow",
        "<provide-services><all-services/></provide-services>",
    ));
    world.prompt = true;
    world.run();
    let sent: Vec<_> = world.notifies(0);
    assert_eq!(sent.len(), 1, "{sent:#?}");
    assert!(sent[0].body.contains("open") && !sent[0].body.contains("here"));
}

#[test]
fn a_crash_between_the_rules_and_what_follows_from_them_ends_with_what_the_rules_give() {
    let services = "<provide-services><all-services/></provide-services>";
    for (before, after, told) in [
        (for_bob("allow", ALL), for_bob("allow", services), 1),
        (for_bob("allow", services), for_bob("allow", ALL), 1),
        (for_bob("allow", ALL), for_bob("block", ""), 1),
        (for_bob("confirm", ""), for_bob("allow", ALL), 1),
        (for_bob("allow", services), for_bob("polite-block", ""), 1),
        (for_bob("allow", services), for_bob("allow", services), 0),
    ] {
        let mut world = World::new();
        world.publish_open("here");
        world.rules(&before);
        world.watch("bob", 7000, "");
        world.prompt = false;
        world.rules(&after);
        world.prompt = true;
        world.crash();
        let sent = world.notifies(0);
        assert_eq!(sent.len(), told, "{before} {after} {sent:#?}");
        if let Some(last) = sent.last() {
            assert_eq!(last.body.contains("here"), after.contains("attributes"));
            assert_eq!(
                last.body.is_empty(),
                after.contains(">block<"),
                "{}",
                last.body
            );
            world.ok(last);
        }
        // And what was told is known from now on.
        world.crash();
        assert!(world.notifies(0).is_empty());
    }
}

#[test]
fn a_start_tells_nobody_whose_part_of_the_view_is_what_it_was() {
    let mut world = World::new();
    world.publish_open("here");
    world.rules(&for_bob(
        "allow",
        "<provide-services><all-services/></provide-services>",
    ));
    world.watch("bob", 7000, "");
    world.watch("carol", 7001, "");
    for _ in 0..2 {
        world.crash();
        assert!(world.notifies(0).is_empty());
    }
    world.stop_and_start();
    assert!(world.notifies(0).is_empty());
}

#[test]
fn a_validity_begins_and_ends() {
    let span = "<cp:validity><cp:from>2026-09-21T14:13:30Z</cp:from><cp:until>2026-09-21T14:14:00Z</cp:until></cp:validity>";
    let mut world = World::with(confirming());
    world.set_clock(0);
    world.publish_open("here");
    // 1 790 000 001 s is 2026-09-21T14:13:21Z.
    world.rules(&ruleset(&[rule(
        "x",
        &format!("{}{span}", one("bob")),
        "allow",
        ALL,
    )]));
    let (_, first) = world.watch("bob", 7000, "");
    assert_eq!(state(&first), "pending");
    let before = world.sent.len();
    world.advance(Duration::from_millis(9_100));
    let told = world.notifies(before);
    assert!(told.len() == 1 && state(&told[0]) == "active" && told[0].body.contains("here"));
    world.ok(&told[0]);
    let before = world.sent.len();
    world.advance(Duration::from_millis(30_000));
    let told = world.notifies(before);
    assert_eq!(told.len(), 1);
    assert_eq!(state(&told[0]), "pending");
}

#[test]
fn a_validity_is_judged_by_the_wall_clock_when_somebody_sets_it() {
    let span = "<cp:validity><cp:from>2026-09-22T14:13:30Z</cp:from><cp:until>2026-09-29T14:14:00Z</cp:until></cp:validity>";
    let mut world = World::with(confirming());
    world.set_clock(0);
    world.publish_open("here");
    world.rules(&ruleset(&[rule(
        "x",
        &format!("{}{span}", one("bob")),
        "allow",
        ALL,
    )]));
    world.watch("bob", 7000, "Expires: 80000\r\n");
    let before = world.sent.len();
    world.set_clock(86_400_000);
    world.shard.handle_timeout(world.now);
    world.run();
    world.advance(Duration::from_millis(9_100));
    assert_eq!(world.notifies(before).len(), 1);
}

fn with_sphere(sphere: &str) -> String {
    pidf("open", "here").replace(
        "</presence>",
        &format!(
            "<dm:person xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" id=\"p\"><r:sphere \
             xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\"><r:{sphere}/></r:sphere></dm:person></presence>"
        ),
    )
}

#[test]
fn a_sphere_counts_as_long_as_all_who_say_one_agree() {
    let fields = "Content-Type: application/pidf+xml\r\nExpires: 600\r\n";
    let mut world = World::with(confirming());
    let conditions = format!("{}<cp:sphere value=\"work\"/>", one("bob"));
    world.rules(&ruleset(&[rule("x", &conditions, "allow", ALL)]));
    world.watch("bob", 7000, "");
    let states = |world: &mut World, before: usize| {
        let told = world.notifies(before);
        for told in &told {
            world.ok(told);
        }
        told.iter()
            .map(|told| state(told).to_owned())
            .collect::<Vec<_>>()
    };
    let before = world.sent.len();
    world.publish(fields, &with_sphere("work"));
    assert_eq!(states(&mut world, before), ["active"]);
    let before = world.sent.len();
    let other = world.publish(
        &fields.replace("600", "30"),
        &with_sphere("home").replace("phone", "pda"),
    );
    assert_eq!(other.status(), 200);
    assert_eq!(states(&mut world, before), ["pending"]);
    // It is the same after a start, and when the other lapses.
    world.crash();
    assert!(world.notifies(0).is_empty());
    world.advance(Duration::from_millis(30_200));
    assert_eq!(states(&mut world, 0), ["active"]);
}

#[test]
fn a_list_that_rules_refer_to_decides_and_decides_again_when_it_changes() {
    let list = |entries: &str| {
        format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"f\">{entries}<list name=\"in\">\
             <entry uri=\"sip:dave@example.com\"/></list></list></resource-lists>"
        )
    };
    let mut settings = confirming();
    settings.xcap_roots = vec![machine::settings::Root {
        authority: None,
        path: "/xcap-root".to_owned(),
    }];
    let mut world = World::with(settings);
    world.publish_open("here");
    let anchor = format!(
        "http://ps.example.com:8080/xcap-root/{LISTS}/~~/resource-lists/list%5b@name=%22f%22%5d"
    );
    let conditions = format!("<o:external-list><o:entry anc=\"{anchor}\"/></o:external-list>");
    world.rules(&ruleset(&[rule("x", &conditions, "allow", ALL)]));
    let (_, bob) = world.watch("bob", 7000, "");
    assert_eq!(state(&bob), "pending");
    let before = world.sent.len();
    assert_eq!(
        world
            .put(LISTS, &list("<entry uri=\"sip:bob@example.com\"/>"))
            .status,
        201
    );
    let told = world.notifies(before);
    assert!(told.len() == 1 && state(&told[0]) == "active");
    world.ok(&told[0]);
    let (_, dave) = world.watch("dave", 7001, "");
    assert_eq!(state(&dave), "active");
    // By another's list, which is referred to by hers.
    let carols = "resource-lists/users/sip:carol@example.com/index";
    let external = format!(
        "<external anchor=\"http://ps.example.com/xcap-root/{carols}/~~/resource-lists/list%5b@name=%22f%22%5d\"/>"
    );
    let before = world.sent.len();
    world.put(LISTS, &list(&external));
    let told = world.notifies(before);
    assert!(told.len() == 1 && state(&told[0]) == "pending");
    world.ok(&told[0]);
    let before = world.sent.len();
    world.put(carols, &list("<entry uri=\"sip:bob@example.com\"/>"));
    let told = world.notifies(before);
    assert!(told.len() == 1 && state(&told[0]) == "active", "{told:?}");
    world.ok(&told[0]);
    world.crash();
    assert!(world.notifies(0).is_empty());
    world.delete(carols);
    assert_eq!(state(&world.notifies(0)[0]), "pending");
}

#[test]
fn whoever_hides_has_no_name_that_a_rule_could_mean() {
    let mut world = World::new();
    world.publish_open("here");
    world.rules(&ruleset(&[
        rule("bob", &one("bob"), "allow", ALL),
        rule("hidden", "<o:anonymous-request/>", "polite-block", ""),
    ]));
    let text = world.subscribe_text("bob", 7000, "Privacy: id\r\n");
    let text = text.replace("Call-ID: sub-bob", "Call-ID: hidden");
    let sent = world.say(&World::udp(7000), &text);
    assert_eq!(sent[1].body, neutral());
    let text = world.subscribe_text("anonymous", 7001, "");
    let text = text.replace("anonymous@example.com", "anonymous@anonymous.invalid");
    let sent = world.say(&World::udp(7001), &text);
    assert_eq!(sent[1].body, neutral());
    assert!(world.subscribe_raw("bob", 7002)[1].body.contains("here"));
}

#[test]
fn a_presentitys_own_rules_say_who_publishes_for_her() {
    let path = "org.openmobilealliance.pub-rules/users/sip:alice@example.com/pub-rules";
    let rules = |handling: &str| {
        ruleset(&[format!(
            "<cp:rule id=\"x\"><cp:conditions>{}</cp:conditions><cp:actions><p:pub-handling \
             xmlns:p=\"urn:oma:xml:prs:pub-rules\">{handling}</p:pub-handling></cp:actions></cp:rule>",
            one("bob")
        )])
    };
    let mut world = World::new();
    let publish = |world: &mut World| {
        let fields = "Content-Type: application/pidf+xml\r\nExpires: 600\r\n";
        let text = world.publish_text(fields, &pidf("open", "by bob"));
        let text = text.replace("From: <sip:alice@", "From: <sip:bob@");
        world.say(&World::udp(7000), &text)[0].status()
    };
    assert_eq!(publish(&mut world), 403);
    let put = world.put(path, &rules("allow"));
    assert_eq!(put.status, 201, "{}", put.body);
    assert_eq!(publish(&mut world), 200);
    world.put(path, &rules("block"));
    assert_eq!(publish(&mut world), 403);
}

#[test]
fn whoever_may_publish_some_things_publishes_nothing_else() {
    let path = "org.openmobilealliance.pub-rules/users/sip:alice@example.com/pub-rules";
    let rules = |content: &[&str]| {
        let rule = |(number, content): (usize, &&str)| {
            format!(
                "<cp:rule id=\"x{number}\"><cp:conditions>{}</cp:conditions><cp:actions><p:pub-handling \
                 xmlns:p=\"urn:oma:xml:prs:pub-rules\">allow</p:pub-handling></cp:actions>\
                 <cp:transformations xmlns=\"urn:oma:xml:prs:pub-rules\">{content}</cp:transformations></cp:rule>",
                one("bob")
            )
        };
        ruleset(&content.iter().enumerate().map(rule).collect::<Vec<_>>())
    };
    let mut world = World::new();
    world.watch("carol", 7001, "");
    let mut publish = |content: &[&str], note: &str| {
        let put = world.put(path, &rules(content));
        assert!(put.status < 300, "{}", put.body);
        let fields = "Content-Type: application/pidf+xml\r\nExpires: 600\r\n";
        let text = world.publish_text(fields, &pidf("open", note));
        let text = text.replace("From: <sip:alice@", "From: <sip:bob@");
        let sent = world.say(&World::udp(7000), &text);
        assert_eq!(
            sent[0].status() == 200,
            sent.len() > 1,
            "who is refused tells nobody"
        );
        let answer = sent[0].head.lines().next().unwrap();
        answer.strip_prefix("SIP/2.0 ").unwrap().to_owned()
    };
    let (services, note) = (
        "<allow-services>true</allow-services>",
        "<allow-note>true</allow-note>",
    );
    assert_eq!(
        publish(&[services], "a"),
        "403 Not allowed to publish note for this user"
    );
    assert_eq!(
        publish(&[note], "a"),
        "403 Not allowed to publish tuple for this user"
    );
    assert_eq!(
        publish(&["<allow-note>false</allow-note>"], "a"),
        "403 Not allowed to publish tuple for this user"
    );
    // Rules add up, and one that says nothing of content restricts nothing.
    assert_eq!(publish(&[services, note], "a"), "200 OK");
    let mut world = World::new();
    assert_eq!(world.put(path, &rules(&[note, ""])).status, 201);
    let fields = "Content-Type: application/pidf+xml\r\nExpires: 600\r\n";
    let text = world.publish_text(fields, &pidf("open", "b"));
    let text = text.replace("From: <sip:alice@", "From: <sip:bob@");
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 200);
}

#[test]
fn what_is_explained_is_what_is_done() {
    let mut world = World::with(confirming());
    world.publish_open("here");
    let services = "<provide-services><all-services/></provide-services>";
    world.rules(&for_bob("allow", services));
    let (_, notify) = world.watch("bob", 7000, "");
    let alice = "sip:alice@example.com";
    let bob = world
        .shard
        .explain(world.now, alice, Some("sip:bob@example.com"), None)
        .unwrap();
    assert_eq!(bob.seen.as_deref(), Some(notify.body.as_bytes()));
    assert!(
        bob.withheld
            .iter()
            .any(|withheld| withheld.missing == "provide-note")
    );
    assert!(bob.decision.rules[0].applies && !bob.by_default);
    let carol = world
        .shard
        .explain(world.now, alice, Some("sip:carol@example.com"), None)
        .unwrap();
    assert!(carol.by_default && carol.handling == Handling::Confirm);
    let (_, pending) = world.watch("carol", 7002, "");
    assert!(!pending.body.contains("here"));
    assert_eq!(carol.seen.as_deref(), Some(pending.body.as_bytes()));
    let herself = world
        .shard
        .explain(world.now, alice, Some(alice), None)
        .unwrap();
    assert_eq!(herself.seen.as_deref(), Some(&*herself.whole));
    assert!(
        world
            .shard
            .explain(world.now, "sip:a@elsewhere.net", None, None)
            .is_none()
    );
    let bounds = xml::Bounds::TRUSTED;
    let block = for_bob("block", "");
    let block = documents::common_policy::Ruleset::read(block.as_bytes(), &bounds).unwrap();
    let dry = world.shard.explain(
        world.now,
        alice,
        Some("sip:bob@example.com"),
        Some(("dry", &block)),
    );
    assert_eq!(dry.unwrap().handling, Handling::Block);
}

#[test]
fn a_dry_run_says_what_becomes_of_the_rules_once_they_are_kept() {
    let mut world = World::with(confirming());
    let bob = "sip:bob@example.com";
    // Another of her documents counts as well, and what she publishes says where she is.
    world.put(
        "pres-rules/users/sip:alice@example.com/other",
        &for_bob("confirm", ""),
    );
    world.publish(
        "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
        &with_sphere("work"),
    );
    let at = |sphere: &str| format!("<cp:sphere value=\"{sphere}\"/>");
    for (rules, expected) in [
        (for_bob("block", ""), Handling::Confirm),
        (for_bob("allow", ALL), Handling::Allow),
        (
            ruleset(&[rule("r", &(one("bob") + &at("work")), "allow", ALL)]),
            Handling::Allow,
        ),
        (
            ruleset(&[rule("r", &(one("bob") + &at("home")), "allow", ALL)]),
            Handling::Confirm,
        ),
    ] {
        let read = documents::common_policy::Ruleset::read(rules.as_bytes(), &xml::Bounds::TRUSTED)
            .unwrap();
        let explain = |world: &mut World, dry| {
            let alice = "sip:alice@example.com";
            let explained = world.shard.explain(world.now, alice, Some(bob), dry);
            let explained = explained.unwrap();
            (explained.handling, explained.seen)
        };
        let dry = explain(&mut world, Some(("dry", &read)));
        assert_eq!(dry.0, expected, "{rules}");
        world.rules(&rules);
        assert_eq!(explain(&mut world, None), dry, "{rules}");
        world.delete(RULES);
    }
}

#[test]
fn nothing_is_left_of_rules_that_are_gone() {
    let mut world = World::new();
    world.rules(&for_bob("allow", ALL));
    world.delete(RULES);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.shard.remembered(), 0);
}
