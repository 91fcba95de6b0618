//! Event (RFC 6665 §8.2.1).

use crate::lexical;
use crate::{Flaw, Message, Name, Params};

/// An event package, with its template if it has one, and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'b> {
    /// `presence`, `presence.winfo`, as written. RFC 6665 §7.2.1: compared with case.
    pub package: &'b str,
    /// The `id` parameter.
    pub id: Option<&'b str>,
    /// All parameters.
    pub params: Params<'b>,
}

impl<'b> Event<'b> {
    /// Reads the value.
    pub fn parse(text: &'b str) -> Result<Event<'b>, Flaw> {
        let (package, params) = lexical::before(text, b';');
        let package = lexical::trim_text(package);
        let params = Params::new(params);
        if !lexical::is_token(package.as_bytes()) || !params.are_well_formed() {
            return Err(Flaw::bad(Name::Event, "Bad Event"));
        }
        Ok(Event {
            package,
            id: params.value("id"),
            params,
        })
    }

    /// The value of any other parameter.
    pub fn param(&self, name: &str) -> Option<&'b str> {
        self.params.value(name)
    }
}

impl<'b> Message<'b> {
    /// Event; none when absent.
    pub fn event(&self) -> Result<Option<Event<'b>>, Flaw> {
        self.typed(Name::Event, Event::parse)
    }
}
