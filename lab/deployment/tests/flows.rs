//! The flows PS-1.0-int-M-0100, M-0110 and M-0120 over real sockets: UDP and TCP, IPv4 and IPv6.

use std::time::Duration;

use deployment::deadline::{Deadline, now};
use deployment::presence::pidf;
use deployment::{Over, Server};

/// PS-1.0-int-M-0100: several sources of one presentity, aggregated.
///
///   watcher            presence server            source 1, source 2
///      |--- SUBSCRIBE ------->|                        |
///      |<-- 200, NOTIFY ------|  (neutral)             |
///      |                      |<------ PUBLISH 1 ------|
///      |<-- NOTIFY (1) -------|------- 200, tag ------>|
///      |                      |<------ PUBLISH 2 ------|
///      |<-- NOTIFY (1, 2) ----|------- 200, tag ------>|
///      |                      |<------ refresh 1 ------|
///      |   nothing            |------- 200, new tag -->|
///      |                      |<------ modify 2 -------|
///      |<-- NOTIFY (1, 2') ---|------- 200, new tag -->|
///      |                      |<------ remove 1, 2 ----|
///      |<-- NOTIFY (2'), -----|------- 200 ----------->|
///      |<-- NOTIFY (neutral) -|                        |
#[test]
fn m0100_several_sources_are_aggregated() {
    let server = Server::start(());
    for over in Over::ALL {
        let alice = format!("alice-{over:?}");
        let mut watcher = server.watcher(over, "bob", &alice);
        let mut desk = server.source(over, &alice, "desk");
        let mut phone = server.source(over, &alice, "phone");

        let neutral = watcher.subscribe(3600);
        assert!(neutral.presence().is_neutral(), "{}", neutral.message);
        assert_eq!(neutral.presence().entity, watcher.presentity);

        desk.publish(3600, "writing");
        let first = watcher.sees("writing");
        assert_eq!(first.presence().entity, watcher.presentity);
        assert_eq!(first.presence().basics(), ["open"]);

        phone.publish(3600, "ringing");
        let both = watcher.sees("ringing");
        assert!(
            both.presence().says("writing"),
            "a second source does not overwrite the first:\n{}",
            both.message
        );
        assert_eq!(both.presence().basics(), ["open", "open"]);

        desk.refresh(3600);
        phone.refresh(1800);
        let again = watcher.assert_unnotified();
        assert_eq!(
            again.message.body, both.message.body,
            "a refresh changes no document"
        );

        let closed = phone.document("closed", "silent");
        phone.publish_document(3600, &closed);
        let modified = watcher.sees("silent").presence();
        assert!(modified.says("writing") && !modified.says("ringing"));
        assert_eq!(modified.basics(), ["closed", "open"]);

        desk.remove();
        let rest = watcher.sees("silent").presence();
        assert_eq!(rest.tuples.len(), 1);
        phone.remove();
        let end = watcher.notify();
        // standards.md §1.2: nothing left is the neutral document, the same bytes as for one who never published.
        assert_eq!(end.message.body, neutral.message.body, "{}", end.message);
    }
}

/// Two sources that chose the same tuple id both stay, with ids that are unique; what is the same service becomes one.
#[test]
fn m0100_sources_that_chose_the_same_id_both_stay() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(3600);
    let entity = watcher.presentity.clone();
    let mut first = server.source(Over::Udp4, "alice", "a");
    let mut second = server.source(Over::Tcp4, "alice", "b");
    first.publish_document(3600, &pidf(&entity, "same", "open", "one"));
    watcher.sees("one");
    let other = pidf(&entity, "same", "open", "two").replace("sip:same@", "sip:other@");
    second.publish_document(3600, &other);
    let both = watcher.sees("two").presence();
    assert!(both.says("one"));
    assert_eq!(both.tuples.len(), 2);
}

/// RFC 3903 §4: the tag of a former state is dead at once; a retransmission is no second request.
#[test]
fn m0100_a_stale_tag_is_refused_and_a_retransmission_is_not() {
    let server = Server::start(());
    for over in Over::BOTH {
        let mut source = server.source(over, &format!("alice-{over:?}"), "desk");
        source.publish(3600, "one");
        let stale = source.entity_tag.clone();
        let request = source.publish_request(3600, Some(&source.document("open", "two")));
        let response = source.peer.exchange(&request);
        source.accept(&request, &response);
        let fresh = source.entity_tag.clone();

        let again = source.peer.exchange(&request);
        assert_eq!(
            again.header("sip-etag"),
            response.header("sip-etag"),
            "the same request, another answer:\n{again}"
        );

        source.entity_tag = stale;
        source.refused(3600, None, 412);
        let body = source.document("open", "three");
        source.refused(3600, Some(&body), 412);
        source.refused(0, None, 412);
        source.entity_tag = fresh;
        source.refresh(3600);
    }
}

/// RFC 3903 §4.1: Expires 0 with a body and no condition stores nothing, is answered 200, and notifies nobody.
#[test]
fn m0100_a_publication_of_no_duration_stores_nothing() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(3600);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    source.publish(0, "never there");
    let next = watcher.assert_unnotified();
    assert!(next.presence().is_neutral(), "{}", next.message);
}

