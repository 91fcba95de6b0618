//! Media types (RFC 3261 §20.15).

use crate::lexical;
use crate::{Flaw, Name, Params};

/// `type/subtype;params`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'b> {
    /// `application`, as written.
    pub kind: &'b str,
    /// `pidf+xml`, as written.
    pub subtype: &'b str,
    /// `charset` and others.
    pub params: Params<'b>,
}

impl<'b> MediaType<'b> {
    /// Reads a media type or media range; the flaw names `header`.
    pub fn parse(text: &'b str, header: Name) -> Result<MediaType<'b>, Flaw> {
        let bad = Flaw::bad(header, "Bad media type");
        let (name, params) = lexical::before(text, b';');
        let (kind, subtype) = lexical::split(name, b'/').ok_or(bad)?;
        let kind = lexical::trim_text(kind);
        let subtype = lexical::trim_text(subtype);
        let params = Params::new(params);
        let good = lexical::is_token(kind.as_bytes())
            && lexical::is_token(subtype.as_bytes())
            && params.are_well_formed();
        if !good {
            return Err(bad);
        }
        Ok(MediaType {
            kind,
            subtype,
            params,
        })
    }

    /// True for `type/subtype` without case, parameters ignored.
    pub fn matches(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }
}
