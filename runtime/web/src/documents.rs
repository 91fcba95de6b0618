//! XCAP over HTTP (RFC 4825 §7, §8): from a request to what a shard is asked, and from its answer back.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use xcap::{Address, Tree};

use crate::Refusal;
use crate::routes::refused;

/// Whom the routes of documents ask. Called on the threads of the runtime: nothing here may wait but the future.
pub trait Documents: Send + Sync + 'static {
    /// Paths under which documents are; none ends with a slash, and the empty one is `/`.
    fn roots(&self) -> Vec<String>;

    /// Bytes of a body. Beyond it: 413.
    fn body_bytes_max(&self) -> usize;

    /// Whether this host, without a port, means us. What is on loopback does anyhow.
    fn is_our_host(&self, host: &str) -> bool;

    /// The canonical address of record of an XUI; `None`: it can be nobody's.
    fn canonical(&self, xui: &str) -> Option<String>;

    /// Who asks.
    ///
    /// # Errors
    /// Why nobody may ask like this.
    fn identify(&self, claim: &Claim<'_>) -> Result<String, Unidentified>;

    /// Asks the shard whose documents these are.
    fn ask(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Told> + Send>>;
}

/// What a request says of who asks.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Where it came from.
    pub peer: SocketAddr,
    /// The method.
    pub method: &'a str,
    /// The request's target, as it came.
    pub target: &'a str,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `X-3GPP-Asserted-Identity` or `X-XCAP-Asserted-Identity` (TS 24.109 §5.2.3, OMA XDM Core 6.2).
    pub asserted: Option<&'a str>,
    /// `X-3GPP-Intended-Identity`: as which of her identities she asks.
    pub intended: Option<&'a str>,
    /// Canonical, of whose document it is; none: everybody's.
    pub owner: Option<&'a str>,
}

/// Why nobody is known to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// 401, with these challenges.
    Challenged(Vec<String>),
    /// 400, and why.
    Malformed(String),
    /// 403, and why.
    Forbidden(String),
    /// 429: too many failed from there; after so many seconds again.
    TooOften(u32),
}

/// What a shard is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks: canonical address of record.
    pub by: String,
    /// Canonical, of whose document it is; none: everybody's.
    pub owner: Option<String>,
    /// GET (HEAD is that too), PUT, DELETE.
    pub method: xdm::Method,
    /// Which document, which node of it.
    pub address: Address,
    /// Content-Type, without parameters.
    pub content_type: Option<String>,
    /// As it came.
    pub if_match: Option<String>,
    /// As it came.
    pub if_none_match: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// Of the body; empty: there is none.
    pub media_type: String,
    /// The document's entity-tag, without quotes.
    pub tag: Option<String>,
    /// The body.
    pub body: String,
    /// The methods that are possible, with a 405.
    pub allow: &'static str,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

const X_3GPP_ASSERTED: HeaderName = HeaderName::from_static("x-3gpp-asserted-identity");
const X_XCAP_ASSERTED: HeaderName = HeaderName::from_static("x-xcap-asserted-identity");
const X_3GPP_INTENDED: HeaderName = HeaderName::from_static("x-3gpp-intended-identity");

/// Adds the documents to what `routes` serve: whatever they don't know is looked for below the roots.
pub fn with_documents(routes: Router, documents: Arc<dyn Documents>) -> Router {
    let fallback = Router::new().fallback(handle).with_state(documents);
    routes.fallback_service(fallback)
}

/// The same where whoever reaches the routes is known by that: as `by` she asks.
pub fn with_documents_as(
    routes: Router,
    documents: Arc<dyn Documents>,
    by: &'static str,
) -> Router {
    let handle = move |State(documents): State<Arc<dyn Documents>>, request: Request| async move {
        match answer(documents.as_ref(), Asker::Known(by), request).await {
            Ok(response) | Err(response) => response,
        }
    };
    let fallback = Router::new().fallback(handle).with_state(documents);
    routes.fallback_service(fallback)
}

/// Who asks: by where she came from, or known already.
enum Asker {
    From(SocketAddr),
    Known(&'static str),
}

async fn handle(
    State(documents): State<Arc<dyn Documents>>,
    peer: Option<Extension<Peer>>,
    request: Request,
) -> Response {
    let Some(Extension(Peer(peer))) = peer else {
        return problem(500, "Internal Server Error", "a connection from nowhere");
    };
    match answer(documents.as_ref(), Asker::From(peer), request).await {
        Ok(response) | Err(response) => response,
    }
}

async fn answer(
    documents: &dyn Documents,
    asker: Asker,
    request: Request,
) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let roots = documents.roots();
    let below = roots
        .iter()
        .filter_map(|root| Some((root, path.strip_prefix(root.as_str())?.strip_prefix('/')?)))
        .min_by_key(|(_, below)| below.len());
    let nothing = || problem(404, "Not Found", &format!("nothing is served at {path}"));
    let (root, below) = below.ok_or_else(nothing)?;
    let is_ours = |host: &str| is_loopback(host) || documents.is_our_host(host);
    check_origin(&parts.headers, parts.uri.host(), is_ours)
        .map_err(|(status, title, detail)| problem(status, title, detail))?;
    let method = method_of(&parts.method).ok_or_else(|| allowed("GET, HEAD, PUT, DELETE"))?;
    let address = Address::parse(below, parts.uri.query(), xdm::usages::default_namespace);
    let mut address = address.map_err(|bad| match bad {
        xcap::Bad::Nowhere => problem(404, "Not Found", &bad.to_string()),
        _ => problem(400, "Bad Request", &bad.to_string()),
    })?;
    address.root.clone_from(root);
    let owner = match &address.tree {
        Tree::Global => None,
        Tree::User(xui) => {
            let nobody = || problem(404, "Not Found", &format!("{xui} is no user here"));
            Some(documents.canonical(xui).ok_or_else(nobody)?)
        }
    };
    let text = |name: HeaderName| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let by = match asker {
        Asker::Known(by) => by.to_owned(),
        Asker::From(peer) => {
            let claim = Claim {
                peer,
                method: parts.method.as_str(),
                target: parts
                    .uri
                    .path_and_query()
                    .map_or("/", |target| target.as_str()),
                authorization: text(header::AUTHORIZATION),
                asserted: text(X_3GPP_ASSERTED).or_else(|| text(X_XCAP_ASSERTED)),
                intended: text(X_3GPP_INTENDED),
                owner: owner.as_deref(),
            };
            documents.identify(&claim).map_err(unidentified)?
        }
    };
    let asked = Asked {
        by,
        owner,
        method,
        address,
        content_type: text(header::CONTENT_TYPE).map(without_parameters),
        if_match: all(&parts.headers, header::IF_MATCH),
        if_none_match: all(&parts.headers, header::IF_NONE_MATCH),
        body: bounded(body, documents.body_bytes_max()).await?.to_vec(),
    };
    Ok(told(&documents.ask(asked).await))
}

