//! From, To, Contact, Route, Record-Route, P-Asserted-Identity and other fields made of addresses.

use crate::{Flaw, Message, Name, NameAddr};

impl<'b> Message<'b> {
    /// From (RFC 3261 §20.20).
    pub fn from(&self) -> Result<NameAddr<'b>, Flaw> {
        self.one_address(Name::From)
    }

    /// To (RFC 3261 §20.39).
    pub fn to(&self) -> Result<NameAddr<'b>, Flaw> {
        self.one_address(Name::To)
    }

    fn one_address(&self, name: Name) -> Result<NameAddr<'b>, Flaw> {
        self.typed(name, |text| NameAddr::parse(text, name))?
            .ok_or(Flaw::bad(name, "Missing header field"))
    }

    /// The first Contact; its `uri` may be `*` (RFC 3261 §20.10).
    pub fn contact(&self) -> Result<Option<NameAddr<'b>>, Flaw> {
        self.contacts().next().transpose()
    }

    /// Every Contact.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'b>, Flaw>> + '_ {
        self.addresses(Name::Contact)
    }

    /// Every Route, topmost first (RFC 3261 §20.34).
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'b>, Flaw>> + '_ {
        self.addresses(Name::Route)
    }

    /// Every Record-Route, topmost first (RFC 3261 §20.30).
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'b>, Flaw>> + '_ {
        self.addresses(Name::RecordRoute)
    }

    /// Every P-Asserted-Identity (RFC 3325 §9.1); whether the peer may assert one is asked elsewhere.
    pub fn asserted_identities(&self) -> impl Iterator<Item = Result<NameAddr<'b>, Flaw>> + '_ {
        self.addresses(Name::PAssertedIdentity)
    }

    /// Every value of a header field that is a list of addresses.
    pub fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr<'b>, Flaw>> + '_ {
        self.text_values(name)
            .map(move |value| read_address(name, value))
    }
}

/// One value of a list of addresses.
pub(crate) fn read_address<'b>(name: Name, value: Option<&'b str>) -> Result<NameAddr<'b>, Flaw> {
    let text = value.ok_or(Flaw::bad(name, "Not UTF-8"))?;
    let address = NameAddr::parse(text, name)?;
    // RFC 3261 §20.34 and §20.30: in these the brackets must be there.
    if !address.has_brackets() && matches!(name, Name::Route | Name::RecordRoute) {
        return Err(Flaw::bad(name, "Route without angle brackets"));
    }
    Ok(address)
}
