//! What the world sees of a listener: sent-by and Contact, written once for each configuration.

use machine::settings::{ListenerId, Settings, Transport};

use crate::shard::Shard;

/// Public texts of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    /// Public host and port, as in Via.
    pub(crate) sent_by: String,
    contact_udp: String,
    contact_tcp: String,
}

/// For a listener that isn't there.
pub(crate) static NO_FACE: Face = Face {
    sent_by: String::new(),
    contact_udp: String::new(),
    contact_tcp: String::new(),
};

impl Face {
    /// The faces of all listeners. Our Contact is the advertised name, the same on every node and after a restart.
    pub(crate) fn of(settings: &Settings, gruu: &str) -> Vec<Self> {
        let face = |listener: &machine::settings::Listener| {
            let sent_by = format!("{}:{}", listener.advertise_host, listener.advertise_port);
            Self {
                contact_udp: format!("sip:{sent_by};gr={gruu}"),
                contact_tcp: format!("sip:{sent_by};transport=tcp;gr={gruu}"),
                sent_by,
            }
        };
        settings.listeners.iter().map(face).collect()
    }

    /// URI of our Contact for a dialog over this transport.
    pub(crate) fn contact(&self, transport: Transport) -> &str {
        match transport {
            Transport::Udp => &self.contact_udp,
            Transport::Tcp => &self.contact_tcp,
        }
    }
}

impl Shard {
    pub(crate) fn face(&self, listener: ListenerId) -> &Face {
        self.faces.get(usize::from(listener.0)).unwrap_or(&NO_FACE)
    }
}
