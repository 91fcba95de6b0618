//! Services, each a URI that stands for a list: RFC 4826 §4.

use std::collections::BTreeSet;

use documents::schema::usages::{RLS_SERVICES as URI, SERVICES};
use xcap::Conflict;
use xml::Element;

use super::resource_lists::unique_below;
use super::{Schema, Usage};

/// RFC 4826 §4.4. That a URI is nobody else's (§4.4.5) is held by whoever knows everybody's.
pub static RLS_SERVICES: Usage = Usage {
    auid: "rls-services",
    namespace: URI,
    media_type: "application/rls-services+xml",
    document: None,
    schema: Schema::Root(&SERVICES),
    constraints,
};

fn constraints(root: &Element, _: Option<&str>) -> Result<(), Conflict> {
    let mut seen = BTreeSet::new();
    for service in root.elements() {
        let uri = service.attribute("uri").unwrap_or_default();
        let address = format!("rls-services/service[@uri=\"{uri}\"]");
        if !seen.insert(uri) {
            return Err(Conflict::Uniqueness {
                phrase: format!("the service '{uri}' is there twice"),
                fields: vec![format!("{address}/@uri")],
            });
        }
        if let Some(list) = service.element(URI, "list") {
            unique_below(list, &format!("{address}/list"))?;
        }
    }
    Ok(())
}
