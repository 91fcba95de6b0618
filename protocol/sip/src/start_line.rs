//! Request line and status line (RFC 3261 §7.1, §7.2).

use crate::lexical;
use crate::{Method, ParseError};

#[derive(Clone, Copy, Debug)]
pub(crate) enum StartLine<'b> {
    Request { method: Method<'b>, uri: &'b str },
    Response { status: u16, reason: &'b str },
}

/// A start line, and what is wrong with it though it can be understood.
pub(crate) struct Read<'b> {
    pub(crate) line: StartLine<'b>,
    /// The version is not SIP/2.0.
    pub(crate) version: bool,
    /// Whitespace stands where none may, or too much of it.
    pub(crate) spacing: bool,
}

pub(crate) fn read(line: &[u8]) -> Result<Read<'_>, ParseError> {
    if is_sip(line) {
        return status_line(line);
    }
    let text = std::str::from_utf8(line).map_err(|_| ParseError::StartLine)?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = line.iter().position(is_blank);
    let (method, rest) = text.split_at(end.ok_or(ParseError::StartLine)?);
    let rest_trimmed = lexical::trim_text(rest);
    let end = rest_trimmed.as_bytes().iter().rposition(is_blank);
    let (uri, version) = rest_trimmed.split_at(end.ok_or(ParseError::StartLine)?);
    let version = &version[1..];
    let uri = lexical::trim_text(uri);
    if !lexical::is_token(method.as_bytes()) || uri.is_empty() || !is_sip(version.as_bytes()) {
        return Err(ParseError::StartLine);
    }
    // RFC 3261 §7.1: single spaces and no tabs, none inside the Request-URI, none at the end.
    let length = method.len() + uri.len() + version.len() + 2;
    let tabs = line.contains(&b'\t');
    Ok(Read {
        line: StartLine::Request {
            method: Method::read(method),
            uri,
        },
        version: !version.eq_ignore_ascii_case("SIP/2.0"),
        spacing: tabs || length != line.len() || uri.bytes().any(lexical::is_space),
    })
}

fn is_sip(bytes: &[u8]) -> bool {
    bytes
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

fn status_line(line: &[u8]) -> Result<Read<'_>, ParseError> {
    let space = memchr::memchr(b' ', line).ok_or(ParseError::StartLine)?;
    let (version, rest) = (&line[..space], &line[space + 1..]);
    let status = rest
        .get(..3)
        .and_then(lexical::number)
        .filter(|status| (100..700).contains(status))
        .ok_or(ParseError::StartLine)?;
    let reason = match rest.get(3) {
        // The space before an empty reason phrase is often forgotten.
        None => b"".as_slice(),
        Some(b' ') => &rest[4..],
        Some(_) => return Err(ParseError::StartLine),
    };
    Ok(Read {
        line: StartLine::Response {
            status: status as u16,
            reason: std::str::from_utf8(reason).unwrap_or_default(),
        },
        version: !version.eq_ignore_ascii_case(b"SIP/2.0"),
        spacing: false,
    })
}
