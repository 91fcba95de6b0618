//! Who is meant: served domains, our own addresses, aliases; one canonical form of a user's identity.

use std::sync::Arc;

use hashbrown::HashMap;
use machine::settings::{Domain, Presence, Settings};
use sip::{NameAddr, Scheme, Uri};

/// A read-only map that is equal in all shards and made anew by a reload.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Host that means a domain (its name, its aliases, our own addresses) → index of the domain.
    hosts: HashMap<String, usize>,
    domains: Vec<Arc<Domain>>,
    aliases: HashMap<String, String>,
}

impl Directory {
    /// The directory of these settings.
    pub fn new(settings: &Settings) -> Self {
        let mut hosts = HashMap::new();
        for listener in &settings.listeners {
            // Our own addresses mean the first domain.
            hosts.insert(listener.advertise_host.to_ascii_lowercase(), 0);
            hosts.insert(host_of(listener.bound.ip()), 0);
            hosts.extend(
                listener
                    .aliases
                    .iter()
                    .map(|alias| (alias.to_ascii_lowercase(), 0)),
            );
        }
        for (index, domain) in settings.domains.iter().enumerate() {
            hosts.extend(
                domain
                    .aliases
                    .iter()
                    .map(|alias| (alias.to_ascii_lowercase(), index)),
            );
            hosts.insert(domain.name.clone(), index);
        }
        let aliases = settings
            .identity
            .aliases
            .iter()
            .map(|(alias, aor)| (alias.clone(), aor.clone()))
            .collect();
        Self {
            hosts,
            domains: settings.domains.iter().cloned().map(Arc::new).collect(),
            aliases,
        }
    }

    /// The canonical address of record that a URI means, aliases resolved; `None` for other schemes.
    pub fn canonical(&self, uri: &Uri<'_>) -> Option<String> {
        let canonical = sip::canonical(uri, |host| {
            self.hosts.contains_key(&host.to_ascii_lowercase())
        })?;
        let canonical = match canonical
            .strip_prefix("sip:")
            .and_then(|rest| rest.rsplit_once('@'))
        {
            Some((user, host)) => match self.hosts.get(host) {
                Some(index) if self.domains[*index].name != host => {
                    format!("sip:{user}@{}", self.domains[*index].name)
                }
                _ => canonical,
            },
            None => canonical,
        };
        if self.aliases.is_empty() {
            return Some(canonical);
        }
        Some(self.aliases.get(&canonical).cloned().unwrap_or(canonical))
    }

    /// The canonical address of record of a header's URI.
    pub fn canonical_of(&self, address: &NameAddr<'_>) -> Option<String> {
        self.canonical(&address.parsed().ok()?)
    }

    /// The canonical address of record that a text means; `None`: it is no URI of a user.
    pub fn canonical_text(&self, uri: &str) -> Option<String> {
        self.canonical(&Uri::parse(uri).ok()?)
    }

    /// Whether `HOST[:PORT]` of a URL is this server.
    pub fn is_own_authority(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        self.hosts.contains_key(&host.to_ascii_lowercase())
    }

    /// The domain that serves a canonical address of record. A number without a domain is the first domain's.
    pub fn domain(&self, canonical: &str) -> Option<&Arc<Domain>> {
        if canonical.starts_with("tel:") {
            return self.domains.first();
        }
        let (_, host) = canonical.strip_prefix("sip:")?.rsplit_once('@')?;
        self.domains.iter().find(|domain| domain.name == host)
    }

    /// `[presence]` for a canonical address of record; the first domain's where none serves it any more.
    pub fn presence(&self, canonical: &str) -> Presence {
        self.domain(canonical)
            .or_else(|| self.domains.first())
            .map(|domain| domain.presence.clone())
            .unwrap_or_default()
    }

    /// Whether she is one of the listed users.
    pub fn is_listed(&self, canonical: &str) -> bool {
        self.aliases.contains_key(canonical)
    }

    /// Whether a URI means this server itself (a Route that names us, an OPTIONS to us).
    pub fn is_us(&self, uri: &Uri<'_>) -> bool {
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            && uri.user.is_none()
            && self.hosts.contains_key(&uri.host.to_ascii_lowercase())
    }
}

fn host_of(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
