//! Rules against watchers: which apply, what they give together, and that nothing leaves that is not granted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

#[allow(dead_code, reason = "each test uses its part")]
mod made_up;

use std::collections::BTreeSet;

use documents::common_policy::{self, Ruleset};
use documents::pidf::Presence;
use documents::pres_rules::{Attribute, Part, Permission, SubHandling, UserInput};
use events::package::Source;
use machine::Wall;
use made_up::source;
use presence::authorization::{
    Asking, Decision, Document, Listed, Lists, Permissions, decide, filter,
};
use presence::composition::compose;
use proptest::prelude::*;
use xml::{Bounds, Element};

struct Friends;

impl Lists for Friends {
    fn holds(&self, list: &str, identities: &[String]) -> Listed {
        match list {
            "friends" if identities.iter().any(|one| one == "sip:carol@example.com") => {
                Listed::Yes("of alice".to_owned())
            }
            "friends" => Listed::No,
            _ => Listed::Unavailable("no such list".to_owned()),
        }
    }
}

fn ruleset(rules: &str) -> Ruleset {
    let text = format!(
        "<cp:ruleset xmlns:cp='{}' xmlns:o='{}' xmlns='urn:ietf:params:xml:ns:pres-rules'>{rules}</cp:ruleset>",
        common_policy::URI,
        common_policy::OMA_URI
    );
    Ruleset::read(text.as_bytes(), &Bounds::TRUSTED).unwrap()
}

/// `id: conditions => handling`.
fn rule(id: &str, conditions: &str, handling: &str) -> String {
    let handling = match handling {
        "" => String::new(),
        handling => format!("<sub-handling>{handling}</sub-handling>"),
    };
    format!(
        "<cp:rule id='{id}'><cp:conditions>{conditions}</cp:conditions><cp:actions>{handling}</cp:actions>\
         <cp:transformations><provide-services><occurrence-id>{id}</occurrence-id></provide-services></cp:transformations></cp:rule>"
    )
}

fn one(who: &str) -> String {
    format!("<cp:identity><cp:one id='{who}'/></cp:identity>")
}

struct Question {
    watchers: Vec<String>,
    sphere: Option<&'static str>,
    now: u64,
}

fn ask(rules: &str, question: &Question) -> Decision {
    let ruleset = ruleset(rules);
    let asking = Asking {
        identities: &question.watchers,
        sphere: question.sphere,
        now: Wall::from_millis(question.now),
        canonical: &|uri| Some(uri.to_ascii_lowercase()),
        lists: &Friends,
    };
    let document = Document {
        name: "index",
        ruleset: &ruleset,
    };
    decide(&asking, &[document])
}

fn as_(watchers: &[&str]) -> Question {
    Question {
        watchers: watchers.iter().map(|one| (*one).to_owned()).collect(),
        sphere: None,
        now: 0,
    }
}

const BOB: &str = "sip:bob@example.com";
const CAROL: &str = "sip:carol@example.com";

/// The handling, and which rules gave it.
fn given(decision: &Decision) -> (Option<SubHandling>, Vec<&str>) {
    let applying = decision.rules.iter().filter(|rule| rule.applies);
    (
        decision.handling,
        applying.map(|rule| rule.id.as_str()).collect(),
    )
}

#[test]
fn all_rules_that_apply_combine_to_the_greatest_handling_and_the_union() {
    let rules = rule("a", &one(BOB), "block")
        + &rule("b", &one(BOB), "polite-block")
        + &rule(
            "c",
            "<cp:identity><cp:many domain='EXAMPLE.com'/></cp:identity>",
            "confirm",
        )
        + &rule("d", &one(CAROL), "allow");
    let decision = ask(&rules, &as_(&[BOB]));
    assert_eq!(
        given(&decision),
        (Some(SubHandling::PoliteBlock), vec!["a", "b", "c"])
    );
    let parts: Vec<String> = decision
        .permissions
        .granted()
        .map(|permission| format!("{permission:?}"))
        .collect();
    assert_eq!(
        parts,
        ["a", "b", "c"].map(|id| format!("Services(OccurrenceId({id:?}))"))
    );
}

