//! What `publish`, `watch` and `fetch` share: who we are, where the server is, how an end becomes an exit code.

use std::time::Duration;

use crate::commands::environment;
use crate::users::password;
use agent::{End, Login, Transport};
use client::{Clock, Driver, Handler, Outcome, Place};
use sip::{Scheme, Uri};

use crate::exit;
use crate::terminal::{Terminal, clean};

/// Bounds of a document that a peer sent: as the server's own, `[limits]`.
pub(crate) const BOUNDS: xml::Bounds = xml::Bounds {
    depth_max: 32,
    nodes_max: 16_384,
};

#[derive(Debug, clap::Args)]
pub(crate) struct ClientOptions {
    /// The server; without it: by the address's domain (example.com: 127.0.0.1:5060)
    #[arg(
        long,
        value_name = "HOST:PORT[;transport=udp|tcp]",
        env = "TIDINGS_SERVER",
        help_heading = "Server and identity"
    )]
    pub(crate) server: Option<String>,
    /// Who we are
    #[arg(
        long = "as",
        value_name = "AOR",
        env = "TIDINGS_AS",
        help_heading = "Server and identity"
    )]
    pub(crate) identity: Option<String>,
    /// How many seconds to wait for a first answer
    #[arg(long, value_name = "S", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = "Server and identity")]
    pub(crate) timeout: u32,
    /// Print each SIP message to standard error, credentials hidden
    #[arg(long, help_heading = "Server and identity")]
    pub(crate) trace: bool,
    /// Register first (not built yet)
    #[arg(long, help_heading = "Server and identity")]
    register: bool,
    /// User name, where the server asks for a password; without it: the user part of --as
    #[arg(long, value_name = "NAME", help_heading = "Server and identity")]
    user: Option<String>,
    /// File whose first line is the password; else TIDINGS_PASSWORD, else it is asked for where --user is given
    #[arg(long, value_name = "FILE", help_heading = "Server and identity")]
    password_file: Option<std::path::PathBuf>,
    /// Who signs the server's certificate, for https://; without it: whom this system believes
    #[arg(long, value_name = "FILE", help_heading = "Server and identity")]
    pub(crate) ca: Option<std::path::PathBuf>,
    /// XCAP root of the server; without it: port 8080 of the server's host
    #[arg(
        long,
        value_name = "URL",
        env = "TIDINGS_XCAP_ROOT",
        help_heading = "Server and identity"
    )]
    xcap_root: Option<String>,
}

/// An address of record as a person types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aor {
    /// With its scheme.
    pub(crate) uri: String,
    /// As it is shown: without `sip:`.
    pub(crate) shown: String,
    /// Where its domain is served, as far as the address says.
    host: Option<String>,
}

impl Aor {
    /// `alice@example.com`, `sip:alice@example.com`, `+15551234`, `tel:+15551234`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refusal = || {
            format!(
                "'{}' is no address; alice@example.com or +15551234 is meant",
                clean(text)
            )
        };
        let text = text.trim();
        let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|scheme| {
            text.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let typed = match text {
            _ if has_scheme => text.to_owned(),
            number if number.starts_with('+') && !number.contains('@') => format!("tel:{number}"),
            address if address.contains('@') => format!("sip:{address}"),
            _ => return Err(refusal()),
        };
        let uri = Uri::parse(&typed).map_err(|_| refusal())?;
        let canonical = sip::canonical(&uri, |_| false).ok_or_else(refusal)?;
        let is_tel = uri.scheme == Scheme::Tel;
        if !is_tel && uri.user.is_none() {
            return Err(refusal());
        }
        let port = uri.port.map_or(String::new(), |port| format!(":{port}"));
        let host = (!is_tel).then(|| format!("{}{port}", uri.host));
        let shown = canonical
            .strip_prefix("sip:")
            .unwrap_or(&canonical)
            .to_owned();
        // The canonical form has neither port nor parameters: those say where, not who. sips stays what it is.
        let uri = match (uri.scheme, canonical.strip_prefix("sip:")) {
            (Scheme::Sips, Some(rest)) => format!("sips:{rest}"),
            _ => canonical,
        };
        Ok(Self { uri, shown, host })
    }
}

