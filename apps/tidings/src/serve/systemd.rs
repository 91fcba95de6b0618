//! systemd's readiness protocol (sd_notify(3), Type=notify-reload): one datagram a message.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::commands::environment;

/// Who started us and wants to know how we are; nobody, outside systemd.
pub(crate) struct Systemd {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants a sign of life.
    pub(crate) watchdog_every: Option<Duration>,
}

impl Systemd {
    /// As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say.
    pub(crate) fn from_environment() -> Self {
        let to = environment("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            // A manager that doesn't read must not hold us up.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        let ours =
            environment("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let micros = environment("WATCHDOG_USEC").and_then(|micros| micros.parse::<u64>().ok());
        // Twice as often as needed, as sd_watchdog_enabled(3) advises.
        let watchdog_every = micros
            .filter(|micros| ours && *micros > 1)
            .map(|micros| Duration::from_micros(micros / 2));
        Self {
            watchdog_every: watchdog_every.filter(|_| to.is_some()),
            to,
        }
    }

    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=taking requests");
    }

    /// Followed by `ready`.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.to {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}
