//! Nothing acknowledged is lost: kill -9, torn tails, rotten bits, SIGTERM, drain, reload.

use std::fs;
use std::time::Duration;

use deployment::data::{holding, overwrite, written};
use deployment::{Deadline, Over, Server, Source, Watcher};
use rustix::process::Signal;

/// Two sources and two watchers at work.
struct World {
    server: Server,
    desk: Source,
    phone: Source,
    watchers: Vec<Watcher>,
}

fn world() -> World {
    let server = Server::start(());
    let mut desk = server.source(Over::Udp4, "alice", "desk");
    let mut phone = server.source(Over::Udp4, "alice", "phone");
    let mut watchers: Vec<Watcher> = (0..2)
        .map(|number| server.watcher(Over::Udp4, &format!("bob{number}"), "alice"))
        .collect();
    desk.publish(3600, "desk one");
    for watcher in &mut watchers {
        watcher.subscribe(3600);
    }
    phone.publish(3600, "phone one");
    for watcher in &mut watchers {
        watcher.sees("phone one");
    }
    World {
        server,
        desk,
        phone,
        watchers,
    }
}

impl World {
    /// After any return: tags are honoured, watchers see the next change in their old dialog, and refreshes are served.
    /// After each of `crashes` a gap in CSeq is allowed, and one NOTIFY whose 200 was not on record may come again (decision 4).
    #[track_caller]
    fn goes_on(&mut self, crashes: u32) {
        self.desk.refresh(3600);
        self.phone.publish(3600, "phone two");
        for watcher in &mut self.watchers {
            let mut repeats = 0;
            loop {
                watcher.gap_allowed = crashes > 0;
                let notification = watcher.notify();
                let state = notification.presence();
                assert!(state.says("desk one"), "{}", notification.message);
                if state.says("phone two") {
                    break;
                }
                assert!(state.says("phone one"), "{}", notification.message);
                repeats += 1;
                assert!(
                    repeats <= crashes,
                    "a NOTIFY that says nothing new:\n{}",
                    notification.message
                );
            }
            watcher.assert_unnotified();
        }
        self.desk.remove();
        for watcher in &mut self.watchers {
            let rest = watcher.notify().presence();
            assert!(rest.says("phone two") && !rest.says("desk one"));
        }
    }
}

#[test]
fn a_killed_server_goes_on() {
    let mut world = world();
    for _ in 0..2 {
        world.server.kill9();
        world.server.restart();
    }
    world.goes_on(2);
}

/// Killed at the very moment of each answer: what was acknowledged is there.
#[test]
fn what_was_acknowledged_is_there() {
    let mut server = Server::start(());
    for round in 0..3 {
        let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
        let response = watcher.try_subscribe(3600);
        assert_eq!(response.status(), Some(200));
        server.kill9();
        server.restart();
        // Its first NOTIFY was sent before the kill, after it, or both times: in any case one says the state.
        watcher.gap_allowed = true;
        watcher.notify();
        let mut source = server.source(Over::Udp4, "alice", "desk");
        let note = format!("round {round}");
        source.publish(3600, &note);
        server.kill9();
        server.restart();
        let deadline = Deadline::default();
        loop {
            watcher.gap_allowed = true;
            let notification = watcher
                .notify_before(deadline)
                .expect("a NOTIFY of what was acknowledged");
            if notification.presence().says(&note) {
                break;
            }
        }
        source.remove();
    }
}

/// The same PUBLISH again after a crash: the same entity-tag, nothing changed (decision 4: the fingerprint).
#[test]
fn a_retransmission_across_a_crash_changes_nothing() {
    let mut world = world();
    let body = world.phone.document("open", "phone two");
    let request = world.phone.publish_request(3600, Some(&body));
    let response = world.phone.peer.exchange(&request);
    world.phone.accept(&request, &response);
    let subscribe = world.watchers[0].subscribe_request(3600);
    let subscribed = world.watchers[0].peer.exchange(&subscribe);
    world.server.kill9();
    world.server.restart();
    let again = world.phone.peer.exchange(&request);
    assert_eq!(again.status(), Some(200), "{again}");
    assert_eq!(
        again.header("sip-etag"),
        response.header("sip-etag"),
        "{again}"
    );
    let again = world.watchers[0].peer.exchange(&subscribe);
    assert_eq!(again.status(), Some(200), "{again}");
    assert_eq!(again.tag("to"), subscribed.tag("to"));
    world.phone.refresh(3600);

    let mut fresh = world.server.watcher(Over::Udp4, "carol", "alice");
    let begin = fresh.subscribe_request(3600);
    let first = fresh.peer.exchange(&begin);
    world.server.kill9();
    world.server.restart();
    let again = fresh.peer.exchange(&begin);
    assert_eq!(again.status(), Some(200), "{again}");
    assert_eq!(
        again.tag("to"),
        first.tag("to"),
        "a second dialog for one SUBSCRIBE"
    );
}

