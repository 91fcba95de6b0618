//! CSeq and Call-ID (RFC 3261 §20.16, §20.8).

use crate::lexical;
use crate::{Flaw, Message, Method, Name};

/// A request's number in its dialog and the method it numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'b> {
    /// The sequence number, 31 bits.
    pub number: u32,
    /// The method.
    pub method: Method<'b>,
}

impl<'b> CSeq<'b> {
    /// Reads the value; a number beyond 32 bits is the largest. The second result: whether the number may stand there.
    pub(crate) fn read(text: &'b str) -> Option<(CSeq<'b>, bool)> {
        let (number, method) = lexical::word(text);
        let number = lexical::number(number.as_bytes())?;
        let method = lexical::trim_text(method);
        if !lexical::is_token(method.as_bytes()) {
            return None;
        }
        let narrow = u32::try_from(number);
        let sequence = CSeq {
            number: narrow.unwrap_or(u32::MAX),
            method: Method::read(method),
        };
        // RFC 3261 §8.1.1.5: less than 2**31, so that there is room to count on.
        Some((sequence, number < 1 << 31))
    }
}

impl<'b> Message<'b> {
    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq<'b>, Flaw> {
        const BAD: Flaw = Flaw::bad(Name::CSeq, "Bad CSeq");
        let text = self.header_text(Name::CSeq).ok_or(BAD)?;
        match CSeq::read(text) {
            Some((sequence, true)) => Ok(sequence),
            Some((_, false)) => Err(Flaw::bad(Name::CSeq, "CSeq out of range")),
            None => Err(BAD),
        }
    }

    /// Call-ID: not empty, in one word.
    pub fn call_id(&self) -> Result<&'b str, Flaw> {
        self.header_text(Name::CallId)
            .filter(|text| !text.is_empty() && !text.bytes().any(lexical::is_space))
            .ok_or(Flaw::bad(Name::CallId, "Bad Call-ID"))
    }
}
