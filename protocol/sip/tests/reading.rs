//! Typed header fields, URIs and identities: text → value.

mod support;

use sip::{Message, Name, Scheme, Uri, canonical};
use support::request;

fn with(lines: &[&str]) -> Vec<u8> {
    request("SUBSCRIBE sip:sam@south.example SIP/2.0", lines, "")
}

#[test]
fn accept_lines() {
    let bytes = with(&[
        "Accept: application/pidf+xml;q=0.3 , Application/* ; q=0.25",
        "Accept: text/plain;q=0, */*;q=0.1234",
    ]);
    let message = Message::parse(&bytes).unwrap();
    let accept = message.accept();
    assert!(!accept.is_absent());
    assert_eq!(accept.quality("application/PIDF+xml"), 300);
    assert_eq!(accept.quality("application/rlmi+xml"), 250);
    assert_eq!(accept.quality("text/plain"), 0);
    assert_eq!(accept.quality("image/png"), 123);
    let bytes = with(&["Accept:"]);
    let message = Message::parse(&bytes).unwrap();
    assert!(!message.accept().is_absent());
    assert_eq!(message.accept().quality("application/pidf+xml"), 0);
    let bytes = with(&[]);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.accept().is_absent());
    let bytes = with(&["Accept: application/pidf+xml, application/pidf-diff+xml;q=1.000"]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.accept().quality("application/pidf-diff+xml"), 1000);
    assert_eq!(message.accept().quality("application/sdp"), 0);
}

#[test]
fn events_and_states() {
    let bytes = with(&[
        "Event: presence.winfo ; id=a;x=\"y z\"",
        "Subscription-State: terminated;reason=deactivated ; retry-after=5",
        "SIP-If-Match: dx200xyz",
        "SIP-ETag: kwj449x",
        "Content-Type: Application/PIDF+xml;charset=UTF-8",
        "k: eventlist , path",
        "Privacy: id;header",
        "P-Asserted-Identity: \"N, N\" <sip:nora@north.example>, <tel:+1555>",
    ]);
    let message = Message::parse(&bytes).unwrap();
    let event = message.event().unwrap().unwrap();
    assert_eq!((event.package, event.id), ("presence.winfo", Some("a")));
    assert_eq!(event.param("x"), Some("y z"));
    let state = message.subscription_state().unwrap().unwrap();
    assert_eq!(
        (state.state, state.reason),
        ("terminated", Some("deactivated"))
    );
    assert_eq!((state.expires, state.retry_after), (None, Some(5)));
    assert_eq!(message.sip_if_match(), Ok(Some("dx200xyz")));
    assert_eq!(message.sip_etag(), Some("kwj449x"));
    let kind = message.content_type().unwrap().unwrap();
    assert!(kind.matches("application/pidf+xml"));
    assert_eq!(kind.params.value("charset"), Some("UTF-8"));
    assert_eq!(
        message.supported().collect::<Vec<_>>(),
        ["eventlist", "path"]
    );
    assert_eq!(message.privacy().collect::<Vec<_>>(), ["id", "header"]);
    let asserted: Vec<_> = message
        .asserted_identities()
        .map(|identity| identity.unwrap().uri)
        .collect();
    assert_eq!(asserted, ["sip:nora@north.example", "tel:+1555"]);
}

#[test]
fn routes_in_order() {
    let bytes = with(&[
        "Record-Route: <sip:p3.example;lr>, \"A, b\" <sip:p2.example;lr>",
        "Record-Route: <sip:[2001:db8::1]:5060;lr>;x",
        "Route: <sip:home.example;lr>",
    ]);
    let message = Message::parse(&bytes).unwrap();
    let routes: Vec<_> = message
        .record_routes()
        .map(|route| route.unwrap().uri)
        .collect();
    assert_eq!(
        routes,
        [
            "sip:p3.example;lr",
            "sip:p2.example;lr",
            "sip:[2001:db8::1]:5060;lr"
        ]
    );
    assert!(
        message
            .routes()
            .next()
            .unwrap()
            .unwrap()
            .parsed()
            .unwrap()
            .has_param("lr")
    );
    assert_eq!(message.headers(Name::RecordRoute).count(), 2);
}

