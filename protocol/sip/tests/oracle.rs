//! The RFCs' own torture messages, where they are at hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

#[path = "../../../lab/peers/src/skipped.rs"]
mod skipped;

use std::path::PathBuf;

use sip::{Message, Uri};
use skipped::{skipped, this_test};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Legal,
    /// Can be answered, and this is the answer.
    Refused(u16),
    /// Is counted and dropped.
    Dropped,
}

use Fate::{Dropped, Legal, Refused};

const RFC4475: &[(&str, Fate)] = &[
    ("wsinv", Legal),
    ("intmeth", Legal),
    ("esc01", Legal),
    ("escnull", Legal),
    ("esc02", Legal),
    ("lwsdisp", Legal),
    ("longreq", Legal),
    ("dblreq", Legal),
    ("semiuri", Legal),
    ("transports", Legal),
    ("mpart01", Legal),
    ("unreason", Legal),
    ("noreason", Legal),
    ("badinv01", Refused(400)),
    ("clerr", Refused(400)),
    ("ncl", Refused(400)),
    ("scalar02", Refused(400)),
    ("scalarlg", Refused(400)),
    ("quotbal", Refused(400)),
    ("ltgtruri", Refused(400)),
    ("lwsruri", Refused(400)),
    ("lwsstart", Refused(400)),
    ("trws", Refused(400)),
    ("escruri", Refused(400)),
    ("baddate", Refused(400)),
    ("regbadct", Refused(400)),
    ("badaspec", Refused(400)),
    ("baddn", Refused(400)),
    ("badvers", Refused(505)),
    ("mismatch01", Refused(400)),
    ("mismatch02", Refused(501)),
    ("bigcode", Dropped),
    ("badbranch", Legal),
    ("insuf", Dropped),
    ("unkscm", Refused(416)),
    ("novelsc", Refused(416)),
    ("unksm2", Legal),
    ("bext01", Legal),
    ("invut", Legal),
    ("regaut01", Legal),
    ("multi01", Refused(400)),
    ("mcl01", Refused(400)),
    ("bcast", Legal),
    ("zeromf", Legal),
    ("cparam01", Legal),
    ("cparam02", Legal),
    ("regescrt", Legal),
    ("sdp01", Legal),
    ("inv2543", Legal),
    // Not in the RFC's text: a leftover of an older collection, without a SIP-Version.
    ("test", Dropped),
];

const RFC5118: &[(&str, Fate)] = &[
    ("ipv6-good", Legal),
    ("ipv6-bad", Refused(400)),
    ("port-ambiguous", Legal),
    ("port-unambiguous", Legal),
    ("via-received-param-with-delim", Legal),
    ("via-received-param-no-delim", Legal),
    ("ipv6-in-sdp", Legal),
    ("mult-ip-in-header", Legal),
    ("mult-ip-in-sdp", Legal),
    ("ipv4-mapped-ipv6", Legal),
    ("ipv6-bug-abnf-3-colons", Legal),
    ("ipv6-correct-abnf-2-colons", Legal),
];

/// The folder of examples, or a note that it isn't there.
fn folder(name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../../shared/standards/examples").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skipped(&this_test(), &format!("{name} is not at hand"));
    None
}

fn fate(bytes: &[u8]) -> Fate {
    let Ok(message) = Message::parse(bytes) else {
        return Dropped;
    };
    if message.essentials().is_err() {
        assert!(message.check().is_err());
        return Dropped;
    }
    match message.check() {
        Ok(()) => Legal,
        Err(flaw) => Refused(flaw.status),
    }
}

#[test]
fn rfc4475() {
    let Some(folder) = folder("rfc4475") else {
        return;
    };
    for (name, expected) in RFC4475 {
        let bytes = std::fs::read(folder.join(format!("{name}.dat"))).unwrap();
        assert_eq!(fate(&bytes), *expected, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), RFC4475.len());
}

/// The archive's messages have bare line feeds, and two of them a Content-Length that is too large for their body;
/// only their addresses are of interest.
#[test]
fn rfc5118() {
    let Some(folder) = folder("rfc5118") else {
        return;
    };
    for (name, expected) in RFC5118 {
        let mut bytes = std::fs::read(folder.join(name)).unwrap();
        bytes.extend_from_slice(&[b'\n'; 40]);
        assert_eq!(fate(&bytes), *expected, "{name}");
        let wire = String::from_utf8(bytes).unwrap().replace('\n', "\r\n");
        assert_eq!(fate(wire.as_bytes()), *expected, "{name} with CRLF");
        let message = Message::parse(wire.as_bytes()).unwrap();
        if *expected == Legal {
            let uri = Uri::parse(message.request_uri()).unwrap();
            assert_eq!(uri.port, (*name == "port-unambiguous").then_some(5070));
        }
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), RFC5118.len());
}
