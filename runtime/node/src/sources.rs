//! How much one source may ask: a flood costs little and takes nothing from others.
//!
//! The rate is kept as the time up to which a source has used its allowance (generic cell rate algorithm): 40 bytes a
//! source, in a table of fixed size whose quietest entry gives way.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use machine::Instant;
use shard::settings::{ListenerId, Settings};

/// Sources remembered by one thread: 8192 × 48 B = 400 kB. A flood from more addresses than that is no longer one source's.
const SLOTS: usize = 8192;

/// Places a source may take in the table.
const WAYS: usize = 4;

/// How far a source may be ahead of its rate: one second's worth at once.
const BURST_MICROS: u64 = 1_000_000;

/// Refusals that one source gets in a second; more requests beyond its rate are dropped.
const REFUSALS_PER_SECOND: u64 = 10;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is served.
    Take,
    /// It is over the rate: answer 503.
    Refuse,
    /// It is over the rate, and its source was told often enough.
    Drop,
}

#[derive(Clone, Copy)]
struct Slot {
    source: Option<(ListenerId, IpAddr)>,
    /// A trusted peer: everything is served.
    unlimited: bool,
    /// Requests are used up to here, in microseconds.
    used: u64,
    /// Refusals likewise.
    refused: u64,
}

const EMPTY: Slot = Slot {
    source: None,
    unlimited: false,
    used: 0,
    refused: 0,
};

/// The sources that one thread hears of.
pub(crate) struct Sources {
    slots: Vec<Slot>,
    hasher: DefaultHashBuilder,
    settings: Arc<Settings>,
    /// Microseconds that one request uses; 0: no bound.
    request_micros: u64,
    share: u64,
}

impl Sources {
    /// For one of `share` threads, which get like parts of each source's requests.
    pub(crate) fn new(settings: Arc<Settings>, share: u16) -> Self {
        let mut sources = Self {
            slots: vec![EMPTY; SLOTS],
            hasher: DefaultHashBuilder::default(),
            settings: Arc::clone(&settings),
            request_micros: 0,
            share: u64::from(share.max(1)),
        };
        sources.set(settings);
        sources
    }

    /// Other settings from now on; who is trusted is asked anew.
    pub(crate) fn set(&mut self, settings: Arc<Settings>) {
        let rate = u64::from(settings.limits.requests_per_second_per_source_max);
        self.request_micros = (self.share * 1_000_000).checked_div(rate).unwrap_or(0);
        self.settings = settings;
        self.slots.fill(EMPTY);
    }

    /// A request came from `source`.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        listener: ListenerId,
        source: IpAddr,
    ) -> Verdict {
        if self.request_micros == 0 || source.is_loopback() {
            return Verdict::Take;
        }
        let (micros, share) = (self.request_micros, self.share);
        let now = now.as_micros();
        let slot = self.slot(listener, source);
        if slot.unlimited || take(&mut slot.used, now, micros) {
            Verdict::Take
        } else if take(
            &mut slot.refused,
            now,
            share * 1_000_000 / REFUSALS_PER_SECOND,
        ) {
            Verdict::Refuse
        } else {
            Verdict::Drop
        }
    }

    fn slot(&mut self, listener: ListenerId, source: IpAddr) -> &mut Slot {
        let key = (listener, source);
        let set = self.hasher.hash_one(key) as usize % (SLOTS / WAYS) * WAYS;
        let ways = &self.slots[set..set + WAYS];
        let place = ways.iter().position(|slot| slot.source == Some(key));
        let place =
            set + place.unwrap_or_else(|| (0..WAYS).min_by_key(|way| ways[*way].used).unwrap_or(0));
        let slot = &mut self.slots[place];
        if slot.source != Some(key) {
            *slot = Slot {
                source: Some(key),
                unlimited: is_unlimited(&self.settings, listener, source),
                ..EMPTY
            };
        }
        slot
    }
}

/// Uses `micros` of an allowance, if it isn't used up.
fn take(used: &mut u64, now: u64, micros: u64) -> bool {
    let from = (*used).max(now);
    // The burst is at least one request, however rare they may be.
    let is_free = from <= now + BURST_MICROS.saturating_sub(micros);
    if is_free {
        *used = from + micros;
    }
    is_free
}

/// Whether bounds per source don't hold for it: loopback, or a peer that the listener trusts.
pub(crate) fn is_unlimited(settings: &Settings, listener: ListenerId, source: IpAddr) -> bool {
    let own = settings
        .listeners
        .get(usize::from(listener.0))
        .and_then(|listener| listener.trusted_peers.as_ref());
    let trusted = own.unwrap_or(&settings.identity.trusted_peers);
    source.is_loopback() || trusted.iter().any(|network| network.contains(source))
}

