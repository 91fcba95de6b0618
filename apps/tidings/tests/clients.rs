//! `publish`, `watch` and `fetch` as a person runs them, against a server of a few lines: what is printed, and the exit code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sip::{Message, Name, response_to};

/// The server's side: one socket, and what the last request said.
struct Peer {
    socket: UdpSocket,
    client: Option<SocketAddr>,
    cseq: u32,
}

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self {
            socket,
            client: None,
            cseq: 0,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command
            .args(arguments)
            .args(["--server", &self.socket.local_addr().unwrap().to_string()]);
        command
            .env("TZ", "UTC0")
            .env("NO_COLOR", "1")
            .env_remove("TIDINGS_SERVER")
            .env_remove("TIDINGS_AS");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// The next message of the client; retransmissions of requests answered before can't come on loopback.
    fn next(&mut self) -> String {
        let mut buffer = [0; 65_536];
        let (length, from) = self
            .socket
            .recv_from(&mut buffer)
            .expect("the client says something");
        self.client = Some(from);
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.client.unwrap()).unwrap();
    }

    fn answer(&self, request: &str, status: u16, fields: &[(&str, &str)]) {
        let request = Message::parse(request.as_bytes()).unwrap();
        let mut out = Vec::new();
        let mut writer = response_to(&mut out, &request, status, "", Some("t"), self.client);
        for (name, value) in fields {
            writer.named(name, value);
        }
        writer.end(0);
        self.send(&out);
    }

    /// Sends a NOTIFY in the dialog of this SUBSCRIBE and sees it answered by 200.
    fn notify(&mut self, subscribe: &str, state: &str, body: &str) {
        self.cseq += 1;
        let subscribe = Message::parse(subscribe.as_bytes()).unwrap();
        let event = subscribe.header_text(Name::Event).unwrap();
        let kind = match (body.is_empty(), event) {
            (true, _) => "",
            (_, "presence.winfo") => "Content-Type: application/watcherinfo+xml\r\n",
            _ => "Content-Type: application/pidf+xml\r\n",
        };
        let to = subscribe.to().unwrap().uri;
        let local = self.socket.local_addr().unwrap();
        let notify = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{};rport\r\nMax-Forwards: 70\r\nFrom: <{to}>;tag=t\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {} NOTIFY\r\nContact: <sip:{local}>\r\nEvent: {event}\r\n\
             Subscription-State: {state}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            subscribe.contact().unwrap().unwrap().uri,
            self.cseq,
            subscribe.from().unwrap().text(),
            subscribe.call_id().unwrap(),
            self.cseq,
            body.len(),
        );
        self.send(notify.as_bytes());
        assert!(self.next().starts_with("SIP/2.0 200 "));
    }
}

fn pidf(basic: &str, note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\"><tuple id=\"t\"><status>\
         <basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )
}

fn field(message: &str, name: Name) -> String {
    let message = Message::parse(message.as_bytes()).unwrap();
    message.header_text(name).unwrap_or_default().to_owned()
}

