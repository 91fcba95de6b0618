//! One operation, a million times: `time cargo run --release -p sip --example reading_speed check`.
//! Without a name it says how large the index is, and what there is to measure.

use std::hint::black_box;

use sip::framing::{Frame, Framer};
use sip::{Message, Name, Uri, canonical, response_to};

const RUNS: u32 = 1_000_000;

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

fn main() {
    let Ok(message) = Message::parse(REQUEST) else {
        return;
    };
    let mut out = Vec::with_capacity(2048);
    let mut framer = Framer::new(16 << 10, 64 << 10);
    let source = "192.0.2.99:5060".parse().ok();
    let name = std::env::args().nth(1).unwrap_or_default();
    for _ in 0..RUNS {
        match name.as_str() {
            "parse" => {
                let _ = black_box(Message::parse(black_box(REQUEST)));
            }
            "essentials" => {
                let _ = black_box(black_box(&message).essentials());
            }
            "check" => {
                let _ = black_box(black_box(&message).check());
            }
            "response" => {
                out.clear();
                response_to(&mut out, black_box(&message), 200, "", None, source)
                    .copy(&message, Name::RecordRoute)
                    .end(0);
            }
            "canonical" => {
                let uri = Uri::parse(black_box(message.request_uri()));
                let _ = black_box(uri.map(|uri| canonical(&uri, |_| false)));
            }
            "framing" => {
                framer.push(black_box(REQUEST));
                while let Some(frame) = framer.next() {
                    assert!(matches!(black_box(frame), Frame::Message(_)));
                }
            }
            _ => {
                let (message, index) = (REQUEST.len(), size_of::<Message<'_>>());
                println!("a message of {message} bytes, its index of {index} bytes");
                println!("parse | essentials | check | response | canonical | framing");
                return;
            }
        }
    }
}
