//! Which path asks what.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::documents::{check_origin, is_loopback};
use crate::{Administration, Page, Refusal};

/// No request of ours has a body worth mentioning. Beyond it: 413.
const BODY_BYTES_MAX: u64 = 65_536;

type Asked = Arc<dyn Administration>;

/// `serves = ["health"]`: `/healthz` and `/readyz`.
pub fn health_routes(asked: Asked) -> Router {
    bounded(health()).with_state(asked)
}

/// Nothing, with the answers that say so.
pub fn no_routes(asked: Asked) -> Router {
    bounded(Router::new()).with_state(asked)
}

/// What `admin.sock` serves: health, `/metrics`, `/api/v1/status`, `/api/v1/reload`, `/api/v1/drain`, `/api/v1/users`.
pub fn admin_routes(asked: Asked) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics));
    bounded(health().merge(metrics).merge(api()).merge(questions())).with_state(asked)
}

fn api() -> Router<Asked> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/users", get(users))
        .route(
            "/api/v1/users/{aor}",
            get(user).put(put_user).delete(remove_user),
        )
}

/// What of the API is answered on a listener that only this machine reaches: to its own people, not to pages of elsewhere, and not
/// to what a proxy hands on.
pub fn api_routes(asked: Asked) -> Router {
    let api = api().merge(questions());
    bounded(api.layer(middleware::from_fn(only_local))).with_state(asked)
}

/// `serves = ["metrics"]`, on a listener that only this machine reaches.
pub fn metrics_routes(asked: Asked) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics));
    bounded(metrics.layer(middleware::from_fn(only_local))).with_state(asked)
}

fn questions() -> Router<Asked> {
    Router::new().route(
        "/api/v1/presentities/{aor}/explain",
        get(explain).post(explain_by),
    )
}

async fn only_local(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let forwarded = [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
    ];
    if forwarded.iter().any(|name| headers.contains_key(*name)) {
        return refused(&Refusal::new(
            401,
            "Unauthorized",
            "what a proxy hands on needs a token, and tokens are not built yet",
        ));
    }
    match check_origin(headers, request.uri().host(), is_loopback) {
        Ok(()) => next.run(request).await,
        Err((status, title, detail)) => refused(&Refusal::new(status, title, detail)),
    }
}

async fn explain(State(asked): State<Asked>, Path(aor): Path<String>, uri: Uri) -> Response {
    explained(asked, aor, &uri, None).await
}

async fn explain_by(
    State(asked): State<Asked>,
    Path(aor): Path<String>,
    uri: Uri,
    body: Bytes,
) -> Response {
    explained(asked, aor, &uri, Some(body)).await
}

async fn explained(asked: Asked, aor: String, uri: &Uri, rules: Option<Bytes>) -> Response {
    let Some(watcher) = queried(uri, "watcher").filter(|watcher| !watcher.is_empty()) else {
        return refused(&Refusal::new(
            400,
            "Bad Request",
            "about whom? ?watcher=sip:bob@example.com, or anonymous",
        ));
    };
    ask(asked, move |asked| {
        asked.explain(&aor, &watcher, rules.as_deref())
    })
    .await
}

fn health() -> Router<Asked> {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
}

fn bounded(router: Router<Asked>) -> Router<Asked> {
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(bound_body))
}

async fn bound_body(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return refused(&Refusal::new(
            413,
            "Content Too Large",
            format!("at most {BODY_BYTES_MAX} bytes"),
        ));
    }
    next.run(request).await
}

async fn alive(headers: HeaderMap) -> Response {
    told(&headers, StatusCode::OK, "alive", None)
}

async fn ready(State(asked): State<Asked>, headers: HeaderMap) -> Response {
    match asked.readiness() {
        Ok(()) => told(&headers, StatusCode::OK, "ready", None),
        Err(why) => told(
            &headers,
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready",
            Some(&why),
        ),
    }
}

/// Text for people and probes, JSON for those who ask for it.
fn told(headers: &HeaderMap, status: StatusCode, word: &str, why: Option<&str>) -> Response {
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    let (kind, body) = if wants_json {
        let mut object = serde_json::json!({ "status": word });
        if let Some(why) = why {
            object["why"] = why.into();
        }
        ("application/json", format!("{object}\n"))
    } else {
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        ("text/plain; charset=utf-8", format!("{word}{why}\n"))
    };
    answer(status, kind, body)
}

async fn status(State(asked): State<Asked>) -> Response {
    ask(asked, |asked| Ok(asked.status())).await
}

async fn metrics(State(asked): State<Asked>) -> Response {
    match tokio::task::spawn_blocking(move || asked.metrics()).await {
        Ok(text) => answer(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            text,
        ),
        Err(_) => refused(&unanswered()),
    }
}

async fn reload(State(asked): State<Asked>) -> Response {
    ask(asked, |asked| asked.reload()).await
}

async fn drain(State(asked): State<Asked>) -> Response {
    ask(asked, |asked| asked.drain()).await
}

/// The first value of this name in the query.
fn queried(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let value = values.next()?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

async fn users(State(asked): State<Asked>, uri: Uri) -> Response {
    let limit = match queried(&uri, "limit").map(|limit| limit.parse::<usize>()) {
        None => Page::LIMIT_MAX,
        Some(Ok(limit)) if limit > 0 => limit.min(Page::LIMIT_MAX),
        Some(_) => {
            let why = format!("limit is a number from 1 to {}", Page::LIMIT_MAX);
            return refused(&Refusal::new(400, "Bad Request", why));
        }
    };
    let page = Page {
        after: queried(&uri, "after"),
        limit,
    };
    ask(asked, move |asked| asked.users(&page)).await
}

async fn user(State(asked): State<Asked>, Path(aor): Path<String>) -> Response {
    ask(asked, move |asked| {
        let hers = asked.user(&aor)?;
        hers.ok_or_else(|| Refusal::new(404, "Not Found", format!("{aor} is no user")))
    })
    .await
}

async fn put_user(
    State(asked): State<Asked>,
    Path(aor): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let is_any = |name| headers.get(name).is_some_and(|value| value == "*");
    let exists = match (is_any(header::IF_MATCH), is_any(header::IF_NONE_MATCH)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    ask(asked, move |asked| asked.put_user(&aor, &body, exists)).await
}

async fn remove_user(State(asked): State<Asked>, Path(aor): Path<String>) -> Response {
    ask(asked, move |asked| asked.remove_user(&aor)).await
}

/// Asks where waiting for a disk or a shard holds up nobody else.
async fn ask(
    asked: Asked,
    question: impl FnOnce(&dyn Administration) -> Result<Value, Refusal> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || question(asked.as_ref())).await {
        Ok(Ok(value)) => answer(StatusCode::OK, "application/json", format!("{value}\n")),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => refused(&unanswered()),
    }
}

fn unanswered() -> Refusal {
    Refusal::new(
        500,
        "Internal Server Error",
        "the question was not answered; see the log",
    )
}

async fn unknown(uri: Uri) -> Response {
    refused(&Refusal::new(
        404,
        "Not Found",
        format!("nothing is served at {}", uri.path()),
    ))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    refused(&Refusal::new(
        405,
        "Method Not Allowed",
        format!("{method} does nothing at {}", uri.path()),
    ))
}

pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(
        status,
        "application/problem+json",
        format!("{}\n", refusal.to_json()),
    )
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
