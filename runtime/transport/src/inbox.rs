//! Where what streams bring goes: implemented by `runtime/node`, which knows the shards.

use std::net::IpAddr;
use std::task::{Context, Poll};

use machine::Instant;
use shard::inputs::{Flow, Undeliverable};
use shard::settings::ListenerId;

/// Takes messages and reports. Nothing here may block or wait.
pub trait Inbox: Send + Sync + 'static {
    /// The time: nobody here reads a clock.
    fn now(&self) -> Instant;

    /// Called once for each connection.
    fn gather(&self) -> Box<dyn Gather>;

    /// A message that `shard` sent under `token` did not go out.
    fn undeliverable(&self, shard: u16, token: u64, why: Undeliverable);

    /// Whether connections from this address are free of the bound per source (loopback, trusted peers).
    fn is_unlimited(&self, listener: ListenerId, source: IpAddr) -> bool;
}

/// Gathers what one read of one connection brought, so that each shard gets it at once and is woken once.
pub trait Gather: Send {
    /// A whole message. What is put into `answer` goes back on the connection without any shard.
    fn message(&mut self, flow: &Flow, bytes: &[u8], answer: &mut Vec<u8>);

    /// A message that the framing does not take: the shard answers `status` from its header section.
    fn refused(&mut self, flow: &Flow, head: &[u8], status: u16);

    /// The read is over: hand everything on.
    fn flush(&mut self);

    /// Whether the shards have taken enough of what was handed on before that more may be read. Until then the bytes
    /// stay with the peer: a flood over one connection fills its own window, not everybody's mailbox.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()>;
}
