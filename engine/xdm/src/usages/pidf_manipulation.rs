//! Permanent presence: RFC 4827.

use documents::pidf::{self, Presence};
use xcap::Conflict;
use xml::{Bounds, Element};

use super::{Schema, Usage};

/// RFC 4827 §5.
pub static PIDF_MANIPULATION: Usage = Usage {
    auid: "pidf-manipulation",
    namespace: pidf::URI,
    media_type: pidf::MEDIA_TYPE,
    document: Some("index"),
    schema: Schema::Presence,
    constraints,
};

/// What the reader would mend is not what the schema wants.
pub(super) fn check_schema(root: &Element) -> Result<(), Conflict> {
    let invalid = |what: &str| Err(Conflict::SchemaValidation(what.to_owned()));
    if !root.is(pidf::URI, "presence") {
        return invalid("the root must be presence of urn:ietf:params:xml:ns:pidf");
    }
    if root
        .attribute("entity")
        .is_none_or(|entity| entity.trim().is_empty())
    {
        return invalid("presence: the attribute entity is missing");
    }
    let bytes = xml::write(root, &pidf::STYLE);
    let Ok(mended) = Presence::read(&bytes, &Bounds::TRUSTED) else {
        return invalid("presence: it cannot be read back");
    };
    let mended = mended.into_element();
    match first_difference(root, &mended) {
        Some(at) => invalid(&format!("{at}: not as the schema wants it")),
        None => Ok(()),
    }
}

/// The first element of the one that the other does not have in the same way; white space between elements is nobody's.
fn first_difference(one: &Element, two: &Element) -> Option<String> {
    let (first, second): (Vec<&Element>, Vec<&Element>) =
        (one.elements().collect(), two.elements().collect());
    let name = one.name.local.to_string();
    let same_attributes = one
        .attributes
        .iter()
        .all(|attribute| two.attributes.contains(attribute))
        && one.attributes.len() == two.attributes.len();
    let has_elements = !first.is_empty() || !second.is_empty();
    let same_text =
        has_elements && one.text().trim().is_empty() || one.text().trim() == two.text().trim();
    if one.name != two.name || !same_attributes || !same_text || first.len() != second.len() {
        return Some(name);
    }
    let mut pairs = first.into_iter().zip(second);
    pairs
        .find_map(|(one, two)| first_difference(one, two))
        .map(|at| format!("{name}/{at}"))
}

/// RFC 4827 §5.5: it is about whose it is.
fn constraints(root: &Element, owner: Option<&str>) -> Result<(), Conflict> {
    let entity = root.attribute("entity").unwrap_or_default().trim();
    let is_hers = owner.is_none_or(|owner| {
        entity.eq_ignore_ascii_case(owner)
            || entity
                .strip_prefix("pres:")
                .is_some_and(|entity| owner.strip_prefix("sip:") == Some(entity))
    });
    if is_hers {
        Ok(())
    } else {
        Err(Conflict::Constraint(
            "entity must be the user whose document this is".to_owned(),
        ))
    }
}
