//! Connections with their bounds: how many, how long a head may take, how long one may stay.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::documents::Peer;

/// 256 × 32 KiB = 8 MiB for each listener. Beyond it: connections wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 256;

/// One request head. Beyond it: 431.
const HEAD_BYTES_MAX: usize = 16_384;

/// From the connection, or the end of the last answer, to the end of the next head. Beyond it: closed.
const HEAD_SECONDS_MAX: Duration = Duration::from_secs(10);

/// How long one connection may last, so that a reader that never reads is gone one day.
const CONNECTION_SECONDS_MAX: Duration = Duration::from_secs(300);

/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// An HTTP socket that is open.
#[derive(Debug)]
pub struct Listening {
    socket: TcpListener,
    /// Where, with the port that the system gave.
    pub address: SocketAddr,
}

/// Opens an HTTP socket.
///
/// # Errors
/// What the system says.
pub fn listen(address: SocketAddr) -> io::Result<Listening> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok(Listening { socket, address })
}

/// Serves `routes` on an open socket until the task is dropped: by TLS where there is an acceptor. A handshake takes a
/// connection's place, and is bounded by the acceptor. Runs on tokio.
///
/// # Errors
/// When tokio can't take the socket.
pub async fn serve(
    listening: Listening,
    routes: Router,
    secure: Option<tls::Acceptor>,
) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(listening.socket)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return Ok(());
        };
        match socket.accept().await {
            Ok((stream, peer)) => {
                let routes = routes.clone().layer(Extension(Peer(peer)));
                let secure = secure.clone();
                tokio::spawn(async move {
                    match secure {
                        None => connection(stream, routes).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => {
                                let names = tls::peer_names(&stream);
                                tracing::debug!(%peer, ?names, "TLS");
                                connection(stream, routes).await;
                            }
                            Err(error) => tracing::debug!(%peer, %error, "no TLS handshake"),
                        },
                    }
                    drop(place);
                });
            }
            Err(error) => tired(&error).await,
        }
    }
}

/// A failed accept: most are the peer's doing, a lack of descriptors is ours and takes time.
pub(crate) async fn tired(error: &io::Error) {
    tracing::warn!(%error, "http connection not accepted");
    tokio::time::sleep(ACCEPT_AGAIN).await;
}

/// Serves one connection to its end.
pub(crate) async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_SECONDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    match tokio::time::timeout(CONNECTION_SECONDS_MAX, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "http connection ended"),
        Err(_) => tracing::debug!("http connection lasted too long"),
    }
}
