//! Resource lists: RFC 4826 §3.

use std::collections::BTreeSet;

use documents::schema::usages::{LISTS, RESOURCE_LISTS as URI};
use xcap::Conflict;
use xml::Element;

use super::{Schema, Usage};

/// RFC 4826 §3.4.
pub static RESOURCE_LISTS: Usage = Usage {
    auid: "resource-lists",
    namespace: URI,
    media_type: "application/resource-lists+xml",
    document: None,
    schema: Schema::Root(&LISTS),
    constraints: |root, _| unique_below(root, "resource-lists"),
};

/// How many entries, references and lists there are, however deep.
pub(crate) fn list_entries(parent: &Element) -> usize {
    let children = parent.elements().map(|child| {
        let counts = child.name.namespace.as_str() == URI
            && matches!(
                &*child.name.local,
                "list" | "entry" | "entry-ref" | "external"
            );
        usize::from(counts) + list_entries(child)
    });
    children.sum()
}

/// RFC 4826 §3.4.5: names of lists, URIs of entries, references and anchors are unique within their parent.
pub(super) fn unique_below(parent: &Element, address: &str) -> Result<(), Conflict> {
    let mut seen = BTreeSet::new();
    for child in parent
        .elements()
        .filter(|child| child.name.namespace.as_str() == URI)
    {
        let local = &*child.name.local;
        let attribute = match local {
            "list" => "name",
            "entry" => "uri",
            "entry-ref" => "ref",
            "external" => "anchor",
            _ => continue,
        };
        let value = child.attribute(attribute);
        if !seen.insert((local, value)) && value.is_some() {
            let value = value.unwrap_or_default();
            return Err(Conflict::Uniqueness {
                phrase: format!("{local} '{value}' is there twice in one list"),
                fields: vec![format!(
                    "{address}/{local}[@{attribute}=\"{value}\"]/@{attribute}"
                )],
            });
        }
        if local == "list" {
            let address = match value {
                Some(name) => format!("{address}/list[@name=\"{name}\"]"),
                None => format!("{address}/list"),
            };
            unique_below(child, &address)?;
        }
    }
    Ok(())
}
