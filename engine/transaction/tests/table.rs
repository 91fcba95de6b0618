//! `ServerTransactions` by hand and against a model that keeps everything and searches it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail the test"
)]

use machine::Instant;
use proptest::prelude::*;
use sip::Message;
use transaction::{Received, ServerTransactions, TransactionKey};

const KEY: [u8; 16] = *b"sixteen byte key";

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn request(method: &str, via: &str, tags: (&str, &str), cseq: u32) -> Vec<u8> {
    let cseq_method = method;
    format!(
        "{method} sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:bob@example.com>;tag={}\r\n\
         To: <sip:alice@example.com>{}\r\nCall-ID: one\r\nCSeq: {cseq} {cseq_method}\r\nContent-Length: 0\r\n\r\n",
        tags.0, tags.1
    )
    .into_bytes()
}

fn new(table: &mut ServerTransactions, now: u64, bytes: &[u8]) -> TransactionKey {
    match table.receive(at(now), &Message::parse(bytes).unwrap(), false) {
        Received::New(key) => key,
        other => panic!("{other:?} at {now}"),
    }
}

fn receive<'t>(table: &'t mut ServerTransactions, now: u64, bytes: &[u8]) -> Received<'t> {
    table.receive(at(now), &Message::parse(bytes).unwrap(), false)
}

#[test]
fn a_retransmission_gets_the_stored_answer_until_timer_j() {
    let mut table = ServerTransactions::new(KEY, 10);
    let publish = request("PUBLISH", "192.0.2.1;branch=z9hG4bKa", ("1", ""), 1);
    let key = new(&mut table, 0, &publish);
    // Decided, but not durable yet.
    assert_eq!(
        receive(&mut table, 500, &publish),
        Received::Retransmission(None)
    );
    table.respond(at(600), key, *b"answer", 200);
    assert_eq!(
        receive(&mut table, 1500, &publish),
        Received::Retransmission(Some(b"answer"))
    );
    // A second final response never replaces the first.
    table.respond(at(1600), key, *b"other", 500);
    assert_eq!(
        receive(&mut table, 1700, &publish),
        Received::Retransmission(Some(b"answer"))
    );
    table.handle_timeout(at(32_599));
    assert_eq!(
        receive(&mut table, 32_599, &publish),
        Received::Retransmission(Some(b"answer"))
    );
    table.handle_timeout(at(32_600));
    assert!(table.is_empty());
    assert_eq!(table.poll_timeout(), None);
    new(&mut table, 32_600, &publish);
}

#[test]
fn over_a_reliable_transport_nothing_is_kept() {
    let mut table = ServerTransactions::new(KEY, 10);
    let bytes = request("PUBLISH", "192.0.2.1;branch=z9hG4bKa", ("1", ""), 1);
    let Received::New(key) = table.receive(at(0), &Message::parse(&bytes).unwrap(), true) else {
        panic!()
    };
    table.respond(at(1), key, *b"answer", 200);
    assert_eq!(table.len(), 0);
    assert_eq!(table.poll_timeout(), None);
}

#[test]
fn what_is_never_answered_is_forgotten() {
    let mut table = ServerTransactions::new(KEY, 10);
    for method in ["PUBLISH", "INVITE"] {
        new(
            &mut table,
            0,
            &request(method, "192.0.2.1;branch=z9hG4bKa", ("1", ""), 1),
        );
    }
    assert_eq!(table.poll_timeout(), Some(at(32_000)));
    table.handle_timeout(at(32_000));
    assert_eq!((table.len(), table.poll_timeout()), (0, None));
}

#[test]
fn branch_sent_by_and_method_tell_transactions_apart() {
    let mut table = ServerTransactions::new(KEY, 10);
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example;branch=z9hG4bKa", ("1", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("PUBLISH", "b.example;branch=z9hG4bKa", ("1", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example:5070;branch=z9hG4bKa", ("1", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("SUBSCRIBE", "a.example;branch=z9hG4bKa", ("1", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("FETCH", "a.example;branch=z9hG4bKa", ("1", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("fetch", "a.example;branch=z9hG4bKa", ("1", ""), 1),
    );
    // Same host in other letters, other From tag: the branch decides.
    let again = request("PUBLISH", "A.Example;branch=z9hG4bKa", ("2", ""), 2);
    assert_eq!(
        receive(&mut table, 0, &again),
        Received::Retransmission(None)
    );
    assert_eq!(table.len(), 6);
}

#[test]
fn without_the_cookie_the_rules_of_rfc_2543_hold() {
    let mut table = ServerTransactions::new(KEY, 10);
    let one = request("PUBLISH", "a.example;branch=1", ("1", ""), 1);
    new(&mut table, 0, &one);
    assert_eq!(receive(&mut table, 0, &one), Received::Retransmission(None));
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example;branch=1", ("2", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example;branch=1", ("1", ""), 2),
    );
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example", ("1", ""), 1),
    );
    // The cookie alone names nothing.
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example;branch=z9hG4bK", ("1", ""), 1),
    );
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example;branch=z9hG4bK", ("1", ""), 2),
    );
    // An INVITE and the ACK with the To tag of our response.
    let key = new(&mut table, 0, &request("INVITE", "a.example", ("1", ""), 7));
    table.respond(at(0), key, *b"405", 405);
    let before = table.len();
    assert_eq!(
        receive(
            &mut table,
            1,
            &request("ACK", "a.example", ("1", ";tag=ours"), 7)
        ),
        Received::Ack
    );
    table.handle_timeout(at(5001));
    assert_eq!(table.len(), before - 1, "Timer I ended the INVITE");
}

