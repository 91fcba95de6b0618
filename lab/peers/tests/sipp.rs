//! SIPp as source and as watcher, over UDP and TCP.

use deployment::{Over, Server};
use peers::Sipp;
use peers::program::is_there;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

/// Each scenario runs as several calls at once: what one call does must not show in another.
const CALLS: u32 = 5;

#[test]
fn a_source_publishes_refreshes_modifies_and_removes() {
    if !is_there("sipp", "a_source_publishes_refreshes_modifies_and_removes") {
        return;
    }
    let server = Server::start(());
    for over in Over::ALL {
        Sipp::start("publish", &server, over, CALLS, ALICE, BOB).passes();
    }
}

#[test]
fn a_watcher_subscribes_refreshes_and_ends() {
    if !is_there("sipp", "a_watcher_subscribes_refreshes_and_ends") {
        return;
    }
    let server = Server::start(());
    for over in Over::ALL {
        Sipp::start("subscribe", &server, over, CALLS, ALICE, BOB).passes();
    }
}

#[test]
fn a_fetch_gives_what_was_published() {
    if !is_there("sipp", "a_fetch_gives_what_was_published") {
        return;
    }
    let server = Server::start(());
    // Before anything is published the scenario must not pass: its checks of the body can fail.
    Sipp::start("fetch", &server, Over::Udp4, 1, ALICE, BOB).fails();
    Sipp::start("publish_once", &server, Over::Tcp4, 1, ALICE, BOB).passes();
    for over in Over::ALL {
        Sipp::start("fetch", &server, over, CALLS, ALICE, BOB).passes();
    }
}

/// ```text
///   SIPp (5 watchers)        presence server         SIPp (source)
///      |---- SUBSCRIBE ----------->|                       |
///      |<--- NOTIFY closed --------|                       |
///      |                           |<--- PUBLISH open -----|
///      |<--- NOTIFY open ----------|                       |
///      |                           |<--- PUBLISH closed ---|
///      |<--- NOTIFY closed --------|                       |
///      |                           |<--- PUBLISH, gone ----|
///      |<--- NOTIFY closed --------|                       |
/// ```
#[test]
fn watchers_see_what_a_source_does() {
    if !is_there("sipp", "watchers_see_what_a_source_does") {
        return;
    }
    let server = Server::start(());
    for (watching, publishing) in [
        (Over::Udp4, Over::Tcp4),
        (Over::Tcp4, Over::Udp4),
        (Over::Udp6, Over::Udp4),
    ] {
        let mut watchers = Sipp::start("watch", &server, watching, CALLS, ALICE, BOB);
        watchers.says("watching", CALLS);
        Sipp::start("publish_and_change", &server, publishing, 1, ALICE, BOB).passes();
        watchers.passes();
    }
}