#[test]
fn no_rule_is_no_handling_and_a_rule_without_one_blocks() {
    let rules = rule("a", &one(CAROL), "");
    assert_eq!(given(&ask(&rules, &as_(&[BOB]))), (None, vec![]));
    assert_eq!(
        given(&ask(&rules, &as_(&[CAROL]))),
        (Some(SubHandling::Block), vec!["a"])
    );
    let always =
        "<cp:rule id='x'><cp:actions><sub-handling>allow</sub-handling></cp:actions></cp:rule>";
    assert_eq!(
        given(&ask(always, &as_(&[]))),
        (Some(SubHandling::Allow), vec!["x"])
    );
}

#[test]
fn an_exception_of_any_of_her_identities_counts() {
    let many = |except: &str| {
        rule(
            "a",
            &format!("<cp:identity><cp:many>{except}</cp:many></cp:identity>"),
            "allow",
        )
    };
    let both = as_(&["tel:+1", BOB]);
    assert!(ask(&many("<cp:except id='tel:+2'/>"), &both).rules[0].applies);
    assert!(!ask(&many("<cp:except id='tel:+1'/>"), &both).rules[0].applies);
    assert!(!ask(&many("<cp:except domain='example.com'/>"), &both).rules[0].applies);
    // By either of them she may be meant.
    assert!(ask(&rule("a", &one("tel:+1"), "allow"), &both).rules[0].applies);
}

#[test]
fn who_is_anonymous_is_nobody_to_rules_that_name_somebody() {
    let rules = rule("named", "<cp:identity><cp:many/></cp:identity>", "allow")
        + &rule(
            "listed",
            "<o:external-list><o:entry anc='friends'/></o:external-list>",
            "allow",
        )
        + &rule("others", "<o:other-identity/>", "allow")
        + &rule("anonymous", "<o:anonymous-request/>", "confirm");
    assert_eq!(
        given(&ask(&rules, &as_(&[]))),
        (Some(SubHandling::Confirm), vec!["anonymous"])
    );
    assert!(!ask(&rules, &as_(&[BOB])).rules[3].applies);
}

#[test]
fn of_rules_that_name_list_or_leave_over_the_closest_counts() {
    let rules = rule("others", "<o:other-identity/>", "allow")
        + &rule(
            "listed",
            "<o:external-list><o:entry anc='friends'/></o:external-list>",
            "confirm",
        )
        + &rule("named", &one(BOB), "block")
        + &rule("always", "", "block");
    let asked = |watcher| {
        let decision = ask(&rules, &as_(&[watcher]));
        let (handling, rules) = given(&decision);
        (handling.unwrap(), rules.join(" "))
    };
    assert_eq!(asked(BOB), (SubHandling::Block, "named always".to_owned()));
    assert_eq!(
        asked(CAROL),
        (SubHandling::Confirm, "listed always".to_owned())
    );
    assert_eq!(
        asked("sip:dan@x"),
        (SubHandling::Allow, "others always".to_owned())
    );
    let decision = ask(&rules, &as_(&[BOB]));
    assert!(decision.rules[0].is_overruled && !decision.rules[1].is_overruled);
}

#[test]
fn a_list_that_is_not_there_means_nobody_and_says_so() {
    let rules = rule(
        "a",
        "<o:external-list><o:entry anc='gone'/></o:external-list>",
        "allow",
    );
    let decision = ask(&rules, &as_(&[CAROL]));
    assert!(!decision.rules[0].applies);
    assert_eq!(decision.rules[0].conditions[0].why, "gone: no such list");
}

