//! One configuration in force, as the programs need it.

use std::net::SocketAddr;
use std::path::PathBuf;

use machine::settings::{Listener, Network, Settings, Transport};

use crate::entries::{Changes, Entry};
use crate::problems::{Problem, Severity};

/// Everything that was decided: by the file, a flag, the environment, the demo or a default.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file; none: the demo.
    pub file: Option<PathBuf>,
    /// The embedded store's folder; relative paths already count from the file's own folder.
    pub data: PathBuf,
    /// What listeners without `role` play. Never empty.
    pub roles: Vec<Role>,
    /// `[node] name`; none: the host's name.
    pub node_name: Option<String>,
    /// Shards; 0: one per core this process may use.
    pub threads: u16,
    /// From SIGTERM to the exit.
    pub drain_seconds_max: u32,
    /// Where SIP is spoken, in the order of the file. `settings.listeners` are the same ones in the same order.
    pub sip: Vec<SipBind>,
    /// Where HTTP is spoken.
    pub http: Vec<HttpBind>,
    /// `[tls]`.
    pub tls: Tls,
    /// The domains that have a certificate of their own.
    pub domain_pairs: Vec<(String, Pair)>,
    /// `[durability]`.
    pub durability: Durability,
    /// `[log]`.
    pub log: Log,
    /// What the engines need. A listener of port 0 has `bound` and, where nothing else is advertised, `advertise_port` 0 until
    /// it is open; see [`Configuration::listener_bound`].
    pub settings: Settings,
    /// Each key in force with its default and where it came from.
    pub entries: Vec<Entry>,
}

impl Configuration {
    /// Whether no file was read.
    pub fn is_demo(&self) -> bool {
        self.file.is_none()
    }

    /// Whether nobody from another machine can reach any listener.
    pub fn is_loopback_only(&self) -> bool {
        self.sip
            .iter()
            .map(|bind| bind.address)
            .chain(self.http.iter().map(|bind| bind.address))
            .all(|address| address.ip().to_canonical().is_loopback())
    }

    /// The listener that `bind` becomes once the system gave it `bound`.
    pub fn listener_bound(bind: &SipBind, bound: SocketAddr) -> Listener {
        let host = bind.advertise_host.clone().unwrap_or_else(|| match bound {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        });
        Listener {
            transport: bind.transport,
            bound,
            advertise_host: host,
            advertise_port: bind.advertise_port.unwrap_or(bound.port()),
            aliases: bind.aliases.clone(),
            trusted_peers: bind.trusted_peers.clone(),
            nat: bind.nat,
        }
    }

    /// What a reload from this one to `new` takes over, and what of it waits for a restart.
    pub fn changes(&self, new: &Self) -> Changes {
        Changes::between(&self.entries, &new.entries)
    }

    /// Each key in force, as TOML with default and origin; bounds with their arithmetic and answer.
    pub fn print(&self) -> String {
        crate::entries::print(&self.entries)
    }
}

/// One socket that takes SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipBind {
    /// What it speaks.
    pub transport: Transport,
    /// Where; port 0: any free one.
    pub address: SocketAddr,
    /// The role it plays.
    pub role: Role,
    /// Public host: a name, an IPv4 address, or an IPv6 address in brackets. None: the address it is bound to.
    pub advertise_host: Option<String>,
    /// Public port. None: the port it is bound to.
    pub advertise_port: Option<u16>,
    /// Further host names that mean us, lower case.
    pub aliases: Vec<String>,
    /// Its own trusted peers, where given.
    pub trusted_peers: Option<Vec<Network>>,
    /// `nat = "auto"`.
    pub nat: bool,
}

/// One socket that takes HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpBind {
    /// Where; port 0: any free one.
    pub address: SocketAddr,
    /// What is served there.
    pub serves: Vec<Serves>,
    /// By TLS; none: as everybody can read it.
    pub secure: Option<Secure>,
}

/// By which table a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secure {
    /// `[tls]`, whose certificate and key are there.
    General,
    /// A table of its own.
    Own(Box<Tls>),
}

/// A table like `[tls]`. Its files are named, not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate that is shown, and its key.
    pub pair: Option<Pair>,
    /// Who signs peers; none: whom the system believes.
    pub ca: Option<Named>,
    /// Who has to show a certificate.
    pub verify_client: VerifyClient,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// With who signed it.
    pub certificate: Named,
    /// Its key.
    pub key: Named,
}

/// A file, and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Relative ones already count from the configuration file's own folder.
    pub path: PathBuf,
    pub(crate) at: Problem,
}

impl Named {
    /// Something that is wrong with it.
    pub fn problem(&self, message: impl Into<String>, severity: Severity) -> Problem {
        Problem {
            message: message.into(),
            severity,
            ..self.at.clone()
        }
    }
}

/// `verify_client`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyClient {
    /// Nobody is asked.
    #[default]
    None,
    /// Who has one.
    Optional,
    /// Everybody.
    Required,
}

/// What an HTTP listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Serves {
    /// `/healthz`, `/readyz`.
    Health,
    /// Users' documents.
    Xcap,
    /// What operators ask and order; only where nobody from another machine reaches any listener.
    Api,
    /// Counters and gauges; as the API.
    Metrics,
}

/// What this process is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Event state compositor and notifier (RFC 3856, RFC 3903).
    PresenceServer,
    /// Users' documents (RFC 4825); spoken to by HTTP.
    Xdms,
}

impl Role {
    /// As written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PresenceServer => "presence-server",
            Self::Xdms => "xdms",
        }
    }
}

/// `[durability]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// What an acknowledged record survives.
    pub commit: Commit,
    /// Least microseconds between two syncs when busy.
    pub commit_gather_us: u32,
}

/// What an acknowledged record survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Power loss.
    Fsync,
    /// A crash of the process.
    Os,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// From which level on.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
    /// Whether users are named.
    pub identities: Identities,
    /// `TIDINGS_LOG`, which goes before `level`.
    pub filter: Option<String>,
}

/// `[log] level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Somebody must wake up.
    Error,
    /// Somebody should look tomorrow.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
}

impl LogLevel {
    /// As written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// A line for people.
    Text,
    /// An object a line.
    Json,
}

/// `[log] identities`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identities {
    /// As they are.
    Full,
    /// By a keyed hash.
    Hashed,
}