fn body(message: &str) -> String {
    message.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn signal(name: &str, child: &Child) {
    let kill = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

fn end(child: Child) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// A row without its time, which must be one.
fn row(line: &str) -> String {
    let (row, time) = line.rsplit_once("  ").unwrap();
    assert_eq!(time.trim().len(), 8, "{line}");
    assert_eq!(time.matches(':').count(), 2, "{line}");
    row.split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" | ")
}

#[test]
fn watch_shows_each_change_once_and_why_it_ended() {
    let mut peer = Peer::new();
    let child = peer.start(&["watch", "alice@example.com", "--as", "bob@example.com"]);
    let subscribe = peer.next();
    peer.answer(&subscribe, 202, &[("Expires", "3600")]);
    peer.notify(&subscribe, "pending;expires=3600", "");
    peer.notify(&subscribe, "active;expires=3599", &pidf("open", "at lunch"));
    peer.notify(&subscribe, "active;expires=3000", &pidf("open", "at lunch"));
    peer.notify(
        &subscribe,
        "active;expires=2000",
        &pidf("closed", "\u{9b}2J\nback &amp; gone"),
    );
    peer.notify(&subscribe, "terminated;reason=rejected", "");
    let (code, stdout, stderr) = end(child);
    let rows: Vec<String> = stdout.lines().map(row).collect();
    assert_eq!(
        rows,
        [
            "alice@example.com | pending | not decided yet, 60 min",
            "alice@example.com | open | at lunch | active, 59 min",
            "alice@example.com | closed | \u{fffd}2J back & gone | changed",
            "alice@example.com | ended | rejected",
        ],
        "{stdout}"
    );
    assert_eq!(
        (code, stderr.as_str()),
        (
            Some(3),
            "alice@example.com: the server ended it: rejected\n"
        )
    );
}

#[test]
fn watch_as_json_is_an_object_a_line() {
    let mut peer = Peer::new();
    let child = peer.start(&[
        "watch",
        "alice@example.com",
        "--as",
        "bob@example.com",
        "--json",
        "--count",
        "2",
    ]);
    let subscribe = peer.next();
    peer.answer(&subscribe, 200, &[("Expires", "60")]);
    peer.notify(&subscribe, "active;expires=60", &pidf("open", "one"));
    peer.notify(&subscribe, "active;expires=60", &pidf("closed", "two"));
    let last = peer.next();
    assert_eq!(
        field(&last, Name::Expires),
        "0",
        "two changes were asked for"
    );
    peer.answer(&last, 200, &[("Expires", "0")]);
    peer.notify(&subscribe, "terminated;reason=timeout", "");
    let (code, stdout, _) = end(child);
    let objects: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(code, Some(0));
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["aor"], "sip:alice@example.com");
    assert_eq!(objects[0]["state"], "active");
    assert_eq!(objects[0]["expires_seconds"], 60);
    assert_eq!(objects[1]["basic"], "closed");
    assert_eq!(objects[1]["notes"][0]["text"], "two");
    assert_eq!(objects[1]["document"], pidf("closed", "two"));
}

fn watchers(version: u32, status: &str, event: &str) -> String {
    format!(
        "<watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"{version}\" state=\"full\"><watcher-list \
         resource=\"sip:alice@example.com\" package=\"presence\"><watcher id=\"7\" status=\"{status}\" event=\"{event}\" \
         display-name=\"Bob\">sip:bob@example.com</watcher></watcher-list></watcherinfo>"
    )
}

#[test]
fn watch_winfo_shows_who_asks_a_line_a_change() {
    for json in [false, true] {
        let mut peer = Peer::new();
        let mut arguments = vec!["watch", "--winfo", "alice@example.com", "--count", "2"];
        arguments.extend(json.then_some("--json"));
        let child = peer.start(&arguments);
        let subscribe = peer.next();
        assert_eq!(field(&subscribe, Name::Event), "presence.winfo");
        assert!(field(&subscribe, Name::From).starts_with("<sip:alice@example.com>"));
        peer.answer(&subscribe, 200, &[("Expires", "60")]);
        let state = "active;expires=60";
        peer.notify(&subscribe, state, &watchers(0, "pending", "subscribe"));
        peer.notify(&subscribe, state, &watchers(1, "pending", "subscribe"));
        peer.notify(&subscribe, state, &watchers(2, "active", "approved"));
        let last = peer.next();
        assert_eq!(field(&last, Name::Expires), "0");
        peer.answer(&last, 200, &[("Expires", "0")]);
        peer.notify(&subscribe, "terminated;reason=timeout", "");
        let (code, stdout, _) = end(child);
        assert_eq!(code, Some(0));
        if json {
            let objects: Vec<serde_json::Value> = stdout
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(objects.len(), 2);
            assert_eq!(objects[0]["aor"], "sip:alice@example.com");
            assert_eq!(objects[0]["watcher"], "sip:bob@example.com");
            assert_eq!(objects[0]["display_name"], "Bob");
            assert_eq!(objects[1]["status"], "active");
            assert_eq!(objects[1]["event"], "approved");
        } else {
            let lines: Vec<String> = stdout.lines().map(row).collect();
            let [first, second] = lines.as_slice() else {
                panic!("{stdout}");
            };
            assert_eq!(first, "bob@example.com | Bob | pending | subscribe");
            assert_eq!(second, "bob@example.com | Bob | active | approved");
        }
    }
}

