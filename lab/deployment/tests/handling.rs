//! What a watcher gets whom no rule matches: `default_handling` with its profiles.

use std::time::Duration;

use deployment::{Deadline, Over, Server};

/// PS-1.0-int-M-0150 up to the decision: 202, a pending NOTIFY with the neutral document, silence while the state changes.
#[test]
fn confirm_is_pending_and_tells_nothing() {
    let server = Server::start("presence.default_handling = 'confirm'");
    for over in Over::BOTH {
        let alice = format!("alice-{over:?}");
        let mut source = server.source(over, &alice, "desk");
        source.publish(600, "secret");
        let mut watcher = server.watcher(over, "bob", &alice);
        let first = watcher.subscribe_as(600, 202);
        assert_eq!(first.state(), "pending", "{}", first.message);
        assert!(first.presence().is_neutral(), "{}", first.message);
        assert_eq!(first.presence().entity, watcher.presentity);

        // standards.md §1.6: state changes while pending give no NOTIFY at all.
        source.publish(600, "more of it");
        source.remove();
        let refresh = watcher.subscribe_as(600, 202);
        assert_eq!(refresh.state(), "pending");
        assert_eq!(refresh.message.body, first.message.body);

        let mut fetch = server.watcher(over, "carol", &alice);
        let fetched = fetch.subscribe_as(0, 202);
        assert_eq!(
            (fetched.state(), fetched.reason()),
            ("terminated", Some("timeout")),
            "{}",
            fetched.message
        );
        assert_eq!(fetched.message.body, first.message.body);

        let end = watcher.subscribe_as(0, 202);
        assert_eq!(
            (end.state(), end.reason()),
            ("terminated", Some("timeout")),
            "{}",
            end.message
        );
        assert_eq!(end.message.body, first.message.body);
    }
}

/// RFC 6665 has no 202 any more; RFC 5025 §3.2.1 gives a pending watcher no document, then no type either.
#[test]
fn confirm_by_the_later_rfcs() {
    let server =
        Server::start("presence.default_handling = 'confirm'\npresence.profile = 'rfc6665'");
    let mut source = server.source(Over::Udp4, "alice", "desk");
    source.publish(600, "secret");
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    let first = watcher.subscribe_as(600, 200);
    assert_eq!(first.state(), "pending", "{}", first.message);
    assert!(first.message.body.is_empty(), "{}", first.message);
    assert_eq!(
        first.message.header("content-type"),
        None,
        "{}",
        first.message
    );
    source.publish(600, "more");
    let refresh = watcher.subscribe_as(600, 200);
    assert_eq!(refresh.state(), "pending");
    let end = watcher.subscribe_as(0, 200);
    assert_eq!(
        (end.state(), end.reason()),
        ("terminated", Some("timeout")),
        "{}",
        end.message
    );
    assert!(end.message.body.is_empty());
}

/// The body of a pending NOTIFY can be chosen apart from the profile.
#[test]
fn the_pending_body_can_be_chosen() {
    let server =
        Server::start("presence.default_handling = 'confirm'\npresence.pending_body = 'empty'");
    let first = server
        .watcher(Over::Udp4, "bob", "alice")
        .subscribe_as(600, 202);
    assert!(first.message.body.is_empty(), "{}", first.message);
}

