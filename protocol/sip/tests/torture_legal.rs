//! Legal messages of the kinds that RFC 4475 §3.1.1, §3.2, §3.3 and RFC 5118 warn of. Our own texts; the RFCs' are in `oracle.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

mod support;

use sip::{Message, Method, Name, Scheme, Uri};
use support::{crlf, request};

fn legal(bytes: &[u8]) -> Message<'_> {
    let message = Message::parse(bytes).expect("parses");
    message.essentials().expect("can be answered");
    message.check().expect("is legal");
    message
}

const OPTIONS: &str = "OPTIONS sip:sam@south.example SIP/2.0";

/// RFC 4475 §3.1.1.1: whitespace and folds wherever they may stand, compact forms, values spread over lines.
#[test]
fn whitespace_and_folds() {
    let bytes = crlf(concat!(
        "SUBSCRIBE sip:sam@south.example;flag SIP/2.0\n",
        "t :\n\tsip:sam@south.example ;\n  tag   =  s9 \n",
        "FROM   : \"Nora \\\"N\\\" \\\\\"\n   <sip:nora@north.example>\n ;\n tag = n1\n",
        "mAX-fORWARDS:\t0017\n",
        "i: fold-1@desk\n",
        "cseq:  0042\n   SUBSCRIBE\n",
        "Via : SIP  / 2.0\n / UDP\n  10.1.2.3 : 5099 ; branch = old-style\n",
        "Subject:\n",
        "X-Odd: ;,;,, ;\n",
        "X-Long: one\n two\n\tthree\n",
        "v: SIP/ 2.0 /TCP relay.north.example ; branch=z9hG4bKa ,\n SIP/2.0/UDP\n 10.9.9.9;branch=\n z9hG4bKb\n",
        "o : presence ;\n id = 7\n",
        "m:\"N \\\", N\" <sip:nora@10.1.2.3>;x = y ; q\n =0.5\n",
        "Content-Length   : 3\n",
        "\n",
        "abcdefg",
    ));
    let message = legal(&bytes);
    assert_eq!(message.method(), Method::Subscribe);
    let via = message.via().unwrap();
    assert_eq!(
        (via.transport, via.host, via.port),
        ("UDP", "10.1.2.3", Some(5099))
    );
    assert_eq!(via.sent_by(), "10.1.2.3 : 5099");
    assert_eq!(via.branch, Some("old-style"));
    let hosts: Vec<_> = message.vias().map(|via| via.unwrap().host).collect();
    assert_eq!(hosts, ["10.1.2.3", "relay.north.example", "10.9.9.9"]);
    assert_eq!(
        message.vias().last().unwrap().unwrap().branch,
        Some("z9hG4bKb")
    );
    let from = message.from().unwrap();
    assert_eq!(from.display_name().unwrap(), "Nora \"N\" \\");
    assert_eq!(
        (from.uri, from.tag()),
        ("sip:nora@north.example", Some("n1"))
    );
    assert_eq!(message.to().unwrap().tag(), Some("s9"));
    assert_eq!(message.to().unwrap().uri, "sip:sam@south.example");
    assert_eq!(message.max_forwards(), Ok(Some(17)));
    assert_eq!(message.cseq().unwrap().number, 42);
    assert_eq!(message.header(Name::Subject), Some(&b""[..]));
    assert_eq!(
        message.header_named("x-LONG"),
        Some(&b"one\r\n two\r\n\tthree"[..])
    );
    assert_eq!(message.event().unwrap().unwrap().id, Some("7"));
    let contact = message.contact().unwrap().unwrap();
    assert_eq!(contact.display_name().unwrap(), "N \", N");
    assert_eq!(contact.params.value("q"), Some("0.5"));
    assert_eq!(message.body(), b"abc");
}

