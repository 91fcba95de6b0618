//! baresip as source and as watcher, over UDP and TCP.

use std::time::Duration;

use deployment::{Over, Server};
use peers::Baresip;
use peers::program::is_there;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";

#[test]
fn a_watcher_sees_what_baresip_publishes() {
    if !is_there("baresip", "a_watcher_sees_what_baresip_publishes") {
        return;
    }
    let server = Server::start(());
    for over in Over::BOTH {
        let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
        assert!(watcher.subscribe(600).presence().is_neutral());
        let mut phone = Baresip::start(&server, over, ALICE, Some(600), &[]);
        phone.set_online(true);
        // Before that it published a status that is neither open nor closed, which may or may not be news.
        while watcher.notify().presence().basics() != ["open"] {}
        phone.set_online(false);
        assert_eq!(watcher.notify().presence().basics(), ["closed"]);
        phone.set_online(true);
        assert_eq!(watcher.notify().presence().basics(), ["open"]);
        // Its PUBLISH with Expires 0.
        phone.quit();
        assert!(watcher.notify().presence().is_neutral());
    }
}

/// Its refresh has a Content-Type and no body; it must keep the document and notify nobody.
#[test]
fn what_baresip_refreshes_lives_on() {
    if !is_there("baresip", "what_baresip_refreshes_lives_on") {
        return;
    }
    let server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut phone = Baresip::start(&server, Over::Udp4, ALICE, Some(2), &[]);
    phone.set_online(true);
    while watcher.notify().presence().basics() != ["open"] {}
    watcher.assert_silent(Duration::from_secs(5));
    phone.quit();
    assert!(watcher.notify().presence().is_neutral());
}

#[test]
fn baresip_shows_what_a_source_publishes() {
    if !is_there("baresip", "baresip_shows_what_a_source_publishes") {
        return;
    }
    for over in Over::BOTH {
        let mut server = Server::start(());
        let mut source = server.source(Over::Udp4, "alice", "desk");
        let mut phone = Baresip::start(&server, over, BOB, None, &[ALICE]);
        phone.comes_to_show(ALICE, "Offline");
        source.publish(600, "at the desk");
        phone.comes_to_show(ALICE, "Online");
        let document = source.document("closed", "gone home");
        source.publish_document(600, &document);
        phone.comes_to_show(ALICE, "Offline");
        source.publish(600, "back");
        phone.comes_to_show(ALICE, "Online");

        // Its subscription outlives the server's process: nobody tells baresip that anything happened.
        server.kill9();
        server.restart();
        let mut other = server.source(Over::Udp4, "alice", "desk");
        other.entity_tag = source.entity_tag.clone();
        other.remove();
        phone.comes_to_show(ALICE, "Offline");
        phone.quit();
    }
}

#[test]
fn two_baresips_see_each_other() {
    if !is_there("baresip", "two_baresips_see_each_other") {
        return;
    }
    let server = Server::start(());
    let mut alice = Baresip::start(&server, Over::Udp4, ALICE, Some(600), &[BOB]);
    let mut bob = Baresip::start(&server, Over::Tcp4, BOB, Some(600), &[ALICE]);
    alice.set_online(true);
    bob.comes_to_show(ALICE, "Online");
    bob.set_online(true);
    alice.comes_to_show(BOB, "Online");
    alice.set_online(false);
    bob.comes_to_show(ALICE, "Offline");
    bob.quit();
    alice.comes_to_show(BOB, "Offline");
}
