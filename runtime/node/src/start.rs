//! What a node begins with, why it may not begin, and the steps in between that need no thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use shard::settings::{Listener, ListenerId, Settings};
use store::documents::RecoveredDocuments;
use store::{Recovered, StoreError};
use tokio::runtime::{Handle, Runtime};
use transport::socket::{self, Buffers};
use transport::udp::Port;
use transport::{Bounds, steering};

use crate::bind::{self, BindError, Bound};
use crate::clock::Clock;
use crate::observer::Observer;
use crate::readiness::Readiness;

/// Descriptors kept for files, UDP sockets and HTTP.
const DESCRIPTORS_RESERVED: u64 = 256;

/// Stream connections at most, whatever the system would allow: 50 000 × 4 KiB of task and framing = 200 MB.
const CONNECTIONS_MAX: u64 = 50_000;

/// How long the runtime's own threads get to end; one that waits for the system's resolver can't be hurried.
const RUNTIME_END_MAX: Duration = Duration::from_secs(2);

/// What a node begins with.
pub struct Start {
    /// What the operator decided. `listeners` say where to bind; port 0 is any free one, and an `advertise_port` of 0
    /// becomes the port that was given.
    pub settings: Settings,
    /// Threads that decide; 0: one per core that this process may use.
    pub shards: u16,
    /// Threads that serve streams, look names up, and whatever the program spawns on `Node::runtime`; 0: one.
    pub io_threads: usize,
    /// Opened, not yet started.
    pub store: Box<dyn Recovered>,
    /// Users' documents: opened, not yet started.
    pub documents: Box<dyn RecoveredDocuments>,
    /// The clock that everything shares.
    pub clock: Clock,
    /// Says to others when the node is ready; may be asked before `Node::start` returns.
    pub readiness: Readiness,
    /// Told of everything that happens.
    pub observer: Arc<dyn Observer>,
}

