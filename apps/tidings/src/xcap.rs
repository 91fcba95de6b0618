//! `tidings xcap`: documents on a server (RFC 4825), and what the commands share that speak to it by HTTP.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::Login;
use axum::http::{HeaderName, Method, header};
use sip::digest::Challenge;
use web::{Answer, Call, CallError, Target};

use crate::client_options::ClientOptions;
use crate::exit;
use crate::terminal::clean;

/// A refusal that has a word for the person, and an exit code.
pub(crate) type Refusal = (u8, String);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show a document, an element or an attribute
    Get(Get),
    /// Put one there
    Put(Put),
    /// Take one away
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct Get {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
struct Put {
    #[command(flatten)]
    what: What,
    /// What is put there; - is standard input
    file: PathBuf,
    /// Its media type; else as the address says
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Only where this is the document's entity-tag
    #[arg(long, value_name = "TAG")]
    if_match: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Delete {
    #[command(flatten)]
    what: What,
    /// Only where this is the document's entity-tag
    #[arg(long, value_name = "TAG")]
    if_match: Option<String>,
}

#[derive(Debug, clap::Args)]
struct What {
    /// What follows the XCAP root: `pres-rules/users/sip:alice@example.com/index[/~~/NODE][?xmlns(p=…)]`
    path: String,
    #[command(flatten)]
    options: ClientOptions,
}

pub(crate) fn run(arguments: Arguments) -> u8 {
    let done = match arguments.command {
        Command::Get(get) => carry_out(&get.what, Method::GET, None, None),
        Command::Put(put) => read(&put.file).and_then(|body| {
            let content_type = match &put.content_type {
                Some(given) => given.clone(),
                None => media_type(&put.what.path)?,
            };
            carry_out(
                &put.what,
                Method::PUT,
                put.if_match,
                Some((content_type, body)),
            )
        }),
        Command::Delete(delete) => carry_out(&delete.what, Method::DELETE, delete.if_match, None),
    };
    told(done)
}

/// The exit code, once a refusal was told.
pub(crate) fn told(done: Result<(), Refusal>) -> u8 {
    match done {
        Ok(()) => exit::DONE,
        Err((code, why)) => {
            if !why.is_empty() {
                eprintln!("tidings: {why}");
            }
            code
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut body).map(drop),
        false => std::fs::read(file).map(|bytes| body = bytes),
    };
    read.map_err(|error| (exit::USAGE, format!("{}: {error}", file.display())))?;
    Ok(body)
}

/// What is put at such an address (RFC 4825 §8.2): a node's type, or that of the documents of the usage.
fn media_type(path: &str) -> Result<String, Refusal> {
    let path = path.split('?').next().unwrap_or_default();
    if let Some((_, node)) = path.split_once("/~~/") {
        let last = node.rsplit('/').next().unwrap_or_default();
        let is_attribute = last.starts_with('@') || last.starts_with("%40");
        return Ok(match is_attribute {
            true => xcap::ATTRIBUTE.to_owned(),
            false => xcap::ELEMENT.to_owned(),
        });
    }
    let auid = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    match xdm::usages::find(auid) {
        Some(usage) => Ok(usage.media_type.to_owned()),
        None => {
            let known: Vec<&str> = xdm::usages::USAGES.iter().map(|usage| usage.auid).collect();
            Err((
                exit::USAGE,
                format!(
                    "'{}' is no application usage; one of {}, or --content-type TYPE",
                    clean(auid),
                    known.join(", ")
                ),
            ))
        }
    }
}

fn carry_out(
    what: &What,
    method: Method,
    if_match: Option<String>,
    body: Option<(String, Vec<u8>)>,
) -> Result<(), Refusal> {
    let server = Server::of(&what.options)?;
    let mut headers = Vec::new();
    if let Some(tag) = if_match {
        headers.push((header::IF_MATCH, quoted(&tag)));
    }
    let mut bytes = Vec::new();
    if let Some((content_type, body)) = body {
        headers.push((header::CONTENT_TYPE, content_type));
        bytes = body;
    }
    let answer = server.ask(method.clone(), &what.path, headers, bytes)?;
    if !(200..300).contains(&answer.status) {
        let body = String::from_utf8_lossy(&answer.body);
        return Err((exit::REFUSED, in_words(answer.status, &body)));
    }
    if method == Method::GET {
        let mut out = std::io::stdout().lock();
        let written = out
            .write_all(&answer.body)
            .and_then(|()| match answer.body.last() {
                Some(b'\n') | None => Ok(()),
                Some(_) => out.write_all(b"\n"),
            });
        written.map_err(|error| (exit::FAILED, error.to_string()))?;
    }
    let done = match answer.status {
        201 => "created",
        _ if method == Method::DELETE => "deleted",
        _ if method == Method::PUT => "changed",
        _ => "",
    };
    let tag = tag(&answer).map(|tag| format!("entity-tag {}", clean(&tag)));
    let words: Vec<String> = [Some(done.to_owned()), tag].into_iter().flatten().collect();
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    eprintln!("{}", words.join(", "));
    Ok(())
}

/// A refusal, with what the server says of it.
pub(crate) fn in_words(status: u16, body: &str) -> String {
    let reason = axum::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let detail = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|problem| problem["detail"].as_str().map(str::to_owned))
        .unwrap_or_else(|| body.trim().to_owned());
    match detail.is_empty() || detail == reason {
        true => format!("refused: {status} {reason}"),
        false => format!("refused: {status} {reason}: {}", clean(&detail)),
    }
}

/// The document's entity-tag, as it stands in ETag but for the quotes.
pub(crate) fn tag(answer: &Answer) -> Option<String> {
    let tag = answer.headers.get(header::ETAG)?.to_str().ok()?;
    Some(tag.trim_start_matches("W/").trim_matches('"').to_owned())
}

pub(crate) fn quoted(tag: &str) -> String {
    match tag == "*" || tag.starts_with('"') {
        true => tag.to_owned(),
        false => format!("\"{tag}\""),
    }
}

/// A server's documents.
pub(crate) struct Server {
    target: Target,
    /// The root's path, without a slash at its end.
    root: String,
    shown: String,
    timeout: Duration,
    login: Option<Login>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Where the options say, else port 8080 of where SIP is spoken.
    pub(crate) fn of(options: &ClientOptions) -> Result<Self, Refusal> {
        let url = options.xcap_root().map_err(|why| (exit::USAGE, why))?;
        let usage = |why: String| (exit::USAGE, format!("--xcap-root: {why}"));
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            _ => {
                return Err(usage(format!(
                    "'{}' is no http:// or https:// URL; http://127.0.0.1:8080/xcap-root is meant",
                    clean(&url)
                )));
            }
        };
        let (authority, root) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{}", path.trim_end_matches('/'))),
            None => (rest, String::new()),
        };
        let root = if root == "/" { String::new() } else { root };
        if let Some(ca) = &options.ca {
            let wrong = |fault: tls::Fault| (exit::USAGE, format!("--ca: {}", fault.message));
            tls::authorities(Some(ca)).map_err(wrong)?;
        }
        let target = Target::parse(&format!("{scheme}://{authority}"), None).map_err(usage)?;
        let target = target.believing(options.ca.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| (exit::FAILED, format!("threads: {error}")))?;
        Ok(Self {
            target,
            root,
            shown: authority.to_owned(),
            timeout: options.timeout(),
            login: options.xcap_login().map_err(|why| (exit::USAGE, why))?,
            runtime,
        })
    }

    /// Why a watcher sees what she sees, or would if `rules` were stored: asked of the server's own API, beside the documents.
    pub(crate) fn explain(
        &self,
        presentity: &str,
        watcher: &str,
        rules: Option<Vec<u8>>,
    ) -> Result<Answer, Refusal> {
        let segment = |text: &str| {
            let plain = escaped(text);
            plain
                .replace('?', "%3F")
                .replace('/', "%2F")
                .replace('&', "%26")
        };
        let path = format!(
            "/api/v1/presentities/{}/explain?watcher={}",
            segment(presentity),
            segment(watcher)
        );
        self.carry_out(Call {
            method: match rules {
                Some(_) => Method::POST,
                None => Method::GET,
            },
            path,
            headers: Vec::new(),
            body: rules.unwrap_or_default(),
        })
    }

    /// One request about what is below the root.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        headers: Vec<(HeaderName, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let path = format!("{}/{}", self.root, escaped(path.trim_start_matches('/')));
        self.carry_out(Call {
            method,
            path,
            headers,
            body,
        })
    }

    /// Once, and once more where the server asks who we are and we can say it (RFC 7616 §3.4).
    fn carry_out(&self, call: Call) -> Result<Answer, Refusal> {
        let answer = self.try_once(call.clone())?;
        let asks = |login: &&Login| answer.status == 401 && !login.password.is_empty();
        let Some(login) = self.login.as_ref().filter(asks) else {
            return Ok(answer);
        };
        let values = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut values = values.filter_map(|value| value.to_str().ok());
        let Some(challenge) = values.find_map(Challenge::read) else {
            return Ok(answer);
        };
        let proof = challenge.answer(&sip::digest::Answer {
            username: &login.username,
            password: &login.password,
            method: call.method.as_str(),
            uri: &call.path,
            count: 1,
            cnonce: &format!("{:x}", client::Clock::new().seed()),
        });
        let mut call = call;
        call.headers.push((header::AUTHORIZATION, proof));
        self.try_once(call)
    }

    fn try_once(&self, call: Call) -> Result<Answer, Refusal> {
        let asked = web::carry_out(&self.target, call, self.timeout);
        self.runtime.block_on(asked).map_err(|error| {
            let code = match error {
                CallError::Broken(_) => exit::FAILED,
                CallError::NotBelieved(why) => {
                    return (exit::FAILED, format!("{}: {why}", self.shown));
                }
                _ => exit::NO_ANSWER,
            };
            (
                code,
                format!("{}: {error}; --xcap-root says where else", self.shown),
            )
        })
    }
}

