//! The bytes of one stream connection: one task reads, frames and writes, and keeps its deadlines.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use machine::Instant;
use shard::inputs::Undeliverable;
use sip::framing::{Frame, Framer};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use crate::inbox::Gather;
use crate::queue::Piece;
use crate::streams::{Bounds, Connection, Shared, count};

/// Bytes of one read; what is more comes with the next, after the others had their turn.
const READ_BYTES: usize = 16 * 1024;

/// Messages in one write.
const WRITE_MESSAGES: usize = 64;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer closed, or the network did.
    Closed,
    /// Nothing moved for long.
    Idle,
    /// The peer doesn't read.
    Stalled,
    /// What the peer sent, or how slowly it did.
    Offended(&'static str),
    /// We stop, and everything is written.
    Stopped,
}

/// What becomes of bytes that the peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// They are framed.
    Open,
    /// They are thrown away: framing is lost, answers may still leave until the connection ends.
    Discarding,
    /// There are no more.
    Ended,
}

struct Task {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    stream: TcpStream,
    bounds: Bounds,
    framer: Framer,
    gather: Box<dyn Gather>,
    reading: Reading,
    /// The shards have taken enough of what was read before.
    is_ready: bool,
    writing: VecDeque<Piece>,
    /// Bytes of the first of `writing` that are already out.
    written: usize,
    moved_at: Instant,
    /// When the last message came.
    message_at: Option<Instant>,
    /// When the message that isn't complete began.
    started_at: Option<Instant>,
    /// Since when bytes wait and none leaves.
    stalled_at: Option<Instant>,
    /// When lingering ends.
    linger_until: Option<Instant>,
    stopping: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn run(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    stream: TcpStream,
    bounds: Bounds,
) {
    // Without it answers wait for acknowledgements of earlier ones; if it is refused they do.
    let _ = stream.set_nodelay(true);
    let gather = shared.inbox.gather();
    let moved_at = shared.inbox.now();
    let mut task = Task {
        shared,
        connection,
        stream,
        bounds,
        framer: Framer::new(bounds.head_bytes_max, bounds.body_bytes_max),
        gather,
        reading: Reading::Open,
        is_ready: true,
        writing: VecDeque::new(),
        written: 0,
        moved_at,
        message_at: None,
        started_at: None,
        stalled_at: None,
        linger_until: None,
        stopping: false,
    };
    let end = task.serve().await;
    task.finish(end);
}

impl Task {
    async fn serve(&mut self) -> End {
        let mut stopping = self.shared.stopping();
        let mut rings_at = self.deadline();
        let mut alarm = Box::pin(sleep(rings_at.since(self.now())));
        loop {
            let rang = match self.turn(&mut stopping, alarm.as_mut()).await {
                Ok(rang) => rang,
                Err(end) => return end,
            };
            // The alarm is moved only when it would ring too late: a moving idle deadline costs nothing.
            let deadline = self.deadline();
            if rang || deadline < rings_at {
                rings_at = deadline;
                alarm.set(sleep(deadline.since(self.now())));
            }
        }
    }

    fn now(&self) -> Instant {
        self.shared.inbox.now()
    }

