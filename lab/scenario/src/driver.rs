//! What carries a flow's messages: the border between what is described and where it runs.

use std::net::SocketAddr;

use ladder::Trace;

use crate::http::{Asked, Told};

/// By what an actor speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: whoever is not answered repeats himself.
    Udp,
    /// A connection.
    Tcp,
}

impl Transport {
    /// As Via has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Where an actor is, as it writes into Via and Contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// By what it speaks.
    pub transport: Transport,
    /// Its own address.
    pub address: SocketAddr,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// To which actor, by its place in the flow.
    pub actor: usize,
    /// When, in microseconds of the driver's clock.
    pub at: u64,
    /// One whole message.
    pub bytes: Vec<u8>,
}

/// Carries messages between the actors of one flow and one server, and keeps the time.
pub trait Driver {
    /// Microseconds of its clock.
    fn now(&mut self) -> u64;
    /// The address of record of whom the flow calls by this name, like `sip:alice@example.com`.
    fn identity(&self, user: &str) -> String;
    /// Where an actor is.
    fn place(&self, actor: usize) -> Place;
    /// A number that it never gave before: for tags, branches, Call-IDs.
    fn token(&mut self) -> String;
    /// Sends one message to the server.
    fn send(&mut self, actor: usize, bytes: &[u8]) -> Result<(), String>;
    /// The next message to any actor; `None`: it is `until`, and nothing came.
    fn receive(&mut self, until: u64) -> Result<Option<Received>, String>;
    /// An actor asks for a document over HTTP. When the whole answer was there, and what it was.
    fn ask(&mut self, actor: usize, asked: &Asked) -> Result<(u64, Told), String>;
    /// How long anything that has to come may take where the flow does not say it, in microseconds.
    fn patience(&self) -> u64;
    /// What it saw.
    fn trace(&mut self) -> &mut Trace;
    /// What only it can know to be wrong, at the end.
    fn verdict(&mut self) -> Result<(), String> {
        Ok(())
    }
}
