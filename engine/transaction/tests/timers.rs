//! Each machine as a timetable: what it wants at which millisecond, in a golden file that a reviewer can hold against RFC 3261
//! table 4, RFC 6026 §8 and RFC 4320 §4. `UPDATE_GOLDEN=1 cargo test -p transaction` writes the file anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

use std::fmt::Write;

use machine::Instant;
use transaction::{
    ClientDue, InviteClient, InviteServer, NonInviteClient, NonInviteServer, ServerDue,
};

/// Runs one machine to its end; `inputs` are (millisecond, name, what to do).
macro_rules! timetable {
    ($out:ident, $title:literal, $machine:ty, $reliable:expr, [$(($at:literal, $name:literal, $input:expr)),*]) => {{
        let mut machine = <$machine>::start(at(0), $reliable);
        let mut inputs: Vec<(u64, &str, fn(&mut $machine, Instant) -> String)> = vec![$(($at, $name, $input)),*];
        writeln!($out, "{} ({})", $title, if $reliable { "reliable" } else { "unreliable" }).unwrap();
        for _ in 0..100 {
            let timer = machine.poll_timeout();
            let input = inputs.first().map(|(ms, ..)| at(*ms));
            match (timer, input) {
                (Some(timer), input) if input.is_none_or(|input| timer < input) => {
                    // One microsecond early brings nothing.
                    assert_eq!(format!("{:?}", machine.handle_timeout(timer - MICRO)), "Nothing");
                    let due = machine.handle_timeout(timer);
                    writeln!($out, "{:>8}  timer      {due:?}", timer.as_micros() / 1000).unwrap();
                }
                (_, Some(input)) => {
                    let (_, name, act) = inputs.remove(0);
                    let told = act(&mut machine, input);
                    writeln!($out, "{:>8}  {name:<10} {told}", input.as_micros() / 1000).unwrap();
                }
                _ => break,
            }
        }
        writeln!($out, "{:>8}  {}\n", "", if machine.is_over() { "over" } else { "waits" }).unwrap();
    }};
}

const MICRO: std::time::Duration = std::time::Duration::from_micros(1);

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

#[test]
fn timetables_are_those_of_the_rfcs() {
    let mut out = String::new();
    for reliable in [false, true] {
        non_invite_client(&mut out, reliable);
        invite_client(&mut out, reliable);
        non_invite_server(&mut out, reliable);
        invite_server(&mut out, reliable);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/timetables.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &out).unwrap();
    }
    assert_eq!(out, std::fs::read_to_string(path).unwrap());
}

fn non_invite_client(out: &mut String, reliable: bool) {
    timetable!(
        out,
        "non-INVITE client, no answer",
        NonInviteClient,
        reliable,
        []
    );
    timetable!(
        out,
        "non-INVITE client, 100 then 200 and again",
        NonInviteClient,
        reliable,
        [
            (700, "100", |c, now| format!(
                "{:?}",
                c.handle_response(now, 100)
            )),
            (14000, "200", |c, now| format!(
                "{:?}",
                c.handle_response(now, 200)
            )),
            (15000, "200", |c, now| format!(
                "{:?}",
                c.handle_response(now, 200)
            ))
        ]
    );
    timetable!(
        out,
        "non-INVITE client, transport fails",
        NonInviteClient,
        reliable,
        [
            (20, "failure", |c, _| format!(
                "told {}",
                c.handle_transport_failure()
            )),
            (30, "200", |c, now| format!(
                "{:?}",
                c.handle_response(now, 200)
            ))
        ]
    );
    timetable!(
        out,
        "non-INVITE client, transport fails after 200",
        NonInviteClient,
        reliable,
        [
            (10, "200", |c, now| format!(
                "{:?}",
                c.handle_response(now, 200)
            )),
            (20, "failure", |c, _| format!(
                "told {}",
                c.handle_transport_failure()
            ))
        ]
    );
}

fn invite_client(out: &mut String, reliable: bool) {
    timetable!(out, "INVITE client, no answer", InviteClient, reliable, []);
    timetable!(
        out,
        "INVITE client, 180 then 200 twice",
        InviteClient,
        reliable,
        [
            (600, "180", |c, now| format!(
                "{:?}",
                c.handle_response(now, 180)
            )),
            (60000, "200", |c, now| format!(
                "{:?}",
                c.handle_response(now, 200)
            )),
            (60500, "200", |c, now| format!(
                "{:?}",
                c.handle_response(now, 200)
            )),
            (60600, "486", |c, now| format!(
                "{:?}",
                c.handle_response(now, 486)
            ))
        ]
    );
    timetable!(
        out,
        "INVITE client, 486 twice",
        InviteClient,
        reliable,
        [
            (100, "486", |c, now| format!(
                "{:?}",
                c.handle_response(now, 486)
            )),
            (600, "486", |c, now| format!(
                "{:?}",
                c.handle_response(now, 486)
            )),
            (700, "failure", |c, _| format!(
                "told {}",
                c.handle_transport_failure()
            ))
        ]
    );
}

