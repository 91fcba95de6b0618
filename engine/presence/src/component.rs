//! A tuple, person or device with its place in time, and the slots that make two of them comparable.

use documents::pidf::URI as PIDF;
use documents::{data_model, identity, oma_pres, timestamp, value};
use xml::{Element, Node};

/// The three kinds of the data model (RFC 4479 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Tuple,
    Person,
    Device,
}

/// How new something is: what is permanent is older than anything that is published; then what it says of itself, but not later than its
/// acceptance; then the later accepted; then the later in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    is_live: bool,
    millis: i64,
    accepted: i64,
    source: usize,
    position: usize,
}

/// One tuple, person or device of one source.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) kind: Kind,
    /// What it is, apart from how it is at the moment.
    pub(crate) nature: Vec<u8>,
    pub(crate) id: String,
    pub(crate) source: usize,
    /// Of a source that gives way to whatever is published.
    pub(crate) is_permanent: bool,
    pub(crate) age: Age,
    pub(crate) element: Element,
}

impl Component {
    pub(crate) fn new(
        kind: Kind,
        element: Element,
        (source, is_permanent): (usize, bool),
        accepted: i64,
        position: usize,
    ) -> Self {
        let said = data_model::timestamp(&element).and_then(|text| timestamp::parse(&text));
        Self {
            kind,
            nature: documents::pidf::nature(&element),
            id: element.attribute("id").unwrap_or("").to_owned(),
            source,
            is_permanent,
            age: Age {
                is_live: !is_permanent,
                millis: said.map_or(accepted, |said| said.min(accepted)),
                accepted,
                source,
                position,
            },
            element,
        }
    }
}

/// One thing that a component says. Two components contradict each other when they say different things in one slot.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Where it stands and what it is called; sorted by this, slots are in the order of the schema.
    pub(crate) key: Vec<u8>,
    /// What is said, however it is written.
    pub(crate) value: Vec<u8>,
    pub(crate) elements: Vec<Element>,
}

// The places of slots in the order of the schemas.
const STATUS: u8 = 1;
const SERVICE: u8 = 2;
const OTHER: u8 = 3;
const DEVICE_ID: u8 = 4;
const CONTACT: u8 = 5;
const PRIORITY: u8 = 6;
const NOTES: u8 = 7;

/// A component as slots, sorted, each key once. Timestamps are aside, and so are the notes of tuples.
pub(crate) fn slots(component: &Component) -> Vec<Slot> {
    let mut found: Vec<(Vec<u8>, Element)> = Vec::new();
    let mut described = false;
    for child in component.element.elements() {
        let own = child.name.namespace == component.element.name.namespace;
        match &*child.name.local {
            _ if data_model::is_timestamp(child) => {}
            _ if data_model::is_note(child) => {
                if component.kind != Kind::Tuple {
                    // All notes of one person are one thing: they may be one note in several languages.
                    found.push((vec![NOTES], child.clone()));
                }
            }
            "status" if own => found.extend(child.elements().map(|inner| {
                (
                    key(STATUS, u8::from(!inner.is(PIDF, "basic")), inner),
                    inner.clone(),
                )
            })),
            "contact" if own => take_contact(child, &mut found),
            "deviceID" if own => found.push((key(DEVICE_ID, 0, child), child.clone())),
            // A second description is no part of the first.
            "service-description" if child.name.namespace == oma_pres::NAMESPACE && !described => {
                described = true;
                take_service(child, &mut found);
            }
            _ => found.push((key(OTHER, 0, child), child.clone())),
        }
    }
    found.sort_by(|one, two| one.0.cmp(&two.0));
    let mut slots: Vec<Slot> = Vec::with_capacity(found.len());
    for (key, element) in found {
        match slots.last_mut() {
            Some(slot) if slot.key == key => slot.elements.push(element),
            _ => slots.push(Slot {
                key,
                value: Vec::new(),
                elements: vec![element],
            }),
        }
    }
    slots.iter_mut().for_each(settle);
    slots
}

fn take_contact(contact: &Element, found: &mut Vec<(Vec<u8>, Element)>) {
    if contact.attribute("priority").is_some() {
        found.push((vec![PRIORITY], contact.clone()));
    }
    let mut bare = contact.clone();
    bare.remove_attribute("priority");
    found.push((vec![CONTACT], bare));
}

/// A service's description is compared piece by piece, so that one may say more than the other.
fn take_service(service: &Element, found: &mut Vec<(Vec<u8>, Element)>) {
    let mut bare = service.clone();
    bare.children.clear();
    found.push((vec![SERVICE], bare));
    for piece in service.elements() {
        let rank = ["service-id", "version", "description"]
            .iter()
            .position(|local| piece.is(oma_pres::URI, local))
            .unwrap_or(3);
        found.push((key(SERVICE, rank as u8 + 1, piece), piece.clone()));
    }
}