/// As it may stand in a request's target: what a person types and RFC 3986 does not allow is escaped, escapes stay what they are.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_escape = *byte == b'%'
            && bytes
                .get(at + 1..at + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(byte);
        match plain || is_escape {
            true => out.push(char::from(*byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_as_rfc_3986_wants_them() {
        for (typed, goes) in [
            ("a/users/sip:b@c/index", "a/users/sip:b@c/index"),
            ("i/~~/r/x[@id=\"b\"]", "i/~~/r/x%5B@id=%22b%22%5D"),
            ("i/~~/r/x%5b1%5d", "i/~~/r/x%5b1%5d"),
            ("100% ä", "100%25%20%C3%A4"),
        ] {
            assert_eq!(escaped(typed), goes);
        }
    }

    #[test]
    fn what_is_put_has_the_type_of_its_address() {
        let of = |path| media_type(path).ok();
        assert_eq!(
            of("pres-rules/users/sip:a@b/index").as_deref(),
            Some("application/auth-policy+xml")
        );
        assert_eq!(
            of("pres-rules/users/a/index/~~/ruleset/rule?xmlns(a=b/@c)").as_deref(),
            Some(xcap::ELEMENT)
        );
        assert_eq!(
            of("pres-rules/users/a/index/~~/ruleset/rule/@id").as_deref(),
            Some(xcap::ATTRIBUTE)
        );
        assert_eq!(of("unheard-of/users/a/index"), None);
    }
}
