//! Lists of tokens: option tags, methods, event types, privacy.

use crate::{Message, Name};

impl<'b> Message<'b> {
    /// Option tags the peer demands (RFC 3261 §20.32).
    pub fn require(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::Require)
    }

    /// Option tags the peer has (RFC 3261 §20.37).
    pub fn supported(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::Supported)
    }

    /// Option tags demanded of proxies (RFC 3261 §20.29).
    pub fn proxy_require(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::ProxyRequire)
    }

    /// Option tags the peer lacks (RFC 3261 §20.40).
    pub fn unsupported(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::Unsupported)
    }

    /// Methods the peer takes (RFC 3261 §20.5).
    pub fn allow(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::Allow)
    }

    /// Event packages the peer takes (RFC 6665 §8.2.2).
    pub fn allow_events(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::AllowEvents)
    }

    /// Privacy values (RFC 3323 §4.2), which semicolons part.
    pub fn privacy(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.texts(Name::Privacy)
            .flat_map(|value| value.split(';'))
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }
}