/// Why a node did not start. Nothing is left behind.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be taken.
    Bind(BindError),
    /// The system refused a thread, a descriptor or the like.
    System {
        /// What we wanted.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The store could not be read, or not begun.
    Store(StoreError),
    /// An object in the store was not understood.
    Restore {
        /// Which shard refused.
        shard: u16,
        /// The object and why.
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => write!(f, "{error}"),
            Self::System { doing, error } => write!(f, "{doing}: {error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::Restore { shard, why } => write!(f, "restoring shard {shard}: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System { doing, error }
}

pub(crate) fn number_of_shards(wanted: u16) -> u16 {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let shards = if wanted > 0 {
        usize::from(wanted)
    } else {
        cores()
    };
    u16::try_from(shards)
        .unwrap_or(u16::MAX)
        .clamp(1, SHARDS_MAX)
}

/// More shards than this would leave a shard few of the 4096 partitions.
const SHARDS_MAX: u16 = 256;

/// The threads of streams and look-ups. They end when this is dropped, wherever that is.
pub(crate) struct IoThreads(Option<Runtime>);

impl IoThreads {
    pub(crate) fn new(threads: usize) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("tidings-io")
            .enable_all()
            .build()
            .map_err(system("starting the threads for streams"))?;
        Ok(Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> Handle {
        // It is there until `drop`.
        self.0
            .as_ref()
            .map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for IoThreads {
    /// On a thread of its own, because the threads of one runtime may not wait for another's.
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        let ending = std::thread::Builder::new()
            .name("tidings-end".to_owned())
            .spawn(move || runtime.shutdown_timeout(RUNTIME_END_MAX));
        if let Ok(ending) = ending {
            let _ = ending.join();
        }
    }
}

/// Every socket, enlarged and steered, and how many answers one shard may be owed at once.
pub(crate) fn take_sockets(wanted: &[Listener], shards: u16) -> Result<(Bound, u32), BindError> {
    let bound = bind::bind(wanted, shards)?;
    warn_of_small_buffers(&bound.buffers, &bound.listeners);
    let is_steered = steer(&bound.udp, &bound.listeners, shards);
    let unanswered_max = unanswered_max(&bound.buffers, shards, is_steered);
    Ok((bound, unanswered_max))
}

fn warn_of_small_buffers(buffers: &[(ListenerId, Buffers)], listeners: &[Listener]) {
    for (id, granted) in buffers.iter().filter(|(_, granted)| granted.is_small()) {
        let address = listeners
            .get(usize::from(id.0))
            .map(|listener| listener.bound.to_string());
        tracing::warn!(
            listener = address,
            receive_bytes = granted.receive_bytes,
            send_bytes = granted.send_bytes,
            "small kernel buffers: bursts will be lost; raise net.core.rmem_max and net.core.wmem_max to 4194304"
        );
    }
}

/// Answers to our requests come to the shard that sent them, where the kernel lets us say so; false where it doesn't.
fn steer(
    udp: &[(ListenerId, Vec<socket::DatagramSocket>)],
    listeners: &[Listener],
    shards: u16,
) -> bool {
    let mut is_steered = true;
    if shards < 2 {
        return is_steered;
    }
    for (id, group) in udp {
        let (Some(listener), Some(first)) = (listeners.get(usize::from(id.0)), group.first())
        else {
            continue;
        };
        let with_port = format!("{}:{}", listener.advertise_host, listener.advertise_port);
        let program = steering::program(&[&with_port, &listener.advertise_host], shards);
        if let Err(error) = first.attach_steering(&program) {
            tracing::info!(listener = %listener.bound, %error, "no steering: answers may take a detour between threads");
            is_steered = false;
        }
    }
    is_steered
}

/// How many answers a shard may be owed at once: as many as one socket's buffer holds, so that none is lost there.
fn unanswered_max(buffers: &[(ListenerId, Buffers)], shards: u16, is_steered: bool) -> u32 {
    let Some(bytes) = buffers
        .iter()
        .map(|(_, granted)| granted.receive_bytes)
        .min()
    else {
        return UNANSWERED_ON_STREAMS;
    };
    // Without steering the answers of all shards may come to one socket (one peer address, one hash).
    let sharers = if is_steered { 1 } else { usize::from(shards) };
    u32::try_from(bytes / ANSWER_BYTES / sharers)
        .unwrap_or(u32::MAX)
        .clamp(UNANSWERED_MIN, UNANSWERED_MAX)
}

/// What the kernel counts for one short answer: some 500 bytes and its own overhead.
const ANSWER_BYTES: usize = 1280;

/// Even the smallest buffer leaves a window that keeps a hop busy.
const UNANSWERED_MIN: u32 = 64;

/// 65 536 × 40 B in flight, whatever the buffer.
const UNANSWERED_MAX: u32 = 65_536;

/// Where only streams are served the connection's queue is the bound; this one keeps memory in hand.
const UNANSWERED_ON_STREAMS: u32 = 8_192;

/// Each shard's ports, from each listener's sockets.
pub(crate) fn ports(
    udp: Vec<(ListenerId, Vec<socket::DatagramSocket>)>,
    shards: u16,
) -> Vec<Vec<Port>> {
    let mut ports: Vec<Vec<Port>> = (0..shards).map(|_| Vec::new()).collect();
    for (id, group) in udp {
        for (ports, socket) in ports.iter_mut().zip(group) {
            ports.push(Port::new(id, socket));
        }
    }
    ports
}

pub(crate) fn connections_max() -> usize {
    let descriptors = socket::raise_descriptors_max().unwrap_or(1024);
    let max = descriptors
        .saturating_sub(DESCRIPTORS_RESERVED)
        .clamp(64, CONNECTIONS_MAX);
    usize::try_from(max).unwrap_or(usize::MAX)
}

pub(crate) fn bounds(settings: &Settings, connections_max: usize) -> Bounds {
    let limits = &settings.limits;
    Bounds {
        head_bytes_max: limits.head_bytes_max as usize,
        body_bytes_max: limits.body_bytes_max as usize,
        queue_bytes_max: limits.connection_queue_bytes_max as usize,
        per_source_max: limits.connections_per_source_max,
        connections_max,
        ..Bounds::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_buffer() {
        let buffers = |bytes| {
            vec![(
                ListenerId(0),
                Buffers {
                    receive_bytes: bytes,
                    send_bytes: 0,
                },
            )]
        };
        // Linux's usual default, doubled.
        assert_eq!(unanswered_max(&buffers(425_984), 1, true), 332);
        assert_eq!(unanswered_max(&buffers(425_984), 4, false), 83);
        assert_eq!(unanswered_max(&buffers(1), 1, true), UNANSWERED_MIN);
        assert_eq!(unanswered_max(&buffers(8 << 20), 4, true), 6553);
        assert_eq!(unanswered_max(&[], 4, true), UNANSWERED_ON_STREAMS);
    }

    #[test]
    fn shards_are_within_bounds() {
        assert_eq!(number_of_shards(5), 5);
        assert_eq!(number_of_shards(5000), SHARDS_MAX);
        assert!(number_of_shards(0) >= 1);
    }
}
