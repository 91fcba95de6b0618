//! What ends or changes a running server from outside.

use std::future::pending;
use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::running::Running;
use crate::exit;

/// How a server ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGTERM, SIGINT: its subscriptions go on after the next start.
    Stop,
    /// SIGUSR2, `tidings drain`: for good.
    Drain,
    /// Something broke that only a new start mends.
    Failed(String),
}

/// Every signal that means something.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    drain: Signal,
    drains: mpsc::Receiver<()>,
}

impl Signals {
    /// From now on signals wait for `wait`. Must be called on tokio.
    pub(crate) fn begin(drains: mpsc::Receiver<()>) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            drain: signal(SignalKind::user_defined2())?,
            drains,
        })
    }

    /// Reloads when asked, gives signs of life, until something ends the server.
    pub(crate) async fn wait(&mut self, running: &Running) -> End {
        let mut signs = running.systemd.watchdog_every.map(tokio::time::interval);
        loop {
            let sign = async {
                match &mut signs {
                    Some(signs) => signs.tick().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => return End::Stop,
                _ = self.interrupt.recv() => return End::Stop,
                _ = self.drain.recv() => return End::Drain,
                Some(()) = self.drains.recv() => return End::Drain,
                why = running.failed() => return End::Failed(why),
                _ = self.hangup.recv() => { let _ = running.reload_now(); }
                _ = sign => running.systemd.alive(),
            }
        }
    }

    /// A person who asks twice doesn't want to wait; nothing acknowledged is lost by it.
    pub(crate) fn end_at_once_on_second(self, runtime: &Runtime) {
        let Self {
            mut interrupt,
            mut terminate,
            ..
        } = self;
        runtime.spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(i32::from(exit::FAILED));
        });
    }
}
