//! Watcher information: what is written reads back, and the official schema takes it, where that is at hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../lab/peers/src/skipped.rs"]
mod skipped;

use std::path::Path;
use std::process::Command;

use documents::watcherinfo::{Event, Status, Unreadable, Watcher, WatcherInfo, WatcherList};
use proptest::prelude::*;
use skipped::standards_with;
use xml::Bounds;

fn read(text: &str) -> Result<WatcherInfo, Unreadable> {
    WatcherInfo::read(text.as_bytes(), &Bounds::TRUSTED)
}

fn document(version: &str, state: &str, watcher: &str) -> String {
    format!(
        "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='{version}' state='{state}'>\
         <watcher-list resource='sip:a@example.com' package='presence'>{watcher}</watcher-list></watcherinfo>"
    )
}

#[test]
fn a_document_says_who_asks_and_how_it_stands() {
    let text = document(
        "7",
        "partial",
        "<watcher id='x1' status='waiting' event='timeout' display-name='Bob &amp; Co' expiration='40' duration-subscribed='20'> sip:b@example.com\n</watcher>\
         <more xmlns='urn:u'/>",
    );
    let info = read(&text).unwrap();
    let watcher = Watcher {
        id: "x1".to_owned(),
        status: Status::Waiting,
        event: Event::Timeout,
        display_name: Some("Bob & Co".to_owned()),
        expiration: Some(40),
        duration_subscribed: Some(20),
        uri: "sip:b@example.com".to_owned(),
    };
    let list = WatcherList {
        resource: "sip:a@example.com".to_owned(),
        package: "presence".to_owned(),
        watchers: vec![watcher],
    };
    assert_eq!(
        info,
        WatcherInfo {
            version: 7,
            is_full: false,
            lists: vec![list],
        }
    );
}

#[test]
fn what_the_schema_demands_must_be_there() {
    let wrong = |version, state, watcher| read(&document(version, state, watcher)).unwrap_err();
    let watcher = "<watcher id='x' status='active' event='approved'>sip:b@example.com</watcher>";
    assert!(read(&document("0", "full", watcher)).is_ok());
    for version in ["", "-1", "one", "1.0"] {
        let refused = wrong(version, "full", watcher);
        assert_eq!(refused, Unreadable::Attribute("version"), "{version}");
    }
    for state in ["", "Full", "whole"] {
        let refused = wrong("0", state, watcher);
        assert_eq!(refused, Unreadable::Attribute("state"), "{state}");
    }
    for (name, watcher) in [
        ("id", "<watcher status='active' event='approved'/>"),
        ("status", "<watcher id='x' event='approved'/>"),
        ("status", "<watcher id='x' status='here' event='approved'/>"),
        ("event", "<watcher id='x' status='active'/>"),
        (
            "event",
            "<watcher id='x' status='active' event='Approved'/>",
        ),
    ] {
        assert_eq!(wrong("0", "full", watcher), Unreadable::Attribute(name));
    }
    assert_eq!(read("<watcherinfo/>"), Err(Unreadable::NotWatcherInfo));
    assert!(matches!(
        read("<watcherinfo"),
        Err(Unreadable::Malformed(_))
    ));
}

fn watcher() -> impl Strategy<Value = Watcher> {
    use Event::*;
    use Status::*;
    let status = prop::sample::select(vec![Pending, Waiting, Active, Terminated]);
    let event = prop::sample::select(vec![
        Subscribe,
        Approved,
        Deactivated,
        Probation,
        Rejected,
        Timeout,
        Giveup,
        Noresource,
    ]);
    let seconds = || proptest::option::of(any::<u64>());
    (
        "[a-z0-9]{1,9}",
        status,
        event,
        proptest::option::of("\\PC{0,12}"),
        seconds(),
        seconds(),
        "sip:[a-z.&'é]{1,9}@[a-z]{1,9}",
    )
        .prop_map(
            |(id, status, event, display_name, expiration, duration_subscribed, uri)| Watcher {
                id,
                status,
                event,
                display_name: display_name.map(|name: String| {
                    // No document can hold these.
                    name.replace(['\u{fffe}', '\u{ffff}'], "")
                }),
                expiration,
                duration_subscribed,
                uri,
            },
        )
}

