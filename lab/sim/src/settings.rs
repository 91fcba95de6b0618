//! The server's configuration in the world.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use machine::Limits;
use machine::settings::{
    Domain, Expires, Handling, Identity, Listener, Presence, Profile, Settings, Transport,
};

/// Where the server is.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5060);

/// The longest header section that the server takes.
pub(crate) const HEAD_BYTES_MAX: u32 = 4096;
/// The longest body.
pub(crate) const BODY_BYTES_MAX: u32 = 4096;

/// Where the peer with this number is.
pub(crate) fn address(peer: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1 + peer as u8)), 5060)
}

/// The peer at an address of its own.
pub(crate) fn peer_at(ip: IpAddr) -> Option<usize> {
    match ip {
        IpAddr::V4(v4) if v4.octets()[..3] == [10, 0, 1] => {
            usize::from(v4.octets()[3]).checked_sub(1)
        }
        _ => None,
    }
}

/// Settings number `number`.
pub(crate) fn settings(number: u64, handling: Handling, interval_ms: u32, named: bool) -> Settings {
    let lasts = Expires {
        min: 60,
        default: 600,
        max: 600,
    };
    let presence = Presence {
        default_handling: handling,
        notify_interval_ms_min: interval_ms,
        publish_expires_seconds: lasts,
        subscribe_expires_seconds: lasts,
        ..Presence::default()
    };
    let listener = |transport| Listener {
        transport,
        bound: SERVER,
        advertise_host: if named {
            "ps.example.com".to_owned()
        } else {
            SERVER.ip().to_string()
        },
        advertise_port: SERVER.port(),
        aliases: Vec::new(),
        trusted_peers: None,
        nat: true,
    };
    Settings {
        number,
        domains: vec![Domain {
            name: "example.com".to_owned(),
            aliases: Vec::new(),
            presence,
        }],
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        identity: Identity {
            from_is_identity: true,
            ..Identity::default()
        },
        limits: Limits {
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            waiting_seconds_max: 120,
            ..Limits::default()
        },
        path_mtu: 0,
        xcap_roots: Vec::new(),
        hosts: BTreeMap::new(),
    }
}

/// The same with the durations that a call flow needs.
pub(crate) fn with_needs(settings: &Settings, needs: &scenario::Needs) -> Settings {
    let mut settings = settings.clone();
    for domain in &mut settings.domains {
        let publish = &mut domain.presence.publish_expires_seconds;
        publish.min = needs.publish_seconds_min;
        publish.max = needs.publish_seconds_max.unwrap_or(publish.max);
        publish.default = publish.default.min(publish.max);
        domain.presence.subscribe_expires_seconds.min = needs.subscribe_seconds_min;
        if needs.profile == scenario::Profile::Rfc6665 {
            domain.presence.profile = Profile::Rfc6665;
            domain.presence.pending_body_is_empty = true;
        }
    }
    if let Some(seconds) = needs.waiting_seconds {
        settings.limits.waiting_seconds_max = seconds;
    }
    settings
}
