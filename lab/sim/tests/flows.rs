//! Every call flow in the simulator, over UDP and TCP; and the pictures of them that the documentation shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;

use scenario::{Transport, builtin, run};
use sim::{Breakage, Plan, Stage};

#[test]
fn every_flow_holds_in_the_world() {
    for flow in builtin().unwrap_or_else(|problem| panic!("{problem}")) {
        for (transport, seed) in [(Transport::Udp, 2), (Transport::Tcp, 3)] {
            let mut stage = Stage::new(&flow, transport, seed);
            if let Err(failure) = run(&flow, &mut stage) {
                panic!("{transport:?}, seed {seed}: {failure}");
            }
        }
    }
}

#[test]
fn the_same_seed_draws_the_same_picture() {
    let flows = builtin().unwrap_or_else(|problem| panic!("{problem}"));
    let flow = flows.first().expect("a flow");
    let draw = |seed| {
        run(flow, &mut Stage::new(flow, Transport::Udp, seed))
            .unwrap_or_else(|failure| panic!("{failure}"))
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn the_documentation_shows_what_a_run_draws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/flows");
    let pages = sim::pages().unwrap_or_else(|why| panic!("{why}"));
    for (name, drawn) in &pages {
        let shown = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            shown == *drawn,
            "docs/flows/{name} is not what a run draws; `cargo xtask flows --write` draws it anew. A run says:\n{drawn}"
        );
    }
    let there = std::fs::read_dir(&folder).expect("docs/flows");
    let there: BTreeSet<String> = there
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let drawn: BTreeSet<String> = pages.into_iter().map(|(name, _)| name).collect();
    assert_eq!(there, drawn, "every file in docs/flows is drawn by a run");
}

/// A flow, a way to break the server, and what is said then.
const BROKEN: &[(&str, Breakage, &str)] = &[
    ("PS-1.0-int-M-0100", Breakage::SkipsWatchers, "is not there"),
    (
        "PS-1.0-int-M-0100",
        Breakage::CountsBackwards,
        "RFC 3261 §12.2.1.1",
    ),
    (
        "PS-1.0-int-M-0100",
        Breakage::TellsOldStates,
        "was expected",
    ),
    ("PS-1.0-int-M-0100", Breakage::ActsTwice, "the same request"),
    (
        "PS-1.0-int-M-0100",
        Breakage::LeavesUnanswered,
        "no answer came in 5 s",
    ),
    (
        "PS-1.0-int-M-0110",
        Breakage::ForgetsTheTime,
        "and came after 7.00",
    ),
    (
        "PS-1.0-int-M-0120",
        Breakage::EndsTwice,
        "was another request's",
    ),
    ("PS-1.0-int-M-0130", Breakage::Misjudges, "\"603\" came"),
    (
        "PS-1.0-int-M-0130-blocked",
        Breakage::EndsTwice,
        "was another request's",
    ),
    // Nothing is to come, and something does.
    (
        "PS-1.0-int-M-0140",
        Breakage::ReassuresPolitely,
        "was another request's",
    ),
    (
        "PS-1.0-int-M-0140",
        Breakage::TellsEverybody,
        "that was kept as nobody was expected",
    ),
    (
        "PS-1.0-int-M-0140-changed",
        Breakage::TellsEverybody,
        "that was kept as nobody was expected",
    ),
    (
        "PS-1.0-int-M-0150",
        Breakage::TellsWhoWaits,
        "a document that says nothing of anybody was expected",
    ),
    (
        "PS-1.0-int-M-0150",
        Breakage::HidesAWatcher,
        "watchers: [\"sip:bob@example.com pending subscribe\"] was expected, [] came",
    ),
    (
        "PS-1.0-int-M-0150",
        Breakage::CountsWatchersByTwos,
        "its version is 2, 1 would be next",
    ),
];

/// A description that a broken server satisfies describes nothing. The failure says where, and shows what happened.
#[test]
fn a_broken_server_does_not_follow_the_flows() {
    let flows = builtin().unwrap_or_else(|problem| panic!("{problem}"));
    for (id, breakage, why) in BROKEN.iter().copied() {
        let flow = flows.iter().find(|flow| flow.id == id).expect("the flow");
        let failed = (1..=8).find_map(|seed| {
            run(
                flow,
                &mut Stage::broken(flow, Transport::Udp, seed, breakage),
            )
            .err()
        });
        let failure = failed.unwrap_or_else(|| panic!("{id} does not notice {breakage:?}"));
        let text = failure.to_string();
        println!("{breakage:?}: {text}\n");
        assert!(text.contains(why), "{breakage:?}: {text}");
        assert!(
            text.starts_with(&format!("lab/scenario/flows/{id}.toml:{}: ", failure.line)),
            "{text}"
        );
        assert!(
            text.contains("      time   ") && text.contains("-- SUBSCRIBE"),
            "the ladder is shown: {text}"
        );
    }
}