/// RFC 4475 §3.1.1.2: every letter that tokens, users, quoted strings and extension headers allow.
#[test]
fn wide_range_of_letters() {
    let method = "a-.!%*_+`'~Z9";
    let bytes = request(
        &format!("{method} sip:-_.!~*'()&=+$,;?/%2F:&=+$,x@south.example SIP/2.0"),
        &[
            "Via: SIP/2.0/TCP desk.north.example;branch=z9hG4bK-.!%*_+`'~",
            "From: -.! %* _+`'~ <sip:nora@north.example>;a-.!%*_+`'~=\"\u{442}\u{435}\";tag=-.!%*_+`'~",
            "To: \"\\\u{7}\\\u{0}\\\u{7f} \u{4f60}\\\"\" <sip:-_.!~*'()&=+$,;?/@south.example>",
            "Call-ID: word-.!%*_+`'~()<>:\\\"/[]?{}@word",
            "x-.!%*_+`'~:\u{feff}\u{5927}",
        ],
        "",
    );
    let message = legal(&bytes);
    assert_eq!(message.method(), Method::Other(method));
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.user, Some("-_.!~*'()&=+$,;?/%2F"));
    assert_eq!(uri.password, Some("&=+$,x"));
    assert_eq!(message.from().unwrap().tag(), Some("-.!%*_+`'~"));
    assert_eq!(
        message.header_named("X-.!%*_+`'~"),
        Some("\u{feff}\u{5927}".as_bytes())
    );
}

/// RFC 4475 §3.1.1.3–5: escapes stand for letters in URIs, and for nothing in methods, header names and quoted strings.
#[test]
fn escapes() {
    let bytes = request(
        "PUB%4CISH sip:sips%3Asam%40inner@south.example SIP/2.0",
        &[
            "To: \"%Q 100%\" <sip:s%61m@south.example>",
            "C%6Fntact: <sip:x@y.example>",
            "Contact: <sip:n%6Fra@10.1.2.3;%6C%72;n%61me=v%25>",
            "Contact: <sip:%00%00@10.1.2.3>",
        ],
        "",
    );
    let message = legal(&bytes);
    assert_eq!(message.method(), Method::Other("PUB%4CISH"));
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(
        (uri.user, uri.host),
        (Some("sips%3Asam%40inner"), "south.example")
    );
    assert_eq!(message.contacts().count(), 2);
    let contact = message.contact().unwrap().unwrap().parsed().unwrap();
    assert!(contact.has_param("lr"));
    assert_eq!(contact.param("name"), Some("v%25"));
}

/// RFC 4475 §3.1.1.6 and §3.1.1.9: no space before the bracket; a semicolon in the user part.
#[test]
fn tight_and_odd_addresses() {
    let bytes = request(
        "OPTIONS sip:sam;day=tuesday@south.example SIP/2.0",
        &[
            "From: Nora<sip:nora@north.example>;tag=n1",
            "To: sip:sam@south.example;x=y",
        ],
        "",
    );
    let message = legal(&bytes);
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(
        (uri.user, uri.params.is_empty()),
        (Some("sam;day=tuesday"), true)
    );
    assert_eq!(message.from().unwrap().display, Some("Nora"));
    assert_eq!(message.to().unwrap().params.value("x"), Some("y"));
}

/// RFC 4475 §3.1.1.7: long values, and more lines than are indexed in place.
#[test]
fn long_and_many() {
    let long = "long".repeat(400);
    let from =
        format!("From: \"{long}\" <sip:{long}@north.example;{long}={long}>;tag={long};{long}");
    let unknown = format!("X-{long}: {long}");
    let mut lines = vec![
        from.as_str(),
        unknown.as_str(),
        "Via: SIP/2.0/TCP top.example;branch=z9hG4bKtop",
    ];
    let vias: Vec<_> = (0..60)
        .map(|hop| format!("{}: SIP/2.0/TCP hop{hop}.example", ["v", "VIA "][hop % 2]))
        .collect();
    lines.extend(vias.iter().map(String::as_str));
    lines.push("Expires: 60");
    let bytes = request(OPTIONS, &lines, "");
    let message = legal(&bytes);
    assert_eq!(message.vias().count(), 61);
    assert_eq!(message.via().unwrap().host, "top.example");
    assert_eq!(message.expires(), Ok(Some(60)));
    assert_eq!(message.from().unwrap().tag(), Some(long.as_str()));
    assert_eq!(
        message.header_named(&format!("x-{long}")),
        Some(long.as_bytes())
    );
}

