//! What this server can do: RFC 4825 §12. Made from what is really there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{DIRECTORY, USAGES};

/// RFC 4825 §12.1.
pub(super) const AUID: &str = "xcap-caps";
/// RFC 4825 §12.2.
pub(super) const URI: &str = "urn:ietf:params:xml:ns:xcap-caps";

/// Name and media type of the usage.
pub const XCAP_CAPS: (&str, &str) = (AUID, "application/xcap-caps+xml");

/// The document at `xcap-caps/global/index`.
pub fn capabilities() -> String {
    let auids: BTreeSet<&str> = USAGES
        .iter()
        .map(|usage| usage.auid)
        .chain([AUID, DIRECTORY])
        .collect();
    let namespaces: BTreeSet<&str> = USAGES
        .iter()
        .map(|usage| usage.namespace)
        .chain([
            URI,
            documents::pres_rules::URI,
            documents::pres_rules::OMA_URI,
            documents::common_policy::OMA_URI,
        ])
        .collect();
    let mut out =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-caps xmlns=\"{URI}\"><auids>");
    for auid in auids {
        let _ = write!(out, "<auid>{auid}</auid>");
    }
    out.push_str("</auids><namespaces>");
    for namespace in namespaces {
        let _ = write!(out, "<namespace>{namespace}</namespace>");
    }
    out.push_str("</namespaces></xcap-caps>\n");
    out
}