impl std::str::FromStr for Aor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl ClientOptions {
    /// Everything that is needed to begin, or the exit code of a refusal that has been told.
    pub(crate) fn driver(
        &self,
        terminal: &Terminal,
        clock: Clock,
        resources: &[Aor],
        itself: Option<&Aor>,
    ) -> Result<Driver, u8> {
        let usage = |message: String| {
            terminal.talk(&format!("tidings: {message}"));
            exit::USAGE
        };
        if let Some(option) = self.not_built() {
            return Err(usage(format!("{option}: not built yet")));
        }
        if self.ca.is_some() {
            return Err(usage("--ca: not built yet for SIP".to_owned()));
        }
        let identity = match (&self.identity, itself) {
            (Some(text), _) => {
                Aor::parse(text).map_err(|message| usage(format!("--as: {message}")))?
            }
            (None, Some(itself)) => itself.clone(),
            (None, None) => {
                return Err(usage(
                    "--as AOR is missing: who watches? --as bob@example.com".to_owned(),
                ));
            }
        };
        let place = self.place(resources).map_err(usage)?;
        let addresses = match place.addresses() {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return Err(no_such_host(terminal, &place, "it has no address")),
            Err(error) => return Err(no_such_host(terminal, &place, &error.to_string())),
        };
        let login = self.login(&identity.uri).map_err(usage)?;
        Ok(Driver {
            identity: identity.uri,
            login,
            transport: place.transport,
            addresses,
            user_agent: format!("tidings/{}", env!("CARGO_PKG_VERSION")),
            timeout: Duration::from_secs(u64::from(self.timeout)),
            clock,
        })
    }

    /// What proves who we are, where there is a password.
    fn login(&self, identity: &str) -> Result<Option<Login>, String> {
        let username = || {
            let default = configuration::names_of(identity).into_iter().next();
            self.user.clone().or(default).unwrap_or_default()
        };
        let password = match (
            &self.password_file,
            environment("TIDINGS_PASSWORD"),
            &self.user,
        ) {
            (Some(file), ..) => password::from_file(file)?,
            (None, Some(password), _) => password,
            (None, None, Some(user)) => password::asked(&format!("Password of {user}"), false)?,
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Login {
            username: username(),
            password,
        }))
    }

    /// The same for the server's documents.
    pub(crate) fn xcap_login(&self) -> Result<Option<Login>, String> {
        let identity = self.identity.as_deref().map(Aor::parse).transpose();
        let identity = identity.map_err(|why| format!("--as: {why}"))?;
        self.login(identity.as_ref().map_or("", |aor| &aor.uri))
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout))
    }

    /// Where the server's documents are.
    pub(crate) fn xcap_root(&self) -> Result<String, String> {
        if let Some(option) = self.not_built() {
            return Err(format!("{option}: not built yet"));
        }
        if let Some(root) = &self.xcap_root {
            return Ok(root.clone());
        }
        let host = match (&self.server, &self.identity) {
            (Some(_), _) => self.place(&[])?.host,
            (None, Some(identity)) => {
                let aor = Aor::parse(identity).map_err(|why| format!("--as: {why}"))?;
                self.place(&[aor])?.host
            }
            (None, None) => "127.0.0.1".to_owned(),
        };
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host,
        };
        Ok(format!("http://{host}:8080/xcap-root"))
    }

    fn not_built(&self) -> Option<&'static str> {
        self.register.then_some("--register")
    }

    fn place(&self, resources: &[Aor]) -> Result<Place, String> {
        if let Some(server) = &self.server {
            return Place::parse(server).map_err(|unusable| format!("--server: {unusable}"));
        }
        let mut hosts = resources.iter().map(|aor| aor.host.as_deref());
        let first = hosts.next().flatten();
        if hosts.any(|host| host != first) {
            return Err("--server is missing: these addresses are of several domains".to_owned());
        }
        let Some(host) = first else {
            return Err("--server is missing: a number doesn't say where its server is".to_owned());
        };
        if host.eq_ignore_ascii_case("example.com") {
            // Nobody is there in earnest (RFC 2606): the demo is meant.
            return Ok(Place {
                host: "127.0.0.1".to_owned(),
                port: 5060,
                transport: Transport::Udp,
            });
        }
        Place::parse(host).map_err(|unusable| format!("--server is missing, and {unusable}"))
    }
}

fn no_such_host(terminal: &Terminal, place: &Place, why: &str) -> u8 {
    terminal.talk(&format!(
        "tidings: {}: {why}; --server says where else the server is",
        place.host
    ));
    exit::NO_ANSWER
}

