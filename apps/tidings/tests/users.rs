//! Users of the store and what they prove, as an operator and her users meet them: real processes and sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use std::fs;

use running::{Server, run};
use serde_json::Value;

const CONFIGURATION: &str = "domains = [\"a.net\"]\nroles = [\"presence-server\", \"xdms\"]\ndata = \"data\"\n\
    [listen]\nsip = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\nhttp = [\"http://127.0.0.1:0\"]\n\
    [presence]\ndefault_handling = \"allow\"\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.toml"), CONFIGURATION).unwrap();
    fs::write(folder.path().join("secret"), "s3cret word\n").unwrap();
    fs::write(folder.path().join("guess"), "guess\n").unwrap();
    folder
}

const SECRET: [&str; 2] = ["--password-file", "secret"];
const GUESS: [&str; 2] = ["--password-file", "guess"];

fn with<'a>(start: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [start, rest].concat()
}

#[test]
fn who_was_added_publishes_and_watches_and_nobody_else() {
    let folder = folder();
    let folder = folder.path();
    let server = Server::start(folder);
    let admin = ["--config", "t.toml"];
    let publish = [
        "publish",
        "alice@a.net",
        "--once",
        "--note",
        "hi",
        "--server",
        &server.sip,
    ];
    let (code, _, told) = run(folder, &publish);
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("401 Unauthorized: it wants a password"),
        "{told}"
    );
    for user in ["alice@a.net", "bob@a.net"] {
        let added = run(
            folder,
            &with(&with(&["user", "add", user], &SECRET), &admin),
        );
        assert_eq!(added, (0, format!("sip:{user}: added\n"), String::new()));
    }
    let (code, tag, told) = run(folder, &with(&publish, &SECRET));
    assert_eq!((code, tag.is_empty()), (0, false), "{told}");
    let (code, _, told) = run(folder, &with(&publish, &GUESS));
    assert_eq!(code, 3, "{told}");
    // Any of her names will do; her password is not another's.
    let fetch = [
        "fetch",
        "alice@a.net",
        "--as",
        "bob@a.net",
        "--server",
        &server.sip,
        "--trace",
    ];
    let (code, document, told) = run(
        folder,
        &with(&with(&fetch, &SECRET), &["--user", "bob@a.net"]),
    );
    assert_eq!(code, 0, "{told}");
    assert!(document.contains("hi"), "{document}");
    assert!(
        told.contains("Authorization: (hidden)") && !told.contains("response="),
        "{told}"
    );
    let (code, _, told) = run(folder, &with(&with(&fetch, &SECRET), &["--user", "alice"]));
    assert!(code == 3 && told.contains("403"), "{told}");
    let log = fs::read_to_string(&server.log).unwrap();
    let secrets = ["s3cret", "guess", "response="];
    assert!(!secrets.iter().any(|secret| log.contains(secret)), "{log}");
}

#[test]
fn a_password_that_changes_holds_from_the_next_request_on() {
    let folder = folder();
    let folder = folder.path();
    let server = Server::start(folder);
    let admin = ["--config", "t.toml"];
    let user = |deed, rest: &[&str]| {
        run(
            folder,
            &with(&with(&["user", deed, "bob@a.net"], rest), &admin),
        )
        .0
    };
    assert_eq!(user("add", &SECRET), 0);
    let fetch = [
        "fetch",
        "alice@a.net",
        "--as",
        "bob@a.net",
        "--server",
        &server.sip,
    ];
    assert_eq!(run(folder, &with(&fetch, &SECRET)).0, 0);
    assert_eq!(user("passwd", &GUESS), 0);
    assert_eq!(run(folder, &with(&fetch, &SECRET)).0, 3, "the old password");
    assert_eq!(run(folder, &with(&fetch, &GUESS)).0, 0);
    assert_eq!(user("remove", &[]), 0);
    assert_eq!(run(folder, &with(&fetch, &GUESS)).0, 3);
}

#[test]
fn users_and_documents_survive_a_kill() {
    let folder = folder();
    let folder = folder.path();
    let server = Server::start(folder);
    let added = run(
        folder,
        &with(
            &[
                "user",
                "add",
                "alice@a.net",
                "--config",
                "t.toml",
                "--alias",
                "+15551234",
            ],
            &SECRET,
        ),
    );
    assert_eq!(added.0, 0, "{added:?}");
    let root = format!("http://{}/xcap-root", server.http);
    let path = "resource-lists/users/sip:alice@a.net/index";
    let list = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"friends\"/></resource-lists>";
    fs::write(folder.join("list.xml"), list).unwrap();
    let put = [
        "xcap",
        "put",
        path,
        "list.xml",
        "--as",
        "alice@a.net",
        "--xcap-root",
        &root,
    ];
    let (code, _, told) = run(folder, &put);
    assert_eq!(code, 3, "{told}");
    let (code, _, told) = run(folder, &with(&put, &SECRET));
    assert_eq!(code, 0, "{told}");
    drop(server);
    let server = Server::start(folder);
    let root = format!("http://{}/xcap-root", server.http);
    let get = [
        "xcap",
        "get",
        path,
        "--as",
        "alice@a.net",
        "--xcap-root",
        &root,
    ];
    let (code, document, told) = run(folder, &with(&get, &SECRET));
    assert_eq!((code, document.trim()), (0, list), "{told}");
    let (_, users, _) = run(folder, &["user", "list", "--json", "--config", "t.toml"]);
    let users: Value = serde_json::from_str(&users).unwrap();
    assert_eq!(users["users"][0]["aliases"][0], "tel:+15551234");
    assert!(!users.to_string().contains("ha1"), "{users}");
}

