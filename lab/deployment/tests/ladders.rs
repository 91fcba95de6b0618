//! `serve --trace-ladder FILE`: a live server is drawn while it runs, and once more when it stops.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use deployment::{Deadline, Over, Server, ServerOptions};
use ladder::{Room, What};

fn drawing(folder: &Path, file: &str) -> ServerOptions {
    let mut options = ServerOptions::default();
    let file = folder.join(file).display().to_string();
    options.arguments = vec!["--trace-ladder".to_owned(), file];
    options
}

/// One watcher, one publication; the server is stopped.
fn a_short_life(server: &mut Server, over: Over) {
    let mut watcher = server.watcher(over, "bob", "alice");
    watcher.subscribe(3600);
    let mut source = server.source(over, "alice", "desk");
    source.publish(3600, "at lunch");
    watcher.sees("at lunch");
}

/// The chip of the first line with these words.
fn chip<'t>(text: &'t str, words: &str) -> &'t str {
    let line = text.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no {words} in\n{text}"));
    let (_, rest) = line
        .split_once('[')
        .unwrap_or_else(|| panic!("no cause in {line}"));
    rest.split(']').next().unwrap_or_default()
}

#[test]
fn a_live_server_is_drawn_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(drawing(folder.path(), "ladder.txt"));
    a_short_life(&mut server, Over::Udp4);
    let file = folder.path().join("ladder.txt");
    // It is not stopped yet, and the file says it all.
    let deadline = Deadline::default();
    let mut probe = server.peer(Over::Udp4);
    let text = loop {
        let text = fs::read_to_string(&file).unwrap();
        if text.contains("NOTIFY ") && text.contains("open \"at lunch\", active") {
            break text;
        }
        assert!(deadline.left().is_some(), "it was never drawn:\n{text}");
        probe.assert_silent(Duration::from_millis(20), |_| false);
    };
    assert!(text.starts_with("tidings "), "{text}");
    for name in ["server", "alice 127.0.0.1:", "bob 127.0.0.1:"] {
        assert!(
            text.lines().nth(2).unwrap_or_default().contains(name),
            "{text}"
        );
    }
    // One cause leads from the PUBLISH to its NOTIFY.
    let publish = chip(&text, "-- PUBLISH");
    let stored = chip(&text, "publication.stored, alice@example.com, initial");
    let notify = chip(&text, "open \"at lunch\", active;");
    assert_eq!((publish, notify), (stored, stored), "{text}");
    server.terminate();
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing but the picture is left");
}

#[test]
fn the_name_of_the_file_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(drawing(folder.path(), "ladder.svg"));
    a_short_life(&mut server, Over::Tcp4);
    server.terminate();
    let svg = fs::read_to_string(folder.path().join("ladder.svg")).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.contains(">PUBLISH</text>"),
        "{svg}"
    );

    server.options().arguments = drawing(folder.path(), "ladder.jsonl").arguments;
    server.restart();
    let peer = &mut server.peer(Over::Udp4);
    let request = peer
        .request("OPTIONS", "sip:example.com", "sip:carol@example.com")
        .with(
            "Authorization",
            "Digest username=\"carol\", response=\"secret\"",
        );
    peer.exchange(&request);
    server.terminate();
    let text = fs::read_to_string(folder.path().join("ladder.jsonl")).unwrap();
    assert!(
        text.contains("(hidden)") && !text.contains("secret"),
        "{text}"
    );
    let trace = ladder::read(&text, Room::default()).unwrap();
    let messages = trace
        .entries()
        .filter(|entry| matches!(entry.what, What::Message { .. }));
    assert_eq!(messages.count(), 2, "a request and its answer:\n{text}");
    assert!(trace.text().contains("-- OPTIONS"), "{}", trace.text());
}
