//! Header field names: known ones as an enum, found by length and letters, compact forms included.

use std::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?;)*) => {
        /// A header field that we know by name. Case and compact forms are gone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Name {
            /// Any name not listed here; see `Message::header_named`.
            Other,
            $(#[doc = concat!("`", $text, "`")] $variant,)*
        }

        /// Every spelling with its name, long forms first in the order of the enum.
        const SPELLINGS: &[(&str, Name)] = &[
            $(($text, Name::$variant),)*
            $($(($compact, Name::$variant),)?)*
        ];

        /// Long forms, by discriminant.
        const TEXTS: &[&str] = &["", $($text,)*];
    };
}

// Compact forms: RFC 3261 §7.3.3 and the IANA registry.
names! {
    Accept "Accept";
    AcceptContact "Accept-Contact" "a";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AlertInfo "Alert-Info";
    Allow "Allow";
    AllowEvents "Allow-Events" "u";
    AuthenticationInfo "Authentication-Info";
    Authorization "Authorization";
    CallId "Call-ID" "i";
    CallInfo "Call-Info";
    Contact "Contact" "m";
    ContentDisposition "Content-Disposition";
    ContentEncoding "Content-Encoding" "e";
    ContentId "Content-ID";
    ContentLanguage "Content-Language";
    ContentLength "Content-Length" "l";
    ContentType "Content-Type" "c";
    CSeq "CSeq";
    Date "Date";
    ErrorInfo "Error-Info";
    Event "Event" "o";
    Expires "Expires";
    FlowTimer "Flow-Timer";
    From "From" "f";
    HistoryInfo "History-Info";
    Identity "Identity" "y";
    IdentityInfo "Identity-Info" "n";
    InReplyTo "In-Reply-To";
    MaxBreadth "Max-Breadth";
    MaxForwards "Max-Forwards";
    MimeVersion "MIME-Version";
    MinExpires "Min-Expires";
    MinSe "Min-SE";
    Organization "Organization";
    PAccessNetworkInfo "P-Access-Network-Info";
    PAssertedIdentity "P-Asserted-Identity";
    PAssertedService "P-Asserted-Service";
    PAssociatedUri "P-Associated-URI";
    PCalledPartyId "P-Called-Party-ID";
    PChargingFunctionAddresses "P-Charging-Function-Addresses";
    PChargingVector "P-Charging-Vector";
    PPreferredIdentity "P-Preferred-Identity";
    PPreferredService "P-Preferred-Service";
    PServedUser "P-Served-User";
    PVisitedNetworkId "P-Visited-Network-ID";
    Path "Path";
    Priority "Priority";
    Privacy "Privacy";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyRequire "Proxy-Require";
    RAck "RAck";
    RSeq "RSeq";
    Reason "Reason";
    RecordRoute "Record-Route";
    ReferSub "Refer-Sub";
    ReferTo "Refer-To" "r";
    ReferredBy "Referred-By" "b";
    RejectContact "Reject-Contact" "j";
    Replaces "Replaces";
    ReplyTo "Reply-To";
    RequestDisposition "Request-Disposition" "d";
    Require "Require";
    RetryAfter "Retry-After";
    Route "Route";
    SecurityClient "Security-Client";
    SecurityServer "Security-Server";
    SecurityVerify "Security-Verify";
    Server "Server";
    ServiceRoute "Service-Route";
    SessionExpires "Session-Expires" "x";
    SipEtag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    Subject "Subject" "s";
    SubscriptionState "Subscription-State";
    Supported "Supported" "k";
    SuppressIfMatch "Suppress-If-Match";
    Timestamp "Timestamp";
    To "To" "t";
    Unsupported "Unsupported";
    UserAgent "User-Agent";
    Via "Via" "v";
    Warning "Warning";
    WwwAuthenticate "WWW-Authenticate";
}

// Message keeps one bit per name in a u128.
const _: () = assert!(TEXTS.len() <= 128);

const SLOTS: usize = 512;

/// Open addressing, filled at compile time: a slot holds 1 + an index into SPELLINGS.
const TABLE: [u8; SLOTS] = {
    let mut table = [0u8; SLOTS];
    let mut index = 0;
    while index < SPELLINGS.len() {
        let mut slot = hash(SPELLINGS[index].0.as_bytes());
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8 + 1;
        index += 1;
    }
    table
};

// Length, first, middle and last letter tell almost all names apart.
const fn hash(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    let last = (name[length - 1] | 0x20) as usize;
    (length * 89 + first * 31 + middle * 13 + last * 5) % SLOTS
}

impl Name {
    /// The name with this spelling, long or compact, whatever its case; `Other` when unknown.
    pub fn read(text: &[u8]) -> Name {
        if text.is_empty() {
            return Name::Other;
        }
        let mut slot = hash(text);
        while let Some(index) = TABLE[slot].checked_sub(1) {
            let (spelling, name) = SPELLINGS[index as usize];
            let spelling = spelling.as_bytes();
            // Most peers write names the usual way.
            if spelling == text || spelling.eq_ignore_ascii_case(text) {
                return name;
            }
            slot = (slot + 1) % SLOTS;
        }
        Name::Other
    }

    /// The long form; empty for `Other`.
    pub fn text(self) -> &'static str {
        TEXTS[self as usize]
    }

    /// This name's place in a set of names.
    pub(crate) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        for (spelling, name) in SPELLINGS {
            assert_eq!(Name::read(spelling.as_bytes()), *name);
            assert_eq!(Name::read(spelling.to_ascii_uppercase().as_bytes()), *name);
            assert_eq!(Name::read(spelling.to_ascii_lowercase().as_bytes()), *name);
        }
    }

    #[test]
    fn strangers_are_other() {
        for stranger in ["", "Q", "Fro", "Fromm", "C%6Fntact", "Content-Lengtj", "-"] {
            assert_eq!(Name::read(stranger.as_bytes()), Name::Other, "{stranger}");
        }
    }

    #[test]
    fn probes_are_few() {
        let worst = SPELLINGS.iter().map(|(spelling, _)| {
            let mut slot = hash(spelling.as_bytes());
            let mut probes = 1;
            while SPELLINGS[TABLE[slot] as usize - 1].0 != *spelling {
                slot = (slot + 1) % SLOTS;
                probes += 1;
            }
            probes
        });
        assert!(worst.max() <= Some(4));
    }
}
