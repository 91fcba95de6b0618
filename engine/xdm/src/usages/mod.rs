//! Application usages, one file each, filled in along RFC 4825 §5.

mod pidf_manipulation;
mod pres_content;
mod pres_rules;
mod pub_rules;
mod resource_lists;
mod rls_services;
mod xcap_caps;

use documents::schema::{Declared, check, usages::GLOBALS};
use xcap::Conflict;
use xml::Element;

pub use pidf_manipulation::PIDF_MANIPULATION;
pub use pres_content::PRES_CONTENT;
pub use pres_rules::{OMA_PRES_RULES, PRES_RULES};
pub use pub_rules::PUB_RULES;
pub use resource_lists::RESOURCE_LISTS;
pub(crate) use resource_lists::list_entries;
pub use rls_services::RLS_SERVICES;
pub use xcap_caps::{XCAP_CAPS, capabilities};

/// The usage of a user's list of documents: made, never put.
pub const DIRECTORY: &str = "org.openmobilealliance.xcap-directory";
/// The media type of it.
pub const DIRECTORY_MEDIA_TYPE: &str = crate::directory::MEDIA_TYPE;

/// An application usage (RFC 4825 §5).
#[derive(Debug)]
pub struct Usage {
    /// §5.1.
    pub auid: &'static str,
    /// §5.3: the namespace of names without prefix.
    pub namespace: &'static str,
    /// §5.4.
    pub media_type: &'static str,
    /// §5.7: the only document that a user has; none: as many as she likes.
    pub document: Option<&'static str>,
    /// §5.2: the schema.
    schema: Schema,
    /// §5.5, §5.6: what must hold besides.
    constraints: fn(&Element, owner: Option<&str>) -> Result<(), Conflict>,
}

#[derive(Debug)]
enum Schema {
    /// The root is this.
    Root(&'static Declared),
    /// Presence, whose own reader knows the schema.
    Presence,
}

/// Every usage of which documents can be put.
pub static USAGES: &[&Usage] = &[
    &PRES_RULES,
    &OMA_PRES_RULES,
    &PUB_RULES,
    &RESOURCE_LISTS,
    &RLS_SERVICES,
    &PIDF_MANIPULATION,
    &PRES_CONTENT,
];

/// The usage of this name.
pub fn find(auid: &str) -> Option<&'static Usage> {
    USAGES.iter().copied().find(|usage| usage.auid == auid)
}

/// The namespace that names without prefix have.
pub fn default_namespace(auid: &str) -> Option<&'static str> {
    match auid {
        xcap_caps::AUID => Some(xcap_caps::URI),
        DIRECTORY => Some("urn:oma:xml:xdm:xcap-directory"),
        auid => find(auid).map(|usage| usage.namespace),
    }
}

impl Usage {
    /// Whether a document is what the usage wants. `owner`: the canonical address of record of whose it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, root: &Element, owner: Option<&str>) -> Result<(), Conflict> {
        match self.schema {
            Schema::Root(declared) => {
                check(root, declared, GLOBALS)
                    .map_err(|invalid| Conflict::SchemaValidation(invalid.to_string()))?;
            }
            Schema::Presence => pidf_manipulation::check_schema(root)?,
        }
        (self.constraints)(root, owner)
    }
}

/// Nothing besides the schema.
fn no_constraints(_: &Element, _: Option<&str>) -> Result<(), Conflict> {
    Ok(())
}
