//! Lists whose owner another shard has: two shards, and what they say to each other in the order and at the time that a test chooses.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use documents::common_policy::Ruleset;
use machine::Partitioner;
use machine::settings::{Handling, Root, Settings};
use proptest::prelude::*;
use shard::{DocumentAnswer, OPERATOR, Question, Table, Told};
use world::{HASH_KEY, Sent, World};

const RULES: &str = "pres-rules/users/sip:alice@example.com/index";

fn settings() -> Settings {
    let mut settings = world::settings();
    settings.domains[0].presence.default_handling = Handling::Confirm;
    settings.xcap_roots = vec![Root {
        authority: None,
        path: "/xcap-root".to_owned(),
    }];
    settings
}

fn anchor(path: &str) -> String {
    format!("http://ps.example.com/xcap-root/{path}/~~/resource-lists/list%5b@name=%22f%22%5d")
}

/// Rules by which whoever is in one of these lists is handled so.
fn rules(lists: &[&str], handling: &str) -> String {
    let entries = lists
        .iter()
        .map(|list| format!("<o:entry anc=\"{}\"/>", anchor(list)));
    format!(
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\" \
         xmlns:o=\"urn:oma:xml:xdm:common-policy\"><cp:rule id=\"x\"><cp:conditions><o:external-list>{}</o:external-list>\
         </cp:conditions><cp:actions><sub-handling>{handling}</sub-handling></cp:actions><cp:transformations>\
         <provide-services><all-services/></provide-services><provide-all-attributes/></cp:transformations></cp:rule></cp:ruleset>",
        entries.collect::<String>()
    )
}

/// A document with one list of these users, and of what these lists hold.
fn list(users: &[&str], further: &[&str]) -> String {
    let users = users
        .iter()
        .map(|user| format!("<entry uri=\"sip:{user}@example.com\"/>"));
    let further = further
        .iter()
        .map(|list| format!("<external anchor=\"{}\"/>", anchor(list)));
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"f\">{}{}</list></resource-lists>",
        users.collect::<String>(),
        further.collect::<String>()
    )
}

fn state(notify: &Sent) -> &str {
    let state = notify.need("Subscription-State");
    state.split(";expires").next().unwrap()
}

fn owner_of(path: &str) -> &str {
    match path.split('/').collect::<Vec<_>>()[..] {
        [_, "users", xui, ..] => xui,
        _ => "global",
    }
}

/// Two shards; `alice` is alice's.
struct Both {
    worlds: Vec<World>,
    alice: usize,
    /// From which, to which, what: on its way.
    mail: VecDeque<(u16, u16, Told)>,
    /// Who asks, where it is not the owner.
    by: Option<&'static str>,
}

