//! TCP connections, ours and those of peers: one task each, messages out by a short queue.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sip::framing::{Frame, Framer};
use sip::{Message, response_to};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// A peer whose queue is full reads nothing: its connection is given up.
const QUEUE_MAX: usize = 64;
/// A user agent has a handful of peers.
const CONNECTIONS_MAX: usize = 32;
/// A peer that takes no bytes for this long is gone.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// At the end, for what is queued.
const FINISH_MAX: Duration = Duration::from_millis(500);
const HEAD_BYTES_MAX: usize = 65_536;
const BODY_BYTES_MAX: usize = 1 << 20;

/// What connections bring.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// One whole message.
    Message(SocketAddr, Vec<u8>),
    /// No connection could be made, or it is closed.
    Closed(SocketAddr, u64),
}

/// Every connection, by its peer.
#[derive(Debug)]
pub(crate) struct Connections {
    queues: BTreeMap<SocketAddr, (u64, mpsc::Sender<Vec<u8>>)>,
    /// Tells a connection from an earlier one with the same peer.
    number: u64,
    arrivals: mpsc::Sender<Arrival>,
}

impl Connections {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Arrival>) {
        let (arrivals, receiver) = mpsc::channel(QUEUE_MAX);
        (
            Self {
                queues: BTreeMap::new(),
                number: 0,
                arrivals,
            },
            receiver,
        )
    }

    /// By the connection with this peer, else by a new one that may take `connect_max` to come about. `false`: it certainly
    /// did not leave.
    pub(crate) fn send(&mut self, peer: SocketAddr, bytes: Vec<u8>, connect_max: Duration) -> bool {
        let bytes = match self.queues.get(&peer) {
            Some((_, queue)) => match queue.try_send(bytes) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.queues.remove(&peer);
                    return false;
                }
                Err(mpsc::error::TrySendError::Closed(bytes)) => bytes,
            },
            None => bytes,
        };
        let Some((number, queue)) = self.add(peer) else {
            return false;
        };
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(connect_max, connect(peer)).await {
                Ok(Ok(stream)) => serve(stream, peer, number, queue, arrivals).await,
                Ok(Err(_)) | Err(_) => {
                    let _ = arrivals.send(Arrival::Closed(peer, number)).await;
                }
            }
        });
        self.queues
            .get(&peer)
            .is_some_and(|(_, queue)| queue.try_send(bytes).is_ok())
    }

    /// A peer connected to us.
    pub(crate) fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        if let Some((number, queue)) = self.add(peer) {
            tokio::spawn(serve(stream, peer, number, queue, self.arrivals.clone()));
        }
    }

    /// A connection has ended. `false`: there is a newer one with that peer, which is meant by nobody's failure.
    pub(crate) fn closed(&mut self, peer: SocketAddr, number: u64) -> bool {
        let is_this = self
            .queues
            .get(&peer)
            .is_none_or(|(known, _)| *known == number);
        if is_this {
            self.queues.remove(&peer);
        }
        is_this
    }

    /// What is queued leaves, or has had its chance.
    pub(crate) async fn finish(self, arrivals: &mut mpsc::Receiver<Arrival>) {
        drop(self); // Tasks write what is left and see that nobody wants them any more.
        let over = async { while arrivals.recv().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_MAX, over).await;
    }

    fn add(&mut self, peer: SocketAddr) -> Option<(u64, mpsc::Receiver<Vec<u8>>)> {
        if self.queues.len() >= CONNECTIONS_MAX && !self.queues.contains_key(&peer) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        self.number += 1;
        self.queues.insert(peer, (self.number, sender));
        Some((self.number, receiver))
    }
}

async fn connect(peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    let stream = socket.connect(peer).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Carries messages both ways until either side ends, or nobody wants the connection any more.
async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    number: u64,
    mut queue: mpsc::Receiver<Vec<u8>>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let mut framer = Framer::new(HEAD_BYTES_MAX, BODY_BYTES_MAX);
    let mut buffer = vec![0; 16_384];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let Some(bytes) = read.ok().filter(|length| *length > 0).and_then(|length| buffer.get(..length)) else { break };
                framer.push(bytes);
                let Some(back) = frames(&mut framer, peer, &arrivals).await else { break };
                if !write(&mut stream, &back).await {
                    break;
                }
            }
            message = queue.recv() => {
                let Some(message) = message else { break };
                if !write(&mut stream, &message).await {
                    break;
                }
            }
        }
    }
    let _ = arrivals.send(Arrival::Closed(peer, number)).await;
}

/// Hands on what came; what has to be written back at once. `None`: the connection is of no use any more.
async fn frames(
    framer: &mut Framer,
    peer: SocketAddr,
    arrivals: &mpsc::Sender<Arrival>,
) -> Option<Vec<u8>> {
    let mut back = Vec::new();
    while let Some(frame) = framer.next() {
        match frame {
            Frame::Message(bytes) => arrivals
                .send(Arrival::Message(peer, bytes.to_vec()))
                .await
                .ok()?,
            // RFC 5626 §4.4.1.
            Frame::Ping => back.extend_from_slice(b"\r\n"),
            Frame::Pong => {}
            Frame::Refused { head, status } => {
                if let Ok(message) = Message::parse(head)
                    && message.is_request()
                    && message.essentials().is_ok()
                {
                    response_to(&mut back, &message, status, "", None, Some(peer)).end(0);
                }
            }
            Frame::Close(_) => return None,
        }
    }
    Some(back)
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    bytes.is_empty()
        || matches!(
            tokio::time::timeout(WRITE_MAX, stream.write_all(bytes)).await,
            Ok(Ok(()))
        )
}
