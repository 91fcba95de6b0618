//! What is refused when it is published, and that no published document makes composition slow.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use events::package::Source;
use machine::{Limits, Wall};
use presence::PRESENCE;
use presence::composition::compose;

const GOOD: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>";

fn check(media_type: &str, body: &str) -> Result<(), (u16, String)> {
    (PRESENCE.check)(media_type, body.as_bytes(), &Limits::default())
        .map(drop)
        .map_err(|refusal| (refusal.status, refusal.reason))
}

/// What was read to check a document composes to the same bytes as the document.
#[test]
fn a_document_that_was_checked_is_composed_as_if_it_were_read_again() {
    let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='t'><status>\
                <basic>open</basic></status><note>n</note></tuple><note>m</note></presence>";
    let source = || Source::new(body.as_bytes(), Wall::from_millis(1));
    let checked = source();
    let read = (PRESENCE.check)(
        PRESENCE.notify_types[0],
        body.as_bytes(),
        &Limits::default(),
    );
    checked.checked.replace(read.ok());
    let older = Source::new(GOOD.as_bytes(), Wall::from_millis(0));
    let composed = compose("sip:a@b", &[older, checked]);
    let older = Source::new(GOOD.as_bytes(), Wall::from_millis(0));
    assert_eq!(composed, compose("sip:a@b", &[older, source()]));
    assert!(String::from_utf8_lossy(&composed).contains("open"));
}

#[test]
fn the_record_says_what_presence_is() {
    assert_eq!(PRESENCE.name, "presence");
    assert_eq!(PRESENCE.notify_types, ["application/pidf+xml"]);
    assert_eq!(
        PRESENCE.publish_types,
        ["application/pidf+xml", "application/cpim-pidf+xml"]
    );
}

#[test]
fn types_are_compared_without_case_and_parameters() {
    for good in [
        "application/pidf+xml",
        "Application/PIDF+xml ; charset=\"UTF-8\"",
        "application/cpim-pidf+xml",
    ] {
        assert_eq!(check(good, GOOD), Ok(()));
    }
    for bad in [
        "application/xml",
        "text/plain",
        "",
        "application/pidf-diff+xml",
        "application/pidf+xmlx",
    ] {
        assert_eq!(check(bad, GOOD).unwrap_err().0, 415, "{bad}");
    }
}

#[test]
fn bodies_are_refused_with_a_diagnosis() {
    let deep = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf'>{}",
        "<a>".repeat(40)
    );
    let wide = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf'>{}</presence>",
        "<a/>".repeat(20_000)
    );
    let cases = [
        ("", "line 1, column 1: no root element"),
        ("<presence", "line 1, column 1: malformed markup"),
        (
            "<presence/>",
            "the root is presence in namespace '', not presence",
        ),
        (
            "<list xmlns='urn:x'/>",
            "the root is list in namespace 'urn:x', not presence",
        ),
        (
            "<!DOCTYPE p [<!ENTITY a 'b'>]><p>&a;</p>",
            "line 1, column 11: document type declarations are refused",
        ),
        (&deep, "line 1, column 141: elements nested deeper than 32"),
        (
            &wide,
            "line 1, column 65576: more than 16384 elements and attributes",
        ),
        (
            "<presence xmlns='urn:ietf:params:xml:ns:pidf'><t:tuple/></presence>",
            "line 1, column 48: the prefix t is not declared",
        ),
    ];
    for (body, reason) in cases {
        assert_eq!(
            check("application/pidf+xml", body),
            Err((400, reason.to_owned()))
        );
    }
    assert_eq!(
        check("application/pidf+xml", "<a xmlns='x&#13;&#10;Evil: 1'/>")
            .unwrap_err()
            .1
            .lines()
            .count(),
        1
    );
}

/// 64 sources of 20 kB each, made to meet in every way that could cost more than they are long. With anything quadratic in it this
/// runs for very long.
#[test]
fn hostile_sources_compose_in_time() {
    let fill = |source: usize, one: &dyn Fn(usize, usize) -> String| {
        let mut body = String::from(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' xmlns:u='urn:u'>",
        );
        let mut number = 0;
        while body.len() < 20_000 {
            body.push_str(&one(source, number));
            number += 1;
        }
        body + "</presence>"
    };
    let shapes: [&dyn Fn(usize, usize) -> String; 7] = [
        &|_, _| "<tuple id='a'/>".to_owned(),
        &|_, number| format!("<tuple id='a'><status><u:s>{number}</u:s></status></tuple>"),
        &|source, number| format!("<tuple id='a'><u:s{source}.{number}/></tuple>"),
        &|_, number| format!("<tuple id='a{number}'><u:x xml:id='a'/></tuple>"),
        &|source, number| {
            format!(
                "<x{number}:y xmlns:x{number}='urn:{source}.{number}' k='u:v' j='x{number}:v'/>"
            )
        },
        &|_, _| "<d:person><u:a/><u:b/><note>n</note></d:person>".to_owned(),
        &|source, number| format!("<d:person><u:s{source}.{number}/></d:person>"),
    ];
    for shape in shapes {
        let bodies: Vec<String> = (0..64).map(|source| fill(source, shape)).collect();
        assert_eq!(check("application/pidf+xml", &bodies[0]), Ok(()));
        let sources: Vec<Source<'_>> = (0..64)
            .map(|at| Source::new(bodies[at].as_bytes(), Wall::from_millis(at as u64)))
            .collect();
        assert!(!compose("sip:a@b", &sources).is_empty());
    }
}

/// What a short document could make long: ids, prefixes and namespace names that the composition repeats.
#[test]
fn no_source_is_amplified() {
    let long = "l".repeat(20_000);
    let name = format!("urn:{}", "l".repeat(500));
    let open =
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:q='urn:q' xmlns:u='urn:u' k='q:v'>";
    let bodies = [
        format!(
            "{open}<tuple id='{long}'>{}</tuple></presence>",
            "<u:x xml:id='a'/>".repeat(1_000)
        ),
        format!(
            "{open}<{long}:x xmlns:{long}='urn:x'/>{}</presence>",
            "<x xmlns='urn:x'/>".repeat(1_000)
        ),
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:q='{name}' xmlns:u='urn:u'>{}</presence>",
            (0..1_000)
                .map(|n| format!("<u:x k='q:{n}'/>"))
                .collect::<String>()
        ),
    ];
    for body in bodies {
        assert_eq!(check("application/pidf+xml", &body), Ok(()));
        let first = Source::new(body.as_bytes(), Wall::from_millis(1));
        let other = Source::new(
            format!("{open}<u:x j='q:v'/></presence>").leak().as_bytes(),
            Wall::from_millis(2),
        );
        let length = compose("sip:a@b", &[first, other]).len();
        assert!(length < 40 * body.len(), "{} made {length}", body.len());
    }
}
