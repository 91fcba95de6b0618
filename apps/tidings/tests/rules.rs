//! `tidings rules explain` by rules in a file: which rule decides, what is seen, what is withheld and why.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const RULES: &str = "<cp:ruleset xmlns:cp='urn:ietf:params:xml:ns:common-policy' xmlns='urn:ietf:params:xml:ns:pres-rules'>
<cp:rule id='bob'><cp:conditions><cp:identity><cp:one id='sip:bob@example.com'/></cp:identity></cp:conditions>
<cp:actions><sub-handling>allow</sub-handling></cp:actions>
<cp:transformations><provide-services><all-services/></provide-services></cp:transformations></cp:rule>
<cp:rule id='carol'><cp:conditions><cp:identity><cp:one id='sip:carol@example.com'/></cp:identity></cp:conditions>
<cp:actions><sub-handling>polite-block</sub-handling></cp:actions></cp:rule>
</cp:ruleset>";

const PRESENCE: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'>\
<tuple id='desk'><status><basic>open</basic></status><note>at lunch</note></tuple></presence>";

fn explain(rules: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.xml"), rules).unwrap();
    fs::write(folder.path().join("alice.xml"), PRESENCE).unwrap();
    run(folder.path(), arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["rules", "explain"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("TIDINGS_AS")
        .env_remove("TIDINGS_SERVER")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const ALICE: [&str; 6] = [
    "--as",
    "alice@example.com",
    "--rules",
    "rules.xml",
    "--pidf",
    "alice.xml",
];

fn about(watcher: &str) -> String {
    let (code, out, error) = explain(RULES, &[&[watcher][..], &ALICE].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    out
}

#[test]
fn what_is_granted_is_seen_and_the_rest_is_named() {
    assert_eq!(
        about("bob@example.com"),
        "allow          bob@example.com: sees what is granted\n\
         \x20 rule bob      applies: allow; identity (sip:bob@example.com)\n\
         \x20 rule carol    does not apply; not identity (sip:bob@example.com is not meant)\n\
         sees\n\
         \x20 <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         \x20 <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\"><tuple id=\"desk\"><status><basic>open</basic></status></tuple></presence>\n\
         withheld\n\
         \x20 note of tuple desk for want of provide-note\n"
    );
}

#[test]
fn who_is_politely_blocked_sees_somebody_who_is_not_there() {
    let out = about("sip:carol@example.com");
    assert!(
        out.starts_with("polite-block   carol@example.com: sees somebody who is not there\n"),
        "{out}"
    );
    assert!(
        out.contains("<basic>closed</basic>") && !out.contains("desk") && !out.contains("lunch"),
        "{out}"
    );
}

#[test]
fn whom_no_rule_means_the_default_decides_about() {
    for watcher in ["dan@example.com", "anonymous"] {
        let out = about(watcher);
        assert!(
            out.starts_with(&format!("default        {watcher}: no rule applies: ")),
            "{out}"
        );
        assert!(!out.contains("sees\n"), "{out}");
    }
    assert!(about("anonymous").contains("not identity (nobody knows who asks)"));
}

#[test]
fn programs_read_the_same_as_json() {
    let (code, out, _) = explain(
        RULES,
        &[&["bob@example.com", "--json"][..], &ALICE].concat(),
    );
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &object["handling"]), (0, &Value::from("allow")));
    assert_eq!(object["rules"][0]["conditions"][0]["fulfilled"], true);
    assert_eq!(object["withheld"][0]["missing"], "provide-note");
}

#[test]
fn wrong_input_is_named() {
    let says = |rules: &str, arguments: &[&str]| {
        let (code, out, error) = explain(rules, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        error
    };
    let with = |watcher| [&[watcher][..], &ALICE].concat();
    assert_eq!(
        says(
            &RULES.replace("polite-block", "perhaps"),
            &with("bob@example.com")
        ),
        "tidings: rules.xml: ruleset/rule[2]/actions/sub-handling: text is 'perhaps', not one of block, confirm, polite-block, allow\n"
    );
    assert_eq!(
        says("<a>", &with("bob@example.com")),
        "tidings: rules.xml: line 1, column 4: the document ends inside an element\n"
    );
    assert!(says(RULES, &with("bob")).starts_with("tidings: WATCHER: 'bob' is no address"));
    assert!(
        says(RULES, &["bob@example.com", "--rules", "rules.xml"])
            .starts_with("tidings: --as AOR is missing")
    );
    assert!(
        says(
            RULES,
            &[
                "bob@example.com",
                "--as",
                "alice@example.com",
                "--rules",
                "none.xml"
            ]
        )
        .starts_with("tidings: none.xml: ")
    );
}
