//! Who watches (RFC 3857): as (time, input) → documents.

#![allow(clippy::unwrap_used, reason = "a test says so when its world is wrong")]

mod world;

use std::time::Duration;

use documents::watcherinfo::{Status, WatcherInfo};
use machine::settings::{Handling, Settings};
use world::{Sent, World, settings};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn undecided() -> Settings {
    let mut settings = settings();
    settings.domains[0].presence.default_handling = Handling::Confirm;
    settings
}

fn decide(world: &mut World, handling: Handling) {
    world.reload(|settings| settings.domains[0].presence.default_handling = handling);
}

/// Lets `who` watch the watchers of alice; gives the answer and, where one came, the NOTIFY, which is answered.
fn ask(world: &mut World, who: &str, package: &str, fields: &str) -> (Sent, Option<Sent>) {
    let text = world
        .subscribe_text(who, 7500, fields)
        .replace("Event: presence\r\n", &format!("Event: {package}\r\n"))
        .replace("Call-ID: sub-", &format!("Call-ID: {package}-"));
    let mut sent = world.say(&World::udp(7500), &text).into_iter();
    let (answer, notify) = (sent.next().unwrap(), sent.next());
    if let Some(notify) = &notify {
        assert!(notify.is_notify() && notify.need("Event") == package);
        world.ok(notify);
    }
    (answer, notify)
}

/// Somebody watches alice, and answers her first NOTIFY.
fn come(world: &mut World, who: &str, port: u16, fields: &str) -> Sent {
    let text = world.subscribe_text(who, port, fields);
    let sent = world.say(&World::udp(port), &text);
    assert!(sent[1].is_notify() && sent[1].need("Event") == "presence");
    world.ok(&sent[1]);
    sent[0].clone()
}

fn again(world: &mut World, answer: &Sent, cseq: u32, fields: &str) -> Vec<Sent> {
    let text = world
        .resubscribe_text("alice", 7500, answer, cseq, fields)
        .replace("Event: presence\r\n", "Event: presence.winfo\r\n")
        .replace("Call-ID: sub-", "Call-ID: presence.winfo-");
    world.say(&World::udp(7500), &text)
}

