//! SIP on the wire (RFC 3261 and the extensions a presence system meets): bytes to values and back.
//! Owns: nothing; a message is a view of the caller's buffer.   Takes: bytes of datagrams and streams.
//! Gives: `Message` and its typed headers, `Uri`, `Flaw` with the status to answer, `Writer`, `framing`.
//! Never: state between messages (a stream's framing aside), time, sockets, what a server supports.
//!
//! ```
//! use sip::{Message, Name, response_to};
//!
//! let datagram = b"OPTIONS sip:sam@south.example SIP/2.0\r\nv: SIP/2.0/UDP 10.1.2.3;rport;branch=z9hG4bKa\r\n\
//!     f: <sip:nora@north.example>;tag=n\r\nt: <sip:sam@south.example>\r\ni: 1@n\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n";
//! let request = Message::parse(datagram).expect("a message");
//! let mut answer = Vec::new();
//! if request.essentials().is_ok() {
//!     let (status, reason) = match request.check() {
//!         Ok(()) => (200, ""),
//!         Err(flaw) => (flaw.status, flaw.reason),
//!     };
//!     let source = "10.1.2.3:5062".parse().ok();
//!     response_to(&mut answer, &request, status, reason, Some("s"), source)
//!         .header(Name::Allow, "OPTIONS")
//!         .end(0);
//! }
//! assert!(answer.starts_with(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bKa;received=10.1.2.3;rport=5062\r\n"));
//! ```

mod check;
pub mod digest;
mod essentials;
mod flaw;
pub mod framing;
pub mod headers;
mod identity;
mod lexical;
mod lines;
mod media_type;
mod message;
mod method;
mod name;
mod name_addr;
mod params;
mod response;
mod start_line;
mod status;
mod uri;
mod via;
mod writer;

pub use essentials::Essentials;
pub use flaw::{Flaw, ParseError};
pub use headers::{Accept, CSeq, Event, SubscriptionState};
pub use identity::canonical;
pub use media_type::MediaType;
pub use message::Message;
pub use method::Method;
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::Params;
pub use response::response_to;
pub use status::reason_phrase;
pub use uri::{Scheme, Uri};
pub use via::Via;
pub use writer::Writer;
