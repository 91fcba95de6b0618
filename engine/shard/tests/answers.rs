//! The response codes of the presence server (standards §1.0), one request after the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::type_complexity,
    reason = "a test says where it breaks"
)]

mod world;

use machine::settings::{Identity, Network, PublishByOther};
use world::{Sent, World, pidf, settings};

const TYPE: &str = "Content-Type: application/pidf+xml\r\n";

fn subscribe(world: &mut World, edit: impl Fn(&str) -> String) -> Sent {
    let text = world.subscribe_text("bob", 7000, "");
    let sent = world.say(&World::udp(7000), &edit(&text));
    sent.into_iter()
        .find(|sent| sent.status() != 0)
        .expect("an answer")
}

fn publish(world: &mut World, fields: &str, body: &str, edit: impl Fn(&str) -> String) -> Sent {
    let text = world.publish_text(fields, body);
    let sent = world.say(&World::udp(6000), &edit(&text));
    sent.into_iter()
        .find(|sent| sent.status() != 0)
        .expect("an answer")
}

type Row = (
    &'static str,
    fn(&str) -> String,
    u16,
    &'static [(&'static str, &'static str)],
);

const ROWS: &[Row] = &[
    (
        "unknown event",
        |t| t.replace("Event: presence", "Event: weather"),
        489,
        &[("Allow-Events", "presence")],
    ),
    (
        "no event",
        |t| t.replace("Event: presence\r\n", ""),
        489,
        &[("Allow-Events", "presence")],
    ),
    (
        "a template that it does not have",
        |t| t.replace("Event: presence", "Event: presence.list"),
        489,
        &[],
    ),
    (
        "unknown domain",
        |t| {
            t.replace(
                "SUBSCRIBE sip:alice@example.com",
                "SUBSCRIBE sip:alice@example.org",
            )
        },
        404,
        &[],
    ),
    (
        "nobody",
        |t| {
            t.replace(
                "SUBSCRIBE sip:alice@example.com",
                "SUBSCRIBE sip:example.com",
            )
        },
        404,
        &[],
    ),
    (
        "types we lack",
        |t| t.replace("Event:", "Accept: text/plain\r\nEvent:"),
        406,
        &[("Accept", "application/pidf+xml")],
    ),
    (
        "any type",
        |t| t.replace("Event:", "Accept: text/plain, */*;q=0.1\r\nEvent:"),
        200,
        &[],
    ),
    (
        "refused type",
        |t| t.replace("Event:", "Accept: application/pidf+xml;q=0\r\nEvent:"),
        406,
        &[],
    ),
    (
        "extension",
        |t| t.replace("Event:", "Require: eventlist, x\r\nEvent:"),
        420,
        &[("Unsupported", "eventlist, x")],
    ),
    (
        "a route that is no SIP URI",
        |t| {
            t.replace(
                "Event:",
                "Record-Route: <siq:proxy.example.net;lr>\r\nEvent:",
            )
        },
        400,
        &[],
    ),
    (
        "no contact",
        |t| t.replace("Contact: <sip:bob@127.0.0.1:7000>\r\n", ""),
        400,
        &[],
    ),
    (
        "sips contact",
        |t| t.replace("Contact: <sip:", "Contact: <sips:"),
        400,
        &[],
    ),
    (
        "mail contact",
        |t| {
            t.replace(
                "Contact: <sip:bob@127.0.0.1:7000>",
                "Contact: <mailto:bob@example.com>",
            )
        },
        400,
        &[],
    ),
    (
        "foreign dialog",
        |t| {
            t.replace(
                "To: <sip:alice@example.com>",
                "To: <sip:alice@example.com>;tag=x",
            )
        },
        481,
        &[],
    ),
    (
        "scheme",
        |t| {
            t.replace(
                "SUBSCRIBE sip:alice@example.com",
                "SUBSCRIBE http://example.com",
            )
        },
        416,
        &[],
    ),
    (
        "version",
        |t| t.replace("example.com SIP/2.0\r\n", "example.com SIP/3.0\r\n"),
        505,
        &[],
    ),
    (
        "no expiry",
        |t| t.replace("Event:", "Expires: soon\r\nEvent:"),
        400,
        &[],
    ),
    (
        "body",
        |t| {
            t.replace(
                "Content-Length: 0\r\n\r\n",
                "Content-Type: a/b\r\nContent-Length: 1\r\n\r\nx",
            )
        },
        415,
        &[("Accept", "")],
    ),
];

