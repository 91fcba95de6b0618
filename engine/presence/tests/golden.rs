//! Each `golden/NAME.txt`: a sentence, the sources with their acceptance or as what is permanent, and after `===` the composition, as it must be.
//! `UPDATE_GOLDEN=1` writes the compositions anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod oracle;

use std::path::Path;

use documents::timestamp;
use events::package::Source;
use machine::Wall;
use presence::composition::{compose, neutral};

const ENTITY: &str = "sip:alice@example.com";

fn composed(sources: &str) -> Vec<u8> {
    let mut parts = sources.split("--- ");
    parts.next();
    let sources: Vec<Source<'_>> = parts
        .map(|part| {
            let (head, body) = part.split_once('\n').unwrap();
            let (kind, at) = head.split_once(' ').unwrap();
            let at = Wall::from_millis(timestamp::parse(at).unwrap() as u64);
            match kind {
                "accepted" => Source::new(body.as_bytes(), at),
                "permanent" => Source::permanent(body.as_bytes(), at),
                other => panic!("a source is accepted or permanent, not {other}"),
            }
        })
        .collect();
    compose(ENTITY, &sources)
}

/// So that people can read the record; only between elements whose white space means nothing.
fn broken_into_lines(document: &str) -> String {
    document
        .replace("><tuple", ">\n<tuple")
        .replace("><dm:person", ">\n<dm:person")
        .replace("><dm:device ", ">\n<dm:device ")
        .replace("><note", ">\n<note")
        .replace("></presence", ">\n</presence")
}

#[test]
fn compositions_are_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (sources, recorded) = text.split_once("===\n").unwrap();
        let document = composed(sources);
        let shown = broken_into_lines(std::str::from_utf8(&document).unwrap());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{sources}===\n{shown}")).unwrap();
        } else {
            assert_eq!(shown, recorded, "{}", path.display());
        }
        all.push(document);
    }
    assert!(all.len() >= 10, "golden files are missing");
    if let Some(oracle) = oracle::find() {
        oracle.check(&all);
    }
}

#[test]
fn nobody_known_is_neutral() {
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
                    <tuple id=\"t\"><status><basic>closed</basic></status></tuple></presence>\n";
    assert_eq!(neutral(ENTITY), document.as_bytes());
    assert_eq!(compose(ENTITY, &[]), document.as_bytes());
}

/// The documents that the RFCs print, alone and each with the next, come out valid.
#[test]
fn examples_of_the_rfcs_compose_into_valid_documents() {
    let (Some(oracle), Some(standards)) = (oracle::find(), oracle::standards()) else {
        return;
    };
    let mut paths: Vec<_> = std::fs::read_dir(standards.join("examples/rfc-xml"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.to_str().unwrap().ends_with("-presence.xml"));
    paths.sort();
    let examples: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .filter(|body| xml::read(body, &xml::Bounds::TRUSTED).is_ok())
        .collect();
    assert!(examples.len() > 25, "only {} examples", examples.len());
    let source = |body| Source::new(body, Wall::from_millis(1_795_246_200_000));
    let mut compositions: Vec<Vec<u8>> = examples
        .iter()
        .map(|body| compose(ENTITY, &[source(body)]))
        .collect();
    compositions.extend(
        examples
            .windows(2)
            .map(|pair| compose(ENTITY, &[source(&pair[0]), source(&pair[1])])),
    );
    compositions.push(compose(
        ENTITY,
        &examples.iter().map(|body| source(body)).collect::<Vec<_>>(),
    ));
    oracle.check(&compositions);
}
