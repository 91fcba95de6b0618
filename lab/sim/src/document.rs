//! What the people of the world publish.

use bytes::Bytes;

/// The canonical address of record of a user.
pub(crate) fn user(number: u8) -> String {
    format!(
        "sip:{}@example.com",
        ["alice", "bob", "carol"][usize::from(number) % 3]
    )
}

/// A document of one source, told apart from every other by its note.
pub(crate) fn document(entity: &str, source: usize, note: u64, large: bool) -> Bytes {
    let basic = if note.is_multiple_of(2) {
        "open"
    } else {
        "closed"
    };
    let padding = "x".repeat(if large { 1600 } else { 0 });
    Bytes::from(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\
         <tuple id=\"s{source}\"><status><basic>{basic}</basic></status><contact>sip:d{source}@10.0.1.1</contact>\
         <note>n{note}{padding}</note></tuple></presence>"
    ))
}
