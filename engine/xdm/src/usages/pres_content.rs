//! Icons and other content that presence documents refer to: OMA Presence Content XDM.

use documents::schema::usages::{CONTENT, PRES_CONTENT as URI};

use super::{Schema, Usage, no_constraints};

/// OMA-TS-Presence_SIMPLE_Content_XDM.
pub static PRES_CONTENT: Usage = Usage {
    auid: "org.openmobilealliance.pres-content",
    namespace: URI,
    media_type: "application/vnd.oma.pres-content+xml",
    document: None,
    schema: Schema::Root(&CONTENT),
    constraints: no_constraints,
};
