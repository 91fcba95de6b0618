//! One file for each target.

pub mod header_values;
pub mod pidf;
pub mod shard_operations;
pub mod sip_message;
pub mod stream_framing;
