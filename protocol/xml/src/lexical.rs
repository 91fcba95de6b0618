//! The lexical rules of XML 1.0 (fifth edition) and Namespaces in XML 1.0, and references.

use std::borrow::Cow;

use crate::Flaw;

/// XML 1.0 §2.2, production Char.
pub(crate) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// XML 1.0 §2.3, production S.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

pub(crate) const fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}')
}

/// Whether this is a name without colon (Namespaces in XML 1.0 §3), which is also the form of an `xs:ID`.
pub fn is_ncname(name: &str) -> bool {
    // Nearly all names are of these letters.
    if let [first, rest @ ..] = name.as_bytes()
        && (first.is_ascii_alphabetic() || *first == b'_')
        && rest
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    {
        return true;
    }
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_char)
}

/// A qualified name as written: prefix (empty: none) and local part.
pub(crate) fn split_name(name: &str) -> Result<(&str, &str), Flaw> {
    match name.split_once(':') {
        Some((prefix, local)) if is_ncname(prefix) && is_ncname(local) => Ok((prefix, local)),
        None if is_ncname(name) => Ok(("", name)),
        _ => Err(Flaw::Name),
    }
}

/// The first place where a character stands that XML forbids.
pub(crate) fn forbidden(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    // Without an early end, so that many bytes are looked at together.
    let plain = |byte: &u8| (0x20..0xef).contains(byte) | matches!(byte, b'\t' | b'\n' | b'\r');
    if bytes.iter().fold(true, |all, byte| all & plain(byte)) {
        return None;
    }
    bytes.iter().enumerate().find_map(|(at, &byte)| match byte {
        0x20..0xef | 0xf0.. | b'\t' | b'\n' | b'\r' => None,
        // U+FFFE and U+FFFF; everything else that begins with 0xEF is a character.
        0xef => matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])).then_some(at),
        _ => Some(at),
    })
}

/// The character that a reference (the part between `&` and `;`) stands for: predefined entities and character references only.
pub(crate) fn resolve(reference: &str) -> Result<char, Flaw> {
    let Some(number) = reference.strip_prefix('#') else {
        return match reference {
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "amp" => Ok('&'),
            "apos" => Ok('\''),
            "quot" => Ok('"'),
            _ if is_ncname(reference) => Err(Flaw::Entity),
            _ => Err(Flaw::Reference),
        };
    };
    let (digits, radix) = number
        .strip_prefix('x')
        .map_or((number, 10), |hex| (hex, 16));
    // from_str_radix would accept a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Flaw::Reference);
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|c| is_char(*c))
        .ok_or(Flaw::Reference)
}

/// XML 1.0 §3.3.3: an attribute value with references resolved and white space made spaces. The fault comes with its offset.
pub(crate) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, (usize, Flaw)> {
    let Some(first) = raw
        .bytes()
        .position(|byte| matches!(byte, b'&' | b'<' | b'\t' | b'\n' | b'\r'))
    else {
        return Ok(Cow::Borrowed(raw));
    };
    let mut value = String::with_capacity(raw.len());
    value.push_str(&raw[..first]);
    let mut at = first;
    while let Some(c) = raw[at..].chars().next() {
        let mut after = at + c.len_utf8();
        match c {
            '<' => return Err((at, Flaw::LessThan)),
            '&' => {
                let end =
                    memchr::memchr(b';', &raw.as_bytes()[after..]).ok_or((at, Flaw::Reference))?;
                value.push(resolve(&raw[after..after + end]).map_err(|flaw| (at, flaw))?);
                after += end + 1;
            }
            // §2.11 comes first: CR LF is one line end, so one space.
            '\r' if raw[after..].starts_with('\n') => {}
            '\t' | '\n' | '\r' => value.push(' '),
            _ => value.push(c),
        }
        at = after;
    }
    Ok(Cow::Owned(value))
}

/// What an attribute value stands for; none: it cannot stand in one.
pub fn unescape(raw: &str) -> Option<String> {
    attribute_value(raw).ok().map(Cow::into_owned)
}

/// XML 1.0 §2.11: CR LF and CR become LF.
pub(crate) fn push_text(out: &mut String, raw: &str) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\r', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push('\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    out.push_str(rest);
}

/// One attribute of a tag or of the XML declaration, as written.
pub(crate) struct RawAttribute<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
    /// Where the name begins within what was scanned.
    pub(crate) name_at: usize,
    pub(crate) value_at: usize,
}

/// Takes the next attribute from what follows a name in a tag (XML 1.0 §3.1: white space, name, `=`, quoted value).
pub(crate) fn next_attribute<'a>(
    text: &'a str,
    at: &mut usize,
) -> Result<Option<RawAttribute<'a>>, (usize, Flaw)> {
    let bytes = text.as_bytes();
    let skip = |from: usize| {
        bytes[from..]
            .iter()
            .position(|byte| !is_space(*byte))
            .map_or(bytes.len(), |n| from + n)
    };
    let name_at = skip(*at);
    if name_at == bytes.len() {
        return Ok(None);
    }
    if name_at == *at {
        return Err((name_at, Flaw::Attribute));
    }
    let length = bytes[name_at..]
        .iter()
        .position(|byte| is_space(*byte) || *byte == b'=')
        .unwrap_or(bytes.len() - name_at);
    let equals = skip(name_at + length);
    if bytes.get(equals) != Some(&b'=') {
        return Err((name_at, Flaw::Attribute));
    }
    let open = skip(equals + 1);
    let Some(quote @ (b'"' | b'\'')) = bytes.get(open).copied() else {
        return Err((open.min(bytes.len()), Flaw::Attribute));
    };
    let value_at = open + 1;
    let Some(end) = memchr::memchr(quote, &bytes[value_at..]) else {
        return Err((open, Flaw::Attribute));
    };
    *at = value_at + end + 1;
    Ok(Some(RawAttribute {
        name: &text[name_at..name_at + length],
        value: &text[value_at..value_at + end],
        name_at,
        value_at,
    }))
}

/// What stands before a colon like a prefix: in a name, an XPath, or in words that only look so.
pub(crate) fn prefixes(text: &str) -> impl Iterator<Item = &str> {
    memchr::memchr_iter(b':', text.as_bytes()).filter_map(|colon| {
        let before = &text[..colon];
        let start = before.rfind(|c| !is_name_char(c)).map_or(0, |at| {
            at + before[at..].chars().next().map_or(0, char::len_utf8)
        });
        (start < colon).then(|| &before[start..])
    })
}