fn info() -> impl Strategy<Value = WatcherInfo> {
    let list = (
        "sip:[a-z.]{1,9}@[a-z]{1,9}",
        "[a-z.]{1,12}",
        prop::collection::vec(watcher(), 0..4),
    )
        .prop_map(|(resource, package, watchers)| WatcherList {
            resource,
            package,
            watchers,
        });
    (
        any::<u64>(),
        any::<bool>(),
        prop::collection::vec(list, 0..3),
    )
        .prop_map(|(version, is_full, lists)| WatcherInfo {
            version,
            is_full,
            lists,
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(info in info()) {
        prop_assert_eq!(WatcherInfo::read(&info.write(), &Bounds::TRUSTED), Ok(info));
    }
}

// The second opinion.

/// For each document whether the official schema takes it.
fn official(standards: &Path, documents: &[Vec<u8>]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let name = |at: usize| folder.path().join(format!("{at}.xml"));
    for (at, text) in documents.iter().enumerate() {
        std::fs::write(name(at), text).unwrap();
    }
    let output = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(standards.join("schemas/ietf/watcherinfo.xsd"))
        .args((0..documents.len()).map(name))
        .env("XML_CATALOG_FILES", standards.join("schemas/catalog.xml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("validate"), "{said}");
    let validates = |at| format!("{} validates", name(at).display());
    (0..documents.len())
        .map(|at| said.lines().any(|line| line == validates(at)))
        .collect()
}

#[test]
fn the_official_schema_takes_what_is_written() {
    let Some(standards) = standards_with("ietf/watcherinfo.xsd") else {
        return;
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut documents = Vec::new();
    for _ in 0..100 {
        let tree = proptest::strategy::Strategy::new_tree(&info(), &mut runner).unwrap();
        documents.push(proptest::strategy::ValueTree::current(&tree).write());
    }
    for (document, valid) in documents.iter().zip(official(&standards, &documents)) {
        assert!(valid, "{}", String::from_utf8_lossy(document));
    }
}

#[test]
fn what_the_official_schema_takes_is_read_and_its_values_are_compared() {
    let Some(standards) = standards_with("ietf/watcherinfo.xsd") else {
        return;
    };
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(standards.join("examples/rfc-xml")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("watcherinfo") {
            documents.push(std::fs::read(path).unwrap());
        }
    }
    assert!(documents.len() >= 4, "{}", documents.len());
    let values = [
        "0",
        "007",
        "-1",
        "",
        "x",
        "1.0",
        "18446744073709551615",
        "active",
        "waiting",
        "Active",
        "full",
        "giveup",
    ];
    for value in values {
        let watcher =
            |attributes: &str| format!("<watcher {attributes}>sip:b@example.com</watcher>");
        let plain = "id='x' status='active' event='subscribe'";
        documents.push(document(value, "full", &watcher(plain)).into());
        documents.push(document("0", value, &watcher(plain)).into());
        for attributes in [
            format!("id='x' status='{value}' event='subscribe'"),
            format!("id='x' status='active' event='{value}'"),
            format!("{plain} expiration='{value}'"),
            format!("{plain} duration-subscribed='{value}'"),
        ] {
            documents.push(document("0", "full", &watcher(&attributes)).into());
        }
    }
    let all = documents.iter().zip(official(&standards, &documents));
    let mut valid = 0;
    for (document, official) in all {
        valid += usize::from(official);
        let ours = WatcherInfo::read(document, &Bounds::TRUSTED);
        assert_eq!(
            ours.is_ok(),
            official,
            "{ours:?} {}",
            String::from_utf8_lossy(document)
        );
    }
    assert!(valid > 20 && valid < documents.len() - 20, "{valid}");
}
