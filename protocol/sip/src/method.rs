//! Request methods. Case matters (RFC 3261 §7.1).

use std::fmt;

/// A request method; what we don't know is kept as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method<'b> {
    /// RFC 3261 §10.
    Register,
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.
    Ack,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §11.
    Options,
    /// RFC 6665 §3.1.
    Subscribe,
    /// RFC 6665 §3.2.
    Notify,
    /// RFC 3903 §4.
    Publish,
    /// RFC 3428.
    Message,
    /// RFC 6086.
    Info,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 3515.
    Refer,
    /// Any other token.
    Other(&'b str),
}

impl<'b> Method<'b> {
    /// Reads a method name; the caller has seen that it is a token.
    pub fn read(name: &'b str) -> Method<'b> {
        match name {
            "REGISTER" => Method::Register,
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "CANCEL" => Method::Cancel,
            "BYE" => Method::Bye,
            "OPTIONS" => Method::Options,
            "SUBSCRIBE" => Method::Subscribe,
            "NOTIFY" => Method::Notify,
            "PUBLISH" => Method::Publish,
            "MESSAGE" => Method::Message,
            "INFO" => Method::Info,
            "PRACK" => Method::Prack,
            "UPDATE" => Method::Update,
            "REFER" => Method::Refer,
            other => Method::Other(other),
        }
    }

    /// The name as it stands on the wire.
    pub fn name(&self) -> &'b str {
        match self {
            Method::Other(name) => name,
            known => known.known_name(),
        }
    }

    /// The name of a method that some RFC we know defines, else "other": what a peer invents must not become a label.
    pub fn known_name(&self) -> &'static str {
        match self {
            Method::Register => "REGISTER",
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Cancel => "CANCEL",
            Method::Bye => "BYE",
            Method::Options => "OPTIONS",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Publish => "PUBLISH",
            Method::Message => "MESSAGE",
            Method::Info => "INFO",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Refer => "REFER",
            Method::Other(_) => "other",
        }
    }

    /// True for a method that no RFC we know defines: 501, not 405.
    pub fn is_other(&self) -> bool {
        matches!(self, Method::Other(_))
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