    /// Waits for one thing and does it; true when that was the alarm.
    async fn turn(
        &mut self,
        stopping: &mut watch::Receiver<bool>,
        mut alarm: Pin<&mut Sleep>,
    ) -> Result<bool, End> {
        let queued = self.writing.len();
        if !self.connection.queue.take(&mut self.writing) {
            return Err(End::Stalled);
        }
        if self.writing.len() > queued {
            self.write()?;
        }
        if self.stopping && self.writing.is_empty() {
            return Err(End::Stopped);
        }
        let may_read = self.reading != Reading::Ended;
        let reads = may_read && self.is_ready;
        let writes = !self.writing.is_empty();
        let interest = match (reads, writes) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        };
        tokio::select! {
            ready = self.stream.ready(interest.unwrap_or(Interest::ERROR)), if interest.is_some() => {
                let ready = ready.map_err(|_| End::Closed)?;
                if writes && ready.is_writable() {
                    self.write()?;
                }
                if reads && ready.is_readable() {
                    self.read()?;
                }
            }
            () = poll_fn(|context| self.gather.poll_ready(context)), if may_read && !reads => {
                self.is_ready = true;
            }
            () = self.connection.queue.filled() => {}
            _ = stopping.wait_for(|stopping| *stopping), if !self.stopping => self.stopping = true,
            () = alarm.as_mut() => {
                self.check_deadlines(self.now())?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read(&mut self) -> Result<(), End> {
        let mut buffer = [0; READ_BYTES];
        let bytes = match self.stream.try_read(&mut buffer) {
            Ok(0) => return self.linger(Reading::Ended, End::Closed),
            Ok(length) => &buffer[..length],
            Err(error) if is_not_now(&error) => return Ok(()),
            Err(_) => return Err(End::Closed),
        };
        if self.reading == Reading::Discarding {
            return Ok(());
        }
        self.moved_at = self.now();
        let mut answer = Vec::new();
        let mut offence = None;
        let mut messages = 0;
        self.framer.push(bytes);
        while let Some(frame) = self.framer.next() {
            match frame {
                Frame::Message(bytes) => {
                    messages += 1;
                    self.gather
                        .message(&self.connection.flow, bytes, &mut answer);
                }
                Frame::Refused { head, status } => {
                    messages += 1;
                    self.gather.refused(&self.connection.flow, head, status);
                }
                // RFC 5626 §4.4.1: a double CRLF is answered by a single one.
                Frame::Ping => answer.extend_from_slice(b"\r\n"),
                Frame::Pong => {}
                Frame::Close(why) => {
                    offence = Some(why);
                    break;
                }
            }
        }
        self.gather.flush();
        // Asked anew before the next read.
        self.is_ready = messages == 0;
        if messages > 0 {
            self.shared
                .counters
                .received
                .fetch_add(messages, Ordering::Relaxed);
            self.message_at = Some(self.moved_at);
            self.started_at = None;
        }
        if self.framer.pending() > 0 {
            self.started_at.get_or_insert(self.moved_at);
        } else {
            self.started_at = None;
        }
        self.answer(answer)?;
        match offence {
            Some(why) => self.linger(Reading::Discarding, End::Offended(why)),
            None => Ok(()),
        }
    }

    /// Sends an answer that no shard made, by the same queue as everything else.
    fn answer(&mut self, head: Vec<u8>) -> Result<(), End> {
        if head.is_empty() {
            return Ok(());
        }
        let piece = Piece {
            head,
            body: Bytes::new(),
            shard: 0,
            token: 0,
        };
        self.connection
            .queue
            .push(piece, self.bounds.queue_bytes_max)
            .map_err(|_| End::Stalled)
    }

    /// No more messages will come. Answers to one that has just come may still leave; without one the end is now.
    fn linger(&mut self, reading: Reading, end: End) -> Result<(), End> {
        if let End::Offended(why) = end {
            count(&self.shared.counters.offended);
            tracing::debug!(peer = %self.connection.flow.peer, why, "connection ends");
        }
        self.reading = reading;
        self.started_at = None;
        let now = self.now();
        let fresh = self
            .message_at
            .is_some_and(|at| now.since(at) < self.bounds.linger_max);
        if self.linger_until.is_none() && (fresh || !self.writing.is_empty()) {
            self.linger_until = Some(now + self.bounds.linger_max);
            self.shared.half_ended(&self.connection);
        }
        if self.linger_until.is_some() {
            Ok(())
        } else {
            Err(End::Closed)
        }
    }

    fn write(&mut self) -> Result<(), End> {
        let mut parts = [IoSlice::new(&[]); 2 * WRITE_MESSAGES];
        let mut skip = self.written;
        let slices = self
            .writing
            .iter()
            .flat_map(|piece| [&piece.head[..], &piece.body[..]]);
        let mut used = 0;
        for (part, slice) in parts.iter_mut().zip(slices) {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            *part = IoSlice::new(&slice[skipped..]);
            used += 1;
        }
        let wrote = match self.stream.try_write_vectored(&parts[..used]) {
            Ok(wrote) => wrote,
            Err(error) if is_not_now(&error) => 0,
            Err(_) => return Err(End::Closed),
        };
        let now = self.now();
        if wrote == 0 {
            self.stalled_at.get_or_insert(now);
            return Ok(());
        }
        self.connection.queue.wrote(wrote);
        self.moved_at = now;
        self.written += wrote;
        while let Some(first) = self.writing.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.writing.pop_front();
            count(&self.shared.counters.sent);
        }
        self.stalled_at = (!self.writing.is_empty()).then_some(now);
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let deadlines = [
            self.started_at.map(|at| at + self.bounds.message_max),
            self.stalled_at.map(|at| at + self.bounds.stall_max),
            self.linger_until,
        ];
        let idle = self.moved_at + self.bounds.idle_max;
        deadlines.into_iter().flatten().fold(idle, Instant::min)
    }

    fn check_deadlines(&self, now: Instant) -> Result<(), End> {
        if self.linger_until.is_some_and(|until| now >= until) {
            return Err(End::Closed);
        }
        if self
            .started_at
            .is_some_and(|at| now >= at + self.bounds.message_max)
        {
            return Err(End::Offended("a message took too long to arrive"));
        }
        if self
            .stalled_at
            .is_some_and(|at| now >= at + self.bounds.stall_max)
        {
            return Err(End::Stalled);
        }
        if now >= self.moved_at + self.bounds.idle_max {
            return Err(End::Idle);
        }
        Ok(())
    }

    fn finish(self, end: End) {
        let peer = self.connection.flow.peer;
        match end {
            End::Stalled => {
                count(&self.shared.counters.stalled);
                tracing::info!(%peer, "connection dropped: its peer reads too slowly");
            }
            End::Offended(why) => {
                count(&self.shared.counters.offended);
                tracing::debug!(%peer, why, "connection ends");
            }
            End::Stopped => {
                // Says "no more" before the descriptor goes, so that what was written is not cut off by a reset.
                let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
            }
            End::Closed | End::Idle => tracing::debug!(%peer, ?end, "connection ends"),
        }
        self.shared
            .ended(&self.connection, Undeliverable::Closed, self.writing);
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
