//! What the people of the world publish.

use bytes::Bytes;

/// The canonical address of record of a user.
pub(crate) fn user(number: u8) -> String {
    format!(
        "sip:{}@example.com",
        ["alice", "bob", "carol"][usize::from(number) % 3]
    )
}

/// What a user keeps of herself for good: of the service that the first source publishes, and of one that nobody does.
pub(crate) fn permanent(entity: &str, says: u64) -> String {
    let basic = if says.is_multiple_of(2) {
        "closed"
    } else {
        "open"
    };
    let note = format!("<note>always {says}</note>");
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\
         <tuple id=\"s0\"><status><basic>{basic}</basic></status><contact>sip:d0@10.0.1.1</contact>{note}</tuple>\
         <tuple id=\"post\"><status><basic>open</basic></status><contact>mailto:post@example.com</contact></tuple>{note}</presence>"
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
