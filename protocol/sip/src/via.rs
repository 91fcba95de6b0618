//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::IpAddr;

use crate::lexical::{self, HOST, TOKEN};
use crate::params::unquoted;
use crate::{Flaw, Message, Name, Params, uri};

/// One hop: by what transport a request came and where its response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'b> {
    /// `UDP`, `TCP`, `TLS`, `SCTP`, `WS`, `WSS` or another, as written.
    pub transport: &'b str,
    /// Host of sent-by, IPv6 with its brackets.
    pub host: &'b str,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// The branch; none in requests of RFC 2543 peers.
    pub branch: Option<&'b str>,
    /// All parameters.
    pub params: Params<'b>,
    /// As `rport()` and `maddr()` give them.
    rport: Option<Option<u16>>,
    maddr: Option<&'b str>,
    text: &'b str,
    sent_by: &'b str,
    sip: bool,
}

const BAD: Flaw = Flaw::bad(Name::Via, "Bad Via");

impl<'b> Via<'b> {
    /// Reads one value: protocol, transport, sent-by; the grammar of the rest is looked at by `check`.
    pub fn parse(text: &'b str) -> Result<Via<'b>, Flaw> {
        let mut via = Via::outline(text)?;
        let (mut branch, mut rport, mut maddr) = (None, None, None);
        // Each that answers are made from, in one pass; the first of a name counts.
        for (name, value) in via.params.iter() {
            if branch.is_none() && name.eq_ignore_ascii_case("branch") {
                branch = Some(value);
            } else if rport.is_none() && name.eq_ignore_ascii_case("rport") {
                rport = Some(value);
            } else if maddr.is_none() && name.eq_ignore_ascii_case("maddr") {
                maddr = Some(value);
            }
        }
        let text = |value: Option<Option<&'b str>>| value.flatten().map(unquoted);
        via.branch = text(branch).filter(|branch| !branch.is_empty());
        via.rport = rport.map(|value| value.and_then(uri::read_port));
        via.maddr = text(maddr);
        Ok(via)
    }

    /// All but what parameters say.
    fn outline(text: &'b str) -> Result<Via<'b>, Flaw> {
        match Via::plain(text) {
            Some(via) => Ok(via),
            None => Via::outline_any(text),
        }
    }

    /// What nearly every Via is, in one pass: `SIP/2.0/UDP host:port;…`, single spaces, no address in brackets. None: it
    /// takes the long way.
    fn plain(text: &'b str) -> Option<Via<'b>> {
        const PROTOCOL: &str = "SIP/2.0/";
        let bytes = text.as_bytes();
        let starts =
            text.starts_with(PROTOCOL) && !bytes.last().copied().is_some_and(lexical::is_space);
        let is =
            |at: &usize, class: u8| bytes.get(*at).is_some_and(|byte| lexical::is(*byte, class));
        let mut at = PROTOCOL.len();
        while is(&at, TOKEN) {
            at += 1;
        }
        let transport = text
            .get(PROTOCOL.len()..at)
            .filter(|text| starts && !text.is_empty())?;
        if bytes.get(at) != Some(&b' ') {
            return None;
        }
        let sent_by = at + 1;
        at = sent_by;
        while is(&at, HOST) || bytes.get(at) == Some(&b'.') {
            at += 1;
        }
        let host = text.get(sent_by..at).filter(|host| !host.is_empty())?;
        let mut port = None;
        if bytes.get(at) == Some(&b':') {
            let digits = at + 1;
            at = digits;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            port = Some(uri::read_port(text.get(digits..at)?)?);
        }
        let params = text
            .get(at..)
            .filter(|rest| rest.is_empty() || rest.starts_with(';'))?;
        Some(Via {
            transport,
            host,
            port,
            branch: None,
            params: Params::new(params),
            rport: None,
            maddr: None,
            text,
            sent_by: text.get(sent_by..at)?,
            sip: true,
        })
    }

    fn outline_any(text: &'b str) -> Result<Via<'b>, Flaw> {
        let text = lexical::trim_text(text);
        let (head, params) = lexical::before(text, b';');
        let (protocol, rest) = part(head)?;
        let (version, rest) = part(rest)?;
        let (transport, sent_by) = lexical::word(lexical::trim_text(rest));
        let sent_by = lexical::trim_text(sent_by);
        let (host, port) = uri::split_port(sent_by);
        let host = lexical::trim_text(host);
        let port = match port {
            Some(port) => Some(uri::read_port(lexical::trim_text(port)).ok_or(BAD)?),
            None => None,
        };
        if host.is_empty() || transport.is_empty() || !lexical::all(transport.as_bytes(), TOKEN) {
            return Err(BAD);
        }
        Ok(Via {
            transport,
            host,
            port,
            branch: None,
            params: Params::new(params),
            rport: None,
            maddr: None,
            text,
            sent_by,
            sip: protocol.eq_ignore_ascii_case("SIP") && version == "2.0",
        })
    }

    /// The branch if it names the transaction (RFC 3261 §8.1.1.7): the cookie and something behind it. Without, the
    /// rules for RFC 2543 peers hold (§17.2.3; RFC 4475 §3.2.1).
    pub fn transaction_branch(&self) -> Option<&'b str> {
        const COOKIE: &str = "z9hG4bK";
        self.branch
            .filter(|branch| branch.len() > COOKIE.len() && branch.starts_with(COOKIE))
    }

    /// The whole value as written; it may contain folds.
    pub const fn text(&self) -> &'b str {
        self.text
    }

    /// Host and port as written.
    pub fn sent_by(&self) -> &'b str {
        self.sent_by
    }

    /// The `received` address; IPv6 with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received")?;
        uri::address(text).or_else(|| text.parse().ok())
    }