#[test]
fn a_sphere_must_be_defined_and_a_validity_begins_and_ends() {
    let rules = rule("a", "<cp:sphere value='home work'/>", "allow");
    let question = |sphere| Question {
        sphere,
        ..as_(&[BOB])
    };
    assert!(ask(&rules, &question(Some("work"))).rules[0].applies);
    assert!(!ask(&rules, &question(Some("bowling"))).rules[0].applies);
    assert!(!ask(&rules, &question(None)).rules[0].applies);

    let rules = rule(
        "a",
        "<cp:validity><cp:from>1970-01-01T00:00:01Z</cp:from><cp:until>1970-01-01T00:00:02Z</cp:until></cp:validity>",
        "allow",
    );
    let at = |now| {
        let decision = ask(&rules, &Question { now, ..as_(&[BOB]) });
        (decision.rules[0].applies, decision.until)
    };
    assert_eq!(at(999), (false, Some(1000)));
    assert_eq!(at(1000), (true, Some(2000)));
    assert_eq!(at(2000), (false, None));
}

// What leaves.

fn permission() -> impl Strategy<Value = Permission> {
    let word = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    let part = prop_oneof![
        Just(Part::All),
        word(&["work", "home"]).prop_map(Part::Class),
        word(&["t1", "t2", "p", "t"]).prop_map(Part::OccurrenceId),
        word(&["urn:d:1", "urn:d:2"]).prop_map(Part::DeviceId),
        word(&["sip", "mailto", "tel"]).prop_map(Part::ServiceUriScheme),
        word(&["chat"]).prop_map(Part::ServiceId),
    ];
    let attributes: Vec<Attribute> = Attribute::ALL.iter().map(|(one, _)| *one).collect();
    prop_oneof![
        2 => part.clone().prop_map(Permission::Services),
        2 => part.clone().prop_map(Permission::Persons),
        2 => part.prop_map(Permission::Devices),
        4 => prop::sample::select(attributes).prop_map(Permission::Attribute),
        1 => prop::sample::select(vec![UserInput::Bare, UserInput::Thresholds, UserInput::Full])
            .prop_map(Permission::UserInput),
        1 => Just(Permission::Unknown { namespace: "urn:u".to_owned(), name: "keep".to_owned() }),
        1 => Just(Permission::AllAttributes),
    ]
}

fn permissions(all: &[Permission]) -> Permissions {
    let mut permissions = Permissions::default();
    all.iter()
        .for_each(|permission| permissions.grant(permission.clone()));
    permissions
}

fn composed(sources: &[made_up::MadeUp]) -> Presence {
    let sources: Vec<Source<'_>> = sources
        .iter()
        .map(|made| Source::new(made.body.as_bytes(), Wall::from_millis(made.accepted)))
        .collect();
    Presence::read(
        &compose("sip:alice@example.com", &sources),
        &Bounds::TRUSTED,
    )
    .unwrap()
}

/// Every element and attribute below a component, by a path of names; written apart from the filter.
fn paths(of: &str, element: &Element, found: &mut BTreeSet<String>) {
    let here = format!("{of}/{}", element.name.local);
    found.insert(here.clone());
    for attribute in &element.attributes {
        found.insert(format!("{here}@{}", attribute.name.local));
    }
    element
        .elements()
        .for_each(|child| paths(&here, child, found));
}

fn everything(presence: &Presence) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let components = [&presence.tuples, &presence.persons, &presence.devices];
    for component in components.into_iter().flatten() {
        let id = component.attribute("id").unwrap_or_default();
        paths(id, component, &mut found);
    }
    for other in presence.notes.iter().chain(&presence.others) {
        paths("", other, &mut found);
    }
    found
}

