//! OMA's extensions of PIDF and the data model: which service a tuple is, who wants to be reached, registration, barring, networks.

use xml::Namespace;

use crate::pidf::BASIC;
use crate::shape::{Content, Many, Need, Part, Shape};
use crate::value::Value;

/// The namespace's name.
pub const URI: &str = "urn:oma:xml:prs:pidf:oma-pres";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);

static TOKEN: Shape = Shape::text(Value::Token);
static SERVICE_DESCRIPTION: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("service-id", &TOKEN, Many::Once, Need::Required),
        // The schema demands a version; who forgets it still names a service.
        Part::Child("version", &TOKEN, Many::Once, Need::Empty),
        Part::Child("description", &TOKEN, Many::Once, Need::Optional),
        Part::Other,
    ]),
    attributes: &[],
    any_attribute: true,
};
static WILLINGNESS: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("basic", &BASIC, Many::Once, Need::Optional),
        Part::Other,
    ]),
    attributes: &[],
    any_attribute: true,
};
static STATE: Shape = Shape {
    content: Content::Text(Value::OneOf(&["active", "terminated"])),
    attributes: &[],
    any_attribute: true,
};
static NETWORK: Shape = Shape {
    content: Content::Sequence(&[Part::Either(&["active", "terminated"]), Part::Other]),
    attributes: &[("id", Value::Token, Need::Required)],
    any_attribute: true,
};
static NETWORK_AVAILABILITY: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("network", &NETWORK, Many::Often, Need::Required),
        Part::Other,
    ]),
    attributes: &[],
    any_attribute: true,
};

/// The shape of a global element.
pub fn shape(local: &str) -> Option<&'static Shape> {
    Some(match local {
        "service-description" => &SERVICE_DESCRIPTION,
        "willingness" | "session-participation" | "overriding-willingness" => &WILLINGNESS,
        "registration-state" | "barring-state" => &STATE,
        "network-availability" => &NETWORK_AVAILABILITY,
        _ => return None,
    })
}
