//! What runs without a file, and what flags and environment put in place of what is written.

use std::path::PathBuf;

use crate::entries::Origin;

/// What flags and environment say. Flag beats environment beats file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The data folder, counted from the working directory, and who says so.
    pub data: Option<(PathBuf, Origin)>,
    /// `--sip HOST:PORT`; refused with a file.
    pub sip: Option<String>,
    /// `--http HOST:PORT`; refused with a file.
    pub http: Option<String>,
    /// `TIDINGS_LOG`.
    pub log: Option<String>,
}

/// Where the demo speaks SIP unless told otherwise.
pub(crate) const SIP: &str = "127.0.0.1:5060";
/// Where the demo speaks HTTP unless told otherwise.
pub(crate) const HTTP: &str = "127.0.0.1:8080";

/// The demo as the file that it stands in for: everybody on this machine may act as anybody, nothing waits.
pub(crate) fn text(sip: &str, http: &str) -> String {
    format!(
        r#"domains = ["example.com"]
[listen]
sip = ["udp://{sip}", "tcp://{sip}"]
http = ["http://{http}"]
[identity]
from_is_identity = true
[presence]
default_handling = "allow"
notify_interval_ms_min = 0
publish_expires_seconds = {{ min = 1 }}
subscribe_expires_seconds = {{ min = 1 }}
"#
    )
}
