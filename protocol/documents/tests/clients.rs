//! What a watcher shows and what a source sends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use documents::pidf::{Basic, Contact, Draft, Note, Presence, Summary, Unreadable};
use proptest::prelude::*;
use xml::Bounds;

fn note(text: &str) -> Note {
    Note {
        language: None,
        text: text.to_owned(),
    }
}

#[test]
fn a_summary_says_what_matters() {
    let document = br#"<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
        xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:lt="urn:ietf:params:xml:ns:location-type" entity="sip:alice@example.com">
      <tuple id="a"><status><basic>closed</basic></status><contact priority="1">tel:+15550100</contact><note>reception</note></tuple>
      <tuple id="b"><status><basic>open</basic></status><contact priority="0.5">sip:alice@desk</contact>
        <note xml:lang="fr">au bureau</note><note>reception</note><timestamp>2026-11-21T08:00:00Z</timestamp></tuple>
      <tuple id="c"><status><basic>open</basic></status><contact>sip:alice@cell</contact></tuple>
      <note>all week</note>
      <dm:person id="p"><r:activities><r:note>until noon</r:note><r:meeting/><r:other>juggling</r:other></r:activities>
        <r:mood><r:happy/></r:mood><r:place-type><lt:office/></r:place-type><dm:note>busy day</dm:note>
        <dm:timestamp>2026-11-21T09:00:00+00:30</dm:timestamp></dm:person>
    </presence>"#;
    let contact = |uri: &str, priority, basic| Contact {
        uri: uri.to_owned(),
        priority,
        basic: Some(basic),
    };
    assert_eq!(
        Summary::read(document, &Bounds::TRUSTED).unwrap(),
        Summary {
            entity: "sip:alice@example.com".to_owned(),
            basic: Some(Basic::Open),
            notes: vec![
                note("busy day"),
                note("reception"),
                Note {
                    language: Some("fr".to_owned()),
                    text: "au bureau".to_owned()
                },
                note("all week"),
                note("until noon"),
            ],
            activities: vec!["meeting".to_owned(), "juggling".to_owned()],
            moods: vec!["happy".to_owned()],
            place_types: vec!["office".to_owned()],
            contacts: vec![
                contact("sip:alice@desk", Some(500), Basic::Open),
                contact("sip:alice@cell", None, Basic::Open),
                contact("tel:+15550100", Some(1000), Basic::Closed),
            ],
            // 08:30 UTC.
            since: Some(1_795_249_800_000),
        }
    );
}

#[test]
fn nothing_said_is_nothing_known() {
    let summary = Summary::read(
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>",
        &Bounds::TRUSTED,
    )
    .unwrap();
    assert_eq!(
        summary,
        Summary {
            entity: "sip:a@b".to_owned(),
            ..Summary::default()
        }
    );
}

#[test]
fn another_document_is_named() {
    let error = Summary::read(b"<list xmlns='urn:x'/>", &Bounds::TRUSTED).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the root is list in namespace 'urn:x', not presence"
    );
    assert!(matches!(
        Summary::read(b"<list", &Bounds::TRUSTED),
        Err(Unreadable::Malformed(_))
    ));
}

#[test]
fn a_draft_becomes_a_document() {
    let mut draft = Draft::new("sip:alice@example.com", "laptop");
    draft.basic = Some(Basic::Open);
    draft.contact = Some("sip:alice@192.0.2.4".to_owned());
    draft.notes = vec![Note {
        language: Some("en".to_owned()),
        text: "at <lunch> & away".to_owned(),
    }];
    draft.activities = vec!["meal".to_owned(), "napping".to_owned()];
    draft.timestamp = Some(1_795_249_800_000);
    assert_eq!(
        String::from_utf8(draft.write()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:alice@example.com\">\
         <tuple id=\"laptop\"><status><basic>open</basic></status><contact>sip:alice@192.0.2.4</contact>\
         <note xml:lang=\"en\">at &lt;lunch&gt; &amp; away</note><timestamp>2026-11-21T08:30:00Z</timestamp></tuple>\
         <dm:person id=\"laptop.person\"><rpid:activities><rpid:meal/><rpid:other>napping</rpid:other></rpid:activities>\
         <dm:timestamp>2026-11-21T08:30:00Z</dm:timestamp></dm:person></presence>\n"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_terminal_hands_over_can_be_published(
        texts in prop::collection::vec(any::<String>(), 6), open in prop::option::of(any::<bool>()), timestamp in prop::option::of(any::<i64>()),
    ) {
        let mut draft = Draft::new(texts[0].clone(), texts[1].clone());
        draft.basic = open.map(|open| if open { Basic::Open } else { Basic::Closed });
        draft.contact = Some(texts[2].clone());
        draft.notes = vec![Note { language: Some(texts[3].clone()), text: texts[4].clone() }];
        draft.activities = vec![texts[5].clone()];
        draft.timestamp = timestamp;
        let presence = Presence::read(&draft.write(), &Bounds::TRUSTED).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(presence.tuples.len(), 1);
        prop_assert_eq!(Summary::of(&presence).basic, draft.basic);
    }

    #[test]
    fn any_bytes_are_summed_up_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Summary::read(&bytes, &Bounds::TRUSTED);
    }
}
