//! What of an HTTP request reaches whoever keeps documents, and what of the answer comes back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says so by failing"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use web::{Administration, Asked, Claim, Documents, Page, Refusal, Told, Unidentified};

#[derive(Default)]
struct Shelf {
    asked: Mutex<Vec<Asked>>,
    claims: Mutex<Vec<String>>,
    answer: Mutex<Told>,
    refuses: Mutex<Option<Unidentified>>,
}

impl Documents for Shelf {
    fn roots(&self) -> Vec<String> {
        vec!["/xcap-root".to_owned(), "/xcap-root/inner".to_owned()]
    }

    fn body_bytes_max(&self) -> usize {
        10
    }

    fn is_our_host(&self, host: &str) -> bool {
        host == "xcap.example.com"
    }

    fn canonical(&self, xui: &str) -> Option<String> {
        xui.contains('@').then(|| format!("canonical {xui}"))
    }

    fn identify(&self, claim: &Claim<'_>) -> Result<String, Unidentified> {
        self.claims.lock().unwrap().push(format!(
            "{} {} {:?} {:?} {:?}",
            claim.method, claim.target, claim.authorization, claim.asserted, claim.owner
        ));
        let refuses = self.refuses.lock().unwrap().clone();
        refuses.map_or_else(|| Ok("alice".to_owned()), Err)
    }

    fn ask(&self, asked: Asked) -> Pin<Box<dyn Future<Output = Told> + Send>> {
        self.asked.lock().unwrap().push(asked);
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async move { answer })
    }
}

impl Administration for Shelf {
    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }

    fn status(&self) -> Value {
        Value::Null
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn reload(&self) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn users(&self, _: &Page) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn user(&self, _: &str) -> Result<Option<Value>, Refusal> {
        Ok(None)
    }

    fn put_user(&self, _: &str, _: &str, _: Option<bool>) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

    fn remove_user(&self, _: &str) -> Result<Value, Refusal> {
        Ok(Value::Null)
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

    fn drain(&self) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }
}

async fn serve(shelf: &Arc<Shelf>) -> SocketAddr {
    let listening = web::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listening.address;
    let routes = web::with_documents(web::health_routes(shelf.clone()), shelf.clone());
    tokio::spawn(web::serve(listening, routes, None));
    address
}

