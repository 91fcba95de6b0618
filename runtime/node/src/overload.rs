//! The answer to a request that no shard sees because its source asks too much: made from the request alone.

use std::net::SocketAddr;

use machine::Partitioner;
use shard::inputs::Flow;
use sip::{Message, Method, Name, Via, response_to};

/// For how long the source is asked to stay away.
const RETRY_AFTER_SECONDS: u64 = 2;

/// The 503 to a request, if it can be answered; for a datagram also where it goes.
pub(crate) fn refusal(
    partitioner: &Partitioner,
    flow: &Flow,
    bytes: &[u8],
) -> Option<(SocketAddr, Vec<u8>)> {
    let request = Message::parse(bytes).ok()?;
    // RFC 3261 §17.1.1.3: nothing answers an ACK.
    if !request.is_request() || request.method() == Method::Ack {
        return None;
    }
    let essentials = request.essentials().ok()?;
    // RFC 3261 §8.2.7: who keeps no state gives the same tag to the same request.
    let seed = [
        essentials.call_id.as_bytes(),
        essentials.via.branch.unwrap_or_default().as_bytes(),
    ]
    .concat();
    let tag = format!("{:016x}", partitioner.hash(&seed));
    let mut out = Vec::new();
    response_to(
        &mut out,
        &request,
        503,
        "Too Many Requests From This Source",
        Some(&tag),
        Some(flow.peer),
    )
    .number(Name::RetryAfter, RETRY_AFTER_SECONDS)
    .end(0);
    Some((answer_address(&essentials.via, flow.peer), out))
}

/// RFC 3261 §18.2.2 and RFC 3581 §4, without `maddr`: a stranger does not choose whom we write to.
fn answer_address(via: &Via<'_>, source: SocketAddr) -> SocketAddr {
    let port = if via.rport().is_some() {
        source.port()
    } else {
        via.port.unwrap_or(5060)
    };
    SocketAddr::new(source.ip(), port)
}

#[cfg(test)]
mod tests {
    use shard::settings::{ListenerId, Transport};

    use super::*;

    fn refused(first_line: &str, via: &str) -> Option<(SocketAddr, String)> {
        let request = format!(
            "{first_line}\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKa\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:b@example.com>\r\nCall-ID: c\r\nCSeq: 1 {}\r\nContent-Length: 0\r\n\r\n",
            first_line.split(' ').next().unwrap()
        );
        let peer = "192.0.2.9:7777".parse().unwrap();
        let flow = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            peer,
            connection: None,
        };
        let (to, bytes) = refusal(&Partitioner::new([1; 16]), &flow, request.as_bytes())?;
        Some((to, String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn says_when_to_come_back_and_goes_to_the_source() {
        let (to, text) = refused(
            "PUBLISH sip:b@example.com SIP/2.0",
            "h.example.com:5070;rport",
        )
        .unwrap();
        assert_eq!(to, "192.0.2.9:7777".parse().unwrap());
        assert!(text.starts_with("SIP/2.0 503 "), "{text}");
        assert!(text.contains("\r\nRetry-After: 2\r\n"), "{text}");
        assert!(
            text.contains(";received=192.0.2.9") && text.contains(";rport=7777"),
            "{text}"
        );
        assert!(text.contains("To: <sip:b@example.com>;tag="), "{text}");
        let again = refused(
            "PUBLISH sip:b@example.com SIP/2.0",
            "h.example.com:5070;rport",
        )
        .unwrap();
        assert_eq!(again.1, text);
        let (to, _) = refused("PUBLISH sip:b@example.com SIP/2.0", "h.example.com:5070").unwrap();
        assert_eq!(to, "192.0.2.9:5070".parse().unwrap());
        let (to, _) = refused("PUBLISH sip:b@example.com SIP/2.0", "h.example.com").unwrap();
        assert_eq!(to, "192.0.2.9:5060".parse().unwrap());
    }

    #[test]
    fn acknowledgements_and_garbage_get_nothing() {
        assert_eq!(refused("ACK sip:b@example.com SIP/2.0", "h"), None);
        assert_eq!(refused("SIP/2.0 200 OK", "h"), None);
        assert_eq!(refused("x", "h"), None);
    }
}
