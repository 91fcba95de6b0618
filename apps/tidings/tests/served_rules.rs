//! Rules as a presentity edits them on a server, and what a watcher sees by them: real processes and sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use running::{Server, run, tidings};
use serde_json::{Value, json};

const CONFIGURATION: &str = "domains = [\"a.net\"]\ndata = \"data\"\n\
    [listen]\nsip = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\nhttp = [\"http://127.0.0.1:0\"]\n\
    [identity]\nfrom_is_identity = true\n[presence]\ndefault_handling = \"confirm\"\n";

const RULES: &str = "pres-rules/users/sip:alice@a.net/index";

struct World {
    folder: tempfile::TempDir,
    server: Server,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), CONFIGURATION).unwrap();
        let server = Server::start(folder.path());
        let world = Self { folder, server };
        let publish = [
            "publish",
            "alice@a.net",
            "--once",
            "--note",
            "hi",
            "--activity",
            "meal",
        ];
        assert_eq!(world.run(&publish).0, 0);
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn where_it_is(&self) -> [String; 4] {
        let root = format!("http://{}/xcap-root", self.server.http);
        [
            "--server".to_owned(),
            self.server.sip.clone(),
            "--xcap-root".to_owned(),
            root,
        ]
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let server = self.where_it_is();
        let server = server.iter().map(String::as_str);
        let all: Vec<&str> = arguments.iter().copied().chain(server).collect();
        run(self.path(), &all)
    }

    /// `tidings rules … --as alice@a.net`.
    fn rules(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run(&[&["rules"], arguments, &["--as", "alice@a.net"]].concat())
    }

    fn done(&self, arguments: &[&str]) {
        let (code, out, error) = self.rules(arguments);
        assert_eq!((code, error.as_str()), (0, ""), "{arguments:?} {out}");
    }

    /// What somebody finds, and the exit code.
    fn fetch(&self, watcher: &str) -> (i32, String) {
        let (code, out, _) = self.run(&["fetch", "alice@a.net", "--as", watcher]);
        (code, out)
    }

    fn sees_everything(&self, watcher: &str) -> bool {
        let (code, out) = self.fetch(watcher);
        code == 0 && out.contains("<note>hi</note>") && out.contains("activities")
    }
}