/// RFC 4475 §3.1.1.8: bytes behind the body belong to nobody, line ends before the start line neither.
#[test]
fn bytes_around_a_datagram() {
    let inner = request(OPTIONS, &[], "");
    let mut bytes = b"\r\n\r\n".to_vec();
    bytes.extend_from_slice(&inner);
    bytes.extend_from_slice(b"\r\nINVITE sip:x@y.example SIP/2.0\r\n\r\n");
    let message = legal(&bytes);
    assert_eq!(message.bytes(), inner);
    assert_eq!(message.body(), b"");
}

/// RFC 4475 §3.1.1.10 and §3.3.11: any transport, several of them; a body in parts.
#[test]
fn transports() {
    let bytes = request(
        OPTIONS,
        &[
            "Via: SIP/2.0/UDP a.example;branch=z9hG4bK1, SIP/2.0/SCTP b.example;branch=z9hG4bK2",
            "Via: SIP/2.0/PIGEON c.example;branch=z9hG4bK3;ttl=16;maddr=224.2.0.1",
        ],
        "",
    );
    let message = legal(&bytes);
    let transports: Vec<_> = message.vias().map(|via| via.unwrap().transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "PIGEON"]);
    let last = message.vias().last().unwrap().unwrap();
    assert_eq!((last.ttl(), last.maddr()), (Some(16), Some("224.2.0.1")));
}

/// RFC 4475 §3.1.1.12–13: a reason phrase in any language, and none.
#[test]
fn reason_phrases() {
    for (line, reason) in [
        ("SIP/2.0 200 = \u{434}\u{430} **2", "= \u{434}\u{430} **2"),
        ("SIP/2.0 200 ", ""),
        ("sip/2.0 200", ""),
    ] {
        let text = format!(
            "{line}\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\nFrom: <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>;tag=2\nCall-ID: 1\nCSeq: 3 NOTIFY\nRetry-After: no number\n\n"
        );
        let bytes = crlf(&text);
        let message = legal(&bytes);
        assert_eq!((message.status(), message.reason()), (Some(200), reason));
        assert_eq!(message.method(), Method::Notify);
        assert!(!message.is_request());
    }
}

/// RFC 4475 §3.2.1: a branch that is the cookie and nothing else. §3.4.1, §2543: no branch, no tag, no Max-Forwards.
#[test]
fn old_peers() {
    let bytes = request(OPTIONS, &["Via: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bK"], "");
    let via = Message::parse(&bytes).unwrap().via().unwrap();
    legal(&bytes);
    assert_eq!(
        (via.branch, via.transaction_branch()),
        (Some("z9hG4bK"), None)
    );
    let bytes = request(
        "INVITE sip:sam@south.example SIP/2.0",
        &[
            "Via: SIP/2.0/UDP gw.north.example",
            "From: <sip:+1555@north.example;user=phone>",
            "To: sip:+1666@south.example;user=phone",
            "Record-Route: <sip:sam@south.example;maddr=ss1.south.example>",
            "-Max-Forwards:",
            "-Content-Length:",
        ],
        "v=0\r\n",
    );
    let message = legal(&bytes);
    assert_eq!(message.body(), b"v=0\r\n");
    assert_eq!(message.via().unwrap().branch, None);
    assert_eq!(message.from().unwrap().tag(), None);
    assert_eq!(message.max_forwards(), Ok(None));
}