#[test]
fn subscribe_is_refused_in_the_right_words() {
    for (what, edit, status, fields) in ROWS {
        let mut world = World::new();
        let answer = subscribe(&mut world, edit);
        assert_eq!(answer.status(), *status, "{what}: {}", answer.head);
        for (name, value) in *fields {
            assert_eq!(answer.need(name), *value, "{what}");
        }
        assert_eq!(
            world.shard.counts().subscriptions,
            usize::from(*status == 200),
            "{what}"
        );
    }
}

#[test]
fn brief_intervals_are_refused_but_never_zero() {
    let mut settings = settings();
    settings.domains[0].presence.subscribe_expires_seconds.min = 4000;
    settings.domains[0].presence.publish_expires_seconds.min = 60;
    let mut world = World::with(settings);
    let expires = |seconds: u32| {
        move |text: &str| text.replace("Event:", &format!("Expires: {seconds}\r\nEvent:"))
    };
    assert_eq!(subscribe(&mut world, expires(0)).status(), 200);
    let settings = world.settings.clone();
    let brief = subscribe(&mut World::with(settings), expires(1800));
    assert_eq!((brief.status(), brief.need("Min-Expires")), (423, "4000"));
    // RFC 6665 §4.2.1.1: an hour is never too brief.
    let mut fresh = World::with(world.settings.clone());
    assert_eq!(subscribe(&mut fresh, expires(3600)).status(), 200);
    let brief = publish(
        &mut world,
        &format!("{TYPE}Expires: 59\r\n"),
        &pidf("open", ""),
        str::to_owned,
    );
    assert_eq!((brief.status(), brief.need("Min-Expires")), (423, "60"));
    let none = publish(
        &mut world,
        &format!("{TYPE}Expires: 0\r\n"),
        &pidf("open", ""),
        str::to_owned,
    );
    assert_eq!((none.status(), none.need("Expires")), (200, "0"));
    assert_eq!(world.shard.counts().publications, 0, "it stores nothing");
    let long = publish(
        &mut world,
        &format!("{TYPE}Expires: 4294967295\r\n"),
        &pidf("open", ""),
        str::to_owned,
    );
    assert_eq!((long.status(), long.need("Expires")), (200, "86400"));
}

#[test]
fn publish_is_refused_in_the_right_words() {
    let mut world = World::new();
    let body = pidf("open", "");
    let same = |text: &str| text.to_owned();
    assert_eq!(
        publish(&mut world, TYPE, "", same).status(),
        400,
        "initial without a body"
    );
    assert_eq!(
        publish(&mut world, "SIP-If-Match: a, b\r\n", "", same).status(),
        400,
        "two tags"
    );
    assert_eq!(
        publish(&mut world, "SIP-If-Match: *\r\n", "", same).status(),
        400,
        "any tag"
    );
    assert_eq!(
        publish(&mut world, "SIP-If-Match: 000ff\r\n", "", same).status(),
        412
    );
    let other = publish(&mut world, "Content-Type: text/plain\r\n", "x", same);
    assert_eq!(
        (
            other.status(),
            other.need("Accept").contains("application/pidf+xml")
        ),
        (415, true)
    );
    assert_eq!(
        publish(&mut world, "", &body, same).status(),
        415,
        "no type"
    );
    assert_eq!(
        publish(&mut world, TYPE, "<presence", same).status(),
        400,
        "malformed"
    );
    let coded = format!("{TYPE}Content-Encoding: gzip\r\n");
    assert_eq!(publish(&mut world, &coded, &body, same).status(), 415);
    let event = |text: &str| text.replace("Event: presence\r\n", "");
    assert_eq!(publish(&mut world, TYPE, &body, event).status(), 489);
    let stranger = |text: &str| text.replace("From: <sip:alice@", "From: <sip:mallory@");
    let refused = publish(&mut world, TYPE, &body, stranger);
    assert_eq!((refused.status(), refused.header("SIP-ETag")), (403, None));
    // A stale tag with a brief expiry: RFC 3903 §6 looks at the tag first.
    assert_eq!(
        publish(
            &mut world,
            "SIP-If-Match: 000ff\r\nExpires: 0\r\n",
            "",
            same
        )
        .status(),
        412
    );
    assert_eq!(world.shard.counts().publications, 0);
}

