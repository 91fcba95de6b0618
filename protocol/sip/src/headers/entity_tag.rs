//! SIP-ETag and SIP-If-Match (RFC 3903 §11.3).

use crate::lexical;
use crate::{Flaw, Message, Name};

impl<'b> Message<'b> {
    /// The one entity-tag a PUBLISH names. RFC 3903 §6 step 3: several, or something that is none, is answered 400.
    pub fn sip_if_match(&self) -> Result<Option<&'b str>, Flaw> {
        const BAD: Flaw = Flaw::bad(Name::SipIfMatch, "One entity-tag in SIP-If-Match");
        if !self.has(Name::SipIfMatch) {
            return Ok(None);
        }
        if self.headers(Name::SipIfMatch).count() > 1 {
            return Err(BAD);
        }
        // A lone `*` is a token, but no tag that we ever gave.
        self.header_text(Name::SipIfMatch)
            .filter(|tag| lexical::is_token(tag.as_bytes()) && *tag != "*")
            .map_or(Err(BAD), |tag| Ok(Some(tag)))
    }

    /// The entity-tag of a response or notification.
    pub fn sip_etag(&self) -> Option<&'b str> {
        self.header_text(Name::SipEtag)
            .filter(|tag| lexical::is_token(tag.as_bytes()))
    }
}