impl Both {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let worlds = (0..2).map(|index| World::at(settings.clone(), (index, 2)));
        let mut both = Self {
            worlds: worlds.collect(),
            alice: 0,
            mail: VecDeque::new(),
            by: None,
        };
        both.alice = both.shard_of("sip:alice@example.com");
        both
    }

    fn shard_of(&self, owner: &str) -> usize {
        usize::from(Partitioner::new(HASH_KEY).partition(owner).shard(2))
    }

    /// Documents of lists of users: `near` are with alice, `far` are not.
    fn lists(&self, is_near: bool) -> Vec<String> {
        let users = (0..40).map(|number| format!("sip:u{number}@example.com"));
        let users = users.filter(|user| (self.shard_of(user) == self.alice) == is_near);
        users
            .map(|user| format!("resource-lists/users/{user}/index"))
            .collect()
    }

    fn alice(&mut self) -> &mut World {
        &mut self.worlds[self.alice]
    }

    fn collect(&mut self) {
        for (from, world) in self.worlds.iter_mut().enumerate() {
            let told = world.told.drain(..);
            self.mail
                .extend(told.map(|(to, told)| (from as u16, to, told)));
        }
    }

    /// One message arrives.
    fn deliver(&mut self, place: usize) {
        let (from, to, told) = self.mail.remove(place).unwrap();
        let world = &mut self.worlds[usize::from(to)];
        world.shard.handle_told(world.now, from, told);
        world.run();
        self.collect();
    }

    /// Everything arrives.
    fn settle(&mut self) {
        self.collect();
        while !self.mail.is_empty() {
            self.deliver(0);
        }
    }

    /// Asks the shard whose document it is; `None`: it has not answered.
    fn begin_put(&mut self, path: &str, body: &str) -> (usize, u64) {
        let owner = self.shard_of(owner_of(path));
        let world = &mut self.worlds[owner];
        let method = if body.is_empty() {
            xdm::Method::Delete
        } else {
            xdm::Method::Put
        };
        let mut request = world.request_document(method, path, body);
        if let Some(by) = self.by {
            request.by = by.to_owned();
        }
        let ticket = request.ticket;
        world.ask(request);
        self.collect();
        (owner, ticket)
    }

    fn answer(&self, (shard, ticket): (usize, u64)) -> Option<DocumentAnswer> {
        self.worlds[shard].answer_of(ticket)
    }

    fn put(&mut self, path: &str, body: &str) {
        let asked = self.begin_put(path, body);
        self.settle();
        let answer = self.answer(asked).unwrap();
        assert!(answer.status < 300, "{path} {}", answer.body);
    }

    /// The states that alice's watchers were told since, each of which is answered.
    fn told(&mut self, before: usize) -> Vec<String> {
        let mut states = Vec::new();
        let mut from = before;
        loop {
            let notifies = self.alice().notifies(from);
            from = self.sent();
            for notify in &notifies {
                self.alice().ok(notify);
            }
            if notifies.is_empty() {
                return states;
            }
            states.extend(notifies.iter().map(|notify| state(notify).to_owned()));
        }
    }

    fn sent(&mut self) -> usize {
        self.alice().sent.len()
    }

    /// The process dies with everything that is on its way, and starts again.
    fn crash(&mut self) {
        self.mail.clear();
        let mut table = Table::default();
        for (name, content) in self.worlds.iter().flat_map(|world| &world.kept) {
            table.put(name, content);
        }
        let table = Arc::new(table);
        for world in &mut self.worlds {
            world.table = Some(Arc::clone(&table));
            world.crash();
        }
        self.collect();
    }

    fn why(&mut self, watcher: &str) -> String {
        let now = self.alice().now;
        let watcher = format!("sip:{watcher}@example.com");
        let explained =
            self.alice()
                .shard
                .explain(now, "sip:alice@example.com", Some(&watcher), None);
        format!("{:?}", explained.unwrap().decision.rules)
    }
}

#[test]
fn a_list_of_another_shard_decides_and_decides_again_when_it_changes() {
    let mut both = Both::new();
    let far = both.lists(false).remove(0);
    both.alice().publish_open("here");
    both.put(&far, &list(&["bob"], &[]));
    both.put(RULES, &rules(&[&far], "allow"));
    let (_, bob) = both.alice().watch("bob", 7000, "");
    assert_eq!(state(&bob), "active");
    assert!(
        both.why("bob").contains("here as a copy"),
        "{}",
        both.why("bob")
    );
    both.alice().watch("carol", 7001, "");
    // One step: who is in it no longer, and who is in it now.
    let before = both.sent();
    both.put(&far, &list(&["carol"], &[]));
    assert_eq!(both.told(before), ["pending", "active"]);
    // Nobody's view changes.
    let before = both.sent();
    both.put(&far, &list(&["carol", "dave"], &[]));
    assert_eq!(both.told(before), [""; 0]);
    both.put(&far, "");
    assert_eq!(both.told(before), ["pending"]);
    assert!(both.why("carol").contains("there is no such list"));
}