#[test]
fn other_methods_are_answered() {
    let mut world = World::new();
    let options = |method: &str, uri: &str| {
        let user = uri.replace([':', '@'], "-");
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bK{method}-{user}\r\nFrom: <sip:b@x.org>;tag=1\r\n\
             To: <{uri}>\r\nCall-ID: {method}{uri}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let mut ask =
        |method: &str, uri: &str| world.say(&World::udp(7000), &options(method, uri))[0].clone();
    let can = ask("OPTIONS", "sip:ps.example.com");
    assert_eq!((can.status(), can.need("Allow-Events")), (200, "presence"));
    assert!(
        can.need("Allow").contains("PUBLISH")
            && can.need("Accept").contains("application/pidf+xml")
    );
    assert_eq!(ask("OPTIONS", "sip:alice@example.com").status(), 200);
    assert_eq!(ask("OPTIONS", "sip:alice@example.org").status(), 404);
    for method in ["INVITE", "REGISTER", "MESSAGE", "NOTIFY", "BYE", "REFER"] {
        let answer = ask(method, "sip:alice@example.com");
        assert_eq!(
            (answer.status(), answer.header("Allow").is_some()),
            (405, true),
            "{method}"
        );
    }
    assert_eq!(ask("DANCE", "sip:alice@example.com").status(), 501);
    assert_eq!(ask("CANCEL", "sip:alice@example.com").status(), 481);
    assert!(
        world
            .say(&World::udp(7000), &options("ACK", "sip:alice@example.com"))
            .is_empty()
    );
    assert!(
        world
            .say(&World::udp(7000), "OPTIONS sip:x SIP/2.0\r\n\r\n")
            .is_empty(),
        "nobody to answer"
    );
}

#[test]
fn the_same_request_by_two_paths_takes_effect_once() {
    let mut world = World::new();
    let text = world.publish_text(TYPE, &pidf("open", ""));
    assert_eq!(world.say(&World::udp(6000), &text)[0].status(), 200);
    let by_another_path = text.replace("z9hG4bKp", "z9hG4bKother");
    assert_eq!(
        world.say(&World::udp(6001), &by_another_path)[0].status(),
        482
    );
    assert_eq!(world.shard.counts().publications, 1);
}

#[test]
fn identity_is_asserted_by_trusted_peers_only() {
    let mut settings = settings();
    settings.identity = Identity::default();
    settings.identity.trusted_peers = vec![Network {
        address: "127.0.0.1".parse().unwrap(),
        prefix: 32,
    }];
    let asserted = "P-Asserted-Identity: <sip:alice@example.com>\r\n";
    let mut world = World::with(settings.clone());
    let stranger = |text: &str| text.replace("From: <sip:alice@", "From: <sip:mallory@");
    assert_eq!(
        publish(
            &mut world,
            &format!("{asserted}{TYPE}"),
            &pidf("open", ""),
            stranger
        )
        .status(),
        200
    );
    assert_eq!(
        publish(&mut world, TYPE, &pidf("open", ""), str::to_owned).status(),
        403,
        "From is not believed"
    );
    settings.identity.trusted_peers.clear();
    let mut world = World::with(settings);
    assert_eq!(
        publish(
            &mut world,
            &format!("{asserted}{TYPE}"),
            &pidf("open", ""),
            str::to_owned
        )
        .status(),
        403
    );
}

#[test]
fn others_publish_where_the_configuration_lets_them() {
    let mut settings = settings();
    settings.domains[0].presence.publish_by_others = vec![PublishByOther {
        source: "sip:as@example.com".to_owned(),
        presentities: "@example.com".to_owned(),
    }];
    let mut world = World::with(settings);
    let by = |who: &'static str| {
        move |text: &str| text.replace("From: <sip:alice@", &format!("From: <sip:{who}@"))
    };
    assert_eq!(
        publish(&mut world, TYPE, &pidf("open", ""), by("as")).status(),
        200
    );
    assert_eq!(
        publish(&mut world, TYPE, &pidf("open", ""), by("eve")).status(),
        403
    );
}

#[test]
fn one_user_has_one_name() {
    let mut settings = settings();
    settings.domains[0].aliases = vec!["example.net".to_owned()];
    settings.identity.aliases = [
        (
            "sip:alice@example.com".to_owned(),
            "sip:alice@example.com".to_owned(),
        ),
        (
            "tel:+15551234".to_owned(),
            "sip:alice@example.com".to_owned(),
        ),
    ]
    .into();
    let mut world = World::with(settings);
    world.publish_open("here");
    for (index, uri) in [
        "sips:alice@EXAMPLE.com",
        "sip:%61lice@example.com:5080;transport=tcp",
        "sip:alice@ps.example.com",
        "sip:alice@example.net",
        "tel:+1-555-1234",
        "sip:+1(555)1234@example.com;user=phone",
    ]
    .iter()
    .enumerate()
    {
        let text = world.subscribe_text(&format!("w{index}"), 7000, "Expires: 0\r\n");
        let text = text.replace(
            "SUBSCRIBE sip:alice@example.com",
            &format!("SUBSCRIBE {uri}"),
        );
        let sent = world.say(&World::udp(7000), &text);
        assert_eq!(sent[0].status(), 200, "{uri}");
        assert!(sent[1].body.contains("here"), "{uri}: {}", sent[1].body);
        world.ok(&sent[1]);
    }
    let text = world
        .subscribe_text("w", 7000, "Expires: 0\r\n")
        .replace("sip:alice@", "sip:Alice@");
    assert!(
        !world.say(&World::udp(7000), &text)[1].body.contains("here"),
        "the user part has case"
    );
}

