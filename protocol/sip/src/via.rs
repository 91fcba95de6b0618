//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::IpAddr;

use crate::lexical::{self, TOKEN};
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
    sent_by: &'b str,
    sip: bool,
}

const BAD: Flaw = Flaw::bad(Name::Via, "Bad Via");

impl<'b> Via<'b> {
    /// Reads one value: protocol, transport, sent-by; the grammar of the rest is looked at by `check`.
    pub fn parse(text: &'b str) -> Result<Via<'b>, Flaw> {
        let via = Via::outline(text)?;
        let branch = via.params.value("branch");
        Ok(Via {
            branch: branch.filter(|branch| !branch.is_empty()),
            ..via
        })
    }

    /// All but the branch.
    fn outline(text: &'b str) -> Result<Via<'b>, Flaw> {
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
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params
            .get("rport")
            .map(|value| value.and_then(uri::read_port))
    }

    /// The `maddr` host.
    pub fn maddr(&self) -> Option<&'b str> {
        self.params.value("maddr")
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
        self.vias().next().unwrap_or(Err(MISSING))
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'b>, Flaw>> + '_ {
        self.text_values(Name::Via)
            .map(|value| value.map_or(Err(BAD), Via::parse))
    }
}