fn non_invite_server(out: &mut String, reliable: bool) {
    timetable!(
        out,
        "non-INVITE server, never answered",
        NonInviteServer,
        reliable,
        []
    );
    timetable!(
        out,
        "non-INVITE server, 100 too early, 200, request again",
        NonInviteServer,
        reliable,
        [
            (5, "again", |s, _| format!(
                "replay {}",
                s.handle_retransmission()
            )),
            (10, "100", |s, now| format!(
                "leaves {}",
                s.respond(now, 100)
            )),
            (20, "183", |s, now| format!(
                "leaves {}",
                s.respond(now, 183)
            )),
            (30, "200", |s, now| format!(
                "leaves {}",
                s.respond(now, 200)
            )),
            (40, "500", |s, now| format!(
                "leaves {}",
                s.respond(now, 500)
            )),
            (500, "again", |s, _| format!(
                "replay {}",
                s.handle_retransmission()
            ))
        ]
    );
    timetable!(
        out,
        "non-INVITE server, slow owner",
        NonInviteServer,
        reliable,
        [
            (3600, "again", |s, _| format!(
                "replay {}",
                s.handle_retransmission()
            )),
            (9000, "200", |s, now| format!(
                "leaves {}",
                s.respond(now, 200)
            ))
        ]
    );
}

fn invite_server(out: &mut String, reliable: bool) {
    timetable!(
        out,
        "INVITE server, 405 never acknowledged",
        InviteServer,
        reliable,
        [
            (1, "again", |s, _| format!(
                "{:?}",
                s.handle_retransmission()
            )),
            (2, "100", |s, now| format!("leaves {}", s.respond(now, 100))),
            (3, "again", |s, _| format!(
                "{:?}",
                s.handle_retransmission()
            )),
            (10, "405", |s, now| format!(
                "leaves {}",
                s.respond(now, 405)
            )),
            (20, "200", |s, now| format!(
                "leaves {}",
                s.respond(now, 200)
            )),
            (501, "again", |s, _| format!(
                "{:?}",
                s.handle_retransmission()
            ))
        ]
    );
    timetable!(
        out,
        "INVITE server, 405 acknowledged",
        InviteServer,
        reliable,
        [
            (10, "405", |s, now| format!(
                "leaves {}",
                s.respond(now, 405)
            )),
            (900, "ACK", |s, now| format!("{:?}", s.handle_ack(now))),
            (1000, "again", |s, _| format!(
                "{:?}",
                s.handle_retransmission()
            ))
        ]
    );
    timetable!(
        out,
        "INVITE server, 200 and its ACK",
        InviteServer,
        reliable,
        [
            (10, "200", |s, now| format!(
                "leaves {}",
                s.respond(now, 200)
            )),
            (500, "again", |s, _| format!(
                "{:?}",
                s.handle_retransmission()
            )),
            (510, "200", |s, now| format!(
                "leaves {}",
                s.respond(now, 200)
            )),
            (600, "ACK", |s, now| format!("{:?}", s.handle_ack(now)))
        ]
    );
}

/// The intervals that a table can't get wrong in the same way twice: counted by hand.
#[test]
fn counts_of_retransmissions() {
    let mut machine = NonInviteClient::start(at(0), false);
    let mut sent = Vec::new();
    while let Some(timer) = machine.poll_timeout() {
        match machine.handle_timeout(timer) {
            ClientDue::Retransmit => sent.push(timer.as_micros() / 1000),
            due => assert_eq!(due, ClientDue::TimedOut),
        }
    }
    // RFC 3261 §17.1.2.2: 0.5, 1, 2, 4, 4 … s apart; Timer F at 32 s.
    assert_eq!(
        sent,
        [
            500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
        ]
    );
    let mut machine = InviteServer::start(at(0), false);
    assert!(machine.respond(at(0), 486));
    let mut sent = Vec::new();
    while let Some(timer) = machine.poll_timeout() {
        match machine.handle_timeout(timer) {
            ServerDue::Retransmit => sent.push(timer.as_micros() / 1000),
            due => assert_eq!(due, ServerDue::TimedOut),
        }
    }
    assert_eq!(
        sent,
        [
            500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
        ]
    );
}
