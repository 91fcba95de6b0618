//! Who watches, as one text: her canonical address of record, then whoever else she is asserted to be (RFC 3325 §9.1: a SIP and a tel
//! URI), a space between. No canonical address has one. So a subscription is decided by all of them, in each life, and no larger for it.

/// How it was established who asks (standards C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believed {
    /// A trusted peer asserted it.
    Asserted,
    /// She proved it by Digest.
    Digest,
    /// From said so.
    From,
}

impl Believed {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Asserted => b'a',
            Self::Digest => b'd',
            Self::From => b'f',
        }
    }

    /// What is on record; before it was written nothing but From is known of it.
    pub(crate) const fn from_byte(byte: Option<u8>) -> Self {
        match byte {
            Some(b'a') => Self::Asserted,
            Some(b'd') => Self::Digest,
            _ => Self::From,
        }
    }
}

/// Everybody that she is, the canonical address first.
pub fn identities(watcher: &str) -> impl Iterator<Item = &str> {
    watcher.split(' ')
}

/// The canonical address of record.
pub fn name(watcher: &str) -> &str {
    watcher.split(' ').next().unwrap_or(watcher)
}

/// Whether that is she.
pub fn is(watcher: &str, somebody: &str) -> bool {
    identities(watcher).any(|identity| identity == somebody)
}
