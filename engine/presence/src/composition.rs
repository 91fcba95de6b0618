//! From the documents of all sources to the one that watchers see (RFC 3856 §6.11.1, RFC 4479 §3).

use std::collections::BTreeSet;

use documents::pidf::{Basic, Draft, Presence};
use events::package::Source;
use xml::{Bounds, Element};

use crate::component::{Component, Kind, canonical};
use crate::ids::Ids;
use crate::services::{Merged, merge};

/// The id of the neutral document's one tuple: a constant, so that nobody learns anything from it.
const NEUTRAL_ID: &str = "t";

/// One document from all sources: the same sources give the same bytes. With none, or with nothing in them, the neutral document.
pub fn compose(entity: &str, sources: &[Source<'_>]) -> Vec<u8> {
    let mut components = Vec::new();
    let mut said: Vec<((bool, i64, usize), Presence)> = Vec::with_capacity(sources.len());
    for (at, source) in sources.iter().enumerate() {
        let accepted = i64::try_from(source.accepted.as_millis()).unwrap_or(i64::MAX);
        let Some(mut presence) = read(source) else {
            continue;
        };
        let kinds = [
            (Kind::Tuple, &mut presence.tuples),
            (Kind::Person, &mut presence.persons),
            (Kind::Device, &mut presence.devices),
        ];
        for (kind, elements) in kinds {
            let elements = std::mem::take(elements).into_iter().enumerate();
            components.extend(elements.map(|(position, element)| {
                Component::new(kind, element, (at, source.is_permanent), accepted, position)
            }));
        }
        said.push(((!source.is_permanent, accepted, at), presence));
    }
    let mut merged = merge(components);
    let mut ids = Ids::default();
    ids.settle(&mut merged);

    // The newest first, what is permanent last: many watchers show only the first note.
    said.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    let mut composed = Presence {
        entity: entity.to_owned(),
        ..Presence::default()
    };
    let (mut notes, mut others) = (Vec::new(), Vec::new());
    for (_, presence) in said {
        notes.extend(presence.notes);
        others.extend(presence.others);
    }
    composed.notes = each_once(notes).into_iter().map(|(_, note)| note).collect();
    let mut others = each_once(others);
    others.sort_by(|one, two| one.0.cmp(&two.0));
    for (content, mut other) in others {
        ids.settle_inner(&mut other, &content);
        composed.others.push(other);
    }
    for Merged { kind, element, .. } in merged {
        match kind {
            Kind::Tuple => composed.tuples.push(element),
            Kind::Person => composed.persons.push(element),
            Kind::Device => composed.devices.push(element),
        }
    }
    if composed.is_empty() {
        neutral(entity)
    } else {
        composed.write()
    }
}

/// What cannot be read was never let in, so `None` is for documents stored under other rules: they say nothing.
fn read(source: &Source<'_>) -> Option<Presence> {
    let checked = source.checked.take();
    match checked.map(|checked| checked.downcast::<Element>()) {
        Some(Ok(root)) => Some(Presence::of(*root)),
        _ => Presence::read(source.body, &Bounds::TRUSTED).ok(),
    }
}

/// The document of somebody of whom nothing is known (standards: one closed tuple, no timestamp, no note).
pub fn neutral(entity: &str) -> Vec<u8> {
    let mut draft = Draft::new(entity, NEUTRAL_ID);
    draft.basic = Some(Basic::Closed);
    draft.write()
}

fn each_once(elements: Vec<Element>) -> Vec<(Vec<u8>, Element)> {
    let mut seen = BTreeSet::new();
    elements
        .into_iter()
        .map(|element| (canonical(&element), element))
        .filter(|(content, _)| seen.insert(content.clone()))
        .collect()
}