/// A publication that lapsed while nobody served is notified after the start; one that did not stays.
#[test]
fn what_lapsed_meanwhile_is_notified() {
    let mut world = world();
    let mut brief = world.server.source(Over::Udp4, "alice", "brief");
    brief.publish(1, "brief");
    for watcher in &mut world.watchers {
        watcher.sees("brief");
    }
    world.server.kill9();
    brief
        .peer
        .assert_silent(Duration::from_millis(1100), |_| true);
    world.server.restart();
    for watcher in &mut world.watchers {
        watcher.gap_allowed = true;
        let after = watcher.notify().presence();
        assert!(
            after.says("desk one") && after.says("phone one") && !after.says("brief"),
            "{after:?}"
        );
    }
    brief.refused(600, None, 412);
    world.goes_on(0);
}

/// SIGTERM ends no subscription: after the next start the dialogs go on, numbers contiguous, and nobody is told what she knows.
#[test]
fn a_stopped_server_goes_on() {
    let mut world = world();
    for _ in 0..2 {
        world.server.terminate();
        world.server.restart();
    }
    world.goes_on(0);
}

/// While stopping: 503 with Retry-After to what is new, /readyz 503, and what is owed is still sent and waited for.
#[test]
fn a_stopping_server_refuses_what_is_new() {
    let mut world = world();
    let watcher = &mut world.watchers[0];
    watcher.manual = true;
    world.phone.publish(3600, "phone two");
    let owed = watcher.sees("phone two");
    world.watchers[1].sees("phone two");
    world.server.signal(Signal::TERM);
    let deadline = Deadline::default();
    let refused = loop {
        let mut peer = world.server.peer(Over::Udp4);
        let response =
            peer.exchange(&peer.request("OPTIONS", "sip:example.com", "sip:bob@example.com"));
        if response.status() == Some(503) {
            break response;
        }
        assert!(deadline.left().is_some(), "never refused:\n{response}");
    };
    assert!(refused.number("retry-after") > 0, "{refused}");
    assert_eq!(world.server.http("/readyz").0, 503);
    let watcher = &mut world.watchers[0];
    watcher.peer.answer(&owed.message, 200, &[]);
    watcher.manual = false;
    assert_eq!(
        world.server.wait().code(),
        Some(0),
        "{}",
        world.server.stderr()
    );
    world.server.restart();
    world.desk.refresh(3600);
    assert!(
        world.watchers[0]
            .assert_unnotified()
            .presence()
            .says("phone two")
    );
}

/// Drain is for good: each watcher is told to subscribe elsewhere, then the process ends with 0.
#[test]
fn drain_hands_watchers_away() {
    let mut world = world();
    world.server.signal(Signal::USR2);
    for watcher in &mut world.watchers {
        let end = watcher.notify();
        assert_eq!(
            (end.state(), end.reason()),
            ("terminated", Some("deactivated")),
            "{}",
            end.message
        );
    }
    assert_eq!(
        world.server.wait().code(),
        Some(0),
        "{}",
        world.server.stderr()
    );
    world.server.restart();
    for watcher in &mut world.watchers {
        watcher.refused(600, 481);
    }
}

