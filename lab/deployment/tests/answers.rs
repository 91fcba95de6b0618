//! The response codes that a presence server must get right, row by row (standards.md §1.0), over UDP and TCP.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use deployment::peer::unique;
use deployment::presence::pidf;
use deployment::{Message, Over, Peer, Request, Server};

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

/// One row: what is sent, and what must come back.
struct Row {
    name: &'static str,
    request: Box<dyn Fn(&Peer) -> Request>,
    status: u16,
    check: fn(&Message),
}

fn row(name: &'static str, status: u16, request: impl Fn(&Peer) -> Request + 'static) -> Row {
    Row {
        name,
        request: Box::new(request),
        status,
        check: |_| {},
    }
}

impl Row {
    fn and(mut self, check: fn(&Message)) -> Self {
        self.check = check;
        self
    }
}

fn subscribe(peer: &Peer) -> Request {
    peer.request("SUBSCRIBE", ALICE, BOB)
        .with("Contact", peer.contact("bob"))
        .with("Event", "presence")
        .with("Expires", 600)
}

fn publish(peer: &Peer) -> Request {
    peer.request("PUBLISH", ALICE, ALICE)
        .with("Event", "presence")
        .with("Expires", 600)
        .body("application/pidf+xml", pidf(ALICE, "desk", "open", "here"))
}

