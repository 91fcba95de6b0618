//! A server of a few lines that answers rightly, or fails in one chosen way: each failure is found and named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bench::{Carrier, FanOut, Kind, Loops, Operation, Plan, Progress, Report, Target};
use node::Clock;
use sip::{Message, Method, Name, Writer};

/// How it fails; each once in so many NOTIFYs, answers or states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    DropNotify,
    DoubleNotify,
    StaleNotify,
    CseqBack,
    /// The first watcher hears nothing after set-up.
    ForgetWatcher,
    OtherState,
    Terminate,
    Stray,
    Refuse,
    Silence,
    Repeat,
}

struct Watcher {
    presentity: String,
    target: String,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    peer: SocketAddr,
}

/// A server as simple as can be: no timers, no retransmissions, everything at once.
struct Server {
    socket: UdpSocket,
    fault: Fault,
    watchers: Vec<Watcher>,
    /// Presentity, newest document, and her first.
    documents: Vec<(String, Vec<u8>, Vec<u8>)>,
    publishes: u32,
    notifies: u32,
}

impl Server {
    fn handle(&mut self, bytes: &[u8], peer: SocketAddr) {
        let message = Message::parse(bytes).unwrap();
        match message.method() {
            Method::Publish => self.publish(&message, peer),
            Method::Subscribe if message.is_request() => self.subscribe(&message, peer),
            // The answer to a NOTIFY.
            _ => {}
        }
    }

    fn answer(
        &self,
        message: &Message<'_>,
        peer: SocketAddr,
        status: u16,
        fields: &[(Name, &str)],
    ) {
        let mut out = Vec::new();
        let mut writer = sip::response_to(&mut out, message, status, "", Some("them"), Some(peer));
        for (name, value) in fields {
            writer.header(*name, value);
        }
        writer.end(0);
        self.socket.send_to(&out, peer).unwrap();
    }

    fn publish(&mut self, message: &Message<'_>, peer: SocketAddr) {
        self.publishes += 1;
        // By CSeq, so that a retransmission meets the same.
        let is_tenth = message.cseq().unwrap().number.is_multiple_of(10);
        match self.fault {
            Fault::Refuse if is_tenth => return self.answer(message, peer, 503, &[]),
            Fault::Silence if is_tenth => return,
            _ => {}
        }
        let presentity = message.request_uri().to_owned();
        let body = message.body().to_vec();
        match self
            .documents
            .iter_mut()
            .find(|entry| entry.0 == presentity)
        {
            Some(entry) => entry.1 = body,
            None => self
                .documents
                .push((presentity.clone(), body.clone(), body)),
        }
        let etag = self.publishes.to_string();
        self.answer(
            message,
            peer,
            200,
            &[(Name::SipEtag, &etag), (Name::Expires, "3600")],
        );
        for place in 0..self.watchers.len() {
            if self.watchers[place].presentity == presentity {
                self.notify(place, true);
            }
        }
    }

    fn subscribe(&mut self, message: &Message<'_>, peer: SocketAddr) {
        let contact = message.contact().unwrap().unwrap().uri.to_owned();
        self.watchers.push(Watcher {
            presentity: message.request_uri().to_owned(),
            target: contact,
            from: format!("{};tag=them", message.header_text(Name::To).unwrap()),
            to: message.header_text(Name::From).unwrap().to_owned(),
            call_id: message.header_text(Name::CallId).unwrap().to_owned(),
            cseq: 10,
            peer,
        });
        let contact = format!("<sip:{}>", self.socket.local_addr().unwrap());
        self.answer(
            message,
            peer,
            200,
            &[(Name::Contact, &contact), (Name::Expires, "3600")],
        );
        self.notify(self.watchers.len() - 1, false);
    }

    fn notify(&mut self, place: usize, may_fail: bool) {
        self.notifies += 1;
        let fails = match self.fault {
            Fault::ForgetWatcher => may_fail && place == 0,
            _ => may_fail && self.notifies.is_multiple_of(50),
        };
        let fault = if fails { self.fault } else { Fault::None };
        let watcher = &mut self.watchers[place];
        watcher.cseq += 1;
        let entry = self
            .documents
            .iter()
            .find(|entry| entry.0 == watcher.presentity);
        let mut body = entry.map_or(Vec::new(), |entry| entry.1.clone());
        let mut state = "active;expires=3600";
        match fault {
            Fault::DropNotify | Fault::ForgetWatcher => return,
            Fault::StaleNotify => body = entry.unwrap().2.clone(),
            Fault::CseqBack => watcher.cseq -= 5,
            Fault::Terminate => state = "terminated;reason=noresource",
            Fault::Stray => {
                let stray = notify(watcher, "sip:nobody@127.0.0.1", watcher.cseq, state, &body);
                self.socket.send_to(&stray, watcher.peer).unwrap();
            }
            Fault::OtherState => {
                let other = self
                    .documents
                    .iter()
                    .find(|entry| entry.0 != watcher.presentity);
                body = other.unwrap().1.clone();
            }
            Fault::DoubleNotify => {
                let first = notify(watcher, &watcher.target, watcher.cseq, state, &body);
                self.socket.send_to(&first, watcher.peer).unwrap();
                watcher.cseq += 1;
            }
            Fault::Repeat => {
                let first = notify(watcher, &watcher.target, watcher.cseq, state, &body);
                self.socket.send_to(&first, watcher.peer).unwrap();
            }
            _ => {}
        }
        let bytes = notify(watcher, &watcher.target, watcher.cseq, state, &body);
        self.socket.send_to(&bytes, watcher.peer).unwrap();
    }
}