/// What the standards let be seen without asking, and the permission that each other name needs: a second table, for the test.
fn is_granted(path: &str, granted: &[Permission]) -> bool {
    let has = |attribute| granted.contains(&Permission::Attribute(attribute));
    let all = granted.contains(&Permission::AllAttributes);
    let names: Vec<&str> = path.split('/').skip(1).collect();
    let component = names
        .first()
        .map_or("", |name| name.split('@').next().unwrap());
    let of = |kind: fn(&Permission) -> bool| granted.iter().any(kind);
    let component_granted = match component {
        "tuple" => of(|one| matches!(one, Permission::Services(_))),
        "person" => of(|one| matches!(one, Permission::Persons(_))),
        "device" => of(|one| matches!(one, Permission::Devices(_))),
        "note" => return all || has(Attribute::Note),
        outside => {
            let own = Attribute::ALL
                .iter()
                .find(|(_, name)| name.strip_prefix("provide-") == Some(outside));
            return of(|one| matches!(one, Permission::Unknown { .. }))
                || own.is_some_and(|(own, _)| has(*own));
        }
    };
    if names[1..]
        .iter()
        .any(|name| name.split('@').next() == Some("note"))
        && !all
        && !has(Attribute::Note)
    {
        return false;
    }
    let child = match names.get(1) {
        Some(&"status") if names.len() > 2 => names[2],
        Some(child) => child,
        None => return component_granted,
    };
    let (child, attribute) = child.split_once('@').unwrap_or((child, ""));
    let input = |least| {
        all || granted
            .iter()
            .any(|one| matches!(one, Permission::UserInput(shown) if *shown >= least))
    };
    component_granted
        && match child {
            "status" | "basic" | "contact" | "timestamp" | "service-description" => true,
            "deviceID" if component == "device" => true,
            "user-input" => match attribute {
                "last-input" => input(UserInput::Full),
                "idle-threshold" => input(UserInput::Thresholds),
                _ => input(UserInput::Bare),
            },
            "keep" => all || of(|one| matches!(one, Permission::Unknown { .. })),
            "overriding-willingness" => all || has(Attribute::Willingness),
            child => {
                let own = Attribute::ALL
                    .iter()
                    .find(|(_, name)| name.strip_prefix("provide-") == Some(child));
                all || own.is_some_and(|(attribute, _)| has(*attribute))
            }
        }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nothing_leaves_that_is_not_granted(
        sources in prop::collection::vec(source(), 1..4),
        granted in prop::collection::vec(permission(), 0..10),
    ) {
        let presence = composed(&sources);
        let (seen, withheld) = filter(&presence, &permissions(&granted));
        let (before, after) = (everything(&presence), everything(&seen));
        prop_assert!(after.is_subset(&before));
        for path in &after {
            prop_assert!(is_granted(path, &granted), "{path} leaves, granted {granted:?}");
        }
        // What is gone is said, and nothing is said where nothing is.
        prop_assert_eq!(presence == seen, withheld.is_empty(), "{:?}", withheld);
    }

    #[test]
    fn permissions_add_up(
        sources in prop::collection::vec(source(), 1..4),
        some in prop::collection::vec(permission(), 0..8),
        more in prop::collection::vec(permission(), 0..4),
    ) {
        let presence = composed(&sources);
        let (few, _) = filter(&presence, &permissions(&some));
        let both: Vec<Permission> = some.into_iter().chain(more).collect();
        let (many, _) = filter(&presence, &permissions(&both));
        prop_assert!(everything(&few).is_subset(&everything(&many)));
    }

    #[test]
    fn filtering_what_is_filtered_changes_nothing(
        sources in prop::collection::vec(source(), 1..4),
        mut granted in prop::collection::vec(permission(), 0..10),
    ) {
        // Who is shown what has a class, but not the class, cannot be shown it for the class again.
        let by_class = |one: &Permission| matches!(one, Permission::Services(Part::Class(_)) | Permission::Persons(Part::Class(_)) | Permission::Devices(Part::Class(_)));
        // The same for services that are chosen by the device that they run on.
        let by_device = |one: &Permission| matches!(one, Permission::Services(Part::DeviceId(_)) | Permission::Persons(Part::DeviceId(_)));
        if granted.iter().any(by_class) {
            granted.push(Permission::Attribute(Attribute::Class));
        }
        if granted.iter().any(by_device) {
            granted.push(Permission::Attribute(Attribute::DeviceId));
        }
        let permissions = permissions(&granted);
        let (once, _) = filter(&composed(&sources), &permissions);
        let (twice, withheld) = filter(&once, &permissions);
        prop_assert_eq!(once, twice);
        prop_assert_eq!(withheld, Vec::new());
    }

    #[test]
    fn everything_is_everything(sources in prop::collection::vec(source(), 1..4)) {
        let presence = composed(&sources);
        prop_assert_eq!(filter(&presence, &Permissions::everything()), (presence, Vec::new()));
    }
}
