//! Who may publish for a user: OMA Presence XDM 2.0.

use documents::common_policy;
use documents::schema::usages::RULESET;

use super::{Schema, Usage, no_constraints};

/// The name that the schema's namespace suggests; the specification itself was not at hand.
pub static PUB_RULES: Usage = Usage {
    auid: "org.openmobilealliance.pub-rules",
    namespace: common_policy::URI,
    media_type: common_policy::MEDIA_TYPE,
    document: Some("pub-rules"),
    schema: Schema::Root(&RULESET),
    constraints: no_constraints,
};
