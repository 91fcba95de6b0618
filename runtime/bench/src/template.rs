//! Messages composed once; afterwards only what differs is written between pieces that stay.

/// Text of bounded length, kept in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Text<N> {
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; N],
        length: 0,
    };

    /// `None` when it is longer than there is room.
    pub(crate) fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            bytes,
            length: u8::try_from(text.len()).ok()?,
        })
    }

    pub(crate) fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// What differs from one message to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Our socket's address.
    Here,
    /// Number of the transaction: slot and generation.
    Branch,
    /// Number of the presentity.
    Presentity,
    /// Number of the watcher.
    Watcher,
    /// Number of the subscription and how often it began.
    Subscription,
    /// CSeq.
    Cseq,
    /// Entity-tag.
    Etag,
    /// To tag of the dialog.
    RemoteTag,
    /// Request-URI of the dialog.
    Target,
    /// Number of the state that is published.
    Version,
    /// 24 characters that are the same in each message of this dialog or publication.
    Call,
}

const FIELDS: [(&str, Field); 11] = [
    ("{here}", Field::Here),
    ("{branch}", Field::Branch),
    ("{presentity}", Field::Presentity),
    ("{watcher}", Field::Watcher),
    ("{subscription}", Field::Subscription),
    ("{cseq}", Field::Cseq),
    ("{etag}", Field::Etag),
    ("{tag}", Field::RemoteTag),
    ("{target}", Field::Target),
    ("{version}", Field::Version),
    ("{call}", Field::Call),
];

/// The values of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) here: &'a [u8],
    pub(crate) branch: (u32, u32),
    pub(crate) presentity: u32,
    pub(crate) watcher: u32,
    pub(crate) subscription: (u32, u32),
    pub(crate) cseq: u32,
    pub(crate) etag: &'a [u8],
    pub(crate) tag: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) version: u32,
    pub(crate) call: (u32, u32),
}

impl Values<'_> {
    pub(crate) const NONE: Self = Self {
        here: b"",
        branch: (0, 0),
        presentity: 0,
        watcher: 0,
        subscription: (0, 0),
        cseq: 0,
        etag: b"",
        tag: b"",
        target: b"",
        version: 0,
        call: (0, 0),
    };
}

/// A message with gaps.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// End of a piece, and what follows it.
    gaps: Vec<(usize, Field)>,
}

impl Template {
    /// Gaps are written as `{name}`.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(text.len());
        let mut gaps = Vec::new();
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let gap = FIELDS
                .iter()
                .find(|(name, _)| rest.starts_with(name.as_bytes()));
            if let Some((name, field)) = gap {
                gaps.push((bytes.len(), *field));
                rest = &rest[name.len()..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        Self { bytes, gaps }
    }

    /// Appends the message with these values.
    pub(crate) fn write(&self, out: &mut Vec<u8>, values: &Values<'_>) {
        let mut from = 0;
        for (to, field) in &self.gaps {
            out.extend_from_slice(&self.bytes[from..*to]);
            from = *to;
            match field {
                Field::Here => out.extend_from_slice(values.here),
                Field::Branch => pair(out, values.branch),
                Field::Presentity => out.extend_from_slice(&hex(values.presentity)),
                Field::Watcher => out.extend_from_slice(&hex(values.watcher)),
                Field::Subscription => pair(out, values.subscription),
                Field::Cseq => out.extend_from_slice(&decimal(values.cseq)),
                Field::Etag => out.extend_from_slice(values.etag),
                Field::RemoteTag => out.extend_from_slice(values.tag),
                Field::Target => out.extend_from_slice(values.target),
                Field::Version => out.extend_from_slice(&hex(values.version)),
                Field::Call => pair(out, values.call),
            }
        }
        out.extend_from_slice(&self.bytes[from..]);
    }
}

fn pair(out: &mut Vec<u8>, (first, second): (u32, u32)) {
    let mut text = [b'-'; 17];
    text[..8].copy_from_slice(&hex(first));
    text[9..].copy_from_slice(&hex(second));
    out.extend_from_slice(&text);
}

/// Eight hexadecimal digits.
pub(crate) fn hex(value: u32) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 8];
    for (place, digit) in text.iter_mut().enumerate() {
        *digit = DIGITS[(value >> (28 - 4 * place)) as usize & 15];
    }
    text
}

/// Nine digits without a leading zero, as long as the value is below 900 million: what no peer could take for another
/// number, and always as long.
fn decimal(value: u32) -> [u8; 9] {
    let mut rest = 100_000_000 + value % 900_000_000;
    let mut text = [b'0'; 9];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text
}

/// Reads what `hex` wrote.
pub(crate) fn read_hex(text: &[u8]) -> Option<u32> {
    let text = text.get(..8)?;
    text.iter().try_fold(0_u32, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

/// Reads what `pair` wrote.
pub(crate) fn read_pair(text: &[u8]) -> Option<(u32, u32)> {
    if text.get(8) != Some(&b'-') {
        return None;
    }
    Some((read_hex(text)?, read_hex(text.get(9..)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_the_rest_stays() {
        let template = Template::new(b"{cseq} {other} p{presentity};{branch}{etag}!");
        let mut out = b"before ".to_vec();
        let values = Values {
            cseq: 7,
            presentity: 0xabc,
            branch: (1, 0xffff_ffff),
            etag: b"tag",
            ..Values::NONE
        };
        template.write(&mut out, &values);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "before 100000007 {other} p00000abc;00000001-fffffffftag!"
        );
    }

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 0x1234_5678, u32::MAX] {
            assert_eq!(read_hex(&hex(value)), Some(value));
            let mut text = Vec::new();
            pair(&mut text, (value, 9));
            assert_eq!(read_pair(&text), Some((value, 9)));
        }
        assert_eq!(read_hex(b"1234567"), None);
        assert_eq!(read_hex(b"1234567g"), None);
        assert_eq!(read_pair(b"00000000_00000000"), None);
        assert_eq!(Text::<3>::new(b"1234").map(|text| text.length), None);
        assert_eq!(Text::<4>::new(b"1234").unwrap().get(), b"1234");
    }
}