#[test]
fn an_interrupt_ends_the_subscription() {
    let mut peer = Peer::new();
    let child = peer.start(&["watch", "alice@example.com", "--as", "bob@example.com"]);
    let subscribe = peer.next();
    peer.answer(&subscribe, 200, &[("Expires", "60")]);
    peer.notify(&subscribe, "active;expires=60", &pidf("open", "one"));
    signal("-TERM", &child);
    let last = peer.next();
    assert_eq!(
        (field(&last, Name::Expires), field(&last, Name::CSeq)),
        ("0".to_owned(), "2 SUBSCRIBE".to_owned())
    );
    peer.answer(&last, 200, &[("Expires", "0")]);
    peer.notify(&subscribe, "terminated;reason=timeout", "");
    let (code, stdout, stderr) = end(child);
    assert_eq!(
        (code, stdout.lines().count(), stderr.as_str()),
        (Some(0), 1, "")
    );
}

#[test]
fn fetch_prints_the_document_and_says_by_its_exit_code_what_it_is_worth() {
    let document = pidf("open", "here");
    for (status, state, body, code) in [
        (200, "terminated;reason=timeout", document.as_str(), 0),
        (202, "terminated;reason=timeout", document.as_str(), 3),
        (200, "pending", "", 3),
        (200, "terminated;reason=rejected", "", 3),
    ] {
        let mut peer = Peer::new();
        let child = peer.start(&["fetch", "alice@example.com", "--as", "bob@example.com"]);
        let subscribe = peer.next();
        assert_eq!(field(&subscribe, Name::Expires), "0");
        // The NOTIFY first, as it may come.
        peer.notify(&subscribe, state, body);
        peer.answer(&subscribe, status, &[("Expires", "0")]);
        let (exit, stdout, stderr) = end(child);
        assert_eq!(exit, Some(code), "{status} {state}: {stderr}");
        assert_eq!(stdout.trim_end(), body);
        assert_eq!(stderr.is_empty(), code == 0, "{stderr}");
    }
}

#[test]
fn refusals_are_told_in_words() {
    for (status, words) in [
        (401, "refused: 401 Unauthorized: it wants a password"),
        (403, "refused: 403 Forbidden"),
        (404, "refused: 404 Not Found: it knows no such user"),
        (489, "refused: 489 Bad Event: it knows no presence"),
    ] {
        let mut peer = Peer::new();
        let child = peer.start(&["fetch", "alice@example.com", "--as", "bob@example.com"]);
        let subscribe = peer.next();
        peer.answer(&subscribe, status, &[]);
        let (code, stdout, stderr) = end(child);
        assert_eq!((code, stdout.as_str()), (Some(3), ""));
        assert!(
            stderr.starts_with(&format!("alice@example.com: {words}")),
            "{stderr}"
        );
    }
}