#[test]
fn numbers() {
    let bytes = with(&["Expires: 0060", "Min-Expires: 30", "Max-Forwards: x"]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(
        (message.expires(), message.min_expires()),
        (Ok(Some(60)), Ok(Some(30)))
    );
    assert_eq!(message.retry_after(), Ok(None));
    assert_eq!(
        message.max_forwards().unwrap_err().header,
        Some(Name::MaxForwards)
    );
}

#[test]
fn uris() {
    let uri =
        Uri::parse("SIPS:Al%20ice:pw@EXAMPLE.com:5061;Transport=TCP;lr?subject=a%20b&x=y").unwrap();
    assert_eq!(uri.scheme, Scheme::Sips);
    assert_eq!((uri.user, uri.password), (Some("Al%20ice"), Some("pw")));
    assert_eq!((uri.host, uri.port), ("EXAMPLE.com", Some(5061)));
    assert_eq!(uri.param("transport"), Some("TCP"));
    assert!(uri.has_param("LR"));
    assert_eq!(uri.headers, Some("subject=a%20b&x=y"));
    let uri = Uri::parse("tel:+1-(555).1234;isub=9").unwrap();
    assert_eq!(
        (uri.scheme, uri.opaque, uri.param("isub")),
        (Scheme::Tel, "+1-(555).1234", Some("9"))
    );
    let uri = Uri::parse("urn:service:sos").unwrap();
    assert_eq!((uri.scheme, uri.opaque), (Scheme::Other, "service:sos"));
    for bad in [
        "",
        "sip",
        "sip:",
        ":x",
        "1x:y",
        "sip:a b@c",
        "sip:a@b;;c",
        "sip:a@b c",
        "tel:",
        "tel:+",
        "tel:5 5",
        "urn:",
        "urn:<x>",
        "sip:[::1",
        "sip:[]",
        "sip:a@[::1]x",
        "sip:a@.",
        "sip:a@b..c",
        "sip:a@.b",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
}

/// Every spelling of one user gives one text; different users give different ones.
#[test]
fn canonical_identities() {
    let of = |text: &str| {
        canonical(&Uri::parse(text).unwrap(), |domain| {
            domain == "phones.example"
        })
    };
    for (text, expected) in [
        ("sip:alice@example.com", "sip:alice@example.com"),
        (
            "sips:alice@EXAMPLE.com:5061;transport=tcp?x=y",
            "sip:alice@example.com",
        ),
        ("sip:%61lice:secret@example.com.", "sip:alice@example.com"),
        ("sip:Alice@example.com", "sip:Alice@example.com"),
        (
            "sip:a%40b%3a%25%c3%a9@example.com",
            "sip:a%40b%3A%25%C3%A9@example.com",
        ),
        ("sip:a%3Bb@example.com", "sip:a;b@example.com"),
        ("sip:%00@example.com", "sip:%00@example.com"),
        ("sip:Example.com", "sip:example.com"),
        ("sip:a@[2001:DB8:0::1]:5060", "sip:a@[2001:db8::1]"),
        ("sip:a@[2001:db8:::192.0.2.1]", "sip:a@[2001:db8::c000:201]"),
        ("tel:+1-555-(12).34;ext=7", "tel:+15551234"),
        (
            "sip:+1-555-1234;isub=1@PHONES.example;user=phone",
            "tel:+15551234",
        ),
        ("sip:%2B15551234@phones.example;User=Phone", "tel:+15551234"),
        (
            "sip:+15551234@phones.example",
            "sip:+15551234@phones.example",
        ),
        (
            "sip:+15551234@example.com;user=phone",
            "sip:+15551234@example.com",
        ),
        (
            "sip:5551234@phones.example;user=phone",
            "sip:5551234@phones.example",
        ),
        (
            "sip:+alice@phones.example;user=phone",
            "sip:+alice@phones.example",
        ),
        (
            "tel:70-42;phone-context=Example.com",
            "tel:7042;phone-context=example.com",
        ),
        (
            "tel:70-42;phone-context=+1-555",
            "tel:7042;phone-context=+1555",
        ),
    ] {
        assert_eq!(of(text).as_deref(), Some(expected), "{text}");
        assert_eq!(of(expected).as_deref(), Some(expected), "again");
    }
    for none in [
        "tel:7042",
        "urn:service:sos",
        "http://example.com/",
        "tel:+1a2",
    ] {
        assert_eq!(of(none), None, "{none}");
    }
}

/// The index is cheap to make and to move. A third of it is what was read of the fields that every answer repeats.
#[test]
fn an_index_is_small() {
    let size = size_of::<Message<'_>>();
    println!("Message: {size} bytes");
    assert!(size <= 960, "{size}");
}
