//! Header fields that are a number: Expires, Min-Expires, Max-Forwards, Retry-After, Content-Length.

use crate::lexical;
use crate::{Flaw, Message, Name};

impl<'b> Message<'b> {
    /// Reads the one value of a header field as text.
    pub(crate) fn typed<T>(
        &self,
        name: Name,
        read: impl FnOnce(&'b str) -> Result<T, Flaw>,
    ) -> Result<Option<T>, Flaw> {
        if !self.has(name) {
            return Ok(None);
        }
        let text = self.header_text(name).ok_or(Flaw::bad(name, "Not UTF-8"))?;
        read(text).map(Some)
    }

    fn number(&self, name: Name, reason: &'static str) -> Result<Option<u32>, Flaw> {
        self.typed(name, |text| {
            lexical::number32(text.as_bytes()).ok_or(Flaw::bad(name, reason))
        })
    }

    /// Expires in seconds (RFC 3261 §20.19); more than 32 bits hold is the largest that they do.
    pub fn expires(&self) -> Result<Option<u32>, Flaw> {
        self.number(Name::Expires, "Bad Expires")
    }

    /// Min-Expires in seconds (RFC 3261 §20.23).
    pub fn min_expires(&self) -> Result<Option<u32>, Flaw> {
        self.number(Name::MinExpires, "Bad Min-Expires")
    }

    /// Max-Forwards, 0 to 255 (RFC 3261 §20.22).
    pub fn max_forwards(&self) -> Result<Option<u32>, Flaw> {
        const REASON: &str = "Bad Max-Forwards";
        match self.number(Name::MaxForwards, REASON)? {
            Some(256..) => Err(Flaw::bad(Name::MaxForwards, REASON)),
            hops => Ok(hops),
        }
    }

    /// Retry-After in seconds, its comment and parameters aside (RFC 3261 §20.33).
    pub fn retry_after(&self) -> Result<Option<u32>, Flaw> {
        self.typed(Name::RetryAfter, |text| {
            let end = text.find([';', '(']).unwrap_or(text.len());
            lexical::number32(lexical::trim(&text.as_bytes()[..end]))
                .ok_or(Flaw::bad(Name::RetryAfter, "Bad Retry-After"))
        })
    }

    /// Content-Length (RFC 3261 §20.14).
    pub fn content_length(&self) -> Result<Option<u32>, Flaw> {
        self.number(Name::ContentLength, "Bad Content-Length")
    }
}
