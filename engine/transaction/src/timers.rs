//! RFC 3261 table 4 with the values of RFC 6026: how long each timer runs. The ratios are the protocol; T1 is the round trip.

use std::time::Duration;

/// Round-trip estimate: the first interval of Timers A, E and G.
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between retransmissions of a non-INVITE request or an INVITE response.
pub const T2: Duration = Duration::from_secs(4);
/// How long a message can stay in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: Timers B, F, H, J (unreliable), L, M, and RFC 6665's N.
pub const T1_64: Duration = Duration::from_secs(32);
/// Timer D over unreliable transports: at least 32 s.
pub const TIMER_D: Duration = Duration::from_secs(32);
/// RFC 4320 §4.1: a 100 to a non-INVITE goes no sooner than a client's Timer E would have been reset to T2
/// (it fires after 0.5, 1.5 and 3.5 s, and is set to 4 s then).
pub const TRYING_AFTER: Duration = Duration::from_millis(3500);

/// Twice `interval`, at most `most`.
pub(crate) fn doubled(interval: Duration, most: Duration) -> Duration {
    interval.saturating_mul(2).min(most)
}
