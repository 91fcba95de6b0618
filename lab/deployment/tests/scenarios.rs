//! Every call flow against the real binary, over UDP and TCP, IPv4 and IPv6: the same descriptions that the simulator runs, judged alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::net::SocketAddr;

use deployment::{Over, Server};
use scenario::{Flow, Handling, Profile, Sockets, Transport, builtin, run};

/// A server as the flow needs it.
fn server(flow: &Flow) -> Server {
    let handling = match flow.needs.watchers {
        Handling::Allow => "allow",
        Handling::Confirm => "confirm",
        Handling::PoliteBlock => "polite-block",
        Handling::Block => "block",
    };
    let (publish, subscribe) = (
        flow.needs.publish_seconds_min,
        flow.needs.subscribe_seconds_min,
    );
    let changes = format!(
        "roles = ['presence-server', 'xdms']\n[presence]\ndefault_handling = '{handling}'\npublish_expires_seconds.min = {publish}\nsubscribe_expires_seconds.min = {subscribe}\n"
    );
    let profile = match flow.needs.profile {
        Profile::Oma10 => "",
        Profile::Rfc6665 => "profile = 'rfc6665'\n",
    };
    let waiting = flow.needs.waiting_seconds;
    let waiting = waiting.map_or_else(String::new, |seconds| {
        format!("[limits]\nwaiting_seconds_max = {seconds}\n")
    });
    // Whoever asks for a document is who a trusted peer says she is.
    let documents = "[identity]\ntrusted_peers = ['127.0.0.1']\n[[listen.http]]\nbind = 'http://127.0.0.1:0'\nserves = ['health', 'xcap']\n";
    let longest = flow
        .needs
        .publish_seconds_max
        .map_or_else(String::new, |max| {
            format!(
                "publish_expires_seconds.max = {max}\npublish_expires_seconds.default = {max}\n"
            )
        });
    Server::start(format!("{changes}{longest}{profile}{waiting}{documents}").as_str())
}

#[track_caller]
fn holds(id: &str) {
    let flows = builtin().unwrap_or_else(|problem| panic!("{problem}"));
    let flow = flows
        .iter()
        .find(|flow| flow.id == id)
        .unwrap_or_else(|| panic!("no flow {id}"));
    let server = server(flow);
    let documents = server.http_address();
    // All at once, each with users of its own: what takes seconds takes them once.
    let follow = |over: Over, address: SocketAddr| {
        let transport = match over {
            Over::Udp4 | Over::Udp6 => Transport::Udp,
            Over::Tcp4 | Over::Tcp6 => Transport::Tcp,
        };
        let identities = move |user: &str| format!("sip:{user}-{over:?}@example.com");
        let sockets = Sockets::open(flow, address, transport, identities);
        let sockets = sockets.unwrap_or_else(|why| panic!("{over:?}: {why}"));
        let mut sockets = sockets.with_documents(documents, "/xcap-root");
        let done = run(flow, &mut sockets);
        done.map_err(|failure| format!("{over:?}: {failure}"))
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let runs = Over::ALL.map(|over| {
            let address = server.address(over);
            scope.spawn(move || follow(over, address))
        });
        let done = runs.into_iter().map(|run| run.join().expect("a run"));
        done.filter_map(Result::err).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn m0100_several_sources() {
    holds("PS-1.0-int-M-0100");
}

#[test]
fn m0100_sources_that_chose_the_same_id() {
    holds("PS-1.0-int-M-0100-same-id");
}

#[test]
fn m0110_less_is_granted_than_asked_for() {
    holds("PS-1.0-int-M-0110-shortened");
}

#[test]
fn m0100_what_is_refused() {
    holds("PS-1.0-int-M-0100-refused");
}

#[test]
fn m0110_a_publication_expires() {
    holds("PS-1.0-int-M-0110");
}

#[test]
fn m0110_a_refresh_just_in_time() {
    holds("PS-1.0-int-M-0110-refreshed");
}

#[test]
fn m0120_a_fetch() {
    holds("PS-1.0-int-M-0120");
}

#[test]
fn m0120_a_fetch_inside_a_dialog() {
    holds("PS-1.0-int-M-0120-in-dialog");
}

#[test]
fn m0130_a_source_that_may_not_publish() {
    holds("PS-1.0-int-M-0130");
}

#[test]
fn m0130_a_watcher_is_blocked() {
    holds("PS-1.0-int-M-0130-blocked");
}

#[test]
fn m0140_polite_blocking() {
    holds("PS-1.0-int-M-0140");
}

#[test]
fn m0140_polite_blocking_begins_and_ends() {
    holds("PS-1.0-int-M-0140-changed");
}

#[test]
fn m0150_reactive_authorization() {
    holds("PS-1.0-int-M-0150");
}

#[test]
fn m0150_pending_then_rejected() {
    holds("PS-1.0-int-M-0150-rejected");
}

#[test]
fn m0150_nobody_decides_in_time() {
    holds("PS-1.0-int-M-0150-waiting");
}

#[test]
fn m0150_who_may_ask_about_watchers() {
    holds("PS-1.0-int-M-0150-strangers");
}

#[test]
fn m0150_as_rfc6665_has_it() {
    holds("PS-1.0-int-M-0150-rfc6665");
}

/// A flow that nobody tests would be one that nobody notices.
#[test]
fn every_flow_has_its_test_here() {
    let text = include_str!("scenarios.rs");
    for flow in builtin().unwrap_or_else(|problem| panic!("{problem}")) {
        let test = format!("holds(\"{}\")", flow.id);
        assert!(text.contains(&test), "{test} is missing");
    }
}
