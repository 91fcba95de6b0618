//! PIDF, RFC 3863: the presence document itself.

mod draft;
mod summary;

use std::fmt;

use xml::{Bounds, Element, Malformed, Name, Namespace, Node, Style};

use crate::shape::{self, Content, Many, NOTE, Need, Part, Shape, TIMESTAMP};
use crate::value::Value;
use crate::{capabilities, cipid, data_model, identity, oma_pres, rpid, timed_status};

pub use draft::Draft;
pub use summary::{Basic, Contact, Note, Summary};

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pidf";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);
/// The namespace of the drafts before RFC 3863, read as if it were the real one.
pub const OLD_URI: &str = "urn:ietf:params:xml:ns:cpim-pidf";

/// The media type.
pub const MEDIA_TYPE: &str = "application/pidf+xml";
/// The media type of the drafts.
pub const OLD_MEDIA_TYPE: &str = "application/cpim-pidf+xml";

/// The prefixes that everybody uses; careless watchers compare them instead of namespaces.
pub const STYLE: Style<'static> = Style {
    default: URI,
    prefixes: &[
        (URI, "pidf"),
        (data_model::URI, "dm"),
        (rpid::URI, "rpid"),
        (cipid::URI, "c"),
        (timed_status::URI, "ts"),
        (capabilities::URI, "caps"),
        (oma_pres::URI, "op"),
        ("urn:ietf:params:xml:ns:pidf:geopriv10", "gp"),
        ("urn:ietf:params:xml:ns:location-type", "lt"),
        ("http://www.w3.org/2001/XMLSchema-instance", "xsi"),
    ],
};

/// `basic`, here and in the formats that borrow it.
pub static BASIC: Shape = Shape::text(Value::OneOf(&["open", "closed"]));

static STATUS: Shape = Shape::sequence(&[
    Part::Child("basic", &BASIC, Many::Once, Need::Optional),
    Part::Other,
]);
static CONTACT: Shape = Shape {
    content: Content::Text(Value::Uri),
    attributes: &[("priority", Value::Priority, Need::Optional)],
    any_attribute: false,
};
static TUPLE: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("status", &STATUS, Many::Once, Need::Empty),
        Part::Other,
        Part::Child("contact", &CONTACT, Many::Once, Need::Optional),
        Part::Child("note", &NOTE, Many::Often, Need::Optional),
        Part::Child("timestamp", &TIMESTAMP, Many::Once, Need::Optional),
    ]),
    attributes: &[("id", Value::Id, Need::Optional)],
    any_attribute: false,
};

/// A presence document taken apart; each part is valid by its schema. Ids are ids, but not yet unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Whose presence this is, as the source wrote it; empty when it did not.
    pub entity: String,
    /// The services.
    pub tuples: Vec<Element>,
    /// Notes about the presentity as a whole.
    pub notes: Vec<Element>,
    /// RFC 4479 persons.
    pub persons: Vec<Element>,
    /// RFC 4479 devices, each with its deviceID.
    pub devices: Vec<Element>,
    /// Everything else that the document holds.
    pub others: Vec<Element>,
}

/// Why bytes are no presence document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No XML as it must be.
    Malformed(Malformed),
    /// XML, but another document.
    NotPresence(Name),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NotPresence(name) => {
                let clip = |text: &str| {
                    text.chars()
                        .filter(|c| !c.is_control())
                        .take(80)
                        .collect::<String>()
                };
                write!(
                    f,
                    "the root is {} in namespace '{}', not presence",
                    clip(&name.local),
                    clip(name.namespace.as_str())
                )
            }
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads what a source published, however old its namespace, without mending it.
///
/// # Errors
/// When it is no well-formed XML within the bounds, or its root is not `presence`.
pub fn parse(bytes: &[u8], bounds: &Bounds) -> Result<Element, Unreadable> {
    let root = xml::read(bytes, bounds).map_err(Unreadable::Malformed)?;
    if root.name.local == "presence" && matches!(root.name.namespace.as_str(), URI | OLD_URI) {
        Ok(root)
    } else {
        Err(Unreadable::NotPresence(root.name))
    }
}

impl Presence {
    /// Reads and mends a document: order, values, ids, old namespace.
    ///
    /// # Errors
    /// As `parse`.
    pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Self, Unreadable> {
        parse(bytes, bounds).map(Self::of)
    }