#[test]
fn a_backup_is_taken_while_the_server_runs_and_put_back_while_it_does_not() {
    let folder = folder();
    let folder = folder.path();
    let server = Server::start(folder);
    let added = run(
        folder,
        &with(
            &["user", "add", "alice@a.net", "--config", "t.toml"],
            &SECRET,
        ),
    );
    assert_eq!(added.0, 0, "{added:?}");
    let (code, told, _) = run(folder, &["store", "backup", "copy", "--data", "data"]);
    assert!(code == 0 && told.contains("1 users"), "{told}");
    assert_eq!(
        run(folder, &["store", "backup", "copy", "--data", "data"]).0,
        1
    );
    let (code, _, told) = run(
        folder,
        &["store", "restore", "copy", "--data", "data", "--replace"],
    );
    assert!(code == 5 && told.contains("in use"), "{told}");
    drop(server);
    assert_eq!(
        run(folder, &["store", "restore", "copy", "--data", "data"]).0,
        1
    );
    assert_eq!(
        run(folder, &["store", "restore", "copy", "--data", "new"]).0,
        0
    );
    assert_eq!(run(folder, &["store", "verify", "--data", "new"]).0, 0);
    let (_, users, _) = run(folder, &["user", "list", "--data", "new"]);
    assert!(users.starts_with("sip:alice@a.net\talice "), "{users}");
    fs::write(folder.join("new/documents.sqlite3"), "no database at all").unwrap();
    assert_eq!(run(folder, &["store", "verify", "--data", "new"]).0, 5);
}

/// What is wrong, its exit code, and words of what is said.
const WRONG: &[(&[&str], i32, &str)] = &[
    (
        &[
            "user",
            "passwd",
            "bob@a.net",
            "--password-file",
            "secret",
            "--data",
            "stopped",
        ],
        3,
        "no user of the store",
    ),
    (
        &["user", "remove", "bob@a.net", "--data", "stopped"],
        3,
        "no user of the store",
    ),
    (
        &["user", "add", "bob", "--data", "stopped"],
        2,
        "'bob' is no address",
    ),
    (
        &[
            "user",
            "add",
            "+1555",
            "--password-file",
            "secret",
            "--data",
            "stopped",
        ],
        2,
        "--config FILE",
    ),
    (
        &[
            "user",
            "add",
            "bob@b.net",
            "--password-file",
            "secret",
            "--data",
            "stopped",
            "--config",
            "t.toml",
        ],
        2,
        "not of a domain that is served; a.net is",
    ),
    (
        &[
            "user",
            "add",
            "bob@a.net",
            "--password-file",
            "none",
            "--data",
            "stopped",
        ],
        2,
        "none: No such file",
    ),
    (
        &["user", "add", "bob@a.net", "--data", "stopped"],
        2,
        "--password-file FILE",
    ),
    (&["user", "list", "--config", "t.toml"], 4, "--data DIR"),
    (
        &["store", "verify", "--data", "nowhere"],
        2,
        "no such folder",
    ),
    (
        &["store", "backup", "copy", "--data", "nowhere"],
        1,
        "nowhere",
    ),
    (
        &[
            "store",
            "restore",
            "nowhere",
            "--data",
            "stopped",
            "--replace",
        ],
        1,
        "nowhere",
    ),
];

#[test]
fn without_a_server_the_folder_is_worked_on() {
    let folder = folder();
    let folder = folder.path();
    let data = ["--data", "stopped"];
    let add = |user| run(folder, &with(&with(&["user", "add", user], &SECRET), &data));
    assert_eq!(add("alice@a.net").0, 0);
    let (code, _, told) = add("alice@a.net");
    assert!(code == 3 && told.contains("tidings user passwd"), "{told}");
    for (arguments, code, words) in WRONG {
        let (found, _, told) = run(folder, arguments);
        assert_eq!(found, *code, "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    let (_, users, _) = run(folder, &with(&["user", "list"], &data));
    assert_eq!(users.lines().count(), 1, "{users}");
}

#[test]
fn what_hash_prints_is_an_entry_of_a_users_file() {
    let folder = folder();
    let folder = folder.path();
    let (code, entry, told) = run(
        folder,
        &with(
            &["user", "hash", "alice@a.net", "--config", "t.toml"],
            &SECRET,
        ),
    );
    assert_eq!(code, 0, "{told}");
    assert!(!entry.contains("s3cret"), "{entry}");
    fs::write(folder.join("users.toml"), entry).unwrap();
    let secret = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("users.toml"), secret).unwrap();
    fs::write(
        folder.join("t.toml"),
        format!("{CONFIGURATION}[identity]\nusers_file = \"users.toml\"\n"),
    )
    .unwrap();
    let server = Server::start(folder);
    let publish = ["publish", "alice@a.net", "--once", "--server", &server.sip];
    let (code, _, told) = run(folder, &with(&publish, &SECRET));
    assert_eq!(code, 0, "{told}");
    // The entry of the file wins: the store takes no user of that name.
    let (code, _, told) = run(
        folder,
        &with(
            &["user", "add", "alice@a.net", "--config", "t.toml"],
            &GUESS,
        ),
    );
    assert!(
        code == 3 && told.contains("the configuration, whose entry wins"),
        "{told}"
    );
}
