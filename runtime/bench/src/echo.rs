//! What this machine can do at best: datagrams sent back as they came, by the same sockets, window and batches.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use node::Clock;
use transport::socket::{BUFFER_BYTES_WANTED, DatagramSocket, Poller, Receiver};

use crate::process;
use crate::report::Echo;
use crate::wire::{Carrier, GATHERING_WINDOW_MIN, Gather, Outbox, Wire};

/// Nothing came for so long: datagrams were lost, and the window is filled again.
const STALL: Duration = Duration::from_millis(200);

/// What the thread that echoes shares with us.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Datagrams sent back.
    count: AtomicU64,
    /// The thread, as `/proc` names it.
    thread: OnceLock<PathBuf>,
}

/// Measures the echo: closed loop, saturated.
pub(crate) fn run(
    clock: Clock,
    bytes: usize,
    sockets: u16,
    window: u32,
    warm_up: Duration,
    duration: Duration,
) -> io::Result<Echo> {
    let socket = DatagramSocket::bind_group((Ipv4Addr::LOCALHOST, 0).into(), 1)?.remove(0);
    socket.enlarge_buffers(BUFFER_BYTES_WANTED)?;
    let target = socket.local_address()?;
    let shared = Arc::new(Shared::default());
    let echoing = {
        let shared = Arc::clone(&shared);
        thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || echo(&socket, &shared))?
    };
    let measured = saturate(
        clock, target, &shared, bytes, sockets, window, warm_up, duration,
    );
    shared.stop.store(true, Ordering::Relaxed);
    let ended = echoing.join();
    let measured = measured?;
    ended.map_err(|_| io::Error::other("the echo's thread ended badly"))??;
    Ok(measured)
}

fn echo(socket: &DatagramSocket, shared: &Shared) -> io::Result<()> {
    let _ = shared.thread.set(process::own_thread());
    let mut receiver = Receiver::new();
    let mut poller = Poller::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let received = receiver.receive(socket).unwrap_or(0);
        if received == 0 {
            poller.clear();
            poller.add(socket, false);
            poller.wait(Some(Duration::from_millis(20)))?;
            continue;
        }
        // What the kernel does not take is lost; a window that fits its buffers never gets there.
        let back = receiver
            .datagrams()
            .map(|(from, bytes)| (from, bytes, &[][..]));
        let sent = socket.send_batch(back, false)?;
        shared.count.fetch_add(sent as u64, Ordering::Relaxed);
    }
    Ok(())
}

#[allow(
    clippy::too_many_arguments,
    reason = "each is one number of the one experiment"
)]
fn saturate(
    clock: Clock,
    target: SocketAddr,
    shared: &Shared,
    bytes: usize,
    sockets: u16,
    window: u32,
    warm_up: Duration,
    duration: Duration,
) -> io::Result<Echo> {
    let mut wire = Wire::open(Carrier::Udp, sockets, target)?;
    let mut outbox = Outbox::new(usize::from(sockets));
    let mut gather = Gather::default();
    let datagram = vec![b'e'; bytes];
    let fill = |outbox: &mut Outbox| {
        for place in 0..window {
            let socket = (place % u32::from(sockets)) as usize;
            outbox.push(socket, target, |out| out.extend_from_slice(&datagram));
        }
    };
    fill(&mut outbox);
    let began = clock.monotonic() + warm_up;
    let mut last = clock.monotonic();
    let mut start = None;
    loop {
        let now = clock.monotonic();
        if start.is_none() && now >= began {
            start = Some((now, sample(shared), process::own_nanos()));
        }
        if let Some((from, (nanos, count), own)) = start
            && now.since(from) >= duration
        {
            let (nanos_now, count_now) = sample(shared);
            let took = clock.monotonic().since(from);
            return Ok(Echo {
                datagram_bytes: bytes,
                pairs: count_now - count,
                seconds: took.as_secs_f64(),
                server_nanos: nanos_now - nanos,
                own_nanos: process::own_nanos() - own,
            });
        }
        if now.since(last) > STALL {
            fill(&mut outbox);
            last = now;
        }
        wire.flush(&mut outbox)?;
        if window >= GATHERING_WINDOW_MIN {
            gather.pause(clock.monotonic())?;
        }
        wire.wait(Duration::from_millis(20), &outbox)?;
        gather.looked(clock.monotonic());
        let received = wire.receive(|arrived| {
            outbox.push(arrived.socket, target, |out| {
                out.extend_from_slice(&datagram);
            });
        })?;
        if received > 0 {
            last = now;
        }
    }
}

/// CPU time and count of the echo so far.
fn sample(shared: &Shared) -> (u64, u64) {
    let nanos = shared
        .thread
        .get()
        .map_or(0, |thread| process::nanos_of(thread));
    (nanos, shared.count.load(Ordering::Relaxed))
}