/// An element that holds for another time says another thing (RFC 4480 §3.1, RFC 4481).
fn key(place: u8, rank: u8, element: &Element) -> Vec<u8> {
    let mut key = vec![place, rank];
    for part in [
        element.name.namespace.as_str(),
        &element.name.local,
        element.attribute("from").unwrap_or(""),
        element.attribute("until").unwrap_or(""),
    ] {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

/// Fills in what the slot says. Several elements of one name say the same in any order, and each only once; the notes of a person
/// stay in hers.
fn settle(slot: &mut Slot) {
    let of_contact = slot.key.first() == Some(&PRIORITY);
    let mut said: Vec<(Vec<u8>, Element)> = std::mem::take(&mut slot.elements)
        .into_iter()
        .map(|element| {
            (
                if of_contact {
                    priority(&element)
                } else {
                    canonical(&element)
                },
                element,
            )
        })
        .collect();
    if slot.key.first() != Some(&NOTES) {
        said.sort_by(|one, two| one.0.cmp(&two.0));
        said.dedup_by(|one, two| one.0 == two.0);
    }
    for (value, element) in said {
        slot.value.extend(value);
        slot.elements.push(element);
    }
}

/// 0.8 and 0.800 are one priority.
fn priority(contact: &Element) -> Vec<u8> {
    contact
        .attribute("priority")
        .and_then(value::thousandths)
        .unwrap_or(0)
        .to_be_bytes()
        .to_vec()
}

/// What an element says, its ids aside: they are names, not content.
pub(crate) fn canonical(element: &Element) -> Vec<u8> {
    xml::canonical(element, &|element, attribute| {
        !identity::is_id(element, attribute)
    })
}

/// Whether some slot of the one says something else than the same slot of the other. Both are sorted.
pub(crate) fn contradict(one: &[Slot], two: &[Slot]) -> bool {
    let (mut one, mut two) = (one.iter().peekable(), two.iter().peekable());
    while let (Some(a), Some(b)) = (one.peek(), two.peek()) {
        match a.key.cmp(&b.key) {
            std::cmp::Ordering::Less => drop(one.next()),
            std::cmp::Ordering::Greater => drop(two.next()),
            std::cmp::Ordering::Equal if a.value != b.value => return true,
            std::cmp::Ordering::Equal => {
                one.next();
                two.next();
            }
        }
    }
    false
}

/// Sorts slots and keeps the first of each key.
pub(crate) fn first_of_each(mut slots: Vec<Slot>) -> Vec<Slot> {
    // Stable, so the first stays first.
    slots.sort_by(|one, two| one.key.cmp(&two.key));
    slots.dedup_by(|later, earlier| later.key == earlier.key);
    slots
}

/// The element that slots, notes and a timestamp make, in the order of the schema. Id and name are `like`'s.
pub(crate) fn build(
    like: &Element,
    slots: &[Slot],
    notes: Vec<Element>,
    timestamp: Option<Element>,
) -> Element {
    let mut built = Element::new(like.name.clone());
    built.attributes.clone_from(&like.attributes);
    let mut status = like.element(PIDF, "status").map(|status| {
        let mut status = status.clone();
        status.children.clear();
        status
    });
    let mut service: Option<Element> = None;
    let mut rest = Vec::new();
    let prioritised = slots.iter().any(|slot| slot.key.first() == Some(&PRIORITY));
    for slot in slots {
        let elements = slot.elements.iter().cloned();
        match (
            slot.key.first().copied().unwrap_or(OTHER),
            &mut status,
            &mut service,
        ) {
            (STATUS, Some(status), _) => status.children.extend(elements.map(Node::Element)),
            (SERVICE, _, Some(service)) => service.children.extend(elements.map(Node::Element)),
            (SERVICE, _, none) => *none = slot.elements.first().cloned(),
            (CONTACT, ..) if prioritised => {}
            _ => rest.extend(elements),
        }
    }
    let all = status
        .into_iter()
        .chain(service)
        .chain(rest)
        .chain(notes)
        .chain(timestamp);
    built.children = all.map(Node::Element).collect();
    built
}

/// The notes of a tuple.
pub(crate) fn notes(element: &Element) -> impl Iterator<Item = &Element> {
    element
        .elements()
        .filter(|child| data_model::is_note(child))
}

/// The timestamp of a component.
pub(crate) fn timestamp_of(element: &Element) -> Option<Element> {
    element
        .elements()
        .find(|child| data_model::is_timestamp(child))
        .cloned()
}