#[test]
fn everybodys_lists_travel_too_and_only_the_operator_writes_them() {
    let global = "resource-lists/global/index";
    let mut both = Both::new();
    assert_ne!(both.shard_of("global"), both.alice);
    both.alice().publish_open("here");
    both.put(RULES, &rules(&[global], "allow"));
    both.alice().watch("bob", 7000, "");
    let before = both.sent();
    both.by = Some("sip:alice@example.com");
    let asked = both.begin_put(global, &list(&["bob"], &[]));
    both.settle();
    assert_eq!(both.answer(asked).unwrap().status, 403);
    both.by = Some(OPERATOR);
    both.put(global, &list(&["bob"], &[]));
    assert_eq!(both.told(before), ["active"]);
    assert!(both.why("bob").contains("everybody's"));
    // Nobody's rules but lists are kept for everybody, and nobody's own are the operator's.
    for path in ["pres-rules/global/index", RULES] {
        let asked = both.begin_put(path, &rules(&[global], "block"));
        assert_eq!(both.answer(asked).unwrap().status, 403, "{path}");
    }
    let before = both.sent();
    both.put(global, "");
    assert_eq!(both.told(before), ["pending"]);
}

#[test]
fn rules_wait_for_the_lists_that_they_lead_to_however_many_shards_that_takes() {
    let mut both = Both::new();
    let (near, far) = (both.lists(true).remove(0), both.lists(false));
    both.alice().publish_open("here");
    both.alice().watch("bob", 7000, "");
    // alice → a list there → a list here → another there.
    both.put(&far[0], &list(&[], &[&near]));
    both.put(&near, &list(&[], &[&far[1]]));
    both.put(&far[1], &list(&["bob"], &[]));
    let before = both.sent();
    let asked = both.begin_put(RULES, &rules(&[&far[0]], "block"));
    while !both.mail.is_empty() {
        assert_eq!(both.answer(asked), None);
        assert_eq!(both.sent(), before);
        both.deliver(0);
        if both.answer(asked).is_some() {
            break;
        }
    }
    assert_eq!(both.answer(asked).unwrap().status, 201);
    assert_eq!(both.told(before), ["terminated;reason=rejected"]);
}

#[test]
fn a_change_that_leads_to_what_is_not_here_yet_waits_too() {
    let mut both = Both::new();
    let far = both.lists(false);
    both.alice().publish_open("here");
    both.put(&far[0], &list(&["bob"], &[]));
    both.put(&far[1], &list(&["bob", "carol"], &[]));
    both.put(RULES, &rules(&[&far[0]], "allow"));
    both.alice().watch("bob", 7000, "");
    both.alice().watch("carol", 7001, "");
    let before = both.sent();
    // bob stays in it by way of the other, and must not be taken away meanwhile.
    both.put(&far[0], &list(&[], &[&far[1]]));
    assert_eq!(both.told(before), ["active"]);
    assert!(both.why("carol").contains("by http"));
}

#[test]
fn lists_that_do_not_come_match_nobody_and_rules_do_not_wait_for_ever() {
    let mut both = Both::new();
    let far = both.lists(false).remove(0);
    both.alice().publish_open("here");
    both.put(&far, &list(&["bob"], &[]));
    both.alice().watch("bob", 7000, "");
    let before = both.sent();
    let asked = both.begin_put(RULES, &rules(&[&far], "allow"));
    both.alice().advance(Duration::from_millis(900));
    assert_eq!(both.answer(asked), None);
    both.alice().advance(Duration::from_millis(200));
    assert_eq!(both.answer(asked).unwrap().status, 201);
    assert!(both.why("bob").contains("it has not come yet"));
    assert_eq!(both.told(before), [""; 0]);
    assert!(both.alice().shard.is_quiet());
    both.settle();
    assert_eq!(both.told(before), ["active"]);
}