/// PS-1.0-int-M-0110: nobody refreshes in time.
///
///   watcher            presence server            source
///      |--- SUBSCRIBE ------->|<-- PUBLISH Expires: 1 -|
///      |<-- 200, NOTIFY ------|--- 200 Expires: 1 ---->|
///      |                      |  1 s                   |
///      |<-- NOTIFY (neutral) -|   nothing ------------>|
///      |                      |<-- refresh ------------|
///      |                      |--- 412 --------------->|
#[test]
fn m0110_a_publication_that_lapses_leaves_the_neutral_document() {
    let server = Server::start(());
    let mut flows: Vec<_> = Over::ALL
        .into_iter()
        .map(|over| {
            let alice = format!("alice-{over:?}");
            let mut watcher = server.watcher(over, "bob", &alice);
            let neutral = watcher.subscribe(3600).message.body;
            let mut source = server.source(over, &alice, "desk");
            let granted = source.publish(1, "soon gone").number("expires");
            assert_eq!(granted, 1);
            let lapses = now() + Duration::from_secs(1);
            watcher.sees("soon gone");
            (watcher, source, neutral, lapses)
        })
        .collect();
    for (watcher, source, neutral, lapses) in &mut flows {
        let end = watcher.notify();
        assert_eq!(end.message.body, *neutral, "{}", end.message);
        assert_eq!(end.state(), "active");
        let late = end.at.saturating_duration_since(*lapses);
        assert!(
            late < Duration::from_secs(1),
            "lapsed, yet the watcher learnt it {late:?} late"
        );
        let early = lapses.saturating_duration_since(end.at);
        assert!(
            early < Duration::from_millis(300),
            "the watcher learnt it {early:?} before it lapsed"
        );
        source.refused(3600, None, 412);
        source
            .peer
            .assert_silent(Duration::from_millis(1), |_| true);
    }
}

/// Only that publication lapses, other sources' stay (RFC 3903 §6); one that was refreshed in time lives on.
#[test]
fn m0110_only_what_was_not_refreshed_lapses() {
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(3600);
    let mut desk = server.source(Over::Udp4, "alice", "desk");
    let mut phone = server.source(Over::Udp4, "alice", "phone");
    let mut laptop = server.source(Over::Tcp4, "alice", "laptop");
    desk.publish(3600, "long");
    watcher.sees("long");
    laptop.publish(1, "refreshed");
    watcher.sees("refreshed");
    laptop.refresh(3600);
    phone.publish(1, "short");
    watcher.sees("short");
    let after = watcher.notify().presence();
    assert!(
        after.says("long") && after.says("refreshed") && !after.says("short"),
        "{after:?}"
    );
    laptop.refresh(3600);
    desk.refresh(3600);
}

/// A subscription that nobody refreshes ends with a last NOTIFY (RFC 6665 §4.2.2), and its dialog with it.
#[test]
fn m0110_a_subscription_that_lapses_says_so() {
    let server = Server::start(());
    for over in Over::BOTH {
        let mut watcher = server.watcher(over, "bob", "alice");
        watcher.subscribe(1);
        let end = watcher.notify();
        assert_eq!(
            (end.state(), end.reason()),
            ("terminated", Some("timeout")),
            "{}",
            end.message
        );
        watcher.refused(3600, 481);
    }
}

/// PS-1.0-int-M-0120: a fetch.
///
///   watcher                          presence server
///      |--- SUBSCRIBE Expires: 0 ----------->|
///      |<-- 200 Expires: 0 ------------------|
///      |<-- NOTIFY terminated;reason=timeout |
///      |--- 200 ---------------------------->|
///      |--- SUBSCRIBE in that dialog ------->|
///      |<-- 481 -----------------------------|
#[test]
fn m0120_a_fetch_gives_the_state_and_leaves_nothing() {
    // A least duration is no reason to refuse a fetch (RFC 6665 §4.2.1.1).
    let server = Server::start("presence.subscribe_expires_seconds.min = 60");
    for over in Over::ALL {
        let alice = format!("alice-{over:?}");
        let mut nothing = server.watcher(over, "bob", &alice);
        assert!(nothing.subscribe(0).presence().is_neutral());

        let mut source = server.source(over, &alice, "desk");
        source.publish(3600, "at lunch");
        let mut watcher = server.watcher(over, "bob", &alice);
        let response = watcher.try_subscribe(0);
        assert_eq!(response.status(), Some(200), "{response}");
        assert_eq!(response.number("expires"), 0);
        let only = watcher.sees("at lunch");
        assert_eq!(
            (only.state(), only.reason()),
            ("terminated", Some("timeout"))
        );
        watcher.refused(3600, 481);
        source.publish(3600, "back");
        source.peer.exchange(&source.peer.request(
            "OPTIONS",
            "sip:example.com",
            "sip:bob@example.com",
        ));
        assert!(
            watcher
                .notify_before(Deadline::after(Duration::from_millis(30)))
                .is_none(),
            "the dialog is gone"
        );
    }
}

/// A live subscription ends by SUBSCRIBE with Expires 0: a last NOTIFY with the state, then the dialog is gone.
#[test]
fn m0120_unsubscribing_gives_the_state_once_more() {
    let server = Server::start(());
    for over in Over::BOTH {
        let alice = format!("alice-{over:?}");
        let mut source = server.source(over, &alice, "desk");
        source.publish(3600, "here");
        let mut watcher = server.watcher(over, "bob", &alice);
        watcher.subscribe(3600);
        assert!(watcher.subscribe(0).presence().says("here"));
        watcher.refused(0, 481);
    }
}
