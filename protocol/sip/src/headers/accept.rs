//! Accept and Content-Type (RFC 3261 §20.1, §20.15).

use crate::{Flaw, MediaType, Message, Name};

/// What a peer takes, over all its Accept lines.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'m, 'b> {
    message: &'m Message<'b>,
}

impl<'m, 'b> Accept<'m, 'b> {
    /// True without any Accept line: what the event package or method takes by default. An empty Accept is not absent.
    pub fn is_absent(&self) -> bool {
        !self.message.has(Name::Accept)
    }

    /// How much the peer wants `type/subtype`, in thousandths; 0: not at all, also when Accept is absent.
    /// The most specific range decides (RFC 9110 §12.5.1, to which RFC 3261 §20.1 goes back).
    pub fn quality(&self, name: &str) -> u16 {
        let Some((kind, _)) = name.split_once('/') else {
            return 0;
        };
        let mut best = (0, 0);
        for range in self.ranges() {
            let specific = if range.matches(name) {
                3
            } else if range.subtype == "*" && range.kind.eq_ignore_ascii_case(kind) {
                2
            } else if range.matches("*/*") {
                1
            } else {
                continue;
            };
            best = best.max((specific, quality(range.params.value("q"))));
        }
        best.1
    }

    /// Every media range that can be read.
    pub fn ranges(&self) -> impl Iterator<Item = MediaType<'b>> + use<'m, 'b> {
        self.message
            .texts(Name::Accept)
            .filter_map(|text| MediaType::parse(text, Name::Accept).ok())
    }
}

/// `q` in thousandths: `0.7` is 700. Absent or unreadable: 1000.
fn quality(value: Option<&str>) -> u16 {
    let Some(value) = value else { return 1000 };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if whole != "0" || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 1000;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
}

impl<'b> Message<'b> {
    /// What the sender takes.
    pub fn accept(&self) -> Accept<'_, 'b> {
        Accept { message: self }
    }

    /// The body's media type.
    pub fn content_type(&self) -> Result<Option<MediaType<'b>>, Flaw> {
        self.typed(Name::ContentType, |text| {
            MediaType::parse(text, Name::ContentType)
        })
    }
}
