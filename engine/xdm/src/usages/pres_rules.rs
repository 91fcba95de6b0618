//! Presence rules: RFC 5025 §9 and OMA's own name for the same.

use documents::common_policy;
use documents::schema::usages::RULESET;

use super::{Schema, Usage, no_constraints};

/// RFC 5025 §9. All documents of a user count together (§9.7).
pub static PRES_RULES: Usage = Usage {
    auid: "pres-rules",
    namespace: common_policy::URI,
    media_type: common_policy::MEDIA_TYPE,
    document: None,
    schema: Schema::Root(&RULESET),
    constraints: no_constraints,
};

/// OMA Presence XDM.
pub static OMA_PRES_RULES: Usage = Usage {
    auid: "org.openmobilealliance.pres-rules",
    namespace: common_policy::URI,
    media_type: common_policy::MEDIA_TYPE,
    document: Some("pres-rules"),
    schema: Schema::Root(&RULESET),
    constraints: no_constraints,
};
