//! How long reading and answering take: `cargo run --release -p sip --example reading_speed`.

use std::hint::black_box;

use sip::framing::{Frame, Framer};
use sip::{Message, Name, Uri, canonical, response_to};

const REQUEST: &[u8] = b"SUBSCRIBE sip:alice@example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP proxy.example.com:5060;branch=z9hG4bK4f2a91;rport\r\n\
Via: SIP/2.0/UDP 192.0.2.17:5071;branch=z9hG4bK77ef0c;received=192.0.2.17;rport=5071\r\n\
Max-Forwards: 69\r\n\
Record-Route: <sip:proxy.example.com;lr>\r\n\
From: \"Bob\" <sip:bob@example.com>;tag=31415926\r\n\
To: <sip:alice@example.com>;tag=00420007deadbeef\r\n\
Call-ID: f81d4fae7dec11d0a76500a0c91e6bf6@192.0.2.17\r\n\
CSeq: 4711 SUBSCRIBE\r\n\
Contact: <sip:bob@192.0.2.17:5071;ob>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>\"\r\n\
Event: presence\r\n\
Expires: 3600\r\n\
Accept: application/pidf+xml, application/rlmi+xml;q=0.5\r\n\
Supported: eventlist, gruu, outbound\r\n\
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, SUBSCRIBE, NOTIFY, PUBLISH, MESSAGE\r\n\
User-Agent: Example/1.0\r\n\
P-Asserted-Identity: <sip:bob@example.com>\r\n\
Content-Length: 0\r\n\r\n";

fn measure(name: &str, mut run: impl FnMut()) {
    const RUNS: u32 = 200_000;
    #[allow(clippy::disallowed_methods, reason = "this program measures time")]
    let start = std::time::Instant::now();
    for _ in 0..RUNS {
        run();
    }
    println!("{name:<28}{:>6} ns", (start.elapsed() / RUNS).as_nanos());
}

fn main() {
    println!(
        "{} bytes, index {} bytes",
        REQUEST.len(),
        size_of::<Message<'_>>()
    );
    let Ok(message) = Message::parse(REQUEST) else {
        return;
    };
    measure("parse", || {
        let _ = black_box(Message::parse(black_box(REQUEST)));
    });
    measure("essentials", || {
        let _ = black_box(black_box(&message).essentials());
    });
    measure("check", || {
        let _ = black_box(black_box(&message).check());
    });
    let mut out = Vec::with_capacity(2048);
    let source = "192.0.2.99:5060".parse().ok();
    measure("response_to", || {
        out.clear();
        response_to(&mut out, black_box(&message), 200, "", None, source)
            .copy(&message, Name::RecordRoute)
            .end(0);
    });
    measure("canonical", || {
        let uri = Uri::parse(black_box(message.request_uri()));
        let _ = black_box(uri.map(|uri| canonical(&uri, |_| false)));
    });
    let mut framer = Framer::new(16 << 10, 64 << 10);
    measure("framing", || {
        framer.push(black_box(REQUEST));
        while let Some(frame) = framer.next() {
            assert!(matches!(black_box(frame), Frame::Message(_)));
        }
    });
}
