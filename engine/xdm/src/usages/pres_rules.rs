//! Presence rules: RFC 5025 §9 and OMA's own name for the same.

use documents::schema::usages::RULESET;
use documents::{common_policy, pres_rules};

use super::{Schema, Usage, no_constraints};

/// RFC 5025 §9. All documents of a user count together (§9.7). A name without prefix is one of presence rules (§9.3): a ruleset and its
/// rules are selected by a prefix that the query binds, what is within them may be without.
pub static PRES_RULES: Usage = Usage {
    auid: "pres-rules",
    namespace: pres_rules::URI,
    media_type: common_policy::MEDIA_TYPE,
    document: None,
    schema: Schema::Root(&RULESET),
    constraints: no_constraints,
};

/// OMA Presence XDM.
pub static OMA_PRES_RULES: Usage = Usage {
    auid: "org.openmobilealliance.pres-rules",
    namespace: pres_rules::URI,
    media_type: common_policy::MEDIA_TYPE,
    document: Some("pres-rules"),
    schema: Schema::Root(&RULESET),
    constraints: no_constraints,
};
