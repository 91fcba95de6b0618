//! What is wrong with a message, and which status says so.

use std::fmt;

use crate::Name;

/// Why a message cannot be served, with the status that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The status to answer a request with; a response with a flaw is dropped.
    pub status: u16,
    /// Short, fit for a reason phrase.
    pub reason: &'static str,
    /// The header field at fault, where there is one.
    pub header: Option<Name>,
}

impl Flaw {
    /// 400, about one header field.
    pub(crate) const fn bad(header: Name, reason: &'static str) -> Flaw {
        Flaw {
            status: 400,
            reason,
            header: Some(header),
        }
    }

    /// Any status, about the message as a whole.
    pub(crate) const fn whole(status: u16, reason: &'static str) -> Flaw {
        Flaw {
            status,
            reason,
            header: None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)?;
        match self.header {
            Some(header) => write!(f, " ({header})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Flaw {}

/// Why bytes are not even the outline of a SIP message; nothing can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Nothing but line ends: a keep-alive.
    Empty,
    /// The first line is neither a request line nor a status line.
    StartLine,
    /// More bytes than an index can address.
    TooLong,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::Empty => "no message, only line ends",
            ParseError::StartLine => "no request line and no status line",
            ParseError::TooLong => "longer than any SIP message",
        })
    }
}

impl std::error::Error for ParseError {}
