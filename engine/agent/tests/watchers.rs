//! Watching the watchers (RFC 3857, 3858) as (time, input) → messages and events.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "a test says so when its world is wrong; each file uses its part"
)]

mod peer;

use agent::Event;
use peer::{SERVER, World, notify, udp};
use sip::{Message, Name};

const ALICE: &str = "sip:alice@example.com";

fn field(message: &str, name: Name) -> String {
    let message = Message::parse(message.as_bytes()).unwrap();
    message.header_text(name).unwrap_or_default().to_owned()
}

fn about(subscribe: &str, cseq: u32, version: u32, state: &str, watchers: &str) -> String {
    let body = format!(
        "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='{version}' state='{state}'>\
         <watcher-list resource='{ALICE}' package='presence'>{watchers}</watcher-list></watcherinfo>"
    );
    notify(subscribe, cseq, "active;expires=60", "", &body)
        .replace("Event: presence", "Event: presence.winfo")
        .replace("application/pidf+xml", "application/watcherinfo+xml")
}

fn said(world: &mut World) -> Vec<String> {
    let events = world.events().into_iter();
    let said = events.filter_map(|event| match event {
        Event::Watcher {
            watcher,
            status,
            event,
            ..
        } => Some(format!("{watcher} {status} {}", event.unwrap_or_default())),
        _ => None,
    });
    said.collect()
}

#[test]
fn each_change_is_told_once_and_a_gap_asks_for_everybody() {
    let mut world = World::new(ALICE, udp(SERVER));
    world.agent.watch_watchers(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    assert_eq!(field(&subscribe, Name::Event), "presence.winfo");
    assert_eq!(
        field(&subscribe, Name::Accept),
        "application/watcherinfo+xml"
    );
    world.answer(udp(SERVER), &subscribe, 200, &[("Expires", "60")]);
    let bob = "<watcher id='1' status='pending' event='subscribe'>sip:bob@example.com</watcher>";
    world.receive(udp(SERVER), &about(&subscribe, 1, 0, "full", bob));
    assert!(world.one().1.starts_with("SIP/2.0 200 "));
    assert_eq!(said(&mut world), ["sip:bob@example.com pending subscribe"]);
    // The whole list again says nothing new.
    world.receive(udp(SERVER), &about(&subscribe, 2, 1, "full", bob));
    assert!(world.one().1.starts_with("SIP/2.0 200 "));
    assert_eq!(said(&mut world), [""; 0]);
    // The third never came: what came counts, and a refresh asks for the rest.
    let carol = "<watcher id='2' status='active' event='subscribe'>sip:carol@example.com</watcher>";
    world.receive(udp(SERVER), &about(&subscribe, 4, 3, "partial", carol));
    world.settle();
    assert_eq!(said(&mut world), ["sip:carol@example.com active subscribe"]);
    assert_eq!(world.sent.len(), 2, "a 200 and a refresh");
    let refresh = String::from_utf8(world.sent.remove(1).1).unwrap();
    assert!(refresh.starts_with("SUBSCRIBE "));
    assert_eq!(
        field(&refresh, Name::CallId),
        field(&subscribe, Name::CallId)
    );
    assert_eq!(field(&refresh, Name::CSeq), "2 SUBSCRIBE");
    world.sent.clear();
    world.answer(udp(SERVER), &refresh, 200, &[("Expires", "60")]);
    world.receive(udp(SERVER), &about(&subscribe, 5, 4, "full", carol));
    assert!(world.one().1.starts_with("SIP/2.0 200 "));
    assert_eq!(said(&mut world), ["sip:bob@example.com gone "]);
}

#[test]
fn a_notify_of_presence_is_not_this_subscriptions() {
    let mut world = World::new(ALICE, udp(SERVER));
    world.agent.watch_watchers(world.time(), ALICE, 60);
    let (_, subscribe) = world.one();
    world.answer(udp(SERVER), &subscribe, 200, &[("Expires", "60")]);
    let presence = notify(&subscribe, 1, "active;expires=60", "", "<x/>");
    world.receive(udp(SERVER), &presence);
    assert!(world.one().1.starts_with("SIP/2.0 481 "));
    let presence = about(&subscribe, 2, 0, "full", "")
        .replace("application/watcherinfo+xml", "application/pidf+xml");
    world.receive(udp(SERVER), &presence);
    let (_, refusal) = world.one();
    assert!(refusal.starts_with("SIP/2.0 415 "));
    assert_eq!(field(&refusal, Name::Accept), "application/watcherinfo+xml");
}