#[test]
fn only_the_newest_is_on_its_way_to_whom_is_slow() {
    let mut both = Both::new();
    let far = both.lists(false).remove(0);
    both.alice().publish_open("here");
    both.put(&far, &list(&[], &[]));
    both.put(RULES, &rules(&[&far], "allow"));
    both.alice().watch("bob", 7000, "");
    let before = both.sent();
    for round in 0..20 {
        let users: &[&str] = if round % 2 == 0 { &["bob"] } else { &["carol"] };
        both.begin_put(&far, &list(users, &[]));
    }
    assert_eq!(both.mail.len(), 1);
    both.settle();
    assert_eq!(both.told(before), ["active", "pending"]);
}

#[test]
fn copies_go_when_nothing_refers_to_them_and_too_many_are_refused() {
    let mut settings = settings();
    settings.limits.lists_of_others_max = 1;
    let mut both = Both::with(settings);
    let far = both.lists(false);
    both.put(&far[0], &list(&["bob"], &[]));
    both.put(&far[1], &list(&["carol"], &[]));
    both.put(RULES, &rules(&[&far[0]], "allow"));
    both.put(RULES, &rules(&[&far[0], &far[1]], "allow"));
    assert!(both.why("carol").contains("more lists of other users"));
    assert!(both.why("bob").contains("in http"));
    both.put(RULES, "");
    both.put(RULES, &rules(&[&far[1]], "allow"));
    assert!(both.why("carol").contains("in http"));
    both.put(RULES, "");
    // Nobody is told of what nobody refers to.
    both.begin_put(&far[1], &list(&[], &[]));
    assert!(both.mail.is_empty());
    both.alice().advance(Duration::from_secs(60));
    assert_eq!(both.alice().shard.remembered(), 0);
}

