//! Composition of documents that proptest makes up: ids, contacts and classes from small pools, so that they meet.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod made_up;
mod oracle;

use std::collections::BTreeSet;

use events::package::Source;
use machine::{Limits, Wall};
use made_up::{MadeUp, source};
use presence::PRESENCE;
use presence::composition::{compose, neutral};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use xml::{Bounds, Element, read};

const ENTITY: &str = "sip:alice@example.com";

fn composed(sources: &[MadeUp]) -> Vec<u8> {
    let sources: Vec<Source<'_>> = sources
        .iter()
        .map(|made| Source::new(made.body.as_bytes(), Wall::from_millis(made.accepted)))
        .collect();
    compose(ENTITY, &sources)
}

fn ids(element: &Element, found: &mut Vec<String>) {
    for attribute in &element.attributes {
        if documents::identity::is_id(element, attribute) {
            found.push(attribute.value.clone());
        }
    }
    element.elements().for_each(|child| ids(child, found));
}

fn all_ids(document: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    ids(&read(document, &Bounds::TRUSTED).unwrap(), &mut found);
    found
}

fn several() -> impl Strategy<Value = Vec<MadeUp>> {
    // Acceptance times are distinct: the order of the sources must not matter then.
    prop::collection::vec(source(), 0..6).prop_map(|mut sources| {
        for (at, source) in sources.iter_mut().enumerate() {
            source.accepted += at as u64;
        }
        sources
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes_are_refused_or_composed(bytes in prop::collection::vec(any::<u8>(), 0..120), media_type in "\\PC{0,12}") {
        let _ = (PRESENCE.check)(&media_type, &bytes, &Limits::default());
        let _ = (PRESENCE.check)("application/pidf+xml", &bytes, &Limits::default());
        prop_assert_eq!(compose(ENTITY, &[Source::new(&bytes, Wall::from_millis(1))]), neutral(ENTITY));
    }

    #[test]
    fn the_order_of_sources_does_not_matter(sources in several(), seed in any::<u64>()) {
        let mut shuffled: Vec<(u64, &MadeUp)> = sources.iter().map(|source| (seed.rotate_left(source.accepted as u32 % 64).wrapping_mul(0x9e37_79b9_7f4a_7c15), source)).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<MadeUp> = shuffled.into_iter().map(|(_, source)| source.clone()).collect();
        prop_assert_eq!(text(&composed(&sources)), text(&composed(&shuffled)));
    }

    #[test]
    fn composing_the_composition_gives_itself(sources in several()) {
        let once = composed(&sources);
        let twice = compose(ENTITY, &[Source::new(&once, Wall::from_millis(3_000_000_000_000))]);
        prop_assert_eq!(text(&once), text(&twice));
        prop_assert!((PRESENCE.check)("application/pidf+xml", &once, &Limits::default()).is_ok());
    }

    #[test]
    fn ids_are_unique(sources in several()) {
        let ids = all_ids(&composed(&sources));
        let distinct: BTreeSet<&String> = ids.iter().collect();
        prop_assert_eq!(ids.len(), distinct.len(), "{:?}", ids);
        prop_assert!(ids.iter().all(|id| xml::is_ncname(id)), "{:?}", ids);
    }

    #[test]
    fn whoever_speaks_again_changes_no_id(sources in several(), again in any::<prop::sample::Index>()) {
        let before: BTreeSet<String> = all_ids(&composed(&sources)).into_iter().filter(|id| !id.contains("inner")).collect();
        let mut sources = sources;
        if !sources.is_empty() {
            let at = again.index(sources.len());
            sources[at].accepted += 1_000_000;
        }
        let after: BTreeSet<String> = all_ids(&composed(&sources)).into_iter().filter(|id| !id.contains("inner")).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn unknown_elements_survive(sources in several()) {
        let composed = text(&composed(&sources));
        for marker in sources.iter().flat_map(|source| &source.markers) {
            prop_assert!(composed.contains(marker.as_str()), "{marker} is lost in {composed}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The official schemas as oracle: whatever the sources get wrong, the composition is valid.
#[test]
fn compositions_of_made_up_documents_are_valid() {
    let Some(oracle) = oracle::find() else { return };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let documents: Vec<Vec<u8>> = (0..600)
        .map(|_| composed(&several().new_tree(&mut runner).unwrap().current()))
        .collect();
    oracle.check(&documents);
}
