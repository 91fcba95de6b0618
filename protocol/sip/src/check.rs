//! Everything about a message that must be refused, whoever serves it.

use crate::{Flaw, Message};

impl<'b> Message<'b> {
    /// Reads the whole message by its grammar. For a request the flaw has the status to answer; a response with a flaw is dropped.
    pub fn check(&self) -> Result<(), Flaw> {
        // RFC 3261 §21.5.7.
        if self.outline.version {
            return Err(Flaw::whole(505, "Version Not Supported"));
        }
        Ok(())
    }
}
