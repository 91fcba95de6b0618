//! CIPID, RFC 4482: contact information – card, homepage, icon, map, sound, a name to display.

use xml::Namespace;

use crate::shape::Shape;
use crate::value::Value;

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pidf:cipid";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);

static LINK: Shape = Shape::text(Value::Uri);
static DISPLAY_NAME: Shape = Shape::text(Value::Text);

/// The shape of a global element.
pub fn shape(local: &str) -> Option<&'static Shape> {
    match local {
        "card" | "homepage" | "icon" | "map" | "sound" => Some(&LINK),
        "display-name" => Some(&DISPLAY_NAME),
        _ => None,
    }
}