#[test]
fn a_second_process_is_refused() {
    let world = world();
    let configuration = world.server.configuration().display().to_string();
    let changed = fs::read_to_string(&configuration).expect("the configuration");
    let other = world.server.data().with_file_name("second.toml");
    let free = changed
        .lines()
        .map(|line| {
            if line.starts_with("sip = ") {
                "sip = [\"udp://127.0.0.1:0\"]"
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n");
    fs::write(&other, free).expect("a second configuration");
    let output = world
        .server
        .run(&["serve", "--config", &other.display().to_string()]);
    assert_eq!(
        output.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("data"), "it names the folder: {why}");
    let mut world = world;
    world.goes_on(0);
}

/// A reload that is good is taken over; one that is bad changes nothing and says where it is wrong.
#[test]
fn reloads() {
    let mut server = Server::start(());
    let mut watcher = server.watcher(Over::Udp4, "bob", "alice");
    watcher.subscribe(3600);

    server.options().change(
        "presence.publish_expires_seconds.minn = 5\npresence.publish_expires_seconds.min = 9",
    );
    server.write_configuration();
    server.hang_up();
    server.expect_log("minn");
    let mut source = server.source(Over::Udp4, "alice", "desk");
    assert_eq!(
        source.publish(1, "a bad file changes nothing").status(),
        Some(200)
    );
    watcher.sees("a bad file changes nothing");

    if let Some(toml::Value::Table(presence)) = server.options().configuration.get_mut("presence") {
        presence.insert(
            "publish_expires_seconds".to_owned(),
            toml::Value::Table("min = 9\ndefault = 3600\nmax = 3600".parse().expect("TOML")),
        );
    }
    server.write_configuration();
    server.hang_up();
    let deadline = Deadline::default();
    loop {
        let request = source
            .publish_request(2, None)
            .without("SIP-If-Match")
            .body("application/pidf+xml", source.document("open", "x"));
        let response = source.peer.exchange(&request);
        if response.status() == Some(423) {
            assert_eq!(response.number("min-expires"), 9);
            break;
        }
        assert!(
            deadline.left().is_some(),
            "the good file is not taken over:\n{response}\n{}",
            server.stderr()
        );
    }
    assert_eq!(server.http("/readyz").0, 200);
    watcher.subscribe(3600);
}

/// A tail that was torn in the middle of a write, which nobody was promised, is cut without a word to anybody.
#[test]
fn a_torn_tail_is_cut() {
    let mut world = world();
    world.server.kill9();
    let (segment, _) = holding(&world.server.data(), b"phone one");
    let content = written(&segment);
    let garbage: Vec<u8> = (1..=60u8)
        .map(|number| number.wrapping_mul(37) | 1)
        .collect();
    // A frame may itself end in zeros; so does a torn one begin.
    overwrite(&segment, content.len() + 64, &garbage);
    world.server.restart();
    assert!(
        world.server.stderr().contains("torn"),
        "{}",
        world.server.stderr()
    );
    world.goes_on(1);
}

/// Damage to what was acknowledged is never guessed around: exit 5, naming the segment and the place; `check --data` says what would be dropped.
#[test]
fn damage_to_acknowledged_data_is_refused() {
    for zeros in [false, true] {
        let mut world = world();
        world.server.kill9();
        let (segment, at) = holding(&world.server.data(), b"desk one");
        let content = written(&segment);
        let damage = if zeros {
            vec![0; 64]
        } else {
            vec![content[at] ^ 0x10]
        };
        overwrite(&segment, at, &damage);
        let (code, stderr) = world.server.restart_refused();
        assert_eq!(code, Some(5), "{stderr}");
        let name = segment
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(stderr.contains(name), "names the segment {name}: {stderr}");
        assert!(stderr.contains("offset"), "names the offset: {stderr}");
        assert!(
            stderr.contains("dropping them would lose"),
            "names what would be lost: {stderr}"
        );

        let data = world.server.data().display().to_string();
        let output = world.server.run(&["check", "--data", &data]);
        let said = [output.stdout, output.stderr].concat();
        assert!(
            matches!(output.status.code(), Some(2 | 5)),
            "{}",
            String::from_utf8_lossy(&said)
        );
        assert!(
            String::from_utf8_lossy(&said).contains(name),
            "{}",
            String::from_utf8_lossy(&said)
        );

        overwrite(&segment, at, &content[at..at + damage.len()]);
        world.server.restart();
        world.goes_on(1);
    }
}