/// PS-1.0-int-M-0140: politely blocked looks exactly like a presentity who is not there, in bytes and in time.
#[test]
fn polite_block_cannot_be_told_from_absence() {
    let polite = Server::start("presence.default_handling = 'polite-block'");
    let allow = Server::start(());
    for over in Over::BOTH {
        let alice = format!("alice-{over:?}");
        let mut source = polite.source(over, &alice, "desk");
        source.publish(600, "secret");
        let mut blocked = polite.watcher(over, "bob", &alice);
        let mut absent = allow.watcher(over, "bob", &alice);
        let answers = [blocked.try_subscribe(600), absent.try_subscribe(600)];
        let names = |message: &deployment::Message| {
            message
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&answers[0]), names(&answers[1]));
        assert_eq!(answers[0].start, answers[1].start);
        assert_eq!(answers[0].number("expires"), answers[1].number("expires"));
        let (shown, nothing) = (blocked.notify(), absent.notify());
        assert_eq!(shown.state(), "active");
        assert!(shown.presence().is_neutral(), "{}", shown.message);
        assert_eq!(shown.message.body, nothing.message.body);
        assert_eq!(names(&shown.message), names(&nothing.message));

        // Real activity must not be mirrored by NOTIFYs.
        source.publish(600, "more");
        source.remove();
        let refreshed = blocked.assert_unnotified();
        assert_eq!(refreshed.message.body, nothing.message.body);
        let fetched = polite.watcher(over, "carol", &alice).subscribe(0);
        assert_eq!(fetched.message.body, nothing.message.body);
    }
}

/// PS-1.0-int-M-0130b: blocked is 403, no dialog, no NOTIFY.
#[test]
fn block_is_refused_without_a_notify() {
    let server = Server::start("presence.default_handling = 'block'");
    for over in Over::BOTH {
        let mut source = server.source(over, "alice", "desk");
        let mut watcher = server.watcher(over, "bob", "alice");
        watcher.refused(600, 403);
        watcher.refused(0, 403);
        source.publish(600, "secret");
        assert!(
            watcher
                .notify_before(Deadline::after(Duration::from_millis(30)))
                .is_none()
        );
    }
}

/// Somebody unknown can be told apart where the operator wants it: 404, decided before rules; with a publication she is known.
#[test]
fn an_unknown_presentity_can_be_404() {
    let server = Server::start("presence.unknown_presentity = '404'");
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.refused(600, 404);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    source.publish(600, "here");
    watcher.forget();
    assert!(watcher.subscribe(600).presence().says("here"));
}

/// Who else may publish for whom; what comes of it is hers like her own.
#[test]
fn others_may_publish_where_configured() {
    let server = Server::start(
        "presence.publish_by_others = [{ source = 'sip:as@example.com', presentities = '@example.com' }]",
    );
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Udp4, "alice", "calendar");
    let body = source.document("open", "in a meeting");
    let request = source
        .publish_request(600, Some(&body))
        .set("From", "<sip:as@example.com>;tag=1");
    let response = source.peer.exchange(&request);
    source.accept(&request, &response);
    watcher.sees("in a meeting");
    let mut other = server.source(Over::Udp4, "alice", "other");
    let request = other
        .publish_request(600, Some(&body))
        .set("From", "<sip:mallory@example.com>;tag=1");
    assert_eq!(other.peer.exchange(&request).status(), Some(403));
}

/// RFC 3856 §6.10: between two NOTIFYs of one subscription lies the interval, from the last of any kind; then the newest state goes. A change after
/// quiet goes at once; the answer to a SUBSCRIBE is exempt.
#[test]
fn notifies_keep_their_interval() {
    let server = Server::start("presence.notify_interval_ms_min = 700");
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    let first = watcher.subscribe(600);
    let mut source = server.source(Over::Udp4, "alice", "desk");
    for note in ["one", "two", "three"] {
        source.publish(600, note);
    }
    let held = watcher.sees("three");
    let waited = held.at.saturating_duration_since(first.at);
    assert!(
        waited >= Duration::from_millis(650),
        "sent after {waited:?}"
    );
    assert!(
        waited < Duration::from_millis(1700),
        "sent after {waited:?}"
    );
    let refreshed = watcher.subscribe(600);
    assert!(
        refreshed.at.saturating_duration_since(held.at) < Duration::from_millis(600),
        "the answer to a SUBSCRIBE waits for nothing"
    );
    watcher.assert_silent(Duration::from_millis(750));
    source.publish(600, "four");
    let (waited, _) = watcher.time_to_notify();
    assert!(
        waited < Duration::from_millis(500),
        "a change after quiet waited {waited:?}"
    );
}