    /// Mends what `parse` read.
    pub fn of(mut root: Element) -> Self {
        if root.name.namespace.as_str() == OLD_URI {
            renew(&mut root);
        }
        let mut this = Self {
            entity: root
                .attribute("entity")
                .unwrap_or("")
                .trim_ascii()
                .to_owned(),
            ..Self::default()
        };
        for node in root.children {
            if let Node::Element(child) = node {
                this.take(child);
            }
        }
        this
    }

    fn take(&mut self, mut child: Element) {
        let (into, shape) = match (child.name.namespace.as_str(), &*child.name.local) {
            (URI, "tuple") => (&mut self.tuples, &TUPLE),
            (URI, "note") => (&mut self.notes, &NOTE),
            (data_model::URI, local @ ("person" | "device")) => {
                let Some(shape) = data_model::shape(local) else {
                    return;
                };
                (
                    if local == "person" {
                        &mut self.persons
                    } else {
                        &mut self.devices
                    },
                    shape,
                )
            }
            // The schema has no room for other elements of PIDF itself, nor for elements in no namespace.
            (URI | "", _) => return,
            _ => {
                if shape::mend(&mut child) {
                    self.others.push(child);
                }
                return;
            }
        };
        data_model::adopt(&mut child);
        if !shape::mend_as(&mut child, shape) {
            return;
        }
        if child.name.local == "tuple" {
            drop_empty_contact(&mut child);
        }
        if child.name.local != "note" && child.attribute("id").is_none() {
            // RFC 3863 §4.1.2 wants an id; one made from the content is the same next time.
            let id = format!("{}.{}", child.name.local, identity::digest(&nature(&child)));
            child.set_attribute("id", id);
        }
        into.push(child);
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        [
            &self.tuples,
            &self.notes,
            &self.persons,
            &self.devices,
            &self.others,
        ]
        .iter()
        .all(|part| part.is_empty())
    }

    /// The document in the order of the schema (RFC 3863 §4.1.1): tuples, notes, then the rest.
    pub fn into_element(self) -> Element {
        let mut root = Element::new(Name::new(NAMESPACE, "presence"));
        root.set_attribute("entity", self.entity);
        let parts = [
            self.tuples,
            self.notes,
            self.persons,
            self.devices,
            self.others,
        ];
        root.children = parts.into_iter().flatten().map(Node::Element).collect();
        root
    }

    /// The document as bytes.
    pub fn write(self) -> Vec<u8> {
        xml::write(&self.into_element(), &STYLE)
    }
}

/// What a tuple, person or device is, apart from how it is at the moment: a service by contact, service-id, version, devices and
/// class, a person by class, a device by deviceID.
pub fn nature(element: &Element) -> Vec<u8> {
    let mut out = element.name.local.as_bytes().to_vec();
    // Absent and empty are not the same; no text holds these marks.
    let mut push = |mark: u8, part: Option<String>| {
        if let Some(text) = part {
            out.push(mark);
            out.extend_from_slice(text.as_bytes());
        }
    };
    if &*element.name.local == "tuple" {
        let service = element.element(oma_pres::URI, "service-description");
        let of_service = |local| {
            service
                .and_then(|service| service.element(oma_pres::URI, local))
                .map(Element::text)
        };
        push(1, element.element(URI, "contact").map(Element::text));
        push(2, of_service("service-id"));
        push(3, of_service("version"));
    }
    if &*element.name.local != "device" {
        push(4, data_model::class(element));
    }
    let mut devices: Vec<String> = data_model::device_ids(element).collect();
    devices.sort_unstable();
    devices.dedup();
    devices.into_iter().for_each(|device| push(5, Some(device)));
    out
}

/// A service without a way to reach it has no contact at all.
fn drop_empty_contact(tuple: &mut Element) {
    tuple.children.retain(|node| !matches!(node, Node::Element(child) if child.is(URI, "contact") && child.children.is_empty()));
}

/// Moves everything from the drafts' namespace to the real one.
fn renew(element: &mut Element) {
    let names = std::iter::once(&mut element.name.namespace)
        .chain(
            element
                .attributes
                .iter_mut()
                .map(|attribute| &mut attribute.name.namespace),
        )
        .chain(
            element
                .mentions
                .iter_mut()
                .map(|mention| &mut mention.namespace),
        );
    for namespace in names.filter(|namespace| namespace.as_str() == OLD_URI) {
        *namespace = NAMESPACE;
    }
    for node in &mut element.children {
        if let Node::Element(child) = node {
            renew(child);
        }
    }
}