#[test]
fn an_invite_is_answered_until_its_ack() {
    let mut table = ServerTransactions::new(KEY, 10);
    let invite = request("INVITE", "a.example;branch=z9hG4bKa", ("1", ""), 1);
    let ack = request("ACK", "a.example;branch=z9hG4bKa", ("1", ";tag=ours"), 1);
    assert_eq!(receive(&mut table, 0, &ack), Received::Ack, "a stray one");
    let key = new(&mut table, 0, &invite);
    table.respond(at(0), key, *b"405", 405);
    assert_eq!(
        receive(&mut table, 100, &invite),
        Received::Retransmission(Some(b"405"))
    );
    assert_eq!(table.poll_timeout(), Some(at(500)));
    table.handle_timeout(at(500));
    assert_eq!(table.poll_retransmission(), Some((key, &b"405"[..])));
    assert_eq!(table.poll_retransmission(), None);
    assert_eq!(receive(&mut table, 600, &ack), Received::Ack);
    assert_eq!(
        receive(&mut table, 700, &invite),
        Received::Retransmission(None)
    );
    table.handle_timeout(at(5599));
    assert_eq!(table.len(), 1);
    table.handle_timeout(at(5600));
    assert_eq!(
        (
            table.len(),
            table.poll_timeout(),
            table.poll_retransmission()
        ),
        (0, None, None)
    );
}

#[test]
fn an_invite_without_ack_ends_by_timer_h() {
    let mut table = ServerTransactions::new(KEY, 10);
    let key = new(
        &mut table,
        0,
        &request("INVITE", "a.example;branch=z9hG4bKa", ("1", ""), 1),
    );
    table.respond(at(0), key, *b"405", 405);
    let mut count = 0;
    while let Some(timer) = table.poll_timeout() {
        table.handle_timeout(timer);
        while table.poll_retransmission().is_some() {
            count += 1;
        }
    }
    assert_eq!((count, table.len()), (10, 0));
}

#[test]
fn a_cancel_finds_what_it_means() {
    let mut table = ServerTransactions::new(KEY, 10);
    let cancel = request("CANCEL", "a.example;branch=z9hG4bKa", ("1", ""), 1);
    assert_eq!(table.cancelled(&Message::parse(&cancel).unwrap()), None);
    new(&mut table, 0, &cancel);
    assert_eq!(
        table.cancelled(&Message::parse(&cancel).unwrap()),
        None,
        "not itself"
    );
    for (branch, method) in [("z9hG4bKa", "INVITE"), ("z9hG4bKb", "SUBSCRIBE")] {
        let via = format!("a.example;branch={branch}");
        let key = new(&mut table, 0, &request(method, &via, ("1", ""), 1));
        let cancel = request("CANCEL", &via, ("1", ""), 1);
        assert_eq!(
            table.cancelled(&Message::parse(&cancel).unwrap()),
            Some(key)
        );
    }
}

#[test]
fn a_full_table_says_so_and_still_replays() {
    let mut table = ServerTransactions::new(KEY, 2);
    let first = request("PUBLISH", "a.example;branch=z9hG4bK0", ("1", ""), 1);
    let key = new(&mut table, 0, &first);
    new(
        &mut table,
        0,
        &request("PUBLISH", "a.example;branch=z9hG4bK1", ("1", ""), 1),
    );
    assert_eq!(
        receive(
            &mut table,
            0,
            &request("PUBLISH", "a.example;branch=z9hG4bK2", ("1", ""), 1)
        ),
        Received::Full
    );
    table.respond(at(1), key, *b"200", 200);
    assert_eq!(
        receive(&mut table, 2, &first),
        Received::Retransmission(Some(b"200"))
    );
    table.handle_timeout(at(32_001));
    new(
        &mut table,
        32_001,
        &request("PUBLISH", "a.example;branch=z9hG4bK2", ("1", ""), 1),
    );
}

/// What one step of the property does: a request of transaction `id`, or an answer to the `id`th.
#[derive(Clone, Debug)]
enum Step {
    Request(u8),
    Answer(u8),
    Wait(u64),
}

