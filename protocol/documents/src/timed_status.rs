//! Timed status, RFC 4481: what a service's status was or will be.

use xml::Namespace;

use crate::pidf::BASIC;
use crate::shape::{Content, Many, NOTE, Need, Part, Shape};
use crate::value::Value;

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pidf:timed-status";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);

static TIMED_STATUS: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("basic", &BASIC, Many::Once, Need::Optional),
        Part::Child("note", &NOTE, Many::Once, Need::Optional),
        Part::Other,
    ]),
    attributes: &[
        ("from", Value::DateTime, Need::Required),
        ("until", Value::DateTime, Need::Optional),
    ],
    any_attribute: false,
};

/// The shape of a global element.
pub fn shape(local: &str) -> Option<&'static Shape> {
    (local == "timed-status").then_some(&TIMED_STATUS)
}