/// One request, and everything that comes back.
async fn ask(shelf: &Arc<Shelf>, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(serve(shelf).await)
        .await
        .unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let host = if head.contains("Host:") {
        ""
    } else {
        "Host: localhost:80\r\n"
    };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let text = format!("{head}\r\n{host}{length}Connection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_put_arrives_whole_and_its_answer_goes_back_whole() {
    let shelf = Arc::new(Shelf::default());
    *shelf.answer.lock().unwrap() = Told {
        status: 201,
        tag: Some("t1".to_owned()),
        ..Told::default()
    };
    let answer = ask(
        &shelf,
        "PUT /xcap-root/pres-rules/users/sip:a%40b@c/index/~~/p:r/x%5B1%5D?xmlns(p=urn:x) HTTP/1.1\r\n\
         Content-Type: application/xcap-el+xml; charset=utf-8\r\nIf-Match: \"one\"\r\nIf-Match: \"two\"\r\n\
         X-3GPP-Asserted-Identity: \"sip:a@b\"\r\n\r\n<x/>",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("etag: \"t1\"\r\n"), "{answer}");
    let asked = shelf.asked.lock().unwrap().pop().unwrap();
    assert_eq!(asked.by, "alice");
    assert_eq!(asked.owner.as_deref(), Some("canonical sip:a@b@c"));
    assert_eq!(asked.method, xdm::Method::Put);
    assert_eq!(
        asked.content_type.as_deref(),
        Some("application/xcap-el+xml")
    );
    assert_eq!(asked.if_match.as_deref(), Some("\"one\", \"two\""));
    assert_eq!(asked.body, b"<x/>");
    assert!(asked.address.node.is_some());
    let claim = shelf.claims.lock().unwrap().pop().unwrap();
    assert!(
        claim.starts_with(
            "PUT /xcap-root/pres-rules/users/sip:a%40b@c/index/~~/p:r/x%5B1%5D?xmlns(p=urn:x)"
        ),
        "{claim}"
    );
    assert!(claim.contains("Some(\"\\\"sip:a@b\\\"\")"), "{claim}");
}

#[tokio::test]
async fn a_document_goes_back_with_its_type_and_tag_and_head_without_its_body() {
    let shelf = Arc::new(Shelf::default());
    *shelf.answer.lock().unwrap() = Told {
        status: 200,
        media_type: "application/auth-policy+xml".to_owned(),
        tag: Some("t".to_owned()),
        body: "<ruleset/>".to_owned(),
        allow: "",
    };
    let get = ask(
        &shelf,
        "GET /xcap-root/pres-rules/users/a@b/index HTTP/1.1\r\n\r\n",
    )
    .await;
    assert!(
        get.contains("content-type: application/auth-policy+xml\r\n")
            && get.ends_with("\r\n\r\n<ruleset/>"),
        "{get}"
    );
    let head = ask(
        &shelf,
        "HEAD /xcap-root/pres-rules/users/a@b/index HTTP/1.1\r\n\r\n",
    )
    .await;
    assert!(
        head.contains("etag: \"t\"\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(
        shelf
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|asked| asked.method == xdm::Method::Get)
    );
}

#[tokio::test]
async fn hosts_origins_methods_bodies_and_addresses_that_are_wrong_reach_nobody() {
    let shelf = Arc::new(Shelf::default());
    let document = "/xcap-root/pres-rules/users/a@b/index";
    for (request, expected) in [
        (
            format!("GET {document} HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"),
            421,
        ),
        (
            format!("GET {document} HTTP/1.1\r\nHost: 192.0.2.1:8080\r\n\r\n"),
            421,
        ),
        (
            format!("GET {document} HTTP/1.1\r\nOrigin: https://elsewhere.example\r\n\r\n"),
            403,
        ),
        (
            format!("GET {document} HTTP/1.1\r\nOrigin: null\r\n\r\n"),
            403,
        ),
        (format!("POST {document} HTTP/1.1\r\n\r\n"), 405),
        (
            format!("PUT {document} HTTP/1.1\r\n\r\n<more-than-ten/>"),
            413,
        ),
        (
            "GET /xcap-root/pres-rules/users/nobody/index HTTP/1.1\r\n\r\n".to_owned(),
            404,
        ),
        (
            "GET /xcap-root/pres-rules/elsewhere HTTP/1.1\r\n\r\n".to_owned(),
            404,
        ),
        ("GET /xcap-root HTTP/1.1\r\n\r\n".to_owned(), 404),
        (
            "GET /xcap-rooted/pres-rules/users/a@b/index HTTP/1.1\r\n\r\n".to_owned(),
            404,
        ),
        (format!("GET {document}/~~/a%zz HTTP/1.1\r\n\r\n"), 400),
        (format!("GET {document}/~~/p:a HTTP/1.1\r\n\r\n"), 400),
    ] {
        let answer = ask(&shelf, &request).await;
        assert_eq!(status(&answer), expected, "{request}{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert!(shelf.asked.lock().unwrap().is_empty());
    for host in ["xcap.example.com", "[::1]:8080", "127.0.0.1", "LOCALHOST:1"] {
        let answer = ask(
            &shelf,
            &format!("GET {document} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .await;
        assert_ne!(status(&answer), 421, "{host}");
    }
    // The root that says more is meant.
    let inner = "GET /xcap-root/inner/pres-rules/users/a@b/index HTTP/1.1\r\n\r\n";
    ask(&shelf, inner).await;
    assert_eq!(
        shelf.asked.lock().unwrap().last().unwrap().address.auid,
        "pres-rules"
    );
}

#[tokio::test]
async fn who_is_not_known_is_challenged_or_told_why() {
    let shelf = Arc::new(Shelf::default());
    for (why, expected, field) in [
        (
            Unidentified::Challenged(vec!["Digest a".to_owned(), "Digest b".to_owned()]),
            401,
            "www-authenticate: Digest a\r\nwww-authenticate: Digest b\r\n",
        ),
        (Unidentified::Forbidden("no".to_owned()), 403, ""),
        (Unidentified::Malformed("no".to_owned()), 400, ""),
        (Unidentified::TooOften(7), 429, "retry-after: 7\r\n"),
    ] {
        *shelf.refuses.lock().unwrap() = Some(why);
        let answer = ask(
            &shelf,
            "GET /xcap-root/pres-rules/users/a@b/index HTTP/1.1\r\n\r\n",
        )
        .await;
        assert_eq!(status(&answer), expected);
        assert!(answer.contains(field), "{answer}");
    }
    assert!(shelf.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_holds_no_connection() {
    let shelf = Arc::new(Shelf::default());
    let mut stream = tokio::net::TcpStream::connect(serve(&shelf).await)
        .await
        .unwrap();
    let head = "PUT /xcap-root/pres-rules/users/a@b/index HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n<a";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is still open after a minute");
    assert_eq!(status(&String::from_utf8_lossy(&answer)), 408);
    assert!(shelf.asked.lock().unwrap().is_empty());
}