const BLOCKED: &str = "PS-1.0-int-M-0130-blocked.toml";
const PENDING: &str = "PS-1.0-int-M-0150.toml";
const REJECTED: &str = "PS-1.0-int-M-0150-rejected.toml";

/// A flow, an expectation in it, another that is not met, and what is said then.
const UNMET: &[(&str, &str, &str, &str)] = &[
    // Quiet is expected of somebody who is told something.
    (
        BLOCKED,
        "gets     = \"NOTIFY\"\nwhen     = \"0 s .. 1 s after blocked\"\nfields   = { Subscription-State = \"terminated\", \
             \"Subscription-State;reason\" = \"rejected\", \"Subscription-State;retry-after\" = false }\ndocument = \"nothing\"",
        "quiet = \"0.2 s\"",
        "nothing was expected, but there came\nNOTIFY",
    ),
    // And a NOTIFY of somebody who is told nothing.
    (
        BLOCKED,
        "who   = \"watcher\"\nquiet = \"0.2 s\"",
        "who = \"watcher\"\ngets = \"NOTIFY\"",
        "no NOTIFY came to watcher",
    ),
    (
        BLOCKED,
        "rules  = { bob = \"block\", carol = \"allow\" }",
        "rules  = { bob = \"allow\", carol = \"allow\" }",
        "status: \"403\" was expected, \"200\" came",
    ),
    (
        BLOCKED,
        "carol terminated rejected",
        "carol terminated timeout",
        "watchers: [\"sip:carol@example.com terminated timeout\"] was expected",
    ),
    (
        PENDING,
        "state = \"partial\", version = 1",
        "state = \"full\", version = 1",
        "state full was expected, partial came",
    ),
    (
        PENDING,
        "{ status = 202, Expires = \"<= 600\" }",
        "{ status = 200, Expires = \"<= 600\" }",
        "status: \"200\" was expected, \"202\" came",
    ),
    (
        PENDING,
        "body = \"bob\"",
        "body = \"carol\"",
        "body: \"carol\" was expected, \"bob\" came",
    ),
    (
        REJECTED,
        "with   = { If-None-Match = \"*\" }\nrules  = { bob = \"allow\", carol = \"allow\" }",
        "rules  = { bob = \"allow\", carol = \"allow\" }",
        "status: \"412\" was expected, \"200\" came",
    ),
    (
        REJECTED,
        "answer = { status = 412 }\n\n[[step]]\nquiet",
        "answer = { status = 412, error = \"no-parent\" }\n\n[[step]]\nquiet",
        "error: \"no-parent\" was expected, nothing came",
    ),
];

/// Quiet that is not, a NOTIFY that does not come, another status, other watchers: each has to fail, with its reason.
#[test]
fn an_expectation_that_is_not_met_fails() {
    let text = |name: &str| {
        let found = scenario::FLOWS.iter().find(|(file, _)| *file == name);
        found.expect("the flow").1
    };
    for (file, of, by, why) in UNMET.iter().copied() {
        let text = text(file);
        assert!(text.contains(of), "{file}: {of}");
        let changed = text.replacen(of, by, 1);
        let flow = scenario::read(file, &changed).unwrap_or_else(|problem| panic!("{problem}"));
        let failure = run(&flow, &mut Stage::new(&flow, Transport::Udp, 2));
        let failure = failure.expect_err(by);
        assert!(failure.what.contains(why), "{by}: {}", failure.what);
    }
}

/// What a shrunk story ends with.
#[test]
fn a_broken_promise_is_drawn_up_to_where_it_broke() {
    let seed = (1..100).find(|seed| {
        !sim::run(Plan::of(*seed), Breakage::SkipsWatchers, false)
            .violations
            .is_empty()
    });
    let told = sim::run(
        Plan::of(seed.expect("one is caught")),
        Breakage::SkipsWatchers,
        true,
    );
    let broken = told
        .violations
        .first()
        .expect("it is told again")
        .at
        .as_micros();
    let entries: Vec<u64> = told.ladder.entries().map(|entry| entry.at).collect();
    assert!(entries.len() > 10 && told.ladder.forgotten() == 0);
    let last = entries.into_iter().max().unwrap_or_default();
    assert!(last <= broken + 2_000_000, "{last} {broken}");
    let text = told.ladder.text();
    assert!(
        text.contains("server") && text.contains("-- SUBSCRIBE"),
        "{text}"
    );
}
