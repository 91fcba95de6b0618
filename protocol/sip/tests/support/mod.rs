//! Messages for tests, written down the way people read them.

#![allow(dead_code, reason = "each test file uses its part")]

/// Line ends become CRLF.
pub(crate) fn crlf(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n")
        .replace('\n', "\r\n")
        .into_bytes()
}

/// A request that nobody can object to, except for its start line and the given header lines: a line replaces the
/// ordinary ones of the same name, a line that is only a name and a colon with a minus before it removes them.
pub(crate) fn request(start: &str, lines: &[&str], body: &str) -> Vec<u8> {
    let method = start.split(' ').next().unwrap_or_default();
    let sequence = format!("CSeq: 17 {method}");
    let length = format!("Content-Length: {}", body.len());
    let ordinary = [
        "Via: SIP/2.0/UDP desk.north.example:5070;branch=z9hG4bKt0r7",
        "Max-Forwards: 70",
        "From: Nora <sip:nora@north.example>;tag=n1",
        "To: <sip:sam@south.example>",
        "Call-ID: torture-1@desk.north.example",
        &sequence,
        &length,
    ];
    let name = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        name.trim_start_matches('-').trim().to_ascii_lowercase()
    };
    let mut text = format!("{start}\n");
    for line in ordinary {
        if !lines.iter().any(|other| name(other) == name(line)) {
            text += line;
            text.push('\n');
        }
    }
    for line in lines.iter().filter(|line| !line.starts_with('-')) {
        text += line;
        text.push('\n');
    }
    text.push('\n');
    let mut bytes = crlf(&text);
    bytes.extend_from_slice(body.as_bytes());
    bytes
}