#[test]
fn a_rule_about_one_watcher_decides_what_she_sees_until_it_is_taken_back() {
    let world = World::new();
    let (code, out, said) = world.rules(&["list"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(said.contains("has no rules"), "{said}");
    assert_eq!(world.fetch("bob@a.net").0, 3, "nobody has decided");
    world.done(&["allow", "bob@a.net"]);
    assert!(world.sees_everything("bob@a.net"));
    assert_eq!(world.fetch("carol@a.net").0, 3);
    world.done(&["allow", "bob@a.net", "--only", "activities"]);
    let (code, out) = world.fetch("bob@a.net");
    assert_eq!(code, 0);
    assert!(
        out.contains("activities") && !out.contains("<note>"),
        "{out}"
    );
    world.done(&["polite-block", "bob@a.net"]);
    let (code, out) = world.fetch("bob@a.net");
    assert_eq!(code, 0);
    assert!(
        out.contains("closed") && !out.contains("activities"),
        "{out}"
    );
    world.done(&["block", "bob@a.net"]);
    assert_eq!(world.fetch("bob@a.net").0, 3);
    let (_, out, _) = world.rules(&["list"]);
    assert_eq!(out.lines().count(), 1, "one rule for one watcher: {out}");
    assert!(out.starts_with("block          bob@a.net "), "{out}");
    world.done(&["remove", "bob@a.net"]);
    let (code, _, said) = world.rules(&["remove", "bob@a.net"]);
    assert_eq!(code, 3);
    assert!(said.contains("there is no rule about just this"), "{said}");
    assert!(
        world.sees_everything("alice@a.net"),
        "she sees herself whole"
    );
}

#[test]
fn who_is_named_comes_before_everyone_and_rules_that_add_up_are_told() {
    let world = World::new();
    world.done(&["block", "bob@a.net"]);
    world.done(&["allow", "everyone"]);
    assert_eq!(world.fetch("bob@a.net").0, 3);
    assert!(world.sees_everything("carol@a.net"));
    // RFC 4745 §10: what one rule grants another does not take away.
    world.done(&["allow", "@a.net"]);
    let (code, out, said) = world.rules(&["block", "bob@a.net"]);
    assert_eq!((code, out.as_str()), (0, "bob@a.net: block\n"));
    assert!(said.contains("still gets allow"), "{said}");
    assert!(world.sees_everything("bob@a.net"));
    world.done(&["remove", "@a.net"]);
    assert_eq!(world.fetch("bob@a.net").0, 3);
    world.done(&["confirm", "anonymous"]);
    let (_, out, _) = world.rules(&["list"]);
    assert_eq!(out.lines().count(), 3, "{out}");
}

fn ruleset_for_bob(handling: &str) -> String {
    format!(
        "<r:ruleset xmlns:r='urn:ietf:params:xml:ns:common-policy' xmlns='urn:ietf:params:xml:ns:pres-rules'><r:rule id='b'>\
         <r:conditions><r:identity><r:one id='sip:bob@a.net'/></r:identity></r:conditions>\
         <r:actions><sub-handling>{handling}</sub-handling></r:actions></r:rule></r:ruleset>"
    )
}

#[test]
fn explain_says_what_happens_and_rules_outlive_a_kill() {
    let mut world = World::new();
    for (handling, code) in [
        ("allow", 0),
        ("polite-block", 0),
        ("confirm", 3),
        ("block", 3),
    ] {
        world.done(&[handling, "bob@a.net"]);
        let (_, out, _) = world.rules(&["explain", "bob@a.net", "--json"]);
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(said["handling"], handling);
        let (really, document) = world.fetch("bob@a.net");
        assert_eq!(really, code, "{handling}");
        let told = said["sees"].as_str().unwrap_or_default();
        assert_eq!(told.trim(), document.trim(), "{handling}");
    }
    // As if it were stored: with what else is stored, as it would be.
    let dry = world.folder.path().join("dry.xml");
    std::fs::write(&dry, ruleset_for_bob("allow")).unwrap();
    let dry = dry.to_str().unwrap();
    let (_, out, said) = world.rules(&["explain", "bob@a.net", "--rules", dry, "--json"]);
    assert!(out.contains(r#""handling":"allow""#), "{out}{said}");
    assert_eq!(world.fetch("bob@a.net").0, 3);
    // Dropped, so killed, before the next one starts: one process at a time has the folder.
    let restarted = {
        let World { folder, server } = world;
        drop(server);
        let server = Server::start(folder.path());
        World { folder, server }
    };
    world = restarted;
    assert_eq!(world.fetch("bob@a.net").0, 3);
    let (_, out, _) = world.rules(&["list"]);
    assert!(out.starts_with("block          bob@a.net "), "{out}");
    let (code, _, said) = world.rules(&["explain", "bob"]);
    assert_eq!(code, 2, "{said}");
    let (code, _, said) = world.run(&["rules", "explain", "bob@a.net", "--as", "x@elsewhere.net"]);
    assert_eq!(code, 3);
    assert!(said.contains("is no user here"), "{said}");
}

#[test]
fn rules_of_other_documents_are_listed_and_warned_of() {
    let world = World::new();
    let (_, out, said) = world.rules(&["list"]);
    assert!(out.is_empty() && said.contains("has no rules"), "{said}");
    let file = world.folder.path().join("work.xml");
    std::fs::write(&file, ruleset_for_bob("allow")).unwrap();
    let file = file.to_str().unwrap();
    let path = "pres-rules/users/sip:alice@a.net/work";
    let (code, _, said) = world.run(&["xcap", "put", path, file, "--as", "alice@a.net"]);
    assert_eq!(code, 0, "{said}");
    let (code, _, said) = world.rules(&["polite-block", "bob@a.net"]);
    assert_eq!(code, 0);
    assert!(said.contains("bob@a.net still gets allow: "), "{said}");
    let (_, out, said) = world.rules(&["list"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}{said}");
    assert!(lines[0].starts_with("polite-block   bob@a.net "), "{out}");
    assert!(lines[1].starts_with("allow          bob@a.net "), "{out}");
    assert!(lines[1].ends_with("of pres-rules/work"), "{out}");
}

#[test]
fn what_she_keeps_for_good_is_told_at_once_gives_way_and_outlives_a_kill() {
    const PERMANENT: &str = "pidf-manipulation/users/sip:alice@a.net/index";
    let world = World::new();
    world.done(&["allow", "bob@a.net"]);
    let server = world.where_it_is();
    let mut watch = vec!["watch", "alice@a.net", "--as", "bob@a.net", "--json"];
    watch.extend(["--count", "2"]);
    watch.extend(server.iter().map(String::as_str));
    let mut watch = tidings(world.path(), &watch)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("hi"));
    let identity = |of: &str| {
        let (_, out, _) = world.rules(&["explain", of, "--json"]);
        let said: Value = serde_json::from_str(&out).unwrap();
        (said["subscribes"].clone(), said["identity_from"].clone())
    };
    // What it was for who subscribes, what it could be for who does not.
    let asserted = "what a trusted peer asserts";
    assert_eq!(identity("bob@a.net"), (true.into(), json!(["From"])));
    assert_eq!(
        identity("carol@a.net"),
        (false.into(), json!([asserted, "Digest", "From"]))
    );
    let document = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@a.net\"><tuple id=\"post\">\
        <status><basic>open</basic></status><contact>mailto:post@a.net</contact></tuple><note>Ask Carol</note></presence>";
    fs::write(world.path().join("always.xml"), document).unwrap();
    let put = ["xcap", "put", PERMANENT, "always.xml"];
    assert_eq!(world.run(&put).0, 0);
    let change = told.next().unwrap().unwrap();
    assert!(
        change.contains("Ask Carol") && change.contains("hi"),
        "{change}"
    );
    assert!(watch.wait().unwrap().success());
    let World { folder, server } = world;
    drop(server);
    let server = Server::start(folder.path());
    let world = World { folder, server };
    let shows = |what: &str| world.fetch("bob@a.net").1.contains(what);
    assert!(shows("Ask Carol") && shows("post@a.net"));
    let (_, out, _) = world.rules(&["explain", "bob@a.net", "--json"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert!(said["sees"].as_str().unwrap().contains("Ask Carol"));
    let note = format!("{PERMANENT}/~~/presence/note");
    assert_eq!(world.run(&["xcap", "delete", &note]).0, 0);
    assert!(!shows("Ask Carol") && shows("post@a.net"));
    assert_eq!(world.run(&["xcap", "delete", PERMANENT]).0, 0);
    assert!(!shows("post@a.net") && shows("<note>hi</note>"));
}

#[test]
fn of_changes_under_one_condition_exactly_one_wins() {
    let world = World::new();
    world.done(&["allow", "bob@a.net"]);
    let (code, document, said) = world.run(&["xcap", "get", RULES]);
    assert_eq!(code, 0, "{said}");
    let tag = said.trim().strip_prefix("entity-tag ").unwrap().to_owned();
    let mut rivals = Vec::new();
    for number in 0..6 {
        let file = format!("rules-{number}.xml");
        let other = document.replace("id=\"bob\"", &format!("id=\"bob{number}\""));
        assert_ne!(other, document);
        fs::write(world.path().join(&file), other).unwrap();
        let server = world.where_it_is();
        let mut arguments = vec!["xcap", "put", RULES, &file, "--if-match", &tag];
        arguments.extend(server.iter().map(String::as_str));
        rivals.push(tidings(world.path(), &arguments).spawn().unwrap());
    }
    let codes = rivals
        .into_iter()
        .map(|mut rival| rival.wait().unwrap().code());
    let codes: Vec<Option<i32>> = codes.collect();
    let won = codes.iter().filter(|code| **code == Some(0)).count();
    let lost = codes.iter().filter(|code| **code == Some(3)).count();
    assert_eq!((won, lost), (1, 5), "{codes:?}");
    let (code, _, said) = world.run(&["xcap", "delete", RULES, "--if-match", &tag]);
    assert_eq!(code, 3);
    assert!(said.contains("412"), "{said}");
    assert_eq!(world.run(&["xcap", "delete", RULES]).0, 0);
    assert_eq!(world.run(&["xcap", "get", RULES]).0, 3);
}

#[test]
fn what_is_no_document_is_refused_with_its_reason() {
    let world = World::new();
    let put = |text: &str| {
        fs::write(world.path().join("x.xml"), text).unwrap();
        let (code, out, said) = world.run(&["xcap", "put", RULES, "x.xml"]);
        assert_eq!((code, out.as_str()), (3, ""), "{said}");
        said
    };
    assert!(put("<a").contains("not-well-formed"));
    assert!(put("<a/>").contains("schema-validation-error"));
    let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
    assert!(put(bomb).contains("409"), "{}", put(bomb));
    assert!(put(&"x".repeat(300_000)).contains("413"));
    let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
    assert!(put(&deep).contains("409"), "{}", put(&deep));
    let (code, _, said) = world.run(&["xcap", "get", "unheard-of/users/alice@a.net/index"]);
    assert_eq!((code, said.contains("404")), (3, true), "{said}");
    let (code, _, said) =
        world.run(&["xcap", "put", "unheard-of/users/alice@a.net/index", "x.xml"]);
    assert_eq!(
        (code, said.contains("no application usage")),
        (2, true),
        "{said}"
    );
}
