//! One file for each target.

pub mod header_values;
pub mod pidf;
pub mod sip_message;
pub mod stream_framing;