fn notify(watcher: &Watcher, target: &str, cseq: u32, state: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::request(&mut out, "NOTIFY", target);
    writer
        .header(
            Name::Via,
            format!("SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKt{cseq}"),
        )
        .header(Name::From, &watcher.from)
        .header(Name::To, &watcher.to)
        .header(Name::CallId, &watcher.call_id)
        .header(Name::CSeq, format!("{cseq} NOTIFY"))
        .header(Name::SubscriptionState, state);
    writer.body("application/pidf+xml", body);
    out
}

struct Running {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(fault: Fault) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut server = Server {
                socket,
                fault,
                watchers: Vec::new(),
                documents: Vec::new(),
                publishes: 0,
                notifies: 0,
            };
            let mut room = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = server.socket.recv_from(&mut room) {
                    server.handle(&room[..length], peer);
                }
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Silent;

impl Progress for Silent {
    fn tell(&mut self, _: &str, _: f64, _: f64) {}
    fn line(&mut self, _: &str) {}
}

/// A fan-out of 4 × 5 in a closed loop of one PUBLISH.
fn load(fault: Fault) -> Report {
    let server = Running::start(fault);
    let plan = Plan {
        target: Target::Running {
            address: server.address,
            processes: Vec::new(),
            documents: None,
        },
        carrier: Carrier::Udp,
        domain: "bench.example".to_owned(),
        operations: vec![Operation::FanOut],
        fan_outs: vec![FanOut {
            presentities: 4,
            watchers: 5,
        }],
        rules: Vec::new(),
        loops: Loops::Closed,
        window: 5,
        sockets: 2,
        duration: Duration::from_millis(300),
        warm_up: Duration::from_millis(10),
        // Looked at after 0.5 s, then after 1.5: long enough for a machine that is busy.
        patience: Duration::from_millis(1_200),
        body_bytes: 600,
        presentities: 4,
        objects_max: 100,
        restored: 0,
        echo_bytes: 0,
    };
    bench::run(&plan, Clock::new(), &mut Silent).unwrap()
}

/// The kinds found with this fault, in order.
fn found(fault: Fault) -> Vec<Kind> {
    let report = load(fault);
    report.wrong().iter().map(|(kind, _, _)| kind).collect()
}

#[test]
fn a_right_server_has_nothing_wrong() {
    let report = load(Fault::None);
    assert_eq!(report.wrong().total(), 0, "{}", report.table());
    let measured = &report.measured[0];
    assert!(measured.operations > 0, "nothing happened");
    assert!(measured.notifies >= 5 * measured.operations);
    assert!(report.table().ends_with("nothing wrong\n"));
    assert_eq!(report.json()["wrong"]["total"], 0);
}

#[test]
fn a_notify_that_came_again_is_no_wrong_but_counted() {
    let report = load(Fault::Repeat);
    assert_eq!(report.wrong().total(), 0, "{}", report.table());
    assert!(report.measured[0].repeated_notifies > 0);
}

#[test]
fn a_dropped_notify_is_missing() {
    let found = found(Fault::DropNotify);
    assert!(found.contains(&Kind::MissingNotify), "{found:?}");
}

#[test]
fn a_doubled_notify_is_named() {
    assert_eq!(found(Fault::DoubleNotify), [Kind::DoubledNotify]);
}

#[test]
fn an_older_state_is_stale_and_what_it_hid_is_missing() {
    // What it hid may also have been the last.
    let found = found(Fault::StaleNotify);
    assert!(
        found.starts_with(&[Kind::MissingNotify, Kind::StaleNotify]),
        "{found:?}"
    );
}

#[test]
fn a_watcher_who_never_hears_the_end_is_named() {
    assert_eq!(
        found(Fault::ForgetWatcher),
        [Kind::MissingNotify, Kind::FinalState]
    );
}

#[test]
fn a_cseq_that_goes_back_is_named() {
    let found = found(Fault::CseqBack);
    assert!(found.contains(&Kind::CseqBack), "{found:?}");
}

#[test]
fn another_users_state_is_named() {
    let found = found(Fault::OtherState);
    assert!(found.contains(&Kind::OtherState), "{found:?}");
}

#[test]
fn a_subscription_that_ends_by_itself_is_named() {
    let found = found(Fault::Terminate);
    assert!(found.contains(&Kind::Terminated), "{found:?}");
}

#[test]
fn a_notify_for_nobody_is_named() {
    assert_eq!(found(Fault::Stray), [Kind::Stray]);
}

#[test]
fn an_unexpected_answer_is_named() {
    let report = load(Fault::Refuse);
    let wrong = report.wrong();
    assert!(
        wrong
            .statuses()
            .any(|(method, status, _)| (method, status) == ("PUBLISH", 503))
    );
    assert!(
        report
            .table()
            .contains("unexpected status, first: PUBLISH: 503")
    );
}

#[test]
fn no_answer_is_named() {
    assert_eq!(found(Fault::Silence), [Kind::NoAnswer]);
}
