//! The small tables: node, data, durability, transport, log, limits.

use std::path::PathBuf;

use machine::Limits;

use super::{Reader, beside};
use crate::configuration::{Commit, Durability, Identities, Log, LogFormat, LogLevel};
use crate::document::Section;

/// The data folder where nobody names one.
pub(crate) const DATA: &str = "tidings-data";

/// A number that the walk found good, else the default.
pub(crate) fn number<N: TryFrom<i128>>(section: Option<&Section<'_>>, key: &str, default: N) -> N {
    let number = section
        .and_then(|section| section.get(key))
        .and_then(|item| item.number());
    number
        .and_then(|number| N::try_from(number).ok())
        .unwrap_or(default)
}

/// A word that the walk found good.
pub(crate) fn word<'t>(section: Option<&Section<'t>>, key: &str) -> Option<&'t str> {
    section?.get(key)?.string()
}

pub(crate) fn durability(root: &Section<'_>) -> Durability {
    let section = root.section("durability");
    let commit = match word(section.as_ref(), "commit") {
        Some("os") => Commit::Os,
        _ => Commit::Fsync,
    };
    Durability {
        commit,
        commit_gather_us: number(section.as_ref(), "commit_gather_us", 500),
    }
}

/// A field of `Limits` by its name.
pub(crate) fn limits(section: Option<&Section<'_>>) -> Limits {
    let d = Limits::default();
    Limits {
        publications_per_user_max: number(
            section,
            "publications_per_user_max",
            d.publications_per_user_max,
        ),
        subscriptions_per_presentity_max: number(
            section,
            "subscriptions_per_presentity_max",
            d.subscriptions_per_presentity_max,
        ),
        subscriptions_per_watcher_max: number(
            section,
            "subscriptions_per_watcher_max",
            d.subscriptions_per_watcher_max,
        ),
        body_bytes_max: number(section, "body_bytes_max", d.body_bytes_max),
        head_bytes_max: number(section, "head_bytes_max", d.head_bytes_max),
        document_bytes_max: number(section, "document_bytes_max", d.document_bytes_max),
        documents_per_user_max: number(section, "documents_per_user_max", d.documents_per_user_max),
        xml_depth_max: number(section, "xml_depth_max", d.xml_depth_max),
        xml_nodes_max: number(section, "xml_nodes_max", d.xml_nodes_max),
        list_entries_max: number(section, "list_entries_max", d.list_entries_max),
        lists_of_others_max: number(section, "lists_of_others_max", d.lists_of_others_max),
        view_bytes_max: number(section, "view_bytes_max", d.view_bytes_max),
        watchers_per_document_max: number(
            section,
            "watchers_per_document_max",
            d.watchers_per_document_max,
        ),
        waiting_seconds_max: number(section, "waiting_seconds_max", d.waiting_seconds_max),
        waiting_per_presentity_max: number(
            section,
            "waiting_per_presentity_max",
            d.waiting_per_presentity_max,
        ),
        waiting_max: number(section, "waiting_max", d.waiting_max),
        transactions_max: number(section, "transactions_max", d.transactions_max),
        unanswered_per_hop_max: number(section, "unanswered_per_hop_max", d.unanswered_per_hop_max),
        requests_per_second_per_source_max: number(
            section,
            "requests_per_second_per_source_max",
            d.requests_per_second_per_source_max,
        ),
        auth_failures_per_minute_per_source_max: number(
            section,
            "auth_failures_per_minute_per_source_max",
            d.auth_failures_per_minute_per_source_max,
        ),
        connections_per_source_max: number(
            section,
            "connections_per_source_max",
            d.connections_per_source_max,
        ),
        connection_queue_bytes_max: number(
            section,
            "connection_queue_bytes_max",
            d.connection_queue_bytes_max,
        ),
        memory_bytes_max: number(section, "memory_bytes_max", d.memory_bytes_max),
    }
}

impl Reader<'_> {
    pub(super) fn data(&mut self, root: &Section<'_>) -> PathBuf {
        if let Some((folder, _)) = &self.overrides.data {
            return folder.clone();
        }
        let Some(item) = root.get("data") else {
            return beside(self.file, DATA);
        };
        match item.string() {
            Some("") => {
                self.say(item.problem(format!("no folder; write: data = \"{DATA}\"")));
                PathBuf::from(DATA)
            }
            folder => beside(self.file, folder.unwrap_or(DATA)),
        }
    }

    pub(super) fn node_name(&mut self, section: Option<&Section<'_>>) -> Option<String> {
        let item = section?.get("name")?;
        let name = item.string()?;
        if name.is_empty()
            || name.len() > 253
            || name.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            self.say(
                item.problem("1 to 253 characters without spaces; write it like \"presence1\""),
            );
        }
        Some(name.to_owned())
    }

    pub(super) fn path_mtu(&mut self, root: &Section<'_>) -> u32 {
        let section = root.section("transport");
        let mtu: u32 = number(section.as_ref(), "path_mtu", 0);
        // RFC 8200 §5: no path is narrower under IPv6; RFC 791 under IPv4 has 576, which leaves nothing for SIP.
        if (1..1280).contains(&mtu)
            && let Some(item) = section.and_then(|section| section.get("path_mtu"))
        {
            self.say(item.problem(format!(
                "{mtu} is out of range; 0 (unknown) or 1280 to 65535"
            )));
        }
        mtu
    }

    pub(super) fn log(&mut self, root: &Section<'_>) -> Log {
        let section = root.section("log");
        let level = match word(section.as_ref(), "level") {
            Some("error") => LogLevel::Error,
            Some("warn") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            _ => LogLevel::Info,
        };
        let format = match word(section.as_ref(), "format") {
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            _ => LogFormat::Auto,
        };
        let identities = match word(section.as_ref(), "identities") {
            Some("hashed") => Identities::Hashed,
            _ => Identities::Full,
        };
        Log {
            level,
            format,
            identities,
            filter: self.overrides.log.clone(),
        }
    }
}
