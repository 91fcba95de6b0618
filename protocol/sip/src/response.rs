//! Responses made from their requests (RFC 3261 §8.2.6, §18.2.1; RFC 3581 §4).

use std::net::SocketAddr;

use crate::lexical::{self, Values};
use crate::{Message, Name, NameAddr, Via, Writer};

/// Starts the response to `request` and copies what every response repeats: all Via, From, To, Call-ID, CSeq, Timestamp.
///
/// The topmost Via gets `received` and `rport` for the address the request came from, To gets `to_tag` if it has
/// no tag. An empty reason is the usual one. The caller adds the rest and calls `end`.
pub fn response_to<'a>(
    out: &'a mut Vec<u8>,
    request: &Message<'_>,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    received: Option<SocketAddr>,
) -> Writer<'a> {
    let mut writer = Writer::response(out, status, reason);
    // An empty line before the topmost Via makes the request malformed, and it is answered nevertheless.
    let mut lines = request
        .headers(Name::Via)
        .filter(|line| Values::new(line).next().is_some());
    if let Some(first) = lines.next() {
        topmost_via(&mut writer, request, first, received);
    }
    for line in lines {
        writer.header(Name::Via, line);
    }
    writer.header(Name::From, request.header(Name::From).unwrap_or_default());
    let to = request.header(Name::To).unwrap_or_default();
    match to_tag {
        Some(tag) if !has_tag(request, to) => {
            writer.pieces(Name::To, &[to, b";tag=", tag.as_bytes()]);
        }
        _ => {
            writer.header(Name::To, to);
        }
    }
    writer
        .copy(request, Name::CallId)
        .copy(request, Name::CSeq)
        .copy(request, Name::Timestamp);
    writer
}

fn has_tag(request: &Message<'_>, to: &[u8]) -> bool {
    match request.essentials() {
        Ok(essentials) => essentials.to.tag().is_some(),
        Err(_) => std::str::from_utf8(to).is_ok_and(|to| NameAddr::lenient(to).tag().is_some()),
    }
}

/// Writes the line that holds the topmost Via.
fn topmost_via(
    writer: &mut Writer<'_>,
    request: &Message<'_>,
    line: &[u8],
    source: Option<SocketAddr>,
) {
    let mut values = Values::new(line);
    let first = values.next().unwrap_or_default();
    // Read already, unless an empty line stands before it.
    let known = request
        .via()
        .ok()
        .filter(|via| via.text().as_bytes() == first);
    let via = known.or_else(|| Via::parse(std::str::from_utf8(first).ok()?).ok());
    let (Some(via), Some(source)) = (via, source) else {
        writer.header(Name::Via, line);
        return;
    };
    let address = source.ip().to_canonical();
    let asked = via.rport().is_some();
    // RFC 3261 §18.2.1: received when sent-by doesn't say where it came from; RFC 3581 §4: always with rport.
    let marked = asked || via.address() != Some(address);
    writer.out().extend_from_slice(b"Via: ");
    let head = first.len() - via.params.text().len();
    writer.text(lexical::trim(&first[..head]));
    for (name, value) in via.params.iter() {
        let ours = name.eq_ignore_ascii_case("rport") || name.eq_ignore_ascii_case("received");
        if ours {
            continue;
        }
        writer.out().push(b';');
        writer.text(name.as_bytes());
        if let Some(value) = value {
            writer.out().push(b'=');
            writer.text(value.as_bytes());
        }
    }
    if marked {
        writer.out().extend_from_slice(b";received=");
        writer.address(address);
    }
    if asked {
        writer.out().extend_from_slice(b";rport=");
        writer.digits(u64::from(source.port()));
    }
    writer.out().extend_from_slice(b"\r\n");
    for value in values {
        writer.header(Name::Via, value);
    }
}
