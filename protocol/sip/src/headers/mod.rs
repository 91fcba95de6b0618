//! Typed header fields, one family per file; each file adds its readers to `Message`.

mod accept;
mod addresses;
mod cseq;
mod date;
mod entity_tag;
mod event;
mod numbers;
mod subscription_state;
mod tokens;

pub use accept::Accept;
pub use cseq::CSeq;
pub use event::Event;
pub use subscription_state::SubscriptionState;

pub(crate) use addresses::read_address;
pub(crate) use date::is_date;
