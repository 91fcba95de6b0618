//! The presence data model, RFC 4479: persons, devices, and the deviceID that ties services to devices.

use xml::{Element, Namespace};

use crate::shape::{Content, Many, NOTE, Need, Part, Shape, TIMESTAMP};
use crate::value::Value;
use crate::{pidf, rpid};

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pidf:data-model";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);

static DEVICE_ID: Shape = Shape::text(Value::Uri);
static PERSON: Shape = Shape {
    content: Content::Sequence(&[
        Part::Other,
        Part::Child("note", &NOTE, Many::Often, Need::Optional),
        Part::Child("timestamp", &TIMESTAMP, Many::Once, Need::Optional),
    ]),
    attributes: ID,
    any_attribute: false,
};
static DEVICE: Shape = Shape {
    content: Content::Sequence(&[
        Part::Other,
        Part::Child("deviceID", &DEVICE_ID, Many::Once, Need::Required),
        Part::Child("note", &NOTE, Many::Often, Need::Optional),
        Part::Child("timestamp", &TIMESTAMP, Many::Once, Need::Optional),
    ]),
    attributes: ID,
    any_attribute: false,
};

/// Required by the schema; who reads a document fills it in.
const ID: &[(&str, Value, Need)] = &[("id", Value::Id, Need::Optional)];

/// The shape of a global element.
pub fn shape(local: &str) -> Option<&'static Shape> {
    match local {
        "deviceID" => Some(&DEVICE_ID),
        "person" => Some(&PERSON),
        "device" => Some(&DEVICE),
        _ => None,
    }
}

/// The device of a device element (RFC 4479 §3.3), and the devices of a service (§3.4).
pub fn device_ids(element: &Element) -> impl Iterator<Item = String> {
    element
        .elements()
        .filter(|child| child.is(URI, "deviceID"))
        .map(Element::text)
}

/// RFC 4480 §3.3: sorts persons, devices and services into classes of the presentity's choosing.
pub fn class(element: &Element) -> Option<String> {
    element.element(rpid::URI, "class").map(Element::text)
}

/// The timestamp as written, of a person, a device or a tuple.
pub fn timestamp(element: &Element) -> Option<String> {
    element
        .elements()
        .find(|child| is_timestamp(child))
        .map(Element::text)
}

/// Whether this is the timestamp of a person, a device or a tuple.
pub fn is_timestamp(element: &Element) -> bool {
    element.name.local == "timestamp" && in_model(element)
}

/// Whether this is a note of a person, a device, a tuple or the whole document.
pub fn is_note(element: &Element) -> bool {
    element.name.local == "note" && in_model(element)
}

fn in_model(element: &Element) -> bool {
    matches!(element.name.namespace.as_str(), URI | pidf::URI)
}

/// Notes and timestamps of the wrong one of the two namespaces, a common slip, move to the right one.
pub(crate) fn adopt(element: &mut Element) {
    let own = element.name.namespace.clone();
    for node in &mut element.children {
        if let xml::Node::Element(child) = node
            && (is_note(child) || is_timestamp(child))
        {
            child.name.namespace = own.clone();
        }
    }
}