#[test]
fn bounds_have_their_answers() {
    let mut settings = settings();
    settings.limits.publications_per_user_max = 2;
    settings.limits.subscriptions_per_presentity_max = 2;
    settings.limits.body_bytes_max = 2000;
    let mut world = World::with(settings);
    for expected in [200, 200, 403] {
        assert_eq!(
            publish(&mut world, TYPE, &pidf("open", ""), str::to_owned).status(),
            expected
        );
    }
    for (index, expected) in [200, 200, 403].into_iter().enumerate() {
        let text = world.subscribe_text(&format!("w{index}"), 7000, "");
        assert_eq!(world.say(&World::udp(7000), &text)[0].status(), expected);
    }
    let large = pidf("open", &"x".repeat(3000));
    assert_eq!(
        publish(&mut world, TYPE, &large, str::to_owned).status(),
        413
    );
}

#[test]
fn a_full_node_refuses_what_is_new_and_takes_what_makes_room() {
    let mut world = World::new();
    let tag = world.publish_open("x");
    let (answer, _) = world.watch("bob", 7000, "");
    world.shard.handle_room(shard::Room::Full("disk"));
    let refused = publish(&mut world, TYPE, &pidf("open", ""), str::to_owned);
    assert_eq!(
        (refused.status(), refused.header("Retry-After").is_some()),
        (503, true)
    );
    assert!(refused.head.starts_with("SIP/2.0 503 Disk full"));
    let text = world.subscribe_text("carol", 7001, "");
    assert_eq!(world.say(&World::udp(7001), &text)[0].status(), 503);
    let text = world.subscribe_text("dave", 7002, "Expires: 0\r\n");
    assert_eq!(
        world.say(&World::udp(7002), &text)[0].status(),
        200,
        "a fetch keeps nothing"
    );
    let text = world.resubscribe_text("bob", 7000, &answer, 2, "");
    assert_eq!(world.say(&World::udp(7000), &text)[0].status(), 200);
    let fields = format!("SIP-If-Match: {tag}\r\nExpires: 0\r\n");
    assert_eq!(world.publish(&fields, "").status(), 200);
}

#[test]
fn a_refused_invite_is_refused_again_until_its_ack() {
    let mut world = World::new();
    let invite = "INVITE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bKinv;rport\r\n\
        From: <sip:b@x.org>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
        Content-Length: 0\r\n\r\n";
    let refused = world.say(&World::udp(7000), invite)[0].clone();
    assert_eq!(refused.status(), 405);
    world.advance(std::time::Duration::from_secs(2));
    assert_eq!(
        world.sent.len(),
        3,
        "after half a second and after one more"
    );
    assert_eq!(
        (&world.sent[2].head, world.sent[2].to),
        (&refused.head, refused.to)
    );
    let ack = invite.replace("INVITE", "ACK").replace(
        "To: <sip:alice@example.com>",
        &format!("To: {}", refused.need("To")),
    );
    world.say(&World::udp(7000), &ack);
    world.advance(std::time::Duration::from_secs(40));
    assert_eq!(world.sent.len(), 3);
    assert_eq!(world.shard.remembered(), 0);
}

#[test]
fn a_header_section_over_its_bound_is_refused() {
    let mut settings = settings();
    settings.limits.head_bytes_max = 1000;
    let mut world = World::with(settings);
    let answer = subscribe(&mut world, |text| {
        text.replace(
            "Event:",
            &format!("Subject: {}\r\nEvent:", "x".repeat(1000)),
        )
    });
    assert_eq!(answer.status(), 513);
}

#[test]
fn an_empty_maddr_had_the_empty_name_asked_for() {
    let mut world = World::new();
    let text = world.subscribe_text("bob", 7000, "");
    let text = text.replace("7000>", "7000;maddr=>");
    assert!(text.contains(";maddr=>"));
    let answers = world.say(&World::udp(7000), &text);
    assert_eq!(answers[0].status(), 200);
    assert!(world.resolves.is_empty(), "{:?}", world.resolves);
}
