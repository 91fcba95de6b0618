//! `kill -9` at each commit point of the flows: before a batch reaches the journal, when it is durable and nobody knows, when everybody was told.
//! Peers do what SIP has them do: they retransmit. Somebody starts the server again, on the same data and ports.

use deployment::binary::crashing_server;
use deployment::deadline::Deadline;
use deployment::{Message, Over, Presence, Request, Server, ServerOptions, Source, Watcher};
use std::time::Duration;

/// A batch count that no run of the flow comes near; the loop must end by itself.
const BATCHES_MAX: u32 = 60;

#[test]
fn killed_before_a_batch_reaches_the_journal() {
    every_batch("before");
}

#[test]
fn killed_when_a_batch_is_durable_and_nobody_knows() {
    every_batch("durable");
}

#[test]
fn killed_when_everybody_was_told() {
    every_batch("told");
}

/// Runs the flow once for each batch, until a run has fewer batches than that.
fn every_batch(point: &str) {
    let mut number = 1;
    while Run::new(point, number).flow() {
        number += 1;
        assert!(number < BATCHES_MAX, "the flow never ends");
    }
    assert!(
        number > 5,
        "each request that changes something has a batch, but the flow had {}",
        number - 1
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Watcher,
    Desk,
    Phone,
}

struct Run {
    server: Server,
    watcher: Watcher,
    desk: Source,
    phone: Source,
    crashed: bool,
    /// NOTIFYs that may say again what was said: one after each crash.
    repeats: u32,
    last: Vec<u8>,
}

impl Run {
    fn new(point: &str, number: u32) -> Self {
        let options = ServerOptions::default()
            .program(crashing_server(), &["--crash", point, &number.to_string()]);
        let server = Server::start(options);
        let watcher = server.watcher(Over::Udp4, "bob", "alice");
        let desk = server.source(Over::Udp4, "alice", "desk");
        let phone = server.source(Over::Udp4, "alice", "phone");
        Self {
            server,
            watcher,
            desk,
            phone,
            crashed: false,
            repeats: 0,
            last: Vec::new(),
        }
    }

    /// PS-1.0-int-M-0100 with a subscription around it; whether there was a crash.
    fn flow(mut self) -> bool {
        self.subscribe(3600);
        self.sees(true, Presence::is_neutral);
        let body = self.desk.document("open", "desk one");
        self.publish(Who::Desk, 3600, Some(body));
        self.sees(false, |state| {
            state.says("desk one") && !state.says("phone one")
        });
        self.publish(Who::Desk, 3600, None);
        let body = self.phone.document("open", "phone one");
        self.publish(Who::Phone, 3600, Some(body));
        self.sees(false, |state| {
            state.says("desk one") && state.says("phone one")
        });
        self.subscribe(3600);
        self.sees(true, |state| {
            state.says("desk one") && state.says("phone one")
        });
        let body = self.desk.document("closed", "desk two");
        self.publish(Who::Desk, 3600, Some(body));
        self.sees(false, |state| {
            state.says("desk two") && !state.says("desk one") && state.says("phone one")
        });
        self.publish(Who::Desk, 0, None);
        self.sees(false, |state| {
            !state.says("desk two") && state.says("phone one")
        });

        self.same_again();

        self.subscribe(0);
        self.sees(true, |state| state.says("phone one"));
        let request = self.watcher.subscribe_request(600);
        let response = self.exchange(Who::Watcher, &request);
        assert_eq!(response.status(), Some(481), "{response}");
        self.crashed
    }

    /// The tag that was acknowledged is honoured, in the next life too, and the same request again changes nothing.
    fn same_again(&mut self) {
        let request = self.phone.publish_request(3600, None);
        let first = self.exchange(Who::Phone, &request);
        self.phone.accept(&request, &first);
        let again = self.exchange(Who::Phone, &request);
        assert_eq!(
            again.header("sip-etag"),
            first.header("sip-etag"),
            "{again}"
        );
        if self.crashed {
            self.server.kill9();
            self.server.restart();
            self.repeats += 1;
            let again = self.exchange(Who::Phone, &request);
            assert_eq!(again.status(), Some(200), "{again}");
            assert_eq!(
                again.header("sip-etag"),
                first.header("sip-etag"),
                "{again}"
            );
        }
        self.publish(Who::Phone, 3600, None);
    }

    fn subscribe(&mut self, expires: u32) {
        let request = self.watcher.subscribe_request(expires);
        let response = self.exchange(Who::Watcher, &request);
        assert_eq!(response.status(), Some(200), "{response}");
        self.watcher.accept(&request, &response);
    }

    fn publish(&mut self, who: Who, expires: u32, body: Option<String>) {
        let request = self.source(who).publish_request(expires, body.as_deref());
        let response = self.exchange(who, &request);
        self.source(who).accept(&request, &response);
    }

    fn source(&mut self, who: Who) -> &mut Source {
        if who == Who::Desk {
            &mut self.desk
        } else {
            &mut self.phone
        }
    }

    /// Sends until it is answered, over as many lives as it takes.
    fn exchange(&mut self, who: Who, request: &Request) -> Message {
        let Self {
            server,
            watcher,
            desk,
            phone,
            crashed,
            repeats,
            ..
        } = self;
        let peer = match who {
            Who::Watcher => &mut watcher.peer,
            Who::Desk => &mut desk.peer,
            Who::Phone => &mut phone.peer,
        };
        peer.exchange_while(request, &mut || {
            let revived = server.revive();
            *crashed |= revived;
            *repeats += u32::from(revived);
            revived
        })
    }

    fn revive(&mut self) {
        if self.server.revive() {
            self.crashed = true;
            self.repeats += 1;
        }
    }

    /// Waits for the NOTIFY that says this. One that says what is known may come only as the answer to a SUBSCRIBE, or once after a crash.
    fn sees(&mut self, answers_subscribe: bool, expected: impl Fn(&Presence) -> bool) {
        let deadline = Deadline::default();
        loop {
            self.watcher.gap_allowed = self.crashed;
            let Some(notification) = self
                .watcher
                .notify_before(Deadline::after(Duration::from_millis(20)))
            else {
                assert!(
                    deadline.left().is_some(),
                    "never notified\n{}",
                    self.server.stderr()
                );
                self.revive();
                continue;
            };
            let is_news = notification.message.body != self.last;
            let is_expected = expected(&notification.presence());
            assert!(
                is_expected || !is_news,
                "not what was published:\n{}",
                notification.message
            );
            if is_expected && (is_news || answers_subscribe) {
                self.last.clone_from(&notification.message.body);
                return;
            }
            assert!(
                self.repeats > 0,
                "a NOTIFY that says nothing new:\n{}",
                notification.message
            );
            self.repeats -= 1;
        }
    }
}
