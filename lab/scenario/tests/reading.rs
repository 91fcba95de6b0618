//! A mistake in a flow's file is named with its line, and what would be right.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use scenario::{FLOWS, builtin, read};

const FLOW: &str = r#"id     = "X"
title  = "x"
actors = ["source as alice", "server", "watcher as bob"]

[[step]]
who    = "watcher"
sends  = "SUBSCRIBE alice"
answer = { status = 200 }
name   = "watch"

[[step]]
who    = "watcher"
gets   = "NOTIFY"
when   = "0 s .. 1 s after watch"
keep   = { nobody = "body" }
"#;

/// What is said of the flow with one thing replaced.
#[track_caller]
fn said(of: &str, by: &str) -> String {
    assert!(FLOW.contains(of), "{of}");
    read("x.toml", &FLOW.replacen(of, by, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_flow_is_read() {
    let flow = read("x.toml", FLOW).unwrap();
    assert_eq!((flow.id.as_str(), flow.actors.len()), ("X", 2));
    assert_eq!(flow.actors[1].user, "bob");
    assert_eq!(flow.trace().actors(), ["source", "server", "watcher"]);
}

/// What the page about flows shows is one.
#[test]
fn the_page_about_flows_is_right() {
    let page = include_str!("../README.md");
    let blocks = page.split("```toml\n").skip(1);
    let text: String = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let flow = read("README.md", &text).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(flow.needs.publish_seconds_max, Some(2));
}

#[test]
fn every_flow_of_ours_is_read_and_called_like_its_file() {
    let flows = builtin().unwrap_or_else(|problem| panic!("{problem}"));
    for (flow, (file, _)) in flows.iter().zip(FLOWS) {
        assert_eq!(format!("{}.toml", flow.id), file);
        assert!(!flow.about.is_empty() && !flow.clauses.is_empty(), "{file}");
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("flows");
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        FLOWS.len(),
        "every file in flows/ is in the catalogue"
    );
}

/// What is replaced in the flow, by what, and what is said then.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "title  =",
        "titel =",
        "x.toml:2: titel: no such key; title is meant?",
    ),
    ("title  = \"x\"", "title = ", "x.toml:2: not TOML: "),
    (
        "id     = \"X\"",
        "",
        "x.toml:1: id is missing; id = \"PS-1.0-int-M-0100\" would be right",
    ),
    (
        ", \"server\"",
        "",
        "x.toml:3: actors: the server is missing; actors = [\"source as alice\"",
    ),
    (
        "watcher as bob",
        "watcher",
        "x.toml:3: actors: \"watcher\" does not say as whom; ",
    ),
    (
        "watcher as bob",
        "source as bob",
        "x.toml:3: actors: source is there twice; ",
    ),
    (
        "who    = \"watcher\"",
        "who = \"watchr\"",
        "x.toml:6: who: nobody is called \"watchr\"; source, watcher would be right",
    ),
    (
        "\"SUBSCRIBE alice\"",
        "\"SUBSCRIBE\"",
        "x.toml:7: sends: a method and a user, like \"PUBLISH alice\", or \"again\", would be right",
    ),
    (
        "{ status = 200 }",
        "{ Expires = 1 }",
        "x.toml:8: answer: an answer without status; { status = 200 } would be right",
    ),
    (
        "{ status = 200 }",
        "{ status = 200, Expires = \"<= x\" }",
        "x.toml:8: Expires: text, \"<= N\", ",
    ),
    (
        "answer = { status = 200 }",
        "anwser = {}",
        "x.toml:8: anwser: no such key; answer is meant?",
    ),
    (
        "answer = { status = 200 }",
        "document = \"neutral\"",
        "x.toml:8: document does not go with sends; ",
    ),
    (
        "gets   =",
        "waits = \"1 s\"\ngets =",
        "x.toml:11: a step does one thing; exactly one of sends, asks, gets, quiet, waits would be right",
    ),
    (
        "after watch",
        "after wait",
        "x.toml:14: when: no earlier step is called \"wait\"; one of watch would be right",
    ),
    (
        "0 s .. 1 s",
        "soon",
        "x.toml:14: when: \"soon after watch\" is no span of time; ",
    ),
    (
        "keep   = {",
        "document = \"{nobody}\"\nkeep = {",
        "x.toml:15: {nobody} is not known here; one of alice, bob, me would be right",
    ),
    (
        "keep   = { nobody = \"body\" }",
        "document = \"nothin\"",
        "x.toml:15: document: \"neutral\", \"nothing\", ",
    ),
];

/// The same of what goes by HTTP, and of what is said of watchers.
#[test]
fn a_mistake_about_documents_is_named_too() {
    let step = |words: &str| {
        let text = format!("{FLOW}\n[[step]]\nwho = \"source\"\n{words}\n");
        read("x.toml", &text)
            .err()
            .map_or_else(String::new, |problem| problem.to_string())
    };
    for (words, expected) in [
        (
            "asks = \"PUT pres-rules/users/{alice}/index\"\nrules = { bob = \"allow\" }\nanswer = { status = 201 }",
            "",
        ),
        (
            "asks = \"GET\"\nanswer = { status = 200 }",
            "x.toml:19: asks: a method and what is below the XCAP root",
        ),
        (
            "asks = \"GET x/users/{zoe}/index\"\nanswer = { status = 200 }",
            "x.toml:19: {zoe} is not known here; one of ",
        ),
        (
            "asks = \"GET x\"\nanswer = { ETag = true }",
            "x.toml:20: answer: an answer without status; ",
        ),
        (
            "asks = \"PUT x\"\nrules = { bob = \"perhaps\" }\nanswer = { status = 200 }",
            "x.toml:20: bob = \"perhaps\"; a user of this flow, and one of allow, ",
        ),
        (
            "asks = \"PUT x\"\nrules = {}\nraw = { type = \"a\", text = \"b\" }\nanswer = { status = 200 }",
            "x.toml:21: raw: rules or raw, one of them would be right",
        ),
        (
            "gets = \"NOTIFY\"\nrules = {}",
            "x.toml:20: rules does not go with gets; ",
        ),
        (
            "gets = \"NOTIFY\"\nwatchers = { who = [\"bob pending\"] }",
            "x.toml:20: watchers: { state = \"full\", version = 0, ",
        ),
        (
            "gets = \"NOTIFY\"\nwatchers = { state = \"half\" }",
            "x.toml:20: watchers: { state = \"full\", version = 0, ",
        ),
        (
            "gets = \"NOTIFY\"\nwatchers = { whom = [] }",
            "x.toml:20: whom: no such key; who is meant?",
        ),
    ] {
        let said = step(words);
        let fits = match expected {
            "" => said.is_empty(),
            expected => said.starts_with(expected),
        };
        assert!(fits, "{words}: {said}");
    }
}

#[test]
fn a_mistake_is_named_with_its_line_and_what_would_be_right() {
    for (of, by, expected) in MISTAKES {
        let said = said(of, by);
        assert!(said.starts_with(expected), "{by:?}: {said}");
    }
    let needs = format!("{FLOW}\n[needs]\nwatchers = \"friends\"\n");
    let said = read("x.toml", &needs).unwrap_err().to_string();
    assert_eq!(
        said,
        "x.toml:18: watchers: \"friends\"; allow, confirm, polite-block or block would be right"
    );
}
