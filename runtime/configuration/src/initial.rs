//! The file to begin with: `tidings init`.

use crate::address;
use crate::document::quoted;

/// A commented starting configuration for `domain`. Only what is built stands in it.
///
/// # Errors
/// What is wrong with the domain and what would be right.
pub fn initial(domain: &str) -> Result<String, String> {
    let domain = address::host(domain).map_err(|wrong| format!("{}: {wrong}", quoted(domain)))?;
    Ok(format!(
        r##"# Tidings: a presence server for {domain}.
# After a change: `tidings check --config FILE`, then `tidings reload`; what is marked (R) waits for a restart.
# `tidings check --config FILE --print` shows every key there is, with default and origin.

domains = ["{domain}"]   # users served here; the first is also meant by our own addresses
data = "tidings-data"    # (R) the store's folder, counted from this file's own folder

[listen]   # (R) this machine only; for others to reach it, write the address of this machine and the name they know it by:
# advertise = "{domain}"
sip = ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]
http = ["http://127.0.0.1:8080"]   # /healthz and /readyz

[identity]   # who may say who somebody is
trusted_peers = []         # proxies whose P-Asserted-Identity is believed, like "10.0.0.5" or "10.0.0.0/24"
from_is_identity = true    # believe From: anybody on this machine may be anyone. Only while every listener is on loopback
# [[identity.users]]
# aor = "sip:alice@{domain}"
# aliases = ["tel:+15551234"]
# password = "change me"   # or no entry here, but, while the server runs: tidings user add alice@{domain}

[presence]
default_handling = "confirm"   # a watcher whom no rule names: allow | confirm (waits) | polite-block (sees "closed") | block
publish_expires_seconds = {{ min = 60, default = 3600, max = 86400 }}
subscribe_expires_seconds = {{ min = 60, default = 3600, max = 86400 }}
notify_interval_ms_min = 5000   # least time between two NOTIFYs of one subscription
presentities = "any"            # "listed": only the users above

[durability]
commit = "fsync"   # what is acknowledged survives power loss; "os": a crash of the process only

[log]
level = "info"   # error | warn | info | debug
"##
    ))
}
