//! Everything about a message that must be refused, whoever serves it.
//!
//! Strict about what we act on and what RFC 4475 and RFC 5118 call illegal; silent about header fields that
//! mean nothing here, and about what only a server can know (which methods, packages, extensions it has).

use crate::headers::{Event, SubscriptionState, is_date, read_address};
use crate::lexical::{self, Texts};
use crate::lines::Line;
use crate::{CSeq, Flaw, MediaType, Message, Name, NameAddr, Scheme, Uri, Via};

/// Fields that may stand once only (RFC 3261 §7.3.1), of those that any message is read for.
const ONCE: u128 = Name::CallId.bit()
    | Name::CSeq.bit()
    | Name::From.bit()
    | Name::To.bit()
    | Name::ContentLength.bit();

/// The same, of those that a request is read for.
const ONCE_IN_REQUEST: u128 = ONCE
    | Name::MaxForwards.bit()
    | Name::ContentType.bit()
    | Name::Date.bit()
    | Name::Event.bit()
    | Name::Expires.bit()
    | Name::MinExpires.bit()
    | Name::SipEtag.bit()
    | Name::SipIfMatch.bit()
    | Name::SubscriptionState.bit()
    | Name::SuppressIfMatch.bit();

/// What no message does without (RFC 3261 §8.1.1). Max-Forwards is missing in requests of RFC 2543 peers.
const NEEDED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

impl<'b> Message<'b> {
    /// Reads the whole message by its grammar. For a request the flaw has the status to answer; a response with a
    /// flaw is dropped. Of a response only what carries it home is read: a bad Expires is no reason to lose it.
    pub fn check(&self) -> Result<(), Flaw> {
        self.check_outline()?;
        for name in NEEDED {
            if !self.has(name) {
                return Err(Flaw::bad(name, "Missing header field"));
            }
        }
        for line in self.lines() {
            self.check_line(line)?;
        }
        if self.is_request() {
            self.check_request()?;
        }
        Ok(())
    }

    fn check_outline(&self) -> Result<(), Flaw> {
        let outline = self.outline;
        // RFC 3261 §21.5.7: another version may have another grammar, so this comes first.
        if outline.version {
            return Err(Flaw::whole(505, "Version Not Supported"));
        }
        if outline.too_many {
            return Err(Flaw::whole(513, "Too many header fields"));
        }
        if outline.spacing {
            return Err(Flaw::whole(400, "Whitespace in the request line"));
        }
        if outline.stray {
            return Err(Flaw::whole(400, "CR or LF alone"));
        }
        // RFC 3261 §7: the empty line is there even without a body. Without it the datagram was cut, and who knows
        // whether its last field is whole.
        if outline.unended {
            return Err(Flaw::whole(400, "Header section without end"));
        }
        if outline.broken_line {
            return Err(Flaw::whole(400, "Line without header name"));
        }
        let once = match self.is_request() {
            true => ONCE_IN_REQUEST,
            false => ONCE,
        };
        let repeated = self.repeated() & once;
        if repeated != 0 {
            let header = self
                .lines()
                .map(|line| line.name)
                .find(|name| repeated & name.bit() != 0);
            return Err(Flaw {
                status: 400,
                reason: "Header field repeated",
                header,
            });
        }
        Ok(())
    }

    fn check_request(&self) -> Result<(), Flaw> {
        let uri = Uri::parse(self.request_uri())?;
        // RFC 3261 §19.1.1: a Request-URI has no headers.
        if uri.headers.is_some() {
            return Err(Flaw::whole(400, "Headers in the Request-URI"));
        }
        let method = self.method();
        if self.cseq()?.method != method {
            // RFC 3261 §8.1.1.5. RFC 4475 §3.1.2.18: for an unknown method 501 says more.
            let status = if method.is_other() { 501 } else { 400 };
            return Err(Flaw {
                status,
                reason: "CSeq names another method",
                header: Some(Name::CSeq),
            });
        }
        // RFC 3261 §8.2.2.1; RFC 3966 names users too.
        if uri.scheme == Scheme::Other {
            return Err(Flaw::whole(416, "Unsupported URI Scheme"));
        }
        Ok(())
    }

