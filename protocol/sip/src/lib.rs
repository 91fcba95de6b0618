//! SIP on the wire (RFC 3261 and the extensions a presence system meets): bytes to values and back.
//! Owns: nothing; a message is a view of the caller's buffer.   Takes: bytes of datagrams and streams.
//! Gives: `Message` and its typed headers, `Uri`, `Flaw` with the status to answer, `Writer`, `framing`.
//! Never: state between messages (a stream's framing aside), time, sockets, what a server supports.

mod check;
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