/// Runs a command's agent; the exit code where the loop itself decides it, else `handler_code`.
pub(crate) fn drive(
    terminal: &Terminal,
    driver: &Driver,
    handler: &mut dyn Handler,
) -> Result<(), u8> {
    use std::io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    let server = driver
        .addresses
        .first()
        .map_or_else(String::new, ToString::to_string);
    match driver.run(handler) {
        Ok(Outcome::Done) => Ok(()),
        Ok(Outcome::NoAnswer) => {
            terminal.talk(&format!("tidings: no answer from {server}"));
            Err(exit::NO_ANSWER)
        }
        Ok(Outcome::Interrupted) => Err(exit::FAILED),
        Err(error)
            if matches!(
                error.kind(),
                AddrNotAvailable | HostUnreachable | NetworkUnreachable
            ) =>
        {
            terminal.talk(&format!("tidings: {server}: {error}"));
            Err(exit::NO_ANSWER)
        }
        Err(error) => {
            terminal.talk(&format!("tidings: no socket: {error}"));
            Err(exit::FAILED)
        }
    }
}

/// The end of a publication or subscription as an exit code, and what a person has to know about it.
pub(crate) fn verdict(end: &End, server: &str) -> (u8, Option<String>) {
    match end {
        End::Stopped | End::Fetched | End::Removed => (exit::DONE, None),
        End::Abandoned => (
            exit::DONE,
            Some("the server did not confirm the removal; it lapses by itself".to_owned()),
        ),
        End::NoAnswer => (
            exit::NO_ANSWER,
            Some(format!(
                "no answer from {server}; is a server running there?"
            )),
        ),
        End::NoNotify => (
            exit::NO_ANSWER,
            Some(format!("{server} accepted, but no NOTIFY came")),
        ),
        End::Terminated { reason } if reason.is_empty() => {
            (exit::REFUSED, Some("the server ended it".to_owned()))
        }
        End::Terminated { reason } if reason.eq_ignore_ascii_case("invariant") => {
            (exit::DONE, Some("it will never change again".to_owned()))
        }
        End::Terminated { reason } => (
            exit::REFUSED,
            Some(format!("the server ended it: {reason}")),
        ),
        End::Refused { status, reason } => {
            let hint = match status {
                401 | 407 => {
                    ": it wants a password, or another one: --user NAME --password-file FILE"
                }
                404 | 604 => ": it knows no such user",
                412 => ": no publication has that entity-tag any more",
                489 => ": it knows no presence",
                _ => "",
            };
            (
                exit::REFUSED,
                Some(format!("refused: {status} {reason}{hint}")),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_type_them() {
        for (text, uri, shown, host) in [
            (
                "alice@example.com",
                "sip:alice@example.com",
                "alice@example.com",
                Some("example.com"),
            ),
            (
                "sip:alice@EXAMPLE.com",
                "sip:alice@example.com",
                "alice@example.com",
                Some("EXAMPLE.com"),
            ),
            (
                "sips:alice@example.com",
                "sips:alice@example.com",
                "alice@example.com",
                Some("example.com"),
            ),
            (
                "alice@192.0.2.1:5070",
                "sip:alice@192.0.2.1",
                "alice@192.0.2.1",
                Some("192.0.2.1:5070"),
            ),
            (
                "alice@[2001:db8::1]",
                "sip:alice@[2001:db8::1]",
                "alice@[2001:db8::1]",
                Some("[2001:db8::1]"),
            ),
            ("+1-555-1234", "tel:+15551234", "tel:+15551234", None),
            ("tel:+15551234", "tel:+15551234", "tel:+15551234", None),
        ] {
            let aor = Aor::parse(text).unwrap();
            assert_eq!(
                (aor.uri.as_str(), aor.shown.as_str(), aor.host.as_deref()),
                (uri, shown, host),
                "{text}"
            );
        }
        for text in [
            "",
            "alice",
            "@",
            "alice@",
            "@example.com",
            "http://example.com",
            "a b@c",
            "sip:example.com",
            "+",
        ] {
            assert!(Aor::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_end_has_its_exit_code() {
        let reason = |reason: &str| reason.to_owned();
        for (end, code) in [
            (End::Stopped, 0),
            (End::Fetched, 0),
            (End::Removed, 0),
            (End::Abandoned, 0),
            (
                End::Terminated {
                    reason: reason("invariant"),
                },
                0,
            ),
            (
                End::Terminated {
                    reason: reason("rejected"),
                },
                3,
            ),
            (
                End::Refused {
                    status: 403,
                    reason: reason("Forbidden"),
                },
                3,
            ),
            (End::NoAnswer, 4),
            (End::NoNotify, 4),
        ] {
            assert_eq!(verdict(&end, "server").0, code, "{end:?}");
        }
    }
}