/// `VERSION full|partial: NAME status event, …` in the order of the document.
fn says(notify: &Sent) -> String {
    assert_eq!(notify.need("Content-Type"), "application/watcherinfo+xml");
    let info = WatcherInfo::read(notify.body.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
    assert_eq!(info.lists.len(), 1);
    assert_eq!(info.lists[0].resource, "sip:alice@example.com");
    let watchers = info.lists[0].watchers.iter().map(|watcher| {
        let name = watcher.uri.strip_prefix("sip:").unwrap_or(&watcher.uri);
        let name = name.split('@').next().unwrap_or_default();
        let (status, event) = (watcher.status.name(), watcher.event.name());
        assert_eq!(
            watcher.expiration.is_some(),
            matches!(watcher.status, Status::Active | Status::Pending)
        );
        format!("{name} {status} {event}")
    });
    let state = if info.is_full { "full" } else { "partial" };
    let watchers: Vec<String> = watchers.collect();
    format!("{} {state}: {}", info.version, watchers.join(", "))
}

/// What left about watchers since, each answered.
fn told(world: &mut World, from: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut at = from;
    while at < world.sent.len() {
        let sent = world.sent[at].clone();
        at += 1;
        if sent.is_notify() && sent.need("Event").contains(".winfo") {
            all.push(says(&sent));
            world.ok(&sent);
        }
    }
    all
}

/// PS-1.0-int-M-0150 as the presentity sees it.
///
///   watcher            presence server            presentity
///      |                      |<-- SUBSCRIBE winfo ----|
///      |                      |--- 200, NOTIFY full -->|
///      |--- SUBSCRIBE ------->|                        |
///      |<-- 202, NOTIFY ------|--- NOTIFY pending ---->|
///      |<-- NOTIFY active ----|--- NOTIFY approved --->|  she allows
///      |--- SUBSCRIBE 0 ----->|--- NOTIFY terminated ->|
#[test]
fn the_presentity_hears_who_asks_and_what_became_of_it() {
    let mut world = World::with(undecided());
    let (answer, first) = ask(&mut world, "alice", "presence.winfo", "Expires: 600\r\n");
    let first = first.unwrap();
    assert_eq!((answer.status(), answer.need("Expires")), (200, "600"));
    assert_eq!(first.need("Subscription-State"), "active;expires=600");
    assert_eq!(says(&first), "0 full: ");

    let from = world.sent.len();
    let pending = come(&mut world, "bob", 7000, "Expires: 300\r\n");
    assert_eq!(pending.status(), 202);
    assert_eq!(told(&mut world, from), ["1 partial: bob pending subscribe"]);

    let from = world.sent.len();
    decide(&mut world, Handling::Allow);
    assert_eq!(told(&mut world, from), ["2 partial: bob active approved"]);

    let from = world.sent.len();
    let text = world.resubscribe_text("bob", 7000, &pending, 2, "Expires: 0\r\n");
    world.say(&World::udp(7000), &text);
    assert_eq!(
        told(&mut world, from),
        ["3 partial: bob terminated timeout"]
    );
}

#[test]
fn a_refresh_is_answered_with_everybody_and_the_next_version() {
    let mut world = World::with(undecided());
    let (answer, _) = ask(&mut world, "alice", "presence.winfo", "");
    come(&mut world, "bob", 7000, "");
    let from = world.sent.len();
    assert_eq!(
        told(&mut world, 0).last().unwrap(),
        "1 partial: bob pending subscribe"
    );
    let sent = again(&mut world, &answer, 2, "");
    assert_eq!(sent[0].status(), 200);
    assert_eq!(told(&mut world, from), ["2 full: bob pending subscribe"]);
    // Her own end too.
    let from = world.sent.len();
    again(&mut world, &answer, 3, "Expires: 0\r\n");
    assert_eq!(told(&mut world, from), ["3 full: bob pending subscribe"]);
    assert!(
        world.notifies(from)[0]
            .need("Subscription-State")
            .starts_with("terminated")
    );
}

#[test]
fn who_lapses_undecided_waits_and_is_given_up_after_a_day() {
    let mut world = World::with(undecided());
    come(&mut world, "bob", 7000, "Expires: 60\r\n");
    world.advance(secs(61));
    let last = world.notifies(0).pop().unwrap();
    assert!(
        last.need("Subscription-State")
            .starts_with("terminated;reason=timeout")
    );
    world.ok(&last);
    // She looks for the first time now.
    let (_, first) = ask(&mut world, "alice", "presence.winfo", "Expires: 86400\r\n");
    assert_eq!(says(&first.unwrap()), "0 full: bob waiting timeout");
    let from = world.sent.len();
    world.advance(secs(86_400 - 61));
    assert_eq!(told(&mut world, from), [""; 0]);
    world.advance(secs(60));
    assert_eq!(
        told(&mut world, from)[0],
        "1 partial: bob terminated giveup"
    );
}

#[test]
fn who_waits_and_comes_again_is_given_up_and_pending_anew() {
    let mut world = World::with(undecided());
    ask(&mut world, "alice", "presence.winfo", "");
    let from = world.sent.len();
    let fetch = world.subscribe_text("bob", 7000, "Expires: 0\r\n");
    let fetched = world.say(&World::udp(7000), &fetch);
    let notify = fetched
        .iter()
        .find(|sent| sent.is_notify() && sent.need("Event") == "presence");
    world.ok(notify.unwrap());
    assert_eq!(told(&mut world, from), ["1 partial: bob waiting timeout"]);
    let from = world.sent.len();
    let again = world
        .subscribe_text("bob", 7000, "")
        .replace("Call-ID: sub-bob", "Call-ID: again");
    world.say(&World::udp(7000), &again);
    let all = told(&mut world, from);
    assert_eq!(
        all,
        ["2 partial: bob terminated giveup, bob pending subscribe"]
    );
}

#[test]
fn who_waits_is_decided_though_she_is_gone() {
    for (handling, event) in [
        (Handling::Allow, "approved"),
        (Handling::PoliteBlock, "approved"),
        (Handling::Block, "rejected"),
    ] {
        let mut world = World::with(undecided());
        ask(&mut world, "alice", "presence.winfo", "");
        let fetch = world.subscribe_text("bob", 7000, "Expires: 0\r\n");
        world.say(&World::udp(7000), &fetch);
        told(&mut world, 0);
        let from = world.sent.len();
        decide(&mut world, handling);
        let expected = format!("2 partial: bob terminated {event}");
        assert_eq!(told(&mut world, from), [expected]);
    }
}

#[test]
fn a_fetch_of_somebody_who_may_see_is_nobodys_news() {
    let mut world = World::new();
    ask(&mut world, "alice", "presence.winfo", "");
    let from = world.sent.len();
    let fetch = world.subscribe_text("bob", 7000, "Expires: 0\r\n");
    world.say(&World::udp(7000), &fetch);
    assert_eq!(told(&mut world, from), [""; 0]);
}

#[test]
fn a_watcher_sees_herself_alone_and_an_undecided_one_nothing() {
    let mut world = World::new();
    come(&mut world, "bob", 7000, "");
    come(&mut world, "carol", 7100, "");
    let (answer, first) = ask(&mut world, "bob", "presence.winfo", "");
    assert_eq!(answer.status(), 200);
    assert_eq!(says(&first.unwrap()), "0 full: bob active subscribe");
    let from = world.sent.len();
    come(&mut world, "dave", 7200, "");
    assert_eq!(told(&mut world, from), [""; 0]);
    // RFC 5025 §3.2.1: politely blocked looks allowed, here too.
    decide(&mut world, Handling::PoliteBlock);
    assert_eq!(told(&mut world, from), [""; 0]);
    // Who may no longer see is no longer told who watches.
    decide(&mut world, Handling::Confirm);
    let last = world.notifies(from);
    let last = last
        .iter()
        .find(|sent| sent.need("Event") == "presence.winfo");
    let last = last.unwrap();
    assert_eq!(
        last.need("Subscription-State"),
        "terminated;reason=rejected"
    );
    assert!(last.body.is_empty() && last.header("Content-Type").is_none());
    let (answer, notify) = ask(&mut world, "erin", "presence.winfo", "");
    assert_eq!((answer.status(), notify.is_none()), (403, true));
}

#[test]
fn a_rejected_watcher_is_told_as_such_once() {
    let mut world = World::with(undecided());
    ask(&mut world, "alice", "presence.winfo", "");
    come(&mut world, "bob", 7000, "");
    told(&mut world, 0);
    let from = world.sent.len();
    decide(&mut world, Handling::Block);
    assert_eq!(
        told(&mut world, from),
        ["2 partial: bob terminated rejected"]
    );
    let fetch = world
        .subscribe_text("alice", 7600, "Expires: 0\r\n")
        .replace("Event: presence\r\n", "Event: presence.winfo\r\n")
        .replace("Call-ID: sub-", "Call-ID: fetch-");
    let fetched = world.say(&World::udp(7600), &fetch);
    assert_eq!(says(&fetched[1]), "0 full: ");
}

#[test]
fn changes_within_the_interval_are_one_document() {
    let mut settings = undecided();
    settings.domains[0].presence.notify_interval_ms_min = 5000;
    let mut world = World::with(settings);
    ask(&mut world, "alice", "presence.winfo", "");
    let from = world.sent.len();
    come(&mut world, "bob", 7000, "");
    come(&mut world, "carol", 7100, "");
    decide(&mut world, Handling::Allow);
    assert_eq!(told(&mut world, from), [""; 0]);
    world.advance(Duration::from_millis(5000));
    assert_eq!(
        told(&mut world, from),
        ["1 partial: bob active approved, carol active approved"]
    );
}

#[test]
fn after_a_refused_notify_everybody_is_told_again() {
    let mut world = World::with(undecided());
    ask(&mut world, "alice", "presence.winfo", "");
    come(&mut world, "bob", 7000, "");
    let from = world.sent.len();
    come(&mut world, "carol", 7100, "");
    let all = world.notifies(0);
    let bob = all
        .iter()
        .find(|sent| sent.need("Event") == "presence.winfo" && sent.cseq() == 2);
    // One is in flight: carol is told when it is answered, and everybody since it was refused.
    world.respond(bob.unwrap(), 500, "Retry-After: 3\r\n");
    assert_eq!(told(&mut world, from), [""; 0]);
    world.advance(secs(3));
    assert_eq!(
        told(&mut world, from),
        ["2 full: bob pending subscribe, carol pending subscribe"]
    );
}

#[test]
fn a_start_tells_everybody_and_versions_never_go_back() {
    for clean in [true, false] {
        let mut world = World::with(undecided());
        ask(&mut world, "alice", "presence.winfo", "Expires: 600\r\n");
        come(&mut world, "bob", 7000, "Expires: 600\r\n");
        assert_eq!(told(&mut world, 0).len(), 2);
        if clean {
            world.stop_and_start();
        } else {
            world.crash();
        }
        let version = if clean { 2 } else { 65_536 };
        let expected = format!("{version} full: bob pending subscribe");
        assert_eq!(told(&mut world, 0), [expected]);
        let from = world.sent.len();
        come(&mut world, "carol", 7100, "");
        let expected = format!("{} partial: carol pending subscribe", version + 1);
        assert_eq!(told(&mut world, from), [expected]);
    }
}

#[test]
fn watchers_of_watchers_are_watched_and_there_it_ends() {
    let mut world = World::new();
    let (answer, first) = ask(&mut world, "alice", "presence.winfo.winfo", "");
    assert_eq!(answer.status(), 200);
    let first = first.unwrap();
    assert_eq!(says(&first), "0 full: ");
    assert!(first.body.contains("package=\"presence.winfo\""));
    ask(&mut world, "bob", "presence.winfo", "");
    assert_eq!(
        told(&mut world, 0)[1..],
        ["0 full: ", "1 partial: bob active subscribe"]
    );
    let (answer, _) = ask(&mut world, "alice", "presence.winfo.winfo.winfo", "");
    assert_eq!(answer.status(), 489);
    assert_eq!(answer.need("Allow-Events"), "presence");
}

#[test]
fn nobody_publishes_who_watches() {
    let mut world = World::new();
    let text = world
        .publish_text(
            "Content-Type: application/watcherinfo+xml\r\n",
            "<watcherinfo/>",
        )
        .replace("Event: presence\r\n", "Event: presence.winfo\r\n");
    assert_eq!(world.say(&World::udp(6000), &text)[0].status(), 489);
}

#[test]
fn an_anonymous_watcher_stays_so() {
    let mut world = World::with(undecided());
    ask(&mut world, "alice", "presence.winfo", "");
    let text = world.subscribe_text("x", 7000, "").replace(
        "From: <sip:x@example.com>",
        "From: \"Xavier\" <sip:x@anonymous.invalid>",
    );
    world.say(&World::udp(7000), &text);
    let about = world.notifies(0).pop().unwrap();
    let about = match about.need("Event") {
        "presence.winfo" => about,
        _ => world.notifies(0)[1].clone(),
    };
    assert_eq!(says(&about), "1 partial: anonymous pending subscribe");
    assert!(!about.body.contains("Xavier"));
}

#[test]
fn who_has_waited_longest_goes_where_too_many_wait() {
    let mut settings = undecided();
    settings.limits.waiting_per_presentity_max = 2;
    let mut world = World::with(settings);
    for watcher in ["bob", "carol", "dave"] {
        let fetch = world.subscribe_text(watcher, 7000, "Expires: 0\r\n");
        world.say(&World::udp(7000), &fetch);
    }
    let (_, first) = ask(&mut world, "alice", "presence.winfo", "");
    assert_eq!(
        says(&first.unwrap()),
        "0 full: carol waiting timeout, dave waiting timeout"
    );
}

#[test]
fn more_changes_than_are_kept_are_told_as_everybody() {
    let mut settings = undecided();
    settings.domains[0].presence.notify_interval_ms_min = 5000;
    let mut world = World::with(settings);
    ask(&mut world, "alice", "presence.winfo", "");
    let from = world.sent.len();
    for number in 0..300 {
        come(&mut world, &format!("b{number}"), 7000, "");
    }
    world.advance(Duration::from_millis(5000));
    let all = told(&mut world, from);
    assert_eq!(all.len(), 1);
    assert!(all[0].starts_with("1 full: b0 pending subscribe, b1 pending"));
    assert_eq!(all[0].matches("pending").count(), 300);
}
