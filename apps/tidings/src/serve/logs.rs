//! Logs: one line an event on stderr, text for people, JSON for collectors.

use std::io::{IsTerminal, stderr};

use configuration::{Log, LogFormat};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// The logs, whose level a reload may change.
pub(crate) struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// From now on everything that happens goes to stderr.
    pub(crate) fn begin(log: &Log) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(filter(log)?);
        let terminal = stderr().is_terminal();
        let as_json = match log.format {
            LogFormat::Auto => !terminal,
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
        // https://no-color.org: any value but an empty one.
        let colour = terminal && crate::commands::environment("NO_COLOR").is_none();
        let lines = if as_json {
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(stderr)
                .boxed()
        } else {
            fmt::layer().with_ansi(colour).with_writer(stderr).boxed()
        };
        // A second subscriber in one process can only come from a test; the first one stays.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init();
        Ok(Self { filter: handle })
    }

    /// Another level from now on.
    pub(crate) fn change(&self, log: &Log) {
        if let Ok(filter) = filter(log) {
            let _ = self.filter.reload(filter);
        }
    }
}

fn filter(log: &Log) -> Result<EnvFilter, String> {
    let directives = log.filter.as_deref().unwrap_or_else(|| log.level.name());
    EnvFilter::try_new(directives).map_err(|error| format!("{directives}: {error}"))
}
