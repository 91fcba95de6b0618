//! What a deployment is started with: a configuration file made of defaults for tests and what a test changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Every key that differs from `tidings`' own default, and why: users of `example.com` on loopback, every port free, no wait that a test would notice,
/// two shards so that messages cross threads.
const BASE: &str = r#"
domains = ["example.com"]
roles = ["presence-server"]
node = { threads = 2 }
identity = { from_is_identity = true }
[listen]
sip = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", "udp://[::1]:0", "tcp://[::1]:0"]
http = [{ bind = "http://127.0.0.1:0", serves = ["health"] }]
[presence]
default_handling = "allow"
notify_interval_ms_min = 0
publish_expires_seconds = { min = 1, default = 3600, max = 86400 }
subscribe_expires_seconds = { min = 1, default = 3600, max = 86400 }
"#;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The configuration; `data` is added at the start.
    pub configuration: Table,
    /// The program; `None`: `tidings`.
    pub program: Option<PathBuf>,
    /// Arguments besides `serve --config FILE`.
    pub arguments: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            configuration: BASE.parse().expect("the base configuration"),
            program: None,
            arguments: Vec::new(),
        }
    }
}

impl From<()> for ServerOptions {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// TOML that is laid over the base, table by table; anything that is no table replaces what was there.
impl From<&str> for ServerOptions {
    fn from(changes: &str) -> Self {
        let mut options = Self::default();
        lay_over(
            &mut options.configuration,
            changes
                .parse()
                .unwrap_or_else(|error| panic!("{error} in\n{changes}")),
        );
        options
    }
}

impl ServerOptions {
    /// Another program, with further arguments.
    #[must_use]
    pub fn program(mut self, program: &Path, arguments: &[&str]) -> Self {
        self.program = Some(program.to_owned());
        self.arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        self
    }

    /// Lays TOML over what is there.
    pub fn change(&mut self, changes: &str) {
        lay_over(
            &mut self.configuration,
            changes
                .parse()
                .unwrap_or_else(|error| panic!("{error} in\n{changes}")),
        );
    }

    /// The file's text.
    pub fn text(&self, data: &Path) -> String {
        let mut table = self.configuration.clone();
        table.insert("data".to_owned(), Value::String(data.display().to_string()));
        toml::to_string(&table).expect("a table becomes text")
    }

    /// From now on listeners stay at the ports that they got.
    pub fn pin(&mut self, sip: &[(String, SocketAddr)], http: Option<SocketAddr>) {
        let Some(Value::Table(listen)) = self.configuration.get_mut("listen") else {
            return;
        };
        if !sip.is_empty() {
            let entries = sip
                .iter()
                .map(|(transport, address)| Value::String(format!("{transport}://{address}")));
            listen.insert("sip".to_owned(), Value::Array(entries.collect()));
        }
        if let Some(http) = http {
            let health = Table::from_iter([
                ("bind".to_owned(), Value::String(format!("http://{http}"))),
                (
                    "serves".to_owned(),
                    Value::Array(vec![Value::String("health".to_owned())]),
                ),
            ]);
            listen.insert("http".to_owned(), Value::Array(vec![Value::Table(health)]));
        }
    }
}

fn lay_over(base: &mut Table, changes: Table) {
    for (key, change) in changes {
        match (base.get_mut(&key), change) {
            (Some(Value::Table(old)), Value::Table(new)) => lay_over(old, new),
            (_, change) => {
                base.insert(key, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_replace_values_and_keep_neighbours() {
        let options =
            ServerOptions::from("presence.default_handling = 'block'\nlimits.body_bytes_max = 7");
        let text = options.text(Path::new("/x"));
        let read: Table = text.parse().unwrap();
        assert_eq!(read["presence"]["default_handling"].as_str(), Some("block"));
        assert_eq!(
            read["presence"]["notify_interval_ms_min"].as_integer(),
            Some(0)
        );
        assert_eq!(read["limits"]["body_bytes_max"].as_integer(), Some(7));
        assert_eq!(read["data"].as_str(), Some("/x"));
    }

    #[test]
    fn a_pinned_listener_keeps_its_port() {
        let mut options = ServerOptions::default();
        options.pin(
            &[("udp".to_owned(), "127.0.0.1:7".parse().unwrap())],
            Some("127.0.0.1:8".parse().unwrap()),
        );
        assert_eq!(
            options.configuration["listen"]["sip"][0].as_str(),
            Some("udp://127.0.0.1:7")
        );
        assert_eq!(
            options.configuration["listen"]["http"][0]["bind"].as_str(),
            Some("http://127.0.0.1:8")
        );
    }
}