#[test]
fn publish_follows_what_is_typed_and_removes_at_the_end() {
    let mut peer = Peer::new();
    let mut child = peer.start(&[
        "publish",
        "alice@example.com",
        "--note",
        "at lunch",
        "--expires",
        "10",
    ]);
    let initial = peer.next();
    assert_eq!(field(&initial, Name::SipIfMatch), "");
    assert!(
        body(&initial).contains("at lunch") && body(&initial).contains("<basic>open</basic>"),
        "{initial}"
    );
    peer.answer(&initial, 423, &[("Min-Expires", "60")]);
    let longer = peer.next();
    assert_eq!(field(&longer, Name::Expires), "60");
    peer.answer(&longer, 200, &[("Expires", "60"), ("SIP-ETag", "t1")]);
    let mut talk = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = talk.next().unwrap().unwrap();
    assert!(
        said.starts_with("alice@example.com: open, at lunch; published for 60 s at a time ("),
        "{said}"
    );

    let mut typed = child.stdin.take().unwrap();
    typed.write_all(b"nonsense\nclosed back at 3\n").unwrap();
    let modify = peer.next();
    assert_eq!(field(&modify, Name::SipIfMatch), "t1");
    assert!(
        body(&modify).contains("back at 3") && body(&modify).contains("<basic>closed</basic>"),
        "{modify}"
    );
    assert!(
        talk.next()
            .unwrap()
            .unwrap()
            .starts_with("'nonsense' says nothing; ")
    );
    // The server has forgotten everything: the whole state, without a tag.
    peer.answer(&modify, 412, &[]);
    let anew = peer.next();
    assert_eq!(
        (field(&anew, Name::SipIfMatch), body(&anew)),
        (String::new(), body(&modify))
    );
    peer.answer(&anew, 200, &[("Expires", "60"), ("SIP-ETag", "t2")]);
    let said = talk.next().unwrap().unwrap();
    assert!(
        said.starts_with("alice@example.com: closed, back at 3"),
        "{said}"
    );

    signal("-INT", &child);
    let remove = peer.next();
    assert_eq!(
        (
            field(&remove, Name::SipIfMatch),
            field(&remove, Name::Expires)
        ),
        ("t2".to_owned(), "0".to_owned())
    );
    peer.answer(&remove, 200, &[("Expires", "0"), ("SIP-ETag", "t3")]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(typed);
}

#[test]
fn publish_once_prints_the_tag_and_a_tag_changes_or_removes() {
    let mut peer = Peer::new();
    let child = peer.start(&[
        "publish",
        "alice@example.com",
        "--once",
        "--activity",
        "meeting",
    ]);
    let initial = peer.next();
    assert!(body(&initial).contains("meeting"));
    peer.answer(&initial, 200, &[("Expires", "3600"), ("SIP-ETag", "t1")]);
    assert_eq!(end(child), (Some(0), "t1\n".to_owned(), String::new()));

    let child = peer.start(&["publish", "alice@example.com", "--once", "--if-match", "t1"]);
    let refresh = peer.next();
    assert_eq!(
        (field(&refresh, Name::SipIfMatch), body(&refresh)),
        ("t1".to_owned(), String::new())
    );
    peer.answer(&refresh, 200, &[("Expires", "3600"), ("SIP-ETag", "t2")]);
    assert_eq!(end(child), (Some(0), "t2\n".to_owned(), String::new()));

    let child = peer.start(&[
        "publish",
        "alice@example.com",
        "--if-match",
        "t1",
        "--remove",
    ]);
    let remove = peer.next();
    assert_eq!(
        (
            field(&remove, Name::SipIfMatch),
            field(&remove, Name::Expires)
        ),
        ("t1".to_owned(), "0".to_owned())
    );
    peer.answer(&remove, 412, &[]);
    let (code, _, stderr) = end(child);
    assert_eq!(code, Some(3));
    assert!(
        stderr.contains("412") && stderr.contains("no publication has that entity-tag"),
        "{stderr}"
    );
}

#[test]
fn wrong_usage_is_named_before_anything_is_sent() {
    let peer = Peer::new();
    let alice = "alice@example.com";
    for (arguments, words) in [
        (&["watch", alice][..], "--as AOR is missing"),
        (
            &["fetch", "alice", "--as", "bob@example.com"],
            "'alice' is no address",
        ),
        (
            &["watch", alice, "--as", "bob"],
            "--as: 'bob' is no address",
        ),
        (
            &["watch", alice, "--as", "bob@example.com", "--partial"],
            "--partial: not built yet",
        ),
        (
            &["publish", alice, "--register"],
            "--register: not built yet",
        ),
        (
            &["publish", alice, "--password-file", "x"],
            "x: No such file",
        ),
        (&["publish", alice, "--remove"], "--if-match"),
        (
            &["publish", alice, "--if-match", "a b"],
            "that is no entity-tag",
        ),
        (
            &["publish", alice, "--pidf", "/nonexistent.xml"],
            "--pidf /nonexistent.xml: ",
        ),
        (&["publish", alice, "--expires", "0"], "--expires"),
    ] {
        let (code, stdout, stderr) = end(peer.start(arguments));
        assert_eq!(
            (code, stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