    /// One header field by its grammar.
    fn check_line(&self, line: &Line) -> Result<(), Flaw> {
        let name = line.name;
        match name {
            Name::Via => self.check_vias(line),
            Name::From | Name::To => {
                let address = NameAddr::parse(self.readable(line)?, name)?;
                check_address(&address, name)
            }
            Name::CallId => self.check_call_id(line),
            Name::CSeq => match CSeq::read(self.readable(line)?) {
                Some((_, true)) => Ok(()),
                Some((_, false)) => Err(Flaw::bad(name, "CSeq out of range")),
                None => Err(Flaw::bad(name, "Bad CSeq")),
            },
            Name::ContentLength => {
                if lexical::number(self.value(line)).is_none() {
                    return Err(Flaw::bad(name, "Bad Content-Length"));
                }
                // RFC 3261 §18.3: what a datagram promises and doesn't bring is answered 400.
                if self.outline.cut {
                    return Err(Flaw::bad(name, "Body shorter than Content-Length"));
                }
                Ok(())
            }
            _ if self.is_request() => self.check_request_line(line),
            _ => Ok(()),
        }
    }

    fn check_request_line(&self, line: &Line) -> Result<(), Flaw> {
        let name = line.name;
        match name {
            Name::Contact | Name::Route | Name::RecordRoute => self.check_addresses(line),
            Name::MaxForwards => self.max_forwards().map(drop),
            Name::Expires => self.expires().map(drop),
            Name::MinExpires => self.min_expires().map(drop),
            Name::ContentType => MediaType::parse(self.readable(line)?, name).map(drop),
            Name::Event => Event::parse(self.readable(line)?).map(drop),
            Name::SubscriptionState => SubscriptionState::parse(self.readable(line)?).map(drop),
            Name::SipIfMatch => self.sip_if_match().map(drop),
            Name::SipEtag if !lexical::is_token(self.value(line)) => {
                Err(Flaw::bad(name, "Bad SIP-ETag"))
            }
            // RFC 3261 §20.17: GMT only.
            Name::Date if !is_date(self.value(line)) => Err(Flaw::bad(name, "Bad Date")),
            _ => Ok(()),
        }
    }

    fn check_vias(&self, line: &Line) -> Result<(), Flaw> {
        const BAD: Flaw = Flaw::bad(Name::Via, "Bad Via");
        let mut any = false;
        for value in Texts::new(self.value_text(line)) {
            Via::check(value.ok_or(BAD)?)?;
            any = true;
        }
        any.then_some(()).ok_or(BAD)
    }

    fn check_addresses(&self, line: &Line) -> Result<(), Flaw> {
        let name = line.name;
        let mut any = false;
        for value in Texts::new(self.value_text(line)) {
            let address = read_address(name, value)?;
            any = true;
            // RFC 3261 §20.10: every contact there is.
            if address.uri == "*" && name == Name::Contact && !address.has_brackets() {
                continue;
            }
            check_address(&address, name)?;
        }
        any.then_some(()).ok_or(Flaw::bad(name, "No address"))
    }

    /// RFC 3261 §25.1 has words of certain letters; peers use more, so anything visible in ASCII passes.
    fn check_call_id(&self, line: &Line) -> Result<(), Flaw> {
        let value = self.value(line);
        if value.is_empty() || !value.iter().all(u8::is_ascii_graphic) {
            return Err(Flaw::bad(Name::CallId, "Bad Call-ID"));
        }
        Ok(())
    }

    fn readable(&self, line: &Line) -> Result<&'b str, Flaw> {
        self.value_text(line)
            .ok_or(Flaw::bad(line.name, "Not UTF-8"))
    }
}

fn check_address(address: &NameAddr<'_>, name: Name) -> Result<(), Flaw> {
    let uri = address.parsed();
    uri.map_err(|flaw| Flaw {
        header: Some(name),
        ..flaw
    })?;
    // RFC 3261 §25.1, `tag-param`: a tag is a token. Without one neither side of the dialog has a name; in quotes it
    // may hold anything.
    let tag = address
        .params
        .get("tag")
        .filter(|_| matches!(name, Name::From | Name::To));
    let torn = tag.is_some_and(|tag| tag.is_none_or(|tag| tag.starts_with('"')));
    if torn || !address.params.are_well_formed_with_one("tag") {
        return Err(Flaw::bad(name, "Bad header parameters"));
    }
    Ok(())
}
