//! Bounds with their answers: 403 where waiting does not help, 413 for sizes, never 503 for what one user does.

use deployment::presence::pidf;
use deployment::{Deadline, Over, Server, Watcher};

#[test]
fn publications_of_one_user() {
    let server = Server::start("limits.publications_per_user_max = 2");
    let mut first = server.source(Over::Udp4, "alice", "a");
    let mut second = server.source(Over::Tcp4, "alice", "b");
    let mut third = server.source(Over::Udp4, "alice", "c");
    first.publish(600, "one");
    second.publish(600, "two");
    let body = third.document("open", "three");
    third.refused(600, Some(&body), 403);
    // What is there goes on; another user has bounds of her own; room that is made is given.
    first.publish(600, "one more");
    second.refresh(600);
    server.source(Over::Udp4, "carol", "a").publish(600, "hers");
    first.remove();
    third.publish(600, "three");
}

#[test]
fn watchers_of_one_user() {
    let server = Server::start("limits.subscriptions_per_presentity_max = 2");
    let mut watchers: Vec<_> = (0..3)
        .map(|number| server.watcher(Over::Udp4, &format!("bob{number}"), "alice"))
        .collect();
    watchers[0].subscribe(600);
    watchers[1].subscribe(600);
    watchers[2].refused(600, 403);
    watchers[0].subscribe(600);
    watchers[1].subscribe(0);
    granted_soon(&mut watchers[2]);
    server.watcher(Over::Udp4, "bob0", "carol").subscribe(600);
}

#[test]
fn subscriptions_of_one_watcher() {
    let server = Server::start("limits.subscriptions_per_watcher_max = 2\nnode.threads = 1");
    let mut watchers: Vec<_> = (0..3)
        .map(|number| server.watcher(Over::Udp4, "bob", &format!("alice{number}")))
        .collect();
    watchers[0].subscribe(600);
    watchers[1].subscribe(600);
    watchers[2].refused(600, 403);
    watchers[0].subscribe(0);
    granted_soon(&mut watchers[2]);
    server.watcher(Over::Udp4, "carol", "alice0").subscribe(600);
}

/// Room is made once the answer to the last NOTIFY is read, which may be after the next request of somebody else.
#[track_caller]
fn granted_soon(watcher: &mut Watcher) {
    let deadline = Deadline::default();
    loop {
        watcher.forget();
        let response = watcher.try_subscribe(600);
        if response.status() == Some(200) {
            watcher.notify();
            return;
        }
        assert_eq!(response.status(), Some(403), "{response}");
        assert!(deadline.left().is_some(), "no room is made:\n{response}");
    }
}

#[test]
fn sizes_of_documents() {
    let server = Server::start("limits.body_bytes_max = 3000\nlimits.view_bytes_max = 4000");
    let mut first = server.source(Over::Tcp4, "alice", "a");
    let long = "x".repeat(2200);
    first.publish(600, &long);
    let mut second = server.source(Over::Tcp4, "alice", "b");
    let body = second.document("open", &long);
    second.refused(600, Some(&body), 413);
    second.publish(600, "short");
    let huge = first.document("open", &"x".repeat(3000));
    first.refused(600, Some(&huge), 413);
    first.refresh(600);
}

/// Depth, number of nodes, entities: 400, quickly, and nothing is stored.
#[test]
fn shapes_of_documents() {
    let server = Server::start("limits.xml_depth_max = 8\nlimits.xml_nodes_max = 100");
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(600);
    let mut source = server.source(Over::Tcp4, "alice", "a");
    let document = |inside: &str| {
        pidf("sip:alice@example.com", "a", "open", "n")
            .replace("</tuple>", &format!("{inside}</tuple>"))
    };
    let namespaced = |inside: &str| document(&format!("<x xmlns=\"urn:x\">{inside}</x>"));
    let deep = namespaced(&format!("{}{}", "<d>".repeat(20), "</d>".repeat(20)));
    let wide = namespaced(&"<e/>".repeat(200));
    let attributes = namespaced(&format!(
        "<e {}/>",
        (0..200)
            .map(|number| format!("a{number}='1' "))
            .collect::<String>()
    ));
    let laughs = "<!DOCTYPE p [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    let bomb = document("<note>&b;</note>").replacen('\n', laughs, 1);
    for (name, body) in [
        ("deep", deep),
        ("wide", wide),
        ("attributes", attributes),
        ("entities", bomb),
    ] {
        let response = source.refused(600, Some(&body), 400);
        assert!(response.start.len() < 300, "{name}: {}", response.start);
    }
    assert!(watcher.assert_unnotified().presence().is_neutral());
    source.publish(600, "well-formed");
    watcher.sees("well-formed");
}