    /// `rport` (RFC 3581): none when absent, `Some(None)` when asked for, else the port.
    pub const fn rport(&self) -> Option<Option<u16>> {
        self.rport
    }

    /// The `maddr` host.
    pub const fn maddr(&self) -> Option<&'b str> {
        self.maddr
    }

    /// The `ttl` for multicast.
    pub fn ttl(&self) -> Option<u8> {
        self.params.value("ttl")?.parse().ok()
    }

    /// The sent-by host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        uri::address(self.host)
    }

    /// Reads one value by the whole grammar.
    pub(crate) fn check(text: &str) -> Result<(), Flaw> {
        let via = Via::outline(text)?;
        let good =
            via.sip && uri::is_host(via.host) && via.params.are_well_formed_with_one("branch");
        good.then_some(()).ok_or(BAD)
    }
}

/// What stands before a slash, whitespace around it aside.
fn part(text: &str) -> Result<(&str, &str), Flaw> {
    let (part, rest) = lexical::split(text, b'/').ok_or(BAD)?;
    let part = lexical::trim_text(part);
    if !lexical::is_token(part.as_bytes()) {
        return Err(BAD);
    }
    Ok((part, rest))
}

impl<'b> Message<'b> {
    /// The topmost Via.
    pub fn via(&self) -> Result<Via<'b>, Flaw> {
        const MISSING: Flaw = Flaw::bad(Name::Via, "No Via");
        match &self.essential {
            Some(Ok(essentials)) => Ok(essentials.via),
            _ => self.vias().next().unwrap_or(Err(MISSING)),
        }
    }

    /// How many there are, readable or not.
    pub fn via_count(&self) -> usize {
        self.text_values(Name::Via).count()
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'b>, Flaw>> + '_ {
        self.text_values(Name::Via)
            .map(|value| value.map_or(Err(BAD), Via::parse))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The short way never says anything else than the long one.
        #[test]
        fn plain_vias_read_as_any(text in "SIP/2.0/[A-Z/ ]{0,4} {0,2}[a-z0-9.\\[\\]-]{0,8}(:[0-9 ]{0,6})?(;[a-z=; ]{0,8})?") {
            if let Some(via) = Via::plain(&text) {
                prop_assert_eq!(Via::outline_any(&text), Ok(via));
            }
        }
    }

    #[test]
    fn the_usual_vias_are_plain() {
        for text in [
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
            "SIP/2.0/TCP host.example",
        ] {
            assert_eq!(Via::plain(text), Via::outline_any(text).ok(), "{text}");
            assert!(Via::plain(text).is_some(), "{text}");
        }
    }
}
