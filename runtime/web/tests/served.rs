//! The routes over real sockets: loopback and `admin.sock` in a temporary folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by panicking"
)]

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use web::{AdminSocket, Administration, Answer, CallError, Page, Refusal, Target};

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Asked {
    why: Mutex<Option<String>>,
    drains: AtomicUsize,
}

impl Administration for Asked {
    fn readiness(&self) -> Result<(), String> {
        self.why.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn status(&self) -> Value {
        json!({ "state": "ready" })
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }

    fn reload(&self) -> Result<Value, Refusal> {
        let mut refusal = Refusal::new(422, "Unprocessable Content", "bad");
        refusal
            .members
            .insert("problems".to_owned(), json!(["t.toml:1:1: x"]));
        Err(refusal)
    }

    fn explain(
        &self,
        presentity: &str,
        watcher: &str,
        rules: Option<&[u8]>,
    ) -> Result<Value, Refusal> {
        let rules = rules.map(|rules| String::from_utf8_lossy(rules).into_owned());
        Ok(serde_json::json!([presentity, watcher, rules]))
    }

    fn users(&self, page: &Page) -> Result<Value, Refusal> {
        Ok(json!({ "users": [], "after": page.after, "limit": page.limit }))
    }

    fn user(&self, aor: &str) -> Result<Option<Value>, Refusal> {
        Ok((aor == "sip:alice@example.com").then(|| json!({ "aor": aor })))
    }

    fn put_user(&self, aor: &str, text: &str, exists: Option<bool>) -> Result<Value, Refusal> {
        Ok(json!({ "aor": aor, "text": text, "exists": exists }))
    }

    fn remove_user(&self, aor: &str) -> Result<Value, Refusal> {
        Err(Refusal::new(404, "Not Found", format!("{aor} is nobody")))
    }

    fn drain(&self) -> Result<Value, Refusal> {
        self.drains.fetch_add(1, Ordering::SeqCst);
        Ok(json!({ "draining": true }))
    }
}

fn serve(asked: &Arc<Asked>) -> SocketAddr {
    let listening = web::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listening.address;
    let routes = web::health_routes(asked.clone());
    tokio::spawn(web::serve(listening, routes, None));
    address
}

fn url(address: SocketAddr) -> Target {
    Target::parse(&format!("http://{address}"), None).unwrap()
}

async fn call(target: &Target, method: Method, path: &str) -> Answer {
    web::call(target, method, path, TIMEOUT).await.unwrap()
}

/// A request as bytes, everything that comes back as text.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer))
        .await
        .expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

fn said(answer: Answer) -> (u16, String) {
    (
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    )
}

#[tokio::test]
async fn ready_is_ready_and_says_why_it_is_not() {
    let asked = Arc::new(Asked::default());
    let target = url(serve(&asked));
    let is = |status: u16, body: &str| (status, body.to_owned());
    assert_eq!(
        said(call(&target, Method::GET, "/healthz").await),
        is(200, "alive\n")
    );
    assert_eq!(
        said(call(&target, Method::GET, "/readyz").await),
        is(200, "ready\n")
    );
    *asked.why.lock().unwrap() = Some("draining".to_owned());
    assert_eq!(
        said(call(&target, Method::GET, "/readyz").await),
        is(503, "not ready: draining\n")
    );
    assert_eq!(
        said(call(&target, Method::HEAD, "/readyz").await),
        is(503, "")
    );
    assert_eq!(
        said(call(&target, Method::GET, "/healthz").await),
        is(200, "alive\n")
    );
}

#[tokio::test]
async fn json_is_for_those_who_ask_for_it() {
    let asked = Arc::new(Asked {
        why: Mutex::new(Some("starting".to_owned())),
        ..Asked::default()
    });
    let address = serve(&asked);
    let answer = raw(
        address,
        "GET /readyz HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("content-type: application/json\r\n")
            && answer.contains("cache-control: no-store\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("{\"status\":\"not ready\",\"why\":\"starting\"}\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn tcp_serves_health_and_nothing_else() {
    let asked = Arc::new(Asked::default());
    let address = serve(&asked);
    for path in ["/", "/api/v1/status", "/metrics", "/xcap-root/"] {
        let answer = call(&url(address), Method::GET, path).await;
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status, &problem["status"], &problem["type"]),
            (404, &json!(404), &json!("about:blank")),
            "{path}"
        );
    }
    assert_eq!(
        call(&url(address), Method::POST, "/api/v1/drain")
            .await
            .status,
        404
    );
    assert_eq!(asked.drains.load(Ordering::SeqCst), 0);
    let answer = raw(
        address,
        "POST /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET,HEAD\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("content-type: application/problem+json\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn requests_are_bounded() {
    let address = serve(&Arc::new(Asked::default()));
    let answer = raw(
        address,
        "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = raw(
        address,
        &format!(
            "GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(20_000)
        ),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = raw(address, "nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// The clock runs by itself while everything waits: ten seconds pass at once.
#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_ends_the_connection() {
    let address = serve(&Arc::new(Asked::default()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is still open after a minute");
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

fn admin(folder: &Path, asked: &Arc<Asked>) -> (AdminSocket, Target) {
    let mut socket = AdminSocket::open(folder).unwrap();
    let target = Target::Socket(socket.path().to_owned());
    tokio::spawn(AdminSocket::serve(
        socket.take().unwrap(),
        web::admin_routes(asked.clone()),
    ));
    (socket, target)
}

#[tokio::test]
async fn the_admin_socket_serves_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(Asked::default());
    let (_socket, target) = admin(folder.path(), &asked);
    let answer = call(&target, Method::GET, "/api/v1/status").await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, "{\"state\":\"ready\"}\n".as_bytes())
    );
    let answer = call(&target, Method::POST, "/api/v1/reload").await;
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &problem["problems"]),
        (422, &json!(["t.toml:1:1: x"]))
    );
    assert_eq!(
        call(&target, Method::POST, "/api/v1/drain").await.status,
        200
    );
    assert_eq!(asked.drains.load(Ordering::SeqCst), 1);
    assert_eq!(
        call(&target, Method::GET, "/api/v1/drain").await.status,
        405
    );
    assert_eq!(call(&target, Method::GET, "/readyz").await.status, 200);
}

#[tokio::test]
async fn the_admin_socket_is_for_its_owner_replaces_a_stale_one_and_goes_with_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(web::SOCKET_NAME);
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a killed server leaves its socket behind");
    let asked = Arc::new(Asked::default());
    let (socket, target) = admin(folder.path(), &asked);
    let file = path.metadata().unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.mode() & 0o777, 0o600);
    assert_eq!(call(&target, Method::GET, "/healthz").await.status, 200);
    // A successor's socket is not ours to remove.
    let (successor, _) = admin(folder.path(), &asked);
    drop(socket);
    assert!(path.exists());
    drop(successor);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_deep_folder_has_its_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let (_socket, target) = admin(&deep, &Arc::new(Asked::default()));
    assert_eq!(call(&target, Method::GET, "/readyz").await.status, 200);
}

#[tokio::test]
async fn nobody_there_is_told_from_nobody_answering() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Socket(folder.path().join(web::SOCKET_NAME));
    assert!(matches!(
        web::call(&target, Method::GET, "/", TIMEOUT).await,
        Err(CallError::NobodyThere(_))
    ));
    // Accepts by the kernel's queue and never answers.
    let _silent = UnixListener::bind(folder.path().join(web::SOCKET_NAME)).unwrap();
    assert!(matches!(
        web::call(&target, Method::GET, "/", Duration::from_millis(50)).await,
        Err(CallError::Timeout)
    ));
}

#[test]
fn targets_are_sockets_or_urls() {
    let url = |authority: &str| {
        Ok(Target::Url {
            authority: authority.to_owned(),
            token: None,
            secure: None,
        })
    };
    assert_eq!(Target::parse("http://[::1]:8080/", None), url("[::1]:8080"));
    assert_eq!(
        Target::parse("http://a.example.com", None),
        url("a.example.com:80")
    );
    assert_eq!(
        Target::parse("data/admin.sock", None),
        Ok(Target::Socket("data/admin.sock".into()))
    );
    for wrong in ["https://", "http://", "http://a/b", "http://u@a"] {
        assert!(Target::parse(wrong, None).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn users_come_in_pages_of_a_bounded_length() {
    let folder = tempfile::tempdir().unwrap();
    let mut socket = AdminSocket::open(folder.path()).unwrap();
    let asked = Arc::new(Asked::default());
    let listener = socket.take().unwrap();
    tokio::spawn(AdminSocket::serve(listener, web::admin_routes(asked)));
    let target = Target::Socket(socket.path().to_owned());
    let page = async |query: &str| {
        let path = format!("/api/v1/users{query}");
        let answer = web::call(&target, Method::GET, &path, TIMEOUT).await;
        let answer = answer.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, body["after"].clone(), body["limit"].clone())
    };
    let after = "?limit=2&after=sip%3Aa%40b.net";
    assert_eq!(page("").await, (200, Value::Null, json!(Page::LIMIT_MAX)));
    assert_eq!(page(after).await, (200, json!("sip:a@b.net"), json!(2)));
    assert_eq!(page("?limit=99999999").await.2, json!(Page::LIMIT_MAX));
    for wrong in ["?limit=0", "?limit=-1", "?limit=many"] {
        assert_eq!(page(wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn users_are_named_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let mut socket = AdminSocket::open(folder.path()).unwrap();
    let asked = Arc::new(Asked::default());
    tokio::spawn(AdminSocket::serve(
        socket.take().unwrap(),
        web::admin_routes(asked),
    ));
    let target = Target::Socket(folder.path().join(web::SOCKET_NAME));
    let path = "/api/v1/users/sip%3Aalice%40example.com";
    let put = web::Call {
        method: Method::PUT,
        path: path.to_owned(),
        headers: vec![(axum::http::header::IF_NONE_MATCH, "*".to_owned())],
        body: b"{}".to_vec(),
    };
    let answer = web::carry_out(&target, put, TIMEOUT).await.unwrap();
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({ "aor": "sip:alice@example.com", "text": "{}", "exists": false });
    assert_eq!((answer.status, value), (200, expected));
    let answer = call(&target, Method::GET, path).await;
    assert_eq!(answer.status, 200);
    let answer = call(
        &target,
        Method::GET,
        "/api/v1/users/sip%3Abob%40example.com",
    )
    .await;
    assert_eq!(answer.status, 404);
    let answer = call(&target, Method::DELETE, path).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(
        answer.status == 404 && text.contains("sip:alice@example.com is nobody"),
        "{text}"
    );
    assert_eq!(call(&target, Method::POST, path).await.status, 405);
}