#[test]
fn a_dry_run_waits_for_lists_too_and_leaves_nothing_behind() {
    let mut both = Both::new();
    let far = both.lists(false).remove(0);
    both.put(&far, &list(&["bob"], &[]));
    let text = rules(&[&far], "allow");
    let ruleset = Ruleset::read(text.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
    let question = Question {
        ticket: 7,
        presentity: "sip:alice@example.com".to_owned(),
        watcher: Some("sip:bob@example.com".to_owned()),
        rules: Some(("dry".to_owned(), ruleset)),
    };
    let alice = both.alice();
    alice.shard.handle_explain(alice.now, question);
    alice.run();
    assert!(alice.explained.is_empty());
    both.settle();
    let alice = both.alice();
    let (ticket, explained) = alice.explained.remove(0);
    assert_eq!((ticket, explained.unwrap().handling), (7, Handling::Allow));
    both.begin_put(&far, "");
    assert!(both.mail.is_empty());
}

#[test]
fn a_start_decides_by_lists_of_all_shards_and_hears_of_each_change_after_it() {
    let mut both = Both::new();
    let (near, far) = (both.lists(true).remove(0), both.lists(false));
    both.alice().publish_open("here");
    both.put(&far[1], &list(&["bob"], &[]));
    both.put(&near, &list(&[], &[&far[1]]));
    both.put(&far[0], &list(&[], &[&near]));
    both.put(RULES, &rules(&[&far[0]], "allow"));
    both.alice().watch("bob", 7000, "");
    both.crash();
    assert_eq!(both.told(0), [""; 0]);
    both.settle();
    assert_eq!(both.told(0), [""; 0]);
    both.put(&far[1], "");
    assert_eq!(both.told(0), ["pending"]);
}

#[test]
fn a_crash_between_a_list_and_what_follows_from_it_ends_with_what_the_rules_give() {
    let mut both = Both::new();
    let far = both.lists(false).remove(0);
    both.alice().publish_open("here");
    both.put(&far, &list(&["bob"], &[]));
    both.put(RULES, &rules(&[&far], "allow"));
    both.alice().watch("bob", 7000, "");
    both.begin_put(&far, &list(&["carol"], &[]));
    assert_eq!(both.mail.len(), 1);
    both.crash();
    assert_eq!(both.told(0), ["pending"]);
}

/// Something that a story does.
#[derive(Clone, Debug)]
enum Step {
    /// These lists hold bob and refer to these others.
    List(usize, bool, Vec<usize>),
    /// The list is gone.
    NoList(usize),
    /// Rules by these lists.
    Rules(Vec<usize>, bool),
    /// One message arrives, not always in order.
    Deliver(usize),
    /// Time passes.
    Wait(u64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let few = || prop::collection::vec(0..4usize, 0..3);
    prop_oneof![
        3 => (0..4usize, any::<bool>(), few()).prop_map(|(which, bob, further)| Step::List(which, bob, further)),
        1 => (0..4usize).prop_map(Step::NoList),
        2 => (few(), any::<bool>()).prop_map(|(lists, allow)| Step::Rules(lists, allow)),
        6 => any::<usize>().prop_map(Step::Deliver),
        1 => (0..1500u64).prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is put in whatever order, whatever is slow, whatever dies: once everything has arrived bob is told what the rules give.
    #[test]
    fn whatever_the_order_the_end_is_what_rules_and_lists_give(steps in prop::collection::vec(step(), 1..40)) {
        let mut both = Both::new();
        let (near, far) = (both.lists(true), both.lists(false));
        let lists = [&near[0], &far[0], &far[1], &far[2]].map(Clone::clone);
        let named = |which: &[usize]| which.iter().map(|one| lists[*one].as_str()).collect::<Vec<_>>();
        both.alice().publish_open("here");
        let (_, first) = both.alice().watch("bob", 7000, "");
        let mut last = state(&first).to_owned();
        let mut since = both.sent();
        for step in steps {
            match step {
                Step::List(which, bob, further) => {
                    let users: &[&str] = if bob { &["bob"] } else { &[] };
                    both.begin_put(&lists[which], &list(users, &named(&further)));
                }
                Step::NoList(which) => drop(both.begin_put(&lists[which], "")),
                Step::Rules(which, allow) if which.is_empty() => {
                    both.begin_put(RULES, if allow { "" } else { "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>" });
                }
                Step::Rules(which, allow) => {
                    let handling = if allow { "allow" } else { "polite-block" };
                    both.begin_put(RULES, &rules(&named(&which), handling));
                }
                Step::Deliver(which) if !both.mail.is_empty() => both.deliver(which % both.mail.len()),
                Step::Deliver(_) => {}
                Step::Wait(ms) => {
                    for world in &mut both.worlds {
                        world.advance(Duration::from_millis(ms));
                    }
                    both.collect();
                }
                Step::Crash => {
                    both.crash();
                    since = 0;
                }
            }
            let told = both.told(since);
            last = told.last().cloned().unwrap_or(last);
            since = both.sent();
        }
        both.settle();
        let told = both.told(since);
        last = told.last().cloned().unwrap_or(last);
        // The reference: everything in one shard.
        let mut one = World::with(settings());
        for (name, content) in both.worlds.iter().flat_map(|world| &world.kept) {
            one.kept.insert(name.clone(), content.clone());
        }
        one.crash();
        one.publish_open("here");
        let (_, expected) = one.watch("bob", 7000, "");
        prop_assert_eq!(state(&expected), last);
        let (now, alice) = (one.now, "sip:alice@example.com");
        let wanted = one.shard.explain(now, alice, Some("sip:bob@example.com"), None).unwrap();
        let now = both.alice().now;
        let given = both.alice().shard.explain(now, alice, Some("sip:bob@example.com"), None).unwrap();
        prop_assert_eq!(wanted.handling, given.handling);
        prop_assert_eq!(wanted.seen, given.seen);
        for world in &both.worlds {
            prop_assert!(world.shard.is_quiet());
        }
    }
}
