//! Characters of RFC 3261 §25.1, linear whitespace, quoted strings, comma lists.

/// `token`
pub(crate) const TOKEN: u8 = 1;
/// `user`, an escape's digits aside
pub(crate) const USER: u8 = 2;
/// `paramchar` of a URI
pub(crate) const PARAM: u8 = 4;
/// `hname` and `hvalue` of a URI with their separators
pub(crate) const HEADERS: u8 = 8;
/// letters of a host name's label; the underscore is common enough to be borne
pub(crate) const HOST: u8 = 16;
/// what an absolute URI of any scheme may hold
pub(crate) const URI: u8 = 32;
/// an unquoted parameter value: a token or a host, and what peers are seen to send without quotes (base64, URIs)
pub(crate) const VALUE: u8 = 64;

static CLASS: [u8; 256] = {
    let mut class = [0u8; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            class[byte] = 0xff;
        }
        byte += 1;
    }
    let mut set = 0;
    while set < SETS.len() {
        let (bit, letters) = SETS[set];
        let mut at = 0;
        while at < letters.len() {
            class[letters[at] as usize] |= bit;
            at += 1;
        }
        set += 1;
    }
    class
};

const SETS: [(u8, &[u8]); 7] = [
    (TOKEN, b"-.!%*_+`'~"),
    (USER, b"-_.!~*'()%&=+$,;?/"),
    (PARAM, b"-_.!~*'()%[]/:&+$"),
    (HEADERS, b"-_.!~*'()%[]/?:+$=&"),
    (HOST, b"-_"),
    (URI, b"-_.!~*'()%;/?:@&=+$,[]#"),
    (VALUE, b"-.!%*_+`'~[]:/@()$&?={}|^#"),
];

pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// Every byte is of the class; true for nothing.
pub(crate) fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&byte| is(byte, class))
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Space, tab, and the line ends of a fold.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without whitespace at both ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The same for text.
pub(crate) fn trim_text(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut from, mut to) = (0, bytes.len());
    while from < to && is_space(bytes[from]) {
        from += 1;
    }
    while from < to && is_space(bytes[to - 1]) {
        to -= 1;
    }
    &text[from..to]
}

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// A word of eight of them.
const fn everywhere(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The high bit of each byte that is zero; above the lowest such byte others may be marked too.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Where the first such byte stands. Header values are short: eight bytes at once, without a call, beat wider looks.
pub(crate) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    find_either(byte, byte, bytes)
}

/// Where the first of either stands.
#[inline]
pub(crate) fn find_either(one: u8, other: u8, bytes: &[u8]) -> Option<usize> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (at, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ everywhere(one)) | zeros(word ^ everywhere(other));
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|&byte| byte == one || byte == other)?;
    Some(chunks.len() * 8 + found)
}

/// Where the first CR or LF stands.
pub(crate) fn find_line_end(bytes: &[u8]) -> Option<usize> {
    // Nearly no value holds a control character, and eight bytes at once tell.
    let (chunks, rest) = bytes.as_chunks::<8>();
    let below_space = |chunk: &[u8; 8]| {
        let word = u64::from_le_bytes(*chunk);
        word.wrapping_sub(everywhere(b' ')) & !word & (ONES << 7) != 0
    };
    if !chunks.iter().any(below_space) && rest.iter().all(|byte| *byte >= b' ') {
        return None;
    }
    let is_one = |byte: &u8| matches!(byte, b'\r' | b'\n');
    bytes.iter().position(is_one)
}

/// What stands before the first such ASCII byte, and the rest with it.
pub(crate) fn before(text: &str, byte: u8) -> (&str, &str) {
    text.split_at(find(byte, text.as_bytes()).unwrap_or(text.len()))
}