#[derive(Clone, Debug)]
struct Naive {
    id: u8,
    key: TransactionKey,
    came: u64,
    answered: Option<u64>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..40).prop_map(Step::Request),
        4 => (0u8..40).prop_map(Step::Answer),
        1 => (1u64..9000).prop_map(Step::Wait),
        1 => (30_000u64..40_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    /// Every fourth id is over TCP. The model: a list, searched; unanswered ones go after 32 s, answered ones 32 s after.
    #[test]
    fn behaves_like_a_list(steps in steps()) {
        const MAX: usize = 24;
        let mut table = ServerTransactions::new(KEY, MAX);
        let mut list: Vec<Naive> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Request(id) => {
                    let bytes = request("PUBLISH", &format!("h{};branch=z9hG4bK{}", id % 3, id / 3), ("1", ""), 1);
                    let message = Message::parse(&bytes).unwrap();
                    let known = list.iter().find(|known| known.id == id).cloned();
                    let room = list.len() < MAX;
                    match (table.receive(at(now), &message, id % 4 == 0), known) {
                        (Received::New(key), None) if room => list.push(Naive { id, key, came: now, answered: None }),
                        (Received::Full, None) => prop_assert!(!room),
                        (Received::Retransmission(None), Some(known)) => prop_assert_eq!(known.answered, None),
                        (Received::Retransmission(Some(bytes)), Some(known)) => {
                            prop_assert!(known.answered.is_some());
                            prop_assert_eq!(bytes, &[id][..]);
                        }
                        (received, known) => prop_assert!(false, "{:?} where {:?}", received, known),
                    }
                }
                Step::Answer(id) => {
                    if let Some(place) = list.iter().position(|known| known.id == id) {
                        table.respond(at(now), list[place].key, [id], 200);
                        if id % 4 == 0 && list[place].answered.is_none() {
                            list.remove(place);
                        } else {
                            list[place].answered.get_or_insert(now);
                        }
                    }
                }
                Step::Wait(by) => {
                    now += by;
                    table.handle_timeout(at(now));
                    list.retain(|known| known.answered.unwrap_or(known.came) + 32_000 > now);
                }
            }
            prop_assert_eq!(table.len(), list.len());
            let next = list.iter().map(|known| known.answered.unwrap_or(known.came) + 32_000).min();
            // It may ask to be woken for something that has gone meanwhile, never too late.
            prop_assert!(next.is_none_or(|next| table.poll_timeout().is_some_and(|timer| timer <= at(next))));
        }
    }

    /// However long it runs, what it holds is bounded by what lives.
    #[test]
    fn queues_stay_short(count in 1u64..3000, answer_every in 1u64..4) {
        let mut table = ServerTransactions::new(KEY, 10_000);
        for n in 0..count {
            let bytes = request("PUBLISH", &format!("h;branch=z9hG4bK{n}"), ("1", ""), 1);
            let Received::New(key) = table.receive(at(n), &Message::parse(&bytes).unwrap(), true) else { panic!() };
            if n % answer_every == 0 {
                table.respond(at(n), key, *b"", 200);
            }
        }
        let left = (0..count).filter(|n| n % answer_every != 0).count();
        prop_assert_eq!(table.len(), left);
        prop_assert!(table.queued() <= 2 * left + 130, "{} queued for {}", table.queued(), left);
    }
}

#[test]
fn large_responses_fill_the_table_before_its_number_does() {
    let mut table = ServerTransactions::new(KEY, 10);
    for index in 0..2 {
        let bytes = request(
            "PUBLISH",
            &format!("192.0.2.1;branch=z9hG4bK{index}"),
            ("1", ""),
            1,
        );
        let key = new(&mut table, 0, &bytes);
        table.respond(at(0), key, vec![b'x'; 3000], 200);
    }
    let third = request("PUBLISH", "192.0.2.1;branch=z9hG4bKthird", ("1", ""), 1);
    assert_eq!(receive(&mut table, 1, &third), Received::Full);
    // Room comes back with their end.
    table.handle_timeout(at(32_000));
    new(&mut table, 32_000, &third);
}

#[test]
fn what_is_forgotten_is_new_when_it_comes_again() {
    for method in ["OPTIONS", "INVITE"] {
        let mut table = ServerTransactions::new(KEY, 10);
        let bytes = request(method, "192.0.2.1;branch=z9hG4bKa", ("1", ""), 1);
        let key = new(&mut table, 0, &bytes);
        table.forget(key);
        assert_eq!((table.len(), table.queued()), (0, 0), "{method}");
        let key = new(&mut table, 1, &bytes);
        table.respond(at(2), key, *b"answer", 405);
        assert_eq!(
            receive(&mut table, 3, &bytes),
            Received::Retransmission(Some(b"answer"))
        );
    }
}