/// Whether bytes are a response rather than a request: requests never begin so.
pub(crate) fn is_response(bytes: &[u8]) -> bool {
    let begin = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    bytes[begin..].starts_with(b"SIP/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use machine::Limits;
    use machine::settings::{Identity, Listener, Network, Transport};

    use super::*;

    const LISTENER: ListenerId = ListenerId(0);

    fn settings(rate: u32) -> Arc<Settings> {
        let network = |text: &str| Network {
            address: text.parse().unwrap(),
            prefix: 24,
        };
        let listener = |trusted_peers| Listener {
            transport: Transport::Udp,
            bound: ([0, 0, 0, 0], 5060).into(),
            advertise_host: "example.com".to_owned(),
            advertise_port: 5060,
            aliases: Vec::new(),
            trusted_peers,
            nat: false,
        };
        Arc::new(Settings {
            number: 1,
            domains: Vec::new(),
            listeners: vec![listener(None), listener(Some(vec![network("203.0.113.0")]))],
            identity: Identity {
                trusted_peers: vec![network("198.51.100.0")],
                ..Identity::default()
            },
            limits: Limits {
                requests_per_second_per_source_max: rate,
                ..Limits::default()
            },
            path_mtu: 0,
            xcap_roots: Vec::new(),
            hosts: BTreeMap::new(),
        })
    }

    /// How many of `count` requests at once are taken, refused, dropped.
    fn flood(
        sources: &mut Sources,
        millis: u64,
        source: &str,
        count: usize,
    ) -> (usize, usize, usize) {
        let now = Instant::ZERO + Duration::from_millis(millis);
        let source = source.parse().unwrap();
        let verdicts: Vec<Verdict> = (0..count)
            .map(|_| sources.request(now, LISTENER, source))
            .collect();
        let of = |kind| verdicts.iter().filter(|verdict| **verdict == kind).count();
        (of(Verdict::Take), of(Verdict::Refuse), of(Verdict::Drop))
    }

    #[test]
    fn a_flood_gets_its_rate_and_a_few_refusals() {
        let mut sources = Sources::new(settings(100), 1);
        assert_eq!(flood(&mut sources, 0, "192.0.2.1", 1000), (100, 10, 890));
        // Half a second later half of both is there again; another source has all of its own.
        assert_eq!(flood(&mut sources, 500, "192.0.2.1", 1000), (50, 5, 945));
        assert_eq!(flood(&mut sources, 500, "192.0.2.2", 101), (100, 1, 0));
        assert_eq!(
            flood(&mut sources, 10_000, "192.0.2.1", 1000),
            (100, 10, 890)
        );
    }

    #[test]
    fn threads_share_the_rate() {
        let mut sources = Sources::new(settings(100), 4);
        assert_eq!(flood(&mut sources, 0, "192.0.2.1", 1000).0, 25);
        let mut rare = Sources::new(settings(1), 4);
        assert_eq!(flood(&mut rare, 0, "192.0.2.1", 10).0, 1);
        assert_eq!(flood(&mut rare, 3_999, "192.0.2.1", 10).0, 0);
        assert_eq!(flood(&mut rare, 4_000, "192.0.2.1", 10).0, 1);
    }

    #[test]
    fn loopback_and_trusted_peers_are_free_of_it() {
        let mut sources = Sources::new(settings(10), 1);
        for free in ["127.0.0.1", "::1", "198.51.100.77"] {
            assert_eq!(flood(&mut sources, 0, free, 1000).0, 1000, "{free}");
        }
        // A listener's own list stands in the place of the general one.
        assert_eq!(flood(&mut sources, 0, "203.0.113.7", 1000).0, 10);
        assert!(is_unlimited(
            &settings(1),
            ListenerId(1),
            "203.0.113.7".parse().unwrap()
        ));
        assert!(!is_unlimited(
            &settings(1),
            ListenerId(1),
            "198.51.100.77".parse().unwrap()
        ));
        sources.set(settings(0));
        assert_eq!(flood(&mut sources, 0, "192.0.2.1", 1000).0, 1000);
    }

    #[test]
    fn many_sources_fit_into_the_same_room() {
        let mut sources = Sources::new(settings(10), 1);
        for number in 0..100_000_u32 {
            let source = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
            assert_eq!(
                sources.request(Instant::ZERO, LISTENER, source),
                Verdict::Take
            );
        }
        assert_eq!(sources.slots.len(), SLOTS);
        // The one that asks most keeps its entry against those that ask little.
        let mut sources = Sources::new(settings(10), 1);
        assert_eq!(flood(&mut sources, 0, "192.0.2.1", 100).0, 10);
        for number in 0..100_000_u32 {
            let source = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
            sources.request(Instant::ZERO, LISTENER, source);
        }
        assert_eq!(flood(&mut sources, 0, "192.0.2.1", 100).0, 0);
    }

    #[test]
    fn responses_are_told_from_requests_at_once() {
        assert!(is_response(b"SIP/2.0 200 OK\r\n"));
        assert!(is_response(b"\r\nSIP/2.0 200 OK\r\n"));
        assert!(!is_response(b"SUBSCRIBE sip:a SIP/2.0\r\n"));
        assert!(!is_response(b""));
    }
}