/// Sends each row over both transports; every row that fails is named, none hides another. A refused SUBSCRIBE is followed by no NOTIFY.
fn run(server: &Server, rows: &[Row]) {
    let mut failed = Vec::new();
    let mut refused = Vec::new();
    for over in Over::BOTH {
        for row in rows {
            let mut peer = server.peer(over);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let response = peer.exchange(&(row.request)(&peer));
                assert_eq!(response.status(), Some(row.status), "{response}");
                (row.check)(&response);
            }));
            if outcome.is_err() {
                failed.push(format!("{over:?}: {}: {} expected", row.name, row.status));
            } else if row.status >= 300 {
                refused.push((row.name, peer));
            }
        }
    }
    for (name, mut peer) in refused {
        if peer
            .find(
                deployment::Deadline::after(Duration::from_millis(1)),
                |message| message.status().is_none(),
            )
            .is_some()
        {
            failed.push(format!("{name}: refused, yet a request followed"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} rows failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn lists(message: &Message, name: &str, value: &str) {
    assert!(
        message.values(name).contains(&value),
        "{name} lacks {value}:\n{message}"
    );
}

#[test]
fn event_packages() {
    let names = |response: &Message| {
        lists(response, "allow-events", "presence");
        assert!(
            response
                .values("allow-events")
                .iter()
                .all(|event| !event.contains('.')),
            "templates are not listed:\n{response}"
        );
    };
    run(
        &Server::start(()),
        &[
            row("SUBSCRIBE, unknown package", 489, |peer| {
                subscribe(peer).set("Event", "weather")
            })
            .and(names),
            row("SUBSCRIBE, package in other case", 489, |peer| {
                subscribe(peer).set("Event", "Presence")
            })
            .and(names),
            row("SUBSCRIBE, no Event", 489, |peer| {
                subscribe(peer).without("Event")
            })
            .and(names),
            row("SUBSCRIBE, unknown template", 489, |peer| {
                subscribe(peer).set("Event", "presence.weather")
            })
            .and(names),
            row("PUBLISH, unknown package", 489, |peer| {
                publish(peer).set("Event", "weather")
            })
            .and(names),
            row("PUBLISH, no Event", 489, |peer| {
                publish(peer).without("Event")
            })
            .and(names),
            row("SUBSCRIBE, Event with an id", 200, |peer| {
                subscribe(peer).set("Event", "presence;id=7")
            }),
        ],
    );
}

#[test]
fn presentities_not_served_here() {
    run(
        &Server::start(()),
        &[
            row("SUBSCRIBE, another domain", 404, |peer| {
                peer_to(peer, "SUBSCRIBE", "sip:alice@elsewhere.net")
            }),
            row("PUBLISH, another domain", 404, |peer| {
                peer_to(peer, "PUBLISH", "sip:alice@elsewhere.net")
            }),
            row("SUBSCRIBE, a domain that ends alike", 404, |peer| {
                peer_to(peer, "SUBSCRIBE", "sip:alice@notexample.com")
            }),
            row("SUBSCRIBE, domain in other case", 200, |peer| {
                peer_to(peer, "SUBSCRIBE", "sip:alice@EXAMPLE.com")
            }),
            row("SUBSCRIBE, escaped user", 200, |peer| {
                peer_to(peer, "SUBSCRIBE", "sip:%61lice@example.com")
            }),
        ],
    );
}

fn peer_to(peer: &Peer, method: &str, uri: &str) -> Request {
    let template = if method == "PUBLISH" {
        publish(peer)
    } else {
        subscribe(peer)
    };
    let mut request = template.set("To", format!("<{uri}>"));
    if method == "PUBLISH" {
        request = request.set("From", format!("<{uri}>;tag={}", unique()));
    }
    request.uri = uri.to_owned();
    request
}

#[test]
fn presentities_that_are_not_listed() {
    let server = Server::start(
        "presence.presentities = 'listed'\nidentity.users = [{ aor = 'sip:carol@example.com' }]",
    );
    run(
        &server,
        &[
            row("SUBSCRIBE, nobody's name", 404, subscribe),
            row("PUBLISH, nobody's name", 404, publish),
            row("SUBSCRIBE, a user's name", 200, |peer| {
                peer_to(peer, "SUBSCRIBE", "sip:carol@example.com")
            }),
        ],
    );
}

#[test]
fn accepted_types() {
    run(
        &Server::start(()),
        &[
            row("SUBSCRIBE, nothing we produce", 406, |peer| {
                subscribe(peer).set("Accept", "text/plain")
            }),
            row("SUBSCRIBE, our type at q=0", 406, |peer| {
                subscribe(peer).set("Accept", "application/pidf+xml;q=0")
            }),
            row("SUBSCRIBE, empty Accept", 406, |peer| {
                subscribe(peer).set("Accept", "")
            }),
            row("SUBSCRIBE, no Accept", 200, |peer| {
                subscribe(peer).without("Accept")
            }),
            row("SUBSCRIBE, anything", 200, |peer| {
                subscribe(peer).set("Accept", "*/*")
            }),
            row("SUBSCRIBE, any application", 200, |peer| {
                subscribe(peer).set("Accept", "text/plain, application/*;q=0.1")
            }),
            row("SUBSCRIBE, our type in the second line", 200, |peer| {
                subscribe(peer)
                    .with("Accept", "text/plain")
                    .with("Accept", "application/pidf+xml;q=0.5")
            }),
            row("SUBSCRIBE, our type in capitals", 200, |peer| {
                subscribe(peer).set("Accept", "Application/PIDF+XML")
            }),
            row("PUBLISH, Accept means nothing", 200, |peer| {
                publish(peer).set("Accept", "text/plain")
            }),
        ],
    );
}

#[test]
fn bodies() {
    let accept = |response: &Message| lists(response, "accept", "application/pidf+xml");
    run(
        &Server::start("limits.body_bytes_max = 2000"),
        &[
            row("PUBLISH, a type not of presence", 415, |peer| {
                publish(peer).body("text/plain", "hello")
            })
            .and(accept),
            row("PUBLISH, an unknown encoding", 415, |peer| {
                publish(peer).with("Content-Encoding", "gzip")
            })
            .and(|response| assert!(response.header("accept-encoding").is_some(), "{response}")),
            row("PUBLISH, the old name of the type", 200, |peer| {
                publish(peer).set("Content-Type", "application/cpim-pidf+xml")
            }),
            row("PUBLISH, a type with a parameter", 200, |peer| {
                publish(peer).set("Content-Type", "application/pidf+xml;charset=\"UTF-8\"")
            }),
            row("SUBSCRIBE, a body nobody understands", 415, |peer| {
                subscribe(peer).body("text/plain", "hello")
            }),
            row("SUBSCRIBE, the same, optional", 200, |peer| {
                subscribe(peer)
                    .body("text/plain", "hello")
                    .with("Content-Disposition", "render;handling=optional")
            }),
            row("PUBLISH, initial without a body", 400, |peer| {
                empty(publish(peer))
            }),
            row("PUBLISH, malformed XML", 400, |peer| {
                publish(peer).body("application/pidf+xml", "<presence")
            }),
            row("PUBLISH, not a presence document", 400, |peer| {
                publish(peer).body("application/pidf+xml", "<other/>")
            }),
            row("PUBLISH, a document type", 400, |peer| {
                publish(peer).body(
                    "application/pidf+xml",
                    format!(
                        "<!DOCTYPE presence [<!ENTITY a 'b'>]>{}",
                        &pidf(ALICE, "a", "open", "n")[39..]
                    ),
                )
            }),
            row("PUBLISH, not UTF-8", 400, |peer| {
                let text = pidf(ALICE, "desk", "open", "here").replace("here", "h\u{e9}re");
                publish(peer).body(
                    "application/pidf+xml",
                    text.chars()
                        .map(|character| character as u8)
                        .collect::<Vec<u8>>(),
                )
            }),
            row("PUBLISH, over the bound", 413, |peer| {
                publish(peer).body(
                    "application/pidf+xml",
                    pidf(ALICE, "a", "open", &"x".repeat(2000)),
                )
            }),
        ],
    );
}

fn empty(request: Request) -> Request {
    let mut request = request.without("Content-Type");
    request.body.clear();
    request
}

#[test]
fn entity_tags() {
    run(
        &Server::start(()),
        &[
            row("PUBLISH, an unknown tag, with a body", 412, |peer| {
                publish(peer).with("SIP-If-Match", "nobodys")
            }),
            row("PUBLISH, an unknown tag, refresh", 412, |peer| {
                empty(publish(peer)).with("SIP-If-Match", "nobodys")
            }),
            row("PUBLISH, an unknown tag, removal", 412, |peer| {
                empty(publish(peer))
                    .with("SIP-If-Match", "nobodys")
                    .set("Expires", 0)
            }),
            row("PUBLISH, two tags", 400, |peer| {
                publish(peer).with("SIP-If-Match", "a, b")
            }),
            row("PUBLISH, two fields", 400, |peer| {
                publish(peer)
                    .with("SIP-If-Match", "a")
                    .with("SIP-If-Match", "b")
            }),
            row("PUBLISH, any tag", 400, |peer| {
                publish(peer).with("SIP-If-Match", "*")
            }),
        ],
    );
}

/// A tag belongs to one presentity: with another it is unknown.
#[test]
fn an_entity_tag_of_another_presentity() {
    let server = Server::start(());
    let mut alice = server.source(Over::Udp4, "alice", "desk");
    alice.publish(600, "here");
    let mut carol = server.source(Over::Udp4, "carol", "desk");
    carol.entity_tag.clone_from(&alice.entity_tag);
    carol.refused(600, None, 412);
    alice.refresh(600);
}

#[test]
fn durations() {
    let minimum = |response: &Message| assert_eq!(response.number("min-expires"), 60, "{response}");
    let shortened =
        |response: &Message| assert_eq!(response.number("expires"), 86_400, "{response}");
    let usual = |response: &Message| assert_eq!(response.number("expires"), 3600, "{response}");
    run(
        &Server::start(
            "presence.subscribe_expires_seconds.min = 60\npresence.publish_expires_seconds.min = 60",
        ),
        &[
            row("SUBSCRIBE, too brief", 423, |peer| {
                subscribe(peer).set("Expires", 59)
            })
            .and(minimum),
            row("PUBLISH, too brief", 423, |peer| {
                publish(peer).set("Expires", 59)
            })
            .and(minimum),
            row("SUBSCRIBE, just long enough", 200, |peer| {
                subscribe(peer).set("Expires", 60)
            }),
            row("PUBLISH, just long enough", 200, |peer| {
                publish(peer).set("Expires", 60)
            }),
            row("SUBSCRIBE, a fetch is never too brief", 200, |peer| {
                subscribe(peer).set("Expires", 0)
            }),
            row(
                "PUBLISH, a removal is never too brief: the tag decides",
                412,
                |peer| {
                    empty(publish(peer))
                        .with("SIP-If-Match", "x")
                        .set("Expires", 0)
                },
            ),
            row("SUBSCRIBE, too long", 200, |peer| {
                subscribe(peer).set("Expires", 4_000_000)
            })
            .and(shortened),
            row("PUBLISH, too long", 200, |peer| {
                publish(peer).set("Expires", 4_000_000)
            })
            .and(shortened),
            row("SUBSCRIBE, beyond any number", 200, |peer| {
                subscribe(peer).set("Expires", "99999999999999999999")
            })
            .and(shortened),
            row("SUBSCRIBE, none named", 200, |peer| {
                subscribe(peer).without("Expires")
            })
            .and(usual),
            row("PUBLISH, none named", 200, |peer| {
                publish(peer).without("Expires")
            })
            .and(usual),
            row("SUBSCRIBE, no number", 400, |peer| {
                subscribe(peer).set("Expires", "soon")
            }),
        ],
    );
}

/// RFC 6665 §4.2.1.1: 423 only below an hour, whatever the least duration is.
#[test]
fn an_hour_is_never_too_brief_for_a_subscription() {
    let server = Server::start(
        "presence.subscribe_expires_seconds = { min = 7200, default = 7200, max = 86400 }",
    );
    run(
        &server,
        &[
            row("SUBSCRIBE, an hour", 200, |peer| {
                subscribe(peer).set("Expires", 3600)
            }),
            row("SUBSCRIBE, less", 423, |peer| {
                subscribe(peer).set("Expires", 3599)
            }),
        ],
    );
}

#[test]
fn policy() {
    run(
        &Server::start("presence.default_handling = 'block'"),
        &[
            row("SUBSCRIBE, blocked", 403, subscribe),
            row("fetch, blocked", 403, |peer| {
                subscribe(peer).set("Expires", 0)
            }),
            row("PUBLISH for oneself", 200, publish),
            row("PUBLISH for somebody else (M-0130a)", 403, |peer| {
                publish(peer).set("From", format!("<{BOB}>;tag={}", unique()))
            })
            .and(|response| assert_eq!(response.header("sip-etag"), None, "{response}")),
        ],
    );
}

#[test]
fn extensions() {
    let unsupported =
        |response: &Message| lists(response, "unsupported", "recipient-list-subscribe");
    run(
        &Server::start(()),
        &[
            row("SUBSCRIBE, Require", 420, |peer| {
                subscribe(peer).with("Require", "recipient-list-subscribe")
            })
            .and(unsupported),
            row("PUBLISH, Require", 420, |peer| {
                publish(peer).with("Require", "recipient-list-subscribe")
            })
            .and(unsupported),
            row("OPTIONS, Require of two", 420, |peer| {
                peer.request("OPTIONS", ALICE, BOB)
                    .with("Require", "recipient-list-subscribe, nothing-we-know")
            })
            .and(|response| {
                lists(response, "unsupported", "recipient-list-subscribe");
                lists(response, "unsupported", "nothing-we-know");
            }),
            row("SUBSCRIBE, Supported is no demand", 200, |peer| {
                subscribe(peer).with("Supported", "eventlist, nothing-we-know")
            }),
        ],
    );
}

#[test]
fn dialogs_that_are_not() {
    run(
        &Server::start(()),
        &[
            row("SUBSCRIBE, a tag that is not ours", 481, |peer| {
                subscribe(peer).set("To", format!("<{ALICE}>;tag=nobodys"))
            }),
            row("SUBSCRIBE, an empty-looking tag", 481, |peer| {
                subscribe(peer).set("To", format!("<{ALICE}>;tag=0"))
            }),
            row("CANCEL of nothing", 481, |peer| {
                peer.request("CANCEL", ALICE, BOB)
            }),
        ],
    );
}

/// RFC 3261 §12.2.2: a request in a dialog whose CSeq went back is answered 500; our tag with a foreign Call-ID or From tag is no dialog.
#[test]
fn a_dialog_knows_its_requests() {
    let server = Server::start(());
    for over in Over::BOTH {
        let mut watcher = server.watcher(over, "bob", "alice");
        let _ = watcher.subscribe_request(600);
        watcher.subscribe(600);
        let good = watcher.subscribe_request(600);
        for (name, request, status) in [
            ("lower CSeq", good.clone().set("CSeq", "1 SUBSCRIBE"), 500),
            (
                "another Call-ID",
                good.clone().set("Call-ID", unique()),
                481,
            ),
            (
                "another From tag",
                good.clone()
                    .set("From", format!("<{BOB}>;tag={}", unique())),
                481,
            ),
            (
                "another event id",
                good.clone().set("Event", "presence;id=other"),
                481,
            ),
            ("another package", good.clone().set("Event", "weather"), 489),
        ] {
            let request = request.set("Via", watcher.peer.via());
            let response = watcher.peer.exchange(&request);
            // A SUBSCRIBE with another id in the dialog may also be a usage of its own; presence has no use for one.
            assert_eq!(
                response.status(),
                Some(status),
                "{over:?}: {name}:\n{response}"
            );
        }
        watcher.assert_unnotified();
    }
}

#[test]
fn methods() {
    let allow = |response: &Message| {
        for method in ["OPTIONS", "SUBSCRIBE", "PUBLISH", "CANCEL"] {
            lists(response, "allow", method);
        }
        assert!(!response.values("allow").contains(&"INVITE"), "{response}");
    };
    let mut rows: Vec<Row> = ["REGISTER", "MESSAGE", "INFO", "REFER", "UPDATE", "PRACK"]
        .map(|method| {
            row("a method we know and do not serve", 405, move |peer| {
                peer.request(method, ALICE, BOB)
            })
            .and(allow)
        })
        .into();
    rows.push(
        row("INVITE", 405, |peer| {
            peer.request("INVITE", ALICE, BOB)
                .with("Contact", peer.contact("bob"))
        })
        .and(allow),
    );
    rows.push(row("a method nobody knows", 501, |peer| {
        peer.request("DANCE", ALICE, BOB)
    }));
    rows.push(row("methods are case-sensitive", 501, |peer| {
        peer.request("Subscribe", ALICE, BOB)
    }));
    rows.push(
        row("OPTIONS", 200, |peer| {
            peer.request("OPTIONS", ALICE, BOB)
                .with("Accept", "application/sdp")
        })
        .and(|response| {
            for method in ["OPTIONS", "SUBSCRIBE", "PUBLISH"] {
                lists(response, "allow", method);
            }
            lists(response, "accept", "application/pidf+xml");
            lists(response, "allow-events", "presence");
        }),
    );
    rows.push(row("OPTIONS to the domain", 200, |peer| {
        peer.request("OPTIONS", "sip:example.com", BOB)
    }));
    // RFC 3261 §16.3 step 3 binds proxies; we are where it ends.
    rows.push(row("OPTIONS with no hop left", 200, |peer| {
        peer.request("OPTIONS", ALICE, BOB).set("Max-Forwards", 0)
    }));
    run(&Server::start(()), &rows);
}

/// RFC 3261 §9.2: CANCEL of an answered request is answered 200 and changes nothing.
#[test]
fn a_cancel_that_comes_too_late() {
    let server = Server::start(());
    for over in Over::BOTH {
        let mut watcher = server.watcher(over, "bob", "alice");
        let request = watcher.subscribe_request(600);
        let response = watcher.peer.exchange(&request);
        watcher.accept(&request, &response);
        watcher.notify();
        let mut cancel = request
            .clone()
            .set("CSeq", "1 CANCEL")
            .without("Contact")
            .without("Event")
            .without("Expires")
            .without("Accept");
        cancel.method = "CANCEL".to_owned();
        let answer = watcher.peer.exchange(&cancel);
        assert_eq!(answer.status(), Some(200), "{answer}");
        watcher.assert_unnotified();
    }
}

#[test]
fn malformed_requests() {
    run(
        &Server::start("limits.head_bytes_max = 8192"),
        &[
            row("a newer SIP", 505, |peer| Request {
                version: "SIP/7.0".to_owned(),
                ..peer.request("OPTIONS", ALICE, BOB)
            }),
            row("an unknown scheme", 416, |peer| {
                peer.request("OPTIONS", "nobodys:alice@example.com", BOB)
                    .set("To", format!("<{ALICE}>"))
            }),
            row("an http address", 416, |peer| {
                peer.request("SUBSCRIBE", "http://example.com/", BOB)
                    .set("To", format!("<{ALICE}>"))
                    .with("Event", "presence")
            }),
            row("CSeq of another method", 400, |peer| {
                peer.request("OPTIONS", ALICE, BOB)
                    .set("CSeq", "1 SUBSCRIBE")
            }),
            row("Contact that cannot be read", 400, |peer| {
                subscribe(peer).set("Contact", "<sip:bob@")
            }),
            row("SUBSCRIBE without Contact", 400, |peer| {
                subscribe(peer).without("Contact")
            }),
            row("Event that cannot be read", 400, |peer| {
                subscribe(peer).set("Event", ";id=")
            }),
            row("Max-Forwards beyond its range", 400, |peer| {
                peer.request("OPTIONS", ALICE, BOB).set("Max-Forwards", 300)
            }),
            row("a header section over its bound", 513, |peer| {
                peer.request("OPTIONS", ALICE, BOB)
                    .with("Subject", "x".repeat(9000))
            }),
        ],
    );
}

/// What nobody can answer is dropped, and the server lives.
#[test]
fn what_cannot_be_answered_is_dropped() {
    let server = Server::start(());
    let mut peer = server.peer(Over::Udp4);
    for nonsense in [
        &b"\r\n\r\n"[..],
        b"hello",
        b"\0\0\0\0\0\0\0\0",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"OPTIONS sip:alice@example.com SIP/2.0\r\n\r\n",
        b"OPTIONS sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n",
        b"\x80\x00\x00\x01\x21\x12\xa4\x42",
    ] {
        peer.send_bytes(nonsense);
    }
    // ACK never has an answer.
    peer.send(&peer.request("ACK", ALICE, BOB));
    let options = peer.request("OPTIONS", ALICE, BOB);
    assert_eq!(peer.exchange(&options).status(), Some(200));
    peer.assert_silent(Duration::from_millis(20), |_| true);
}

/// RFC 3261 §17.2.1: a refused INVITE is repeated over UDP until its ACK comes.
#[test]
fn a_refused_invite_waits_for_its_ack() {
    let server = Server::start(());
    let mut peer = server.peer(Over::Udp4);
    let invite = peer
        .request("INVITE", ALICE, BOB)
        .with("Contact", peer.contact("bob"));
    let first = peer.exchange(&invite);
    let second = peer.response_to(&invite);
    assert_eq!(first.raw, second.raw);
    let mut ack = invite
        .clone()
        .set("CSeq", "1 ACK")
        .set("To", first.expect("to"));
    ack.method = "ACK".to_owned();
    peer.send(&ack);
    // The next would come after 1 s.
    peer.assert_silent(Duration::from_millis(1300), |_| true);
}
