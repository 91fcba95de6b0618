//! What a good configuration means, and what the rest of the crate makes of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use configuration::{Configuration, Origin, Overrides, Reading, read, read_text};
use machine::settings::{Handling, Profile, Transport};
use proptest::prelude::*;
use sip::digest::{Algorithm, ha1};

fn good(text: &str) -> Configuration {
    let reading = reading(text);
    assert!(reading.warnings.is_empty(), "{}", reading.warnings);
    reading.configuration
}

fn reading(text: &str) -> Reading {
    match read_text(
        Path::new("folder/tidings.toml"),
        text,
        &Overrides::default(),
    ) {
        Ok(reading) => reading,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn one_line_is_a_configuration_and_the_rest_is_default() {
    let configuration = good("domains = [\"Example.com\"]");
    assert_eq!(configuration.data, PathBuf::from("folder/tidings-data"));
    let listeners: Vec<String> = configuration
        .settings
        .listeners
        .iter()
        .map(|listener| {
            format!(
                "{} {} {}:{}",
                listener.transport.name(),
                listener.bound,
                listener.advertise_host,
                listener.advertise_port
            )
        })
        .collect();
    assert_eq!(
        listeners,
        [
            "UDP 127.0.0.1:5060 127.0.0.1:5060",
            "TCP 127.0.0.1:5060 127.0.0.1:5060"
        ]
    );
    let domain = &configuration.settings.domains[0];
    assert_eq!(
        (domain.name.as_str(), &domain.presence),
        ("example.com", &machine::settings::Presence::default())
    );
    assert_eq!(configuration.settings.limits, machine::Limits::default());
    assert!(!configuration.settings.identity.from_is_identity);
    assert!(
        configuration
            .entries
            .iter()
            .all(|entry| entry.origin == Origin::Default || entry.key == "domains")
    );
}

#[test]
fn every_built_key_is_taken() {
    let configuration = good(EVERY_KEY);
    let settings = &configuration.settings;
    assert_eq!(configuration.data, PathBuf::from("/var/lib/tidings"));
    assert_eq!(
        (
            configuration.node_name.as_deref(),
            configuration.threads,
            configuration.drain_seconds_max
        ),
        (Some("presence1"), 3, 20)
    );
    let [udp, tcp, other] = settings.listeners.as_slice() else {
        panic!("three listeners")
    };
    assert_eq!(
        (
            udp.transport,
            udp.advertise_host.as_str(),
            udp.advertise_port,
            udp.nat
        ),
        (Transport::Udp, "ps.home1.net", 5070, true)
    );
    assert_eq!(
        (tcp.transport, tcp.bound.to_string()),
        (Transport::Tcp, "[2001:db8::5]:5070".to_owned())
    );
    assert_eq!(
        (
            other.advertise_host.as_str(),
            other.advertise_port,
            other.nat
        ),
        ("[2001:db8::9]", 5080, false)
    );
    assert_eq!(other.aliases, ["sip.home1.net"]);
    assert_eq!(other.trusted_peers.as_ref().map(Vec::len), Some(0));
}

#[test]
fn every_built_key_of_users_and_domains_is_taken() {
    let settings = good(EVERY_KEY).settings;
    let identity = &settings.identity;
    assert!(identity.trusted_peers[0].contains("10.0.0.77".parse().unwrap()));
    assert!(!identity.trusted_peers[0].contains("10.0.1.1".parse().unwrap()));
    let alice = "sip:alice@home1.net";
    for name in [alice, "tel:+15551234", "sip:al@home1.net"] {
        assert_eq!(
            identity.aliases.get(name).map(String::as_str),
            Some(alice),
            "{name}"
        );
    }
    let [home1, home2] = settings.domains.as_slice() else {
        panic!("two domains")
    };
    assert_eq!(home1.aliases, ["203.0.113.9"]);
    assert_eq!(
        (
            home1.presence.default_handling,
            home2.presence.default_handling
        ),
        (Handling::Block, Handling::PoliteBlock)
    );
    assert_eq!(home2.presence.profile, Profile::Rfc6665);
    // The default of pending_body goes with the profile of each domain.
    assert_eq!(
        (
            home1.presence.pending_body_is_empty,
            home2.presence.pending_body_is_empty
        ),
        (false, true)
    );
    assert_eq!(
        (
            home1.presence.publish_expires_seconds.min,
            home2.presence.publish_expires_seconds.max
        ),
        (10, 7200)
    );
    assert!(home1.presence.presentities_listed_only && home1.presence.unknown_presentity_is_404);
    assert_eq!(
        home1.presence.publish_by_others[0].presentities,
        "@home2.net"
    );
    assert_eq!(settings.hosts["border.home1.net"].len(), 2);
    assert_eq!(
        (
            settings.path_mtu,
            settings.limits.publications_per_user_max,
            settings.limits.memory_bytes_max
        ),
        (1500, 7, 1 << 33)
    );
}

const EVERY_KEY: &str = r#"
domains = ["home1.net", "home2.net"]
data = "/var/lib/tidings"
[node]
name = "presence1"
threads = 3
drain_seconds_max = 20
[listen]
advertise = "ps.home1.net"
sip = ["udp://10.0.0.5:5070", { bind = ["tcp://[2001:db8::5]:5070"], role = "presence-server" },
  { bind = "udp://[::]:5080", advertise = "[2001:DB8::9]", aliases = ["SIP.home1.net"], trusted_peers = [], nat = "off" }]
http = [{ bind = "http://127.0.0.1", serves = ["health"] }]
[identity]
trusted_peers = ["10.0.0.0/24", "2001:db8::/32", "192.0.2.1"]
users = [{ aor = "sip:alice@home1.net", aliases = ["tel:+1-555-1234", "sip:al@home1.net"] }]
[presence]
profile = "rfc6665"
default_handling = "polite-block"
publish_expires_seconds = { min = 10, max = 7200 }
subscribe_expires_seconds = { min = 5, default = 6, max = 7 }
notify_interval_ms_min = 100
presentities = "listed"
unknown_presentity = "404"
publish_by_others = [{ source = "sip:as@home2.net", presentities = "@home2.net" }]
third_party_register = "ignore"
[routing]
hosts = { "border.home1.net" = ["tcp://10.0.9.1:5060", "udp://10.0.9.2"] }
[domain."home1.net"]
aliases = ["203.0.113.9"]
presence = { default_handling = "block", profile = "oma-1.0" }
[durability]
commit = "os"
commit_gather_us = 10
[transport]
path_mtu = 1500
[log]
level = "debug"
format = "json"
identities = "hashed"
[limits]
publications_per_user_max = 7
memory_bytes_max = 8_589_934_592
"#;

#[test]
fn what_is_printed_means_the_same_again() {
    for text in ["domains = [\"example.com\"]", EVERY_KEY] {
        let first = good(text);
        // Roles written out warn of xdms.
        let again = reading(&first.print()).configuration;
        assert!(
            again.changes(&reading(&again.print()).configuration)
                == configuration::Changes::default()
        );
        assert_eq!(
            format!("{:?}", first.settings),
            format!("{:?}", again.settings)
        );
        assert_eq!(
            (first.sip, first.http, first.durability, first.log),
            (again.sip, again.http, again.durability, again.log)
        );
    }
}

#[test]
fn print_names_default_origin_and_answer() {
    let printed = good("domains = [\"example.com\"]\n[limits]\nbody_bytes_max = 2048\n").print();
    let line = |key: &str| {
        printed
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
            .to_owned()
    };
    let body = line("limits.body_bytes_max");
    assert!(body.starts_with("limits.body_bytes_max = 2048 "), "{body}");
    assert!(body.ends_with("# folder/tidings.toml:3; default 65536; One body of SIP. 64 KiB holds 100 tuples. Beyond it: 413."), "{body}");
    assert!(line("presence.profile").ends_with("# default"), "{printed}");
    assert!(line("# node.name").contains("the host's name"), "{printed}");
}

#[test]
fn the_demo_lets_anybody_on_this_machine() {
    let Ok(Reading {
        configuration,
        warnings,
    }) = read(None, &Overrides::default())
    else {
        panic!("the demo is bad")
    };
    assert!(warnings.is_empty() && configuration.is_demo() && configuration.is_loopback_only());
    let domain = &configuration.settings.domains[0];
    assert_eq!(
        (
            domain.name.as_str(),
            domain.presence.default_handling,
            domain.presence.notify_interval_ms_min
        ),
        ("example.com", Handling::Allow, 0)
    );
    assert_eq!(
        (
            domain.presence.publish_expires_seconds.min,
            domain.presence.subscribe_expires_seconds.min
        ),
        (1, 1)
    );
    assert!(configuration.settings.identity.from_is_identity);
}

#[test]
fn flags_move_the_demo_and_only_the_demo() {
    let overrides = |sip: &str| Overrides {
        sip: Some(sip.to_owned()),
        data: Some((
            PathBuf::from("elsewhere"),
            Origin::Flag("--data".to_owned()),
        )),
        ..Overrides::default()
    };
    let moved = read(None, &overrides("[::1]:0")).unwrap().configuration;
    assert_eq!(
        (moved.sip[0].address.to_string(), moved.data),
        ("[::1]:0".to_owned(), PathBuf::from("elsewhere"))
    );
    let said = |sip: &str| read(None, &overrides(sip)).unwrap_err().to_string();
    assert_eq!(
        said("0.0.0.0:5060"),
        "--sip: 0.0.0.0:5060 is beyond loopback, and the demo lets anybody act as anybody; for a real one: tidings init tidings.toml"
    );
    assert_eq!(
        said("host:1"),
        "--sip: \"host\" is not an address of this machine; write it like 127.0.0.1:5060"
    );
    let file = read_text(
        Path::new("t.toml"),
        "domains = [\"a.net\"]",
        &overrides("127.0.0.1:5070"),
    )
    .unwrap_err();
    assert_eq!(
        file.to_string(),
        "--sip: moves the demo only, and there is a configuration file; write there, under [listen]: sip = [\"udp://127.0.0.1:5070\"]"
    );
}

#[test]
fn what_init_writes_is_good_and_means_what_it_says() {
    for domain in ["example.com", "Home1.NET"] {
        let text = configuration::initial(domain).unwrap();
        let configuration = good(&text);
        assert_eq!(
            configuration.settings.domains[0].name,
            domain.to_ascii_lowercase()
        );
        // The commented lines are good as well.
        let active = text
            .replace("# [[identity.users]]\n# aor", "[[identity.users]]\naor")
            .replace("# aliases", "aliases")
            .replace("# password", "password");
        assert_ne!(active, text);
        let identity = good(&active).settings.identity;
        assert_eq!(identity.aliases.len(), 2);
        assert_eq!(identity.digest.unwrap().users.len(), 1);
    }
    assert_eq!(
        configuration::initial("sip:a.net").unwrap_err(),
        "\"sip:a.net\": a host name has no scheme: \"a.net\""
    );
}

#[test]
fn a_reload_says_what_it_takes_and_what_waits() {
    let before = good("domains = [\"a.net\"]\n[presence]\nprofile = \"oma-1.0\"\n");
    let after = good(
        "domains = [\"a.net\", \"b.net\"]\ndata = \"other\"\n[node]\nthreads = 2\n[domain.\"b.net\"]\naliases = [\"c.net\"]\n[limits]\nxml_depth_max = 16\n",
    );
    let changes = before.changes(&after);
    assert_eq!(
        changes.taken,
        [
            "domain.\"b.net\".aliases",
            "domains",
            "limits.xml_depth_max"
        ]
    );
    assert_eq!(changes.waiting, ["data", "node.threads"]);
}

#[test]
fn users_come_from_a_file_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (main, users) = (
        folder.path().join("tidings.toml"),
        folder.path().join("users.toml"),
    );
    fs::write(
        &main,
        "domains = [\"a.net\"]\n[identity]\nusers_file = \"users.toml\"\n",
    )
    .unwrap();
    fs::write(&users, "[[users]]\naor = \"sip:alice@a.net\"\n").unwrap();
    let first = read(Some(&main), &Overrides::default())
        .unwrap()
        .configuration;
    assert!(
        first
            .settings
            .identity
            .aliases
            .contains_key("sip:alice@a.net")
    );
    fs::write(&users, "[[users]]\naor = \"sip:bob@a.net\"\n").unwrap();
    let second = read(Some(&main), &Overrides::default())
        .unwrap()
        .configuration;
    assert_eq!(first.changes(&second).taken, ["identity.users_file"]);

    fs::write(
        &users,
        "[[users]]\naor = \"sip:bob@a.net\"\npassword = \"x\"\nnick = 1\n",
    )
    .unwrap();
    fs::set_permissions(&users, fs::Permissions::from_mode(0o644)).unwrap();
    let problems = read(Some(&main), &Overrides::default())
        .unwrap_err()
        .to_string();
    let name = users.display();
    assert_eq!(
        problems,
        format!(
            "{name}:3:12: users[0].password: a secret that everybody on this machine may read; run: chmod 600 {name}\n\
             {name}:4:1: users[0].nick: no such key; users[0] has aor, aliases, password, username, ha1_sha256, ha1_md5"
        )
    );
}

#[test]
fn users_prove_who_they_are_by_their_realms_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let text = |password: &str| {
        format!(
            "domains = [\"a.net\", \"b.net\"]\n[identity]\ndigest_algorithms = [\"MD5\", \"SHA-256\"]\n\
             users = [{{ aor = \"sip:alice@a.net\", password = \"{password}\", aliases = [\"tel:+1\"] }},\n\
             {{ aor = \"sip:bob@b.net\", username = \"bob@ims\", ha1_md5 = \"{}\" }}]\n\
             [domain.\"b.net\"]\nrealm = \"B\"\n",
            "AB".repeat(16)
        )
    };
    let read = |password: &str| {
        fs::write(&path, text(password)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        read(Some(&path), &Overrides::default())
            .unwrap()
            .configuration
    };
    let first = read("secret");
    let digest = first.settings.identity.digest.clone().unwrap();
    assert_eq!(digest.algorithms, [Algorithm::Md5, Algorithm::Sha256]);
    assert_eq!(
        (digest.realm("a.net"), digest.realm("b.net")),
        ("a.net", "B")
    );
    for name in ["alice", "alice@a.net", "sip:alice@a.net"] {
        let user = digest.user("a.net", name).unwrap();
        assert_eq!(user.aor, "sip:alice@a.net");
        let expected = ha1(Algorithm::Sha256, name, "a.net", "secret");
        assert_eq!(user.ha1(Algorithm::Sha256), Some(&*expected));
    }
    let bob = digest.user("B", "bob@ims").unwrap();
    assert_eq!(bob.ha1(Algorithm::Md5), Some(&*"ab".repeat(16)));
    assert_eq!(
        (bob.ha1(Algorithm::Sha256), digest.user("B", "bob")),
        (None, None)
    );
    assert!(!first.print().contains("secret"), "{}", first.print());
    // A password that changed is a change, though nobody is shown it.
    assert_eq!(first.changes(&read("other")).taken, ["identity.users"]);
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let said = || {
        read(Some(&path), &Overrides::default())
            .unwrap_err()
            .to_string()
    };
    let name = path.display();
    assert_eq!(
        said(),
        format!("{name}: no such file; write one: tidings init {name}")
    );
    fs::write(&path, b"domains = [\"a.net\"]\n# caf\xe9\n").unwrap();
    assert_eq!(said(), format!("{name}:2:6: not UTF-8; TOML files are"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(said().starts_with(&format!("{name}: can't be read: ")));
}

#[test]
fn commands_find_the_data_folder_of_a_file_that_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    fs::write(&path, "data = \"d\"\nno_such = 1\n").unwrap();
    assert_eq!(
        configuration::data_folder(Some(&path)),
        Some(folder.path().join("d"))
    );
    assert_eq!(
        configuration::data_folder(None),
        Some(PathBuf::from("tidings-data"))
    );
}

const NAMES: &[&str] = &[
    "domains",
    "data",
    "roles",
    "node",
    "listen",
    "sip",
    "http",
    "bind",
    "identity",
    "users",
    "aor",
    "aliases",
    "presence",
    "domain",
    "\"a.net\"",
    "publish_expires_seconds",
    "min",
    "default",
    "max",
    "routing",
    "hosts",
    "limits",
    "body_bytes_max",
    "advertise",
    "trusted_peers",
    "publish_by_others",
    "source",
    "presentities",
    "\"\"",
    "\"é\\u0000\"",
];

const VALUES: &[&str] = &[
    "1",
    "-1",
    "0x7fffffffffffffff",
    "99999999999999999999999999",
    "1.5",
    "true",
    "2020-01-01",
    "\"\"",
    "\"a.net\"",
    "\"udp://[::1]:5060\"",
    "\"udp://:\"",
    "\"http://[\"",
    "\"10.0.0.0/8\"",
    "\"::/999\"",
    "\"sip:a@a.net\"",
    "\"@\"",
    "\"%\"",
    "\"]:[\"",
    "\"é://ü:1\"",
    "[]",
    "[[[]]]",
    "{}",
    "{ bind = [\"udp://0.0.0.0\"] }",
    "[{ aor = \"sip:%zz@a.net\" }]",
    "{ min = 3, max = 1 }",
    "[\"a.net\", 1]",
];

/// Text made of what configurations are made of, so that it often gets past the parser.
fn toml_like() -> impl Strategy<Value = String> {
    let names = prop::sample::select(NAMES.to_vec());
    let value = prop::sample::select(VALUES.to_vec());
    let line = (prop::collection::vec(names.clone(), 1..3), value)
        .prop_map(|(path, value)| format!("{} = {value}\n", path.join(".")));
    let header = (prop::collection::vec(names, 1..3), any::<bool>()).prop_map(|(path, list)| {
        if list {
            format!("[[{}]]\n", path.join("."))
        } else {
            format!("[{}]\n", path.join("."))
        }
    });
    prop::collection::vec(prop_oneof![4 => line, 1 => header], 0..12)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_breaks_the_reader(text in prop_oneof![3 => toml_like(), 1 => "\\PC{0,80}", 1 => prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter)]) {
        match read_text(Path::new("t.toml"), &text, &Overrides::default()) {
            Ok(reading) => prop_assert!(!reading.warnings.has_errors() && !reading.configuration.settings.domains.is_empty()),
            Err(problems) => {
                prop_assert!(problems.has_errors());
                let lines = text.split('\n').count() as u32;
                prop_assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line) && problem.column >= 1), "{problems}");
            }
        }
    }
}
