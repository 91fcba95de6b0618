//! What the operator decided, as the engines need it: immutable, replaced as a whole by a reload.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sip::digest::Algorithm;

use crate::Limits;

/// One configuration in force. A reload brings a new one to every shard as an input.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Counts reloads: 1 for the first.
    pub number: u64,
    /// Served domains; the first is meant by our own addresses in a Request-URI and by `tel:` numbers. Never empty.
    pub domains: Vec<Domain>,
    /// Where we listen, by `ListenerId`.
    pub listeners: Vec<Listener>,
    /// How a request's sender becomes a watcher or a source.
    pub identity: Identity,
    /// Every bound.
    pub limits: Limits,
    /// Path MTU in bytes; 0: unknown, so requests over 1300 bytes leave by TCP (RFC 3261 §18.1.1).
    pub path_mtu: u32,
    /// Below which of our URIs documents are: for lists that rules refer to.
    pub xcap_roots: Vec<Root>,
    /// `[routing] hosts`: host name (lower case) → where it is, in order of preference.
    pub hosts: BTreeMap<String, Vec<(Transport, SocketAddr)>>,
}

/// A root of XCAP's URIs (RFC 4825 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Scheme and authority, lower case; `None`: any of our own.
    pub authority: Option<String>,
    /// The path, without a slash at its end.
    pub path: String,
}

/// One served domain.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Host name, lower case.
    pub name: String,
    /// Other hosts that mean this domain, lower case.
    pub aliases: Vec<String>,
    /// `[presence]` as it holds for this domain.
    pub presence: Presence,
}

/// `[presence]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// 202 or 200 when the decision is confirm.
    pub profile: Profile,
    /// What a watcher gets whom no rule matches.
    pub default_handling: Handling,
    /// For PUBLISH.
    pub publish_expires_seconds: Expires,
    /// For SUBSCRIBE.
    pub subscribe_expires_seconds: Expires,
    /// Least milliseconds between two NOTIFYs of one subscription (RFC 3856 §6.10).
    pub notify_interval_ms_min: u32,
    /// Users of the domain: any, or those listed in `users`.
    pub presentities_listed_only: bool,
    /// What a watcher of somebody who never published gets: the neutral document, or 404.
    pub unknown_presentity_is_404: bool,
    /// What a pending watcher's NOTIFY carries: the neutral document, or nothing.
    pub pending_body_is_empty: bool,
    /// Who else may publish for whom.
    pub publish_by_others: Vec<PublishByOther>,
}

/// Default, least and most seconds; `min ≤ default ≤ max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expires {
    /// Below it (and above 0): 423 with Min-Expires.
    pub min: u32,
    /// Where the request names none.
    pub default: u32,
    /// Longer wishes are shortened to it.
    pub max: u32,
}

/// Which answer a pending SUBSCRIBE gets (standards.md C4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// 202 whenever the decision is confirm, fetches included.
    Oma10,
    /// 200 always.
    Rfc6665,
}

/// RFC 5025 §3.2.1 sub-handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handling {
    /// 403, or terminated;reason=rejected.
    Block,
    /// Pending until the presentity decides.
    Confirm,
    /// Looks allowed, sees a closed presentity.
    PoliteBlock,
    /// Sees every attribute.
    Allow,
}

/// One entry of `publish_by_others`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishByOther {
    /// Canonical AOR of the source.
    pub source: String,
    /// Canonical AOR, or `@domain` for all of a domain.
    pub presentities: String,
}

/// How identity is found: asserted by a trusted peer, else by Digest, else From where permitted.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Whose P-Asserted-Identity is believed.
    pub trusted_peers: Vec<Network>,
    /// Believe From. Only where every listener is on loopback (the reader of the configuration sees to it).
    pub from_is_identity: bool,
    /// Every known user: canonical AOR → itself; alias → canonical AOR.
    pub aliases: BTreeMap<String, String>,
    /// Who may prove who she is. Without it nobody is challenged.
    pub digest: Option<Arc<Digest>>,
}

/// What it takes to challenge and to check the answer (RFC 7616, RFC 8760).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Digest {
    /// Offered in this order.
    pub algorithms: Vec<Algorithm>,
    /// What nonces are made with.
    pub nonce_key: [u8; 32],
    /// Realm of each served domain, by its name.
    pub realms: BTreeMap<String, String>,
    /// By realm, then by user name.
    pub users: BTreeMap<String, BTreeMap<String, DigestUser>>,
}

/// By which name and secret a user is known. One user may have several names.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestUser {
    /// Canonical address of record.
    pub aor: String,
    /// H(A1) with SHA-256, in lower-case hexadecimal digits.
    pub ha1_sha256: Option<String>,
    /// H(A1) with MD5 likewise.
    pub ha1_md5: Option<String>,
}

impl Digest {
    /// The realm of a served domain.
    pub fn realm<'d>(&'d self, domain: &'d str) -> &'d str {
        self.realms.get(domain).map_or(domain, String::as_str)
    }

    /// Whether it is a realm of ours.
    pub fn is_realm(&self, realm: &str) -> bool {
        self.realms.values().any(|ours| ours == realm) || self.users.contains_key(realm)
    }

    /// Whose name it is.
    pub fn user(&self, realm: &str, username: &str) -> Option<&DigestUser> {
        self.users.get(realm)?.get(username)
    }
}

impl DigestUser {
    /// H(A1) with this algorithm, if it is known.
    pub fn ha1(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Sha256 => self.ha1_sha256.as_deref(),
            Algorithm::Md5 => self.ha1_md5.as_deref(),
        }
    }
}

/// Settings are logged and compared in tests; secrets are not for that.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest")
            .field("algorithms", &self.algorithms)
            .field("realms", &self.realms)
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DigestUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestUser")
            .field("aor", &self.aor)
            .finish_non_exhaustive()
    }
}

/// Addresses that share a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Whether `peer` is one of them. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let ((ours, width), (theirs, peer_width)) = (bits(self.address), bits(peer));
        let prefix = u32::from(self.prefix).min(width);
        width == peer_width && (prefix == 0 || (ours ^ theirs) >> (128 - prefix) == 0)
    }
}

/// Index into `Settings::listeners`; stays the same for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// One socket that takes SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What it speaks.
    pub transport: Transport,
    /// Where it is bound, with the port that the system really gave.
    pub bound: SocketAddr,
    /// Public host for Via and Contact: a name, an IPv4 address, or an IPv6 address in brackets.
    pub advertise_host: String,
    /// Public port.
    pub advertise_port: u16,
    /// Further host names that mean us.
    pub aliases: Vec<String>,
    /// Its own `trusted_peers`, where given, else `Identity::trusted_peers`.
    pub trusted_peers: Option<Vec<Network>>,
    /// Whether requests in a dialog may go back to the source of the SUBSCRIBE when its Contact is not where it came from.
    pub nat: bool,
}

/// What carries SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 3261 §18.
    Udp,
    /// RFC 3261 §18.
    Tcp,
}

impl Transport {
    /// As written in Via.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Whether the transport itself retransmits.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            profile: Profile::Oma10,
            default_handling: Handling::Confirm,
            publish_expires_seconds: Expires {
                min: 60,
                default: 3600,
                max: 86_400,
            },
            subscribe_expires_seconds: Expires {
                min: 60,
                default: 3600,
                max: 86_400,
            },
            notify_interval_ms_min: 5000,
            presentities_listed_only: false,
            unknown_presentity_is_404: false,
            pending_body_is_empty: false,
            publish_by_others: Vec::new(),
        }
    }
}