const fn method_of(method: &Method) -> Option<xdm::Method> {
    match *method {
        Method::GET | Method::HEAD => Some(xdm::Method::Get),
        Method::PUT => Some(xdm::Method::Put),
        Method::DELETE => Some(xdm::Method::Delete),
        _ => None,
    }
}

/// A page of elsewhere has no business here, nor a name that somebody made to mean this machine (DNS rebinding).
pub(crate) fn check_origin(
    headers: &HeaderMap,
    target_host: Option<&str>,
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), (u16, &'static str, &'static str)> {
    let of_header = headers
        .get(header::HOST)
        .map(|host| host.to_str().unwrap_or_default());
    let host = target_host.or(of_header).map(without_port);
    if !host.is_some_and(&is_ours) {
        return Err((421, "Misdirected Request", "the Host is not ours"));
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = origin.split_once("://").map(|(_, host)| without_port(host));
    match host.is_some_and(is_ours) {
        true => Ok(()),
        false => Err((403, "Forbidden", "a page of elsewhere may not ask")),
    }
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn without_parameters(value: &str) -> String {
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// All lines of a field, joined as RFC 9110 §5.3 says.
fn all(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let lines: Vec<Cow<'_, str>> = headers
        .get_all(name)
        .iter()
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// How long a body may take, as a head does: who sends one slowly would hold a connection that others wait for. Beyond it: 408.
const BODY_SECONDS_MAX: Duration = Duration::from_secs(10);

async fn bounded(body: Body, bytes_max: usize) -> Result<Bytes, Response> {
    let whole = tokio::time::timeout(BODY_SECONDS_MAX, to_bytes(body, bytes_max)).await;
    let whole = whole.map_err(|_| problem(408, "Request Timeout", "the body came too slowly"))?;
    whole.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(|why| why.to_string().contains("length limit"));
        match too_large {
            true => problem(
                413,
                "Content Too Large",
                &format!("at most {bytes_max} bytes"),
            ),
            false => problem(
                400,
                "Bad Request",
                &format!("the body did not come: {error}"),
            ),
        }
    })
}

fn unidentified(why: Unidentified) -> Response {
    match why {
        Unidentified::Malformed(why) => problem(400, "Bad Request", &why),
        Unidentified::Forbidden(why) => problem(403, "Forbidden", &why),
        Unidentified::TooOften(seconds) => {
            let mut response = problem(429, "Too Many Requests", "too many wrong passwords");
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Unidentified::Challenged(challenges) => {
            let mut response = problem(401, "Unauthorized", "say who you are");
            for challenge in challenges {
                if let Ok(challenge) = HeaderValue::try_from(challenge) {
                    response
                        .headers_mut()
                        .append(header::WWW_AUTHENTICATE, challenge);
                }
            }
            response
        }
    }
}

fn allowed(methods: &'static str) -> Response {
    let mut response = problem(
        405,
        "Method Not Allowed",
        &format!("possible are {methods}"),
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

fn problem(status: u16, title: &str, detail: &str) -> Response {
    refused(&Refusal::new(status, title, detail))
}

fn told(told: &Told) -> Response {
    if told.status == 405 {
        return allowed(told.allow);
    }
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if told.media_type.is_empty() && status.as_u16() >= 400 {
        let title = status.canonical_reason().unwrap_or_default();
        let detail = if told.body.is_empty() {
            title
        } else {
            &told.body
        };
        return tagged(problem(told.status, title, detail), told.tag.as_deref());
    }
    let mut response = (status, Body::from(told.body.clone())).into_response();
    let headers = response.headers_mut();
    match HeaderValue::try_from(told.media_type.as_str()) {
        Ok(media_type) if !told.media_type.is_empty() => {
            headers.insert(header::CONTENT_TYPE, media_type);
        }
        _ => drop(headers.remove(header::CONTENT_TYPE)),
    }
    tagged(response, told.tag.as_deref())
}

/// RFC 4825 §7.11: the document's entity-tag comes with each answer about it.
fn tagged(mut response: Response, tag: Option<&str>) -> Response {
    if let Some(Ok(tag)) = tag.map(|tag| HeaderValue::try_from(format!("\"{tag}\""))) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    // Whoever keeps one asks whether it still holds.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
