//! What a request must have to be answered at all.

use crate::{CSeq, Flaw, Message, Name, NameAddr, Via};

/// The fields that every response repeats (RFC 3261 §8.2.6.2). They are read leniently, so that a request that
/// `check` refuses can be answered: a number too large is the largest, an address may be torn.
#[derive(Clone, Copy, Debug)]
pub struct Essentials<'b> {
    /// The topmost Via.
    pub via: Via<'b>,
    /// From.
    pub from: NameAddr<'b>,
    /// To.
    pub to: NameAddr<'b>,
    /// Call-ID.
    pub call_id: &'b str,
    /// CSeq.
    pub cseq: CSeq<'b>,
}

impl<'b> Message<'b> {
    /// Topmost Via, From, To, Call-ID and CSeq, if all are usable; otherwise nobody can be answered.
    pub fn essentials(&self) -> Result<Essentials<'b>, Flaw> {
        self.essential.unwrap_or_else(|| self.read_essentials())
    }

    /// Reads them now, once for everybody who asks later: nearly each step of a server does.
    pub fn keep_essentials(&mut self) {
        self.essential = Some(self.read_essentials());
    }

    fn read_essentials(&self) -> Result<Essentials<'b>, Flaw> {
        let via = self.via()?;
        let from = self.essential_address(Name::From)?;
        let to = self.essential_address(Name::To)?;
        let call_id = self.call_id()?;
        let (cseq, _) = self
            .header_text(Name::CSeq)
            .and_then(CSeq::read)
            .ok_or(Flaw::bad(Name::CSeq, "Bad CSeq"))?;
        Ok(Essentials {
            via,
            from,
            to,
            call_id,
            cseq,
        })
    }

    fn essential_address(&self, name: Name) -> Result<NameAddr<'b>, Flaw> {
        self.header_text(name)
            .map(NameAddr::lenient)
            .filter(|address| !address.uri.is_empty())
            .ok_or(Flaw::bad(name, "Missing header field"))
    }
}