/// RFC 4475 §3.3: what only the server can judge passes here.
#[test]
fn matters_of_the_server() {
    for lines in [
        &["Require: nobodyHasThis, norThis", "Proxy-Require: that"][..],
        &["Content-Type: application/x-unheard-of"],
        &["Authorization: StrangeScheme data=here"],
        &["Max-Forwards: 0"],
        &["Accept: text/x-unheard-of"],
        &["Contact: sip:+1555@gw.north.example;unknownparam"],
        &["Contact: <sip:+1555@gw.north.example;unknownparam>"],
        &["Contact: <sip:sam@south.example?Route=%3Csip:a.example%3E>"],
        &["Contact: *"],
        &[
            "To: isbn:12345",
            "From: <http://www.north.example/>;tag=1",
            "Contact: <name:Nora_N>",
        ],
        &["Expires: 99999999999999999999999999"],
        &[
            "Warning: 1812 overture \"x\"",
            "Date: Sat, 21 Nov 2026 06:00:00 GMT",
        ],
        &["Via: SIP/2.0/UDP gw_1.north.example.:5060;rport;branch=z9hG4bK9"],
        &[
            "Event: presence.winfo;id=\"a;b\";x",
            "Subscription-State: active;expires=30",
        ],
    ] {
        legal(&request(OPTIONS, lines, ""));
    }
    let bytes = request(OPTIONS, &["Expires: 99999999999999999999999999"], "");
    assert_eq!(legal(&bytes).expires(), Ok(Some(u32::MAX)));
    let bytes = request(OPTIONS, &["Require: nobodyHasThis, norThis"], "");
    let required: Vec<_> = Message::parse(&bytes)
        .unwrap()
        .require()
        .collect::<Vec<_>>()
        .iter()
        .map(|tag| tag.to_string())
        .collect();
    assert_eq!(required, ["nobodyHasThis", "norThis"]);
}

/// RFC 5118 §4.1, §4.3, §4.4, §4.9, §4.10: IPv6 references, where a port begins, addresses that hold IPv4.
#[test]
fn ipv6_references() {
    for (uri, host, port) in [
        ("sip:[2001:db8::5]", "[2001:db8::5]", None),
        ("sip:sam@[2001:db8::5:5070]", "[2001:db8::5:5070]", None),
        ("sip:sam@[2001:db8::5]:5070;lr", "[2001:db8::5]", Some(5070)),
        ("sip:sam@[::ffff:192.0.2.9]", "[::ffff:192.0.2.9]", None),
        (
            "sip:sam@[2001:db8::192.0.2.9]",
            "[2001:db8::192.0.2.9]",
            None,
        ),
        (
            "sip:sam@[2001:db8:::192.0.2.9]",
            "[2001:db8:::192.0.2.9]",
            None,
        ),
    ] {
        let bytes = request(&format!("OPTIONS {uri} SIP/2.0"), &[], "");
        let message = legal(&bytes);
        let uri = Uri::parse(message.request_uri()).unwrap();
        assert_eq!((uri.scheme, uri.host, uri.port), (Scheme::Sip, host, port));
        assert!(uri.address().is_some());
    }
}

/// RFC 5118 §4.5, §4.7: `received` with and without brackets; both families in one message.
#[test]
fn ipv6_in_via() {
    let bytes = request(
        OPTIONS,
        &[
            "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;received=2001:db8::9:255;rport=7000;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bK2;rport",
            "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK3;received=192.0.2.200",
        ],
        "",
    );
    let message = legal(&bytes);
    let vias: Vec<_> = message.vias().map(Result::unwrap).collect();
    assert_eq!(
        (vias[0].host, vias[0].port),
        ("[2001:db8::9:1]", Some(6050))
    );
    assert_eq!(vias[0].received(), vias[1].received());
    assert_eq!(vias[0].received(), "2001:db8::9:255".parse().ok());
    assert_eq!(vias[2].received(), "192.0.2.200".parse().ok());
    assert_eq!(
        vias.iter().map(|via| via.rport()).collect::<Vec<_>>(),
        [Some(Some(7000)), Some(None), None]
    );
}

/// Saved messages lose their CRs; a datagram of that kind is read too.
#[test]
fn line_feeds_alone_throughout() {
    let bytes = request(OPTIONS, &["Contact: <sip:nora@10.1.2.3>\n ;q=1"], "a\nb");
    let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    let message = legal(text.as_bytes());
    assert_eq!(
        message.contact().unwrap().unwrap().params.value("q"),
        Some("1")
    );
    assert_eq!(message.body(), b"a\nb");
}
