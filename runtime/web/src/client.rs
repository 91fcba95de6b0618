//! Asks a server that runs: over its `admin.sock`, or over HTTP or HTTPS where a URL is named.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, Method, Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::socket::through_short_path;

/// 4 MiB of answer is more than a status of 256 shards. Beyond it: an error.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A socket in the file system.
    Socket(PathBuf),
    /// `http://HOST:PORT` or `https://HOST:PORT`, with a token where there is one.
    Url {
        /// `HOST:PORT`.
        authority: String,
        /// For `Authorization: Bearer`.
        token: Option<String>,
        /// `https://`, and who is believed.
        secure: Option<Believed>,
    },
}

/// Who is believed to sign servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Believed {
    /// A PEM file; none: whom the system believes.
    pub ca: Option<PathBuf>,
}

impl Target {
    /// As TIDINGS_ADMIN is written.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str, token: Option<String>) -> Result<Self, String> {
        let (rest, port) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80),
            (_, Some(rest)) => (rest, 443),
            _ => return Ok(Self::Socket(PathBuf::from(text))),
        };
        let secure = (port == 443).then(Believed::default);
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(format!("{text}: not http://HOST:PORT"));
        }
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        Ok(Self::Url {
            authority,
            token,
            secure,
        })
    }

    /// The same; who answers by TLS has to be signed by one of this file.
    pub fn believing(mut self, file: Option<PathBuf>) -> Self {
        if let Self::Url {
            secure: Some(believed),
            ..
        } = &mut self
        {
            believed.ca = file;
        }
        self
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Url {
                authority, secure, ..
            } => {
                let scheme = if secure.is_some() { "https" } else { "http" };
                write!(f, "{scheme}://{authority}")
            }
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is to be done.
    pub method: Method,
    /// The target: path and query, as they go on the wire.
    pub path: String,
    /// Besides Host and the token.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum CallError {
    /// Nobody listens there.
    NobodyThere(io::Error),
    /// The answer took too long.
    Timeout,
    /// Who answers could not prove to be who was meant.
    NotBelieved(String),
    /// What was spoken was not HTTP as we know it.
    Broken(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyThere(error) => write!(f, "{error}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::NotBelieved(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CallError {}

/// One request and its answer.
///
/// # Errors
/// Nobody there, no answer within `timeout`, or not HTTP.
pub async fn call(
    target: &Target,
    method: Method,
    path: &str,
    timeout: Duration,
) -> Result<Answer, CallError> {
    let call = Call {
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    carry_out(target, call, timeout).await
}

/// The same with header fields and a body.
///
/// # Errors
/// Nobody there, no answer within `timeout`, or not HTTP.
pub async fn carry_out(
    target: &Target,
    call: Call,
    timeout: Duration,
) -> Result<Answer, CallError> {
    tokio::time::timeout(timeout, ask(target, call))
        .await
        .unwrap_or(Err(CallError::Timeout))
}

async fn ask(target: &Target, call: Call) -> Result<Answer, CallError> {
    let mut request = Request::builder().method(call.method).uri(call.path);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let body = Body::from(call.body);
    match target {
        Target::Socket(socket) => {
            // Connecting may wait for a place in the server's queue; not on this thread, so that the timeout holds.
            let socket = socket.clone();
            let connect = move || {
                through_short_path(&socket, |path| {
                    std::os::unix::net::UnixStream::connect(path)
                })
            };
            let stream = tokio::task::spawn_blocking(connect)
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            let stream = stream.and_then(|stream| {
                stream.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(stream)
            });
            request = request.header(header::HOST, "localhost");
            exchange(stream.map_err(CallError::NobodyThere)?, request, body).await
        }
        Target::Url {
            authority,
            token,
            secure,
        } => {
            let stream = tokio::net::TcpStream::connect(authority.as_str())
                .await
                .map_err(CallError::NobodyThere)?;
            request = request.header(header::HOST, authority);
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let Some(believed) = secure else {
                return exchange(stream, request, body).await;
            };
            let connector =
                tls::Connector::new(believed.ca.as_deref()).map_err(CallError::NotBelieved)?;
            let host = authority.rsplit_once(':').map_or("", |(host, _)| host);
            let stream = connector.connect(host, stream).await;
            exchange(stream.map_err(CallError::NotBelieved)?, request, body).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: axum::http::request::Builder,
    body: Body,
) -> Result<Answer, CallError> {
    let broken = |error: &dyn fmt::Display| CallError::Broken(error.to_string());
    let request = request.body(body).map_err(|error| broken(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let driver = tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(&error))?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX)
        .await
        .map_err(|error| broken(&error))?;
    driver.abort();
    Ok(Answer {
        status,
        headers,
        body: body.to_vec(),
    })
}
