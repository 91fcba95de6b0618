//! Rules by lists of other users and of everybody, on a server with several shards: real processes and sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use running::{Server, run, tidings};
use serde_json::Value;

const CONFIGURATION: &str = "domains = [\"a.net\"]\ndata = \"data\"\n[node]\nthreads = 4\n\
    [listen]\nsip = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\nhttp = [\"http://127.0.0.1:0\"]\n\
    [identity]\nfrom_is_identity = true\n[presence]\ndefault_handling = \"confirm\"\nnotify_interval_ms_min = 0\n";

const RULES: &str = "pres-rules/users/sip:alice@a.net/index";

const GLOBAL: &str = "resource-lists/global/index";

/// Of four shards hers is one; that all of these have the same is as likely as 1 to 4 096.
const OWNERS: [&str; 6] = ["bob", "carol", "dave", "erin", "frank", "grace"];

struct World {
    folder: tempfile::TempDir,
    server: Server,
}

/// A watcher, told line by line.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn next(&mut self) -> String {
        let line = self.lines.next().expect("another line").unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        value["state"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl World {
    fn start(folder: tempfile::TempDir) -> Self {
        let server = Server::start(folder.path());
        Self { folder, server }
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), CONFIGURATION).unwrap();
        let world = Self::start(folder);
        let publish = ["publish", "alice@a.net", "--once", "--note", "hi"];
        assert_eq!(world.run(&publish).0, 0);
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn root(&self) -> String {
        format!("http://{}/xcap-root", self.server.http)
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let root = self.root();
        let server = ["--server", &self.server.sip, "--xcap-root", &root];
        run(self.path(), &[arguments, &server].concat())
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.path().join("x.xml"), text).unwrap();
        let (code, _, said) = self.run(&["xcap", "put", path, "x.xml"]);
        assert_eq!(code, 0, "{said}");
    }

    /// What whoever may open the data folder asks for.
    fn as_operator(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = UnixStream::connect(self.path().join("data/admin.sock")).unwrap();
        write!(
            socket,
            "{method} /xcap-root/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/resource-lists+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// By whoever is in one of these lists is seen everything.
    fn rules_by(&self, lists: &[&str]) {
        let root = self.root();
        let entry = |list: &&str| format!("<o:entry anc=\"{root}/{list}\"/>");
        let entries: String = lists.iter().map(entry).collect();
        self.put(
            RULES,
            &format!(
                "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\" \
                 xmlns:o=\"urn:oma:xml:xdm:common-policy\"><cp:rule id=\"x\"><cp:conditions><o:external-list>{entries}\
                 </o:external-list></cp:conditions><cp:actions><sub-handling>allow</sub-handling></cp:actions>\
                 <cp:transformations><provide-services><all-services/></provide-services><provide-all-attributes/>\
                 </cp:transformations></cp:rule></cp:ruleset>"
            ),
        );
    }

    fn explain(&self, watcher: &str) -> String {
        let explain = ["rules", "explain", watcher, "--as", "alice@a.net"];
        self.run(&explain).1
    }

    fn watch(&self, watcher: &str) -> Watching {
        let root = self.root();
        let server = ["--server", &self.server.sip, "--xcap-root", &root];
        let watch = ["watch", "alice@a.net", "--json", "--as", watcher];
        let mut child = tidings(self.path(), &[&watch[..], &server].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watching { child, lines }
    }
}

fn path_of(owner: &str) -> String {
    format!("resource-lists/users/sip:{owner}@a.net/index")
}

fn list(users: &[&str]) -> String {
    let entry = |user: &&str| format!("<entry uri=\"sip:{user}@a.net\"/>");
    let entries: String = users.iter().map(entry).collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"f\">{entries}</list></resource-lists>"
    )
}

#[test]
fn a_list_of_another_user_decides_and_decides_again_wherever_she_is_kept() {
    let mut world = World::new();
    let paths: Vec<String> = OWNERS.iter().map(|owner| path_of(owner)).collect();
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    world.rules_by(&all);
    let mut watching = world.watch("w@a.net");
    assert_eq!(watching.next(), "pending");
    for path in &all {
        world.put(path, &list(&["w"]));
        assert_eq!(watching.next(), "active", "{path}");
        let said = world.explain("w@a.net");
        let owner = path.split('/').nth(2).unwrap();
        assert!(said.contains(&format!("of {owner}")), "{said}");
        let (code, _, said) = world.run(&["xcap", "delete", path]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(watching.next(), "pending", "{path}");
    }
    assert!(world.explain("w@a.net").contains("there is no such list"));
    drop(watching);
    // They are known before anybody is decided about, also after a kill.
    for path in &all {
        world.put(path, &list(&["w"]));
    }
    let World { folder, server } = world;
    drop(server);
    world = World::start(folder);
    let mut watching = world.watch("w@a.net");
    assert_eq!(watching.next(), "active");
    for path in &all[1..] {
        world.put(path, &list(&[]));
    }
    world.put(all[0], &list(&["x"]));
    assert_eq!(watching.next(), "pending");
}

#[test]
fn everybodys_list_is_written_by_the_operator_alone() {
    let world = World::new();
    world.rules_by(&[GLOBAL]);
    let mut watching = world.watch("w@a.net");
    assert_eq!(watching.next(), "pending");
    let text = list(&["w"]);
    fs::write(world.path().join("x.xml"), &text).unwrap();
    let (code, _, said) = world.run(&["xcap", "put", GLOBAL, "x.xml"]);
    assert!(code == 3 && said.contains("403"), "{said}");
    let answer = world.as_operator("PUT", GLOBAL, &text);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(watching.next(), "active");
    assert!(world.explain("w@a.net").contains("everybody's"));
    // Everybody reads it.
    assert_eq!(world.run(&["xcap", "get", GLOBAL]).0, 0);
    let answer = world.as_operator("PUT", &path_of("bob"), &text);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = world.as_operator("DELETE", GLOBAL, "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(watching.next(), "pending");
}