/// What stands before the first such ASCII byte, and the rest without it.
pub(crate) fn split(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = find(byte, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// What stands before the first whitespace, and the rest with it.
pub(crate) fn word(text: &str) -> (&str, &str) {
    let end = text.bytes().position(is_space);
    text.split_at(end.unwrap_or(text.len()))
}

/// Where the bytes of the class end that start at `at`, each `%` being followed by two hexadecimal digits.
pub(crate) fn escaped_end(bytes: &[u8], mut at: usize, class: u8) -> usize {
    while at < bytes.len() && is(bytes[at], class) {
        if bytes[at] != b'%' {
            at += 1;
            continue;
        }
        match bytes.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => at += 3,
            _ => break,
        }
    }
    at
}

/// All bytes are of the class, escapes whole; true for nothing.
pub(crate) fn all_escaped(bytes: &[u8], class: u8) -> bool {
    escaped_end(bytes, 0, class) == bytes.len()
}

/// The length of the quoted string that `bytes` starts with, quotes included; none if it doesn't end.
pub(crate) fn quoted(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Decimal digits to a number; what is too large is the largest. None without or with other letters.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number
            .saturating_mul(10)
            .saturating_add(u64::from(byte - b'0'));
    }
    Some(number)
}

/// A number that saturates at 32 bits, the range of delta-seconds (RFC 3261 §20.19).
pub(crate) fn number32(bytes: &[u8]) -> Option<u32> {
    number(bytes).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// The values of a comma list, trimmed; commas in quotes and angle brackets don't part, empty values don't show.
pub(crate) struct Values<'b> {
    rest: &'b [u8],
}

impl<'b> Values<'b> {
    pub(crate) fn new(value: &'b [u8]) -> Values<'b> {
        Values { rest: value }
    }
}

impl<'b> Iterator for Values<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        while !self.rest.is_empty() {
            let end = comma(self.rest);
            let value = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// The same over text; a line that is no text is one value that is none.
pub(crate) struct Texts<'b> {
    rest: &'b str,
    broken: bool,
}

impl<'b> Texts<'b> {
    pub(crate) fn new(line: Option<&'b str>) -> Texts<'b> {
        Texts {
            rest: line.unwrap_or_default(),
            broken: line.is_none(),
        }
    }
}

impl<'b> Iterator for Texts<'b> {
    type Item = Option<&'b str>;

    fn next(&mut self) -> Option<Option<&'b str>> {
        if std::mem::take(&mut self.broken) {
            return Some(None);
        }
        while !self.rest.is_empty() {
            let end = comma(self.rest.as_bytes());
            let value = trim_text(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !value.is_empty() {
                return Some(Some(value));
            }
        }
        None
    }
}

/// Where the first separating comma stands, or the end. A quote or bracket that never closes hides the rest, so
/// that a list is walked once whatever it holds.
fn comma(bytes: &[u8]) -> usize {
    // Most header lines hold one value.
    if find(b',', bytes).is_none() {
        return bytes.len();
    }
    let (mut at, mut bracket) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' if !bracket => match quoted(&bytes[at..]) {
                Some(length) => at += length - 1,
                None => return bytes.len(),
            },
            b'<' => bracket = true,
            b'>' => bracket = false,
            b',' if !bracket => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The bytes with whole escapes undone; a `%` without two digits stays.
pub(crate) fn unescaped(bytes: &[u8]) -> impl Iterator<Item = u8> + Clone {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        at += 1;
        if byte != b'%' {
            return Some(byte);
        }
        let digits = bytes.get(at..at + 2).and_then(|digits| {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            Some((high * 16 + low) as u8)
        });
        if digits.is_some() {
            at += 2;
        }
        digits.or(Some(byte))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a look at each byte by itself.
        #[test]
        fn finding_misses_nothing(bytes in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'`'), Just(b'\n'), any::<u8>()], 0..40)) {
            prop_assert_eq!(find(b'a', &bytes), bytes.iter().position(|byte| *byte == b'a'));
            let either = bytes.iter().position(|byte| matches!(byte, b'a' | b'b'));
            prop_assert_eq!(find_either(b'a', b'b', &bytes), either);
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            prop_assert_eq!(find_line_end(&bytes), end);
        }
    }
}
