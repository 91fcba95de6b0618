//! Every key there is, built or not: name, kind, default, meaning. One table, read by the walk that checks a file, by
//! `check --print` and by the advice for names that don't exist.

/// A key of a table.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// Taken over by a restart only.
    pub(crate) restart: bool,
    /// As TOML, or in words where it depends on something; empty where there is none.
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

/// How far a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Built,
    NotBuilt,
    /// The name is kept for what is not decided yet.
    Reserved,
}

/// What a key's value may be.
pub(crate) enum Kind {
    Text,
    Flag,
    Number {
        min: i128,
        max: i128,
    },
    /// One of these words; the second says whether it is built.
    Choice(&'static [(&'static str, bool)]),
    List(&'static Kind),
    /// One, or a list of them.
    OneOrMore(&'static Kind),
    Table(&'static [Key]),
    /// The short form, a string, or the long one.
    TextOrTable(&'static [Key]),
    /// Any name, one kind of value.
    Map(&'static Kind),
    /// Any name, one kind of table.
    Tables(&'static [Key]),
}

const TEXTS: Kind = Kind::List(&Kind::Text);

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key {
        name,
        kind,
        state: State::Built,
        restart: false,
        default,
        about,
    }
}

/// For a restart only.
const fn fixed(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key {
        restart: true,
        ..key(name, kind, default, about)
    }
}

const fn later(name: &'static str, kind: Kind) -> Key {
    Key {
        state: State::NotBuilt,
        ..key(name, kind, "", "")
    }
}

const fn reserved(name: &'static str) -> Key {
    Key {
        state: State::Reserved,
        ..key(name, Kind::Text, "", "")
    }
}

const fn number(min: i128, max: i128) -> Kind {
    Kind::Number { min, max }
}

/// A bound of `limits.rs`: its default, arithmetic and answer stand there and nowhere else.
const fn bound(name: &'static str, min: i128, max: i128) -> Key {
    key(name, number(min, max), "", "")
}

/// The whole file.
pub(crate) const ROOT: &[Key] = &[
    key(
        "domains",
        TEXTS,
        "",
        "users served here; the first is meant by our own addresses in a Request-URI and by tel: numbers",
    ),
    fixed(
        "data",
        Kind::Text,
        "\"tidings-data\"",
        "the embedded store's folder; one process at a time",
    ),
    fixed(
        "roles",
        Kind::List(&ROLE),
        "[\"presence-server\", \"xdms\"]",
        "what listeners without `role` play",
    ),
    key("node", Kind::Table(NODE), "", ""),
    key("listen", Kind::Table(LISTEN), "", ""),
    key("tls", Kind::Table(TLS), "", ""),
    key("identity", Kind::Table(IDENTITY), "", ""),
    key("presence", Kind::Table(PRESENCE), "", ""),
    key("xdms", Kind::Table(XDMS), "", ""),
    later("p-cscf", Kind::Table(P_CSCF)),
    later("i-cscf", Kind::Table(I_CSCF)),
    later("s-cscf", Kind::Table(S_CSCF)),
    key("routing", Kind::Table(ROUTING), "", ""),
    key("domain", Kind::Tables(DOMAIN), "", ""),
    later("admin", Kind::Table(ADMIN)),
    key("durability", Kind::Table(DURABILITY), "", ""),
    key("transport", Kind::Table(TRANSPORT), "", ""),
    key("log", Kind::Table(LOG), "", ""),
    later("telemetry", Kind::Table(TELEMETRY)),
    key("limits", Kind::Table(LIMITS), "", ""),
    reserved("rls"),
    reserved("cluster"),
    reserved("store"),
];

pub(crate) const ROLE: Kind = Kind::Choice(&[
    ("presence-server", true),
    ("xdms", true),
    ("rls", false),
    ("s-cscf", false),
    ("p-cscf", false),
    ("i-cscf", false),
]);

const NODE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "the host's name",
        "in logs, metrics, HEP",
    ),
    fixed(
        "threads",
        number(0, 256),
        "0",
        "shards; 0: one per core this process may use",
    ),
    key(
        "drain_seconds_max",
        number(1, 3600),
        "8",
        "SIGTERM to exit, below a container's 10 s",
    ),
];

const LISTEN: &[Key] = &[
    fixed(
        "advertise",
        Kind::Text,
        "none",
        "public HOST[:PORT] for Via and Contact where a listener has none",
    ),
    fixed(
        "sip",
        Kind::List(&Kind::TextOrTable(SIP)),
        "[\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\"]",
        "where SIP is spoken",
    ),
    fixed(
        "http",
        Kind::List(&Kind::TextOrTable(HTTP)),
        "[\"http://127.0.0.1:8080\"]",
        "where HTTP is spoken",
    ),
];

const SIP: &[Key] = &[
    key("bind", Kind::OneOrMore(&Kind::Text), "", ""),
    key("role", ROLE, "", ""),
    key("advertise", Kind::Text, "", ""),
    key("aliases", TEXTS, "", ""),
    later("domains", TEXTS),
    key("trusted_peers", TEXTS, "", ""),
    later("tls", Kind::Table(TLS)),
    later("origins", TEXTS),
    key(
        "nat",
        Kind::Choice(&[("auto", true), ("off", true)]),
        "\"auto\"",
        "",
    ),
    reserved("proxy_protocol"),
];

const HTTP: &[Key] = &[
    key("bind", Kind::OneOrMore(&Kind::Text), "", ""),
    key("serves", Kind::List(&SERVES), "", ""),
    key("tls", Kind::Table(TLS), "", ""),
    reserved("proxy_protocol"),
];

const SERVES: Kind = Kind::Choice(&[
    ("health", true),
    ("xcap", true),
    ("api", true),
    ("metrics", true),
    ("console", false),
]);

const TLS: &[Key] = &[
    key(
        "certificate",
        Kind::Text,
        "none",
        "PEM file: our certificate, then who signed it; looked at each minute and at reload",
    ),
    key("key", Kind::Text, "none", "PEM file: its key"),
    key(
        "ca",
        Kind::Text,
        "the system's",
        "PEM file: who signs peers",
    ),
    key(
        "verify_client",
        Kind::Choice(&[("none", true), ("optional", true), ("required", true)]),
        "\"none\"",
        "who connects shows a certificate that one of `ca` signed: none | optional | required",
    ),
];

const IDENTITY: &[Key] = &[
    key(
        "trusted_peers",
        TEXTS,
        "[]",
        "addresses and networks whose P-Asserted-Identity is believed and to whom ours goes",
    ),
    key(
        "from_is_identity",
        Kind::Flag,
        "false",
        "true: believe From; only where every listener is on loopback",
    ),
    key(
        "digest_algorithms",
        Kind::List(&Kind::Choice(&[("SHA-256", true), ("MD5", true)])),
        "[\"SHA-256\", \"MD5\"]",
        "offered in this order to who has to prove who she is (RFC 8760)",
    ),
    key(
        "users",
        Kind::List(&Kind::Table(USER)),
        "[]",
        "who is known here, by which other addresses, and by which password",
    ),
    key(
        "users_file",
        Kind::Text,
        "none",
        "a file with the same as [[users]]",
    ),
];

const USER: &[Key] = &[
    key("aor", Kind::Text, "", ""),
    key("aliases", TEXTS, "", ""),
    key("password", Kind::Text, "", ""),
    key("username", Kind::Text, "", ""),
    key("ha1_sha256", Kind::Text, "", ""),
    key("ha1_md5", Kind::Text, "", ""),
];

/// What a `users_file` holds.
pub(crate) const USERS_FILE: &[Key] = &[key("users", Kind::List(&Kind::Table(USER)), "", "")];

pub(crate) const PRESENCE: &[Key] = &[
    key(
        "profile",
        Kind::Choice(&[("oma-1.0", true), ("rfc6665", true)]),
        "\"oma-1.0\"",
        "\"oma-1.0\": 202 whenever the decision is confirm, fetches included; \"rfc6665\": always 200",
    ),
    key(
        "default_handling",
        Kind::Choice(&[
            ("allow", true),
            ("confirm", true),
            ("polite-block", true),
            ("block", true),
        ]),
        "\"confirm\"",
        "when no rule matches the watcher: allow | confirm | polite-block | block",
    ),
    key(
        "publish_expires_seconds",
        Kind::Table(EXPIRES),
        "{ min = 60, default = 3600, max = 86400 }",
        "lifetime of a publication",
    ),
    key(
        "subscribe_expires_seconds",
        Kind::Table(EXPIRES),
        "{ min = 60, default = 3600, max = 86400 }",
        "lifetime of a subscription",
    ),
    key(
        "notify_interval_ms_min",
        number(0, 3_600_000),
        "5000",
        "least time between two NOTIFYs of one subscription (RFC 3856 §6.10)",
    ),
    key(
        "presentities",
        Kind::Choice(&[("any", true), ("listed", true)]),
        "\"any\"",
        "\"any\": every user of `domains`; \"listed\": users only",
    ),
    key(
        "unknown_presentity",
        Kind::Choice(&[("neutral", true), ("404", true)]),
        "\"neutral\"",
        "nothing ever published: \"neutral\" document, or \"404\"",
    ),
    key(
        "pending_body",
        Kind::Choice(&[("neutral", true), ("empty", true)]),
        "\"neutral\" under oma-1.0, \"empty\" under rfc6665",
        "what a pending watcher's NOTIFY carries",
    ),
    key(
        "publish_by_others",
        Kind::List(&Kind::Table(PUBLISH_BY_OTHER)),
        "[]",
        "who else may publish for whom",
    ),
    later("offline_after_flow_loss_seconds", number(0, 86_400)),
    key(
        "third_party_register",
        Kind::Choice(&[("ignore", true), ("source", false)]),
        "\"ignore\"",
        "what an S-CSCF's third-party REGISTER does",
    ),
];

const EXPIRES: &[Key] = &[
    key("min", number(1, 31_536_000), "60", ""),
    key("default", number(1, 31_536_000), "3600", ""),
    key("max", number(1, 31_536_000), "86400", ""),
];

const PUBLISH_BY_OTHER: &[Key] = &[
    key("source", Kind::Text, "", ""),
    key("presentities", Kind::Text, "", ""),
];

const XDMS: &[Key] = &[fixed(
    "roots",
    TEXTS,
    "[\"/xcap-root\"]",
    "URLs or paths below which documents are; the first is handed out",
)];
const P_CSCF: &[Key] = &[key("strip_towards_ue", Kind::Flag, "", "")];
const I_CSCF: &[Key] = &[key("s_cscfs", TEXTS, "", "")];

const S_CSCF: &[Key] = &[
    key("registration_expires_seconds", Kind::Table(EXPIRES), "", ""),
    key("filters", Kind::List(&Kind::Table(FILTER)), "", ""),
    reserved("cx"),
];

const FILTER: &[Key] = &[
    key("priority", number(0, i32::MAX as i128), "", ""),
    key("methods", TEXTS, "", ""),
    key("events", TEXTS, "", ""),
    key("session", TEXTS, "", ""),
    key("headers", Kind::Map(&Kind::Text), "", ""),
    key("server", Kind::Text, "", ""),
    key(
        "when_unreachable",
        Kind::Choice(&[("continue", true), ("end", true)]),
        "",
        "",
    ),
];

const ROUTING: &[Key] = &[
    later("routes", Kind::List(&Kind::Table(ROUTE))),
    key(
        "hosts",
        Kind::Map(&Kind::OneOrMore(&Kind::Text)),
        "{}",
        "where a host is, in order of preference, before DNS",
    ),
    later("dns_servers", TEXTS),
    later("avoid_failed_seconds", number(0, 86_400)),
];

const ROUTE: &[Key] = &[
    key("domain", Kind::Text, "", ""),
    key("via", Kind::Text, "", ""),
    key("role", ROLE, "", ""),
];

/// `[domain."…"]`.
pub(crate) const DOMAIN: &[Key] = &[
    key("aliases", TEXTS, "[]", "other hosts that mean this domain"),
    key(
        "realm",
        Kind::Text,
        "the domain",
        "which password is asked for",
    ),
    key(
        "certificate",
        Kind::Text,
        "[tls]'s",
        "shown to who asks for this domain, or for a host that it is for",
    ),
    key("key", Kind::Text, "[tls]'s", "its key"),
    later("users_max", number(0, u32::MAX as i128)),
    key(
        "presence",
        Kind::Table(PRESENCE),
        "{}",
        "[presence] as it differs for this domain",
    ),
];

const ADMIN: &[Key] = &[key("tokens", Kind::List(&Kind::Table(TOKEN)), "", "")];

const TOKEN: &[Key] = &[
    key("name", Kind::Text, "", ""),
    key("token_file", Kind::Text, "", ""),
    key(
        "access",
        Kind::Choice(&[("read", true), ("write", true)]),
        "",
        "",
    ),
    key("domains", TEXTS, "", ""),
];

const DURABILITY: &[Key] = &[
    fixed(
        "commit",
        Kind::Choice(&[("fsync", true), ("os", true)]),
        "\"fsync\"",
        "\"fsync\": survives power loss; \"os\": survives a crash of the process",
    ),
    fixed(
        "commit_gather_us",
        number(0, 10_000),
        "500",
        "least time between two syncs when busy; longer: less CPU a record, that much more latency",
    ),
];

const TRANSPORT: &[Key] = &[
    key(
        "path_mtu",
        number(0, 65_535),
        "0",
        "0: unknown, requests over 1300 bytes go by TCP (RFC 3261 §18.1.1); else the limit is path_mtu - 200",
    ),
    later("own_port_per_shard", Kind::Flag),
    later("pad_notify", Kind::Flag),
];

const LOG: &[Key] = &[
    key(
        "level",
        Kind::Choice(&[
            ("error", true),
            ("warn", true),
            ("info", true),
            ("debug", true),
        ]),
        "\"info\"",
        "from which level on",
    ),
    fixed(
        "format",
        Kind::Choice(&[("auto", true), ("text", true), ("json", true)]),
        "\"auto\"",
        "auto: text on a terminal, else json",
    ),
    key(
        "identities",
        Kind::Choice(&[("full", true), ("hashed", true)]),
        "\"full\"",
        "whether users are named in logs",
    ),
];

const TELEMETRY: &[Key] = &[
    key("otlp", Kind::Text, "", ""),
    key("hep", Kind::Text, "", ""),
    key("hep_id", number(0, u32::MAX as i128), "", ""),
];

/// `[limits]`; the built ones are the fields of `machine::Limits`.
pub(crate) const LIMITS: &[Key] = &[
    bound("publications_per_user_max", 1, 100_000),
    later("bindings_per_user_max", number(1, 100_000)),
    bound("subscriptions_per_presentity_max", 1, 100_000_000),
    bound("subscriptions_per_watcher_max", 1, 100_000_000),
    bound("body_bytes_max", 1024, 16_777_216),
    bound("head_bytes_max", 4096, 1_048_576),
    bound("document_bytes_max", 1024, 16_777_216),
    bound("documents_per_user_max", 1, 1_000_000),
    bound("xml_depth_max", 8, 256),
    bound("xml_nodes_max", 64, 1_048_576),
    bound("list_entries_max", 1, 1_000_000),
    bound("lists_of_others_max", 0, 10_000_000),
    bound("view_bytes_max", 1024, 16_777_216),
    bound("watchers_per_document_max", 1, 100_000),
    bound("waiting_seconds_max", 1, 31_536_000),
    bound("waiting_per_presentity_max", 1, 1_000_000),
    bound("waiting_max", 1, 100_000_000),
    bound("transactions_max", 1000, 100_000_000),
    bound("unanswered_per_hop_max", 1, 1_000_000),
    bound("requests_per_second_per_source_max", 1, 10_000_000),
    bound("auth_failures_per_minute_per_source_max", 1, 1_000_000),
    bound("connections_per_source_max", 1, 1_000_000),
    bound("connection_queue_bytes_max", 65_536, 1_073_741_824),
    bound("memory_bytes_max", 0, 1 << 50),
];

/// Every key in full, without those inside lists, for the advice on names that don't exist.
pub(crate) fn every_path() -> Vec<String> {
    fn add(keys: &[Key], path: &str, out: &mut Vec<String>) {
        for key in keys {
            let path = crate::document::join(path, key.name);
            match key.kind {
                Kind::Table(keys) => {
                    out.push(path.clone());
                    add(keys, &path, out);
                }
                _ => out.push(path),
            }
        }
    }
    let mut out = Vec::new();
    add(ROOT, "", &mut out);
    out
}
