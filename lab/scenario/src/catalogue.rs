//! The flows of this project.

use crate::flow::Flow;
use crate::reading::{Problem, read};

/// File names and texts, in order.
pub const FLOWS: [(&str, &str); 17] = [
    (
        "PS-1.0-int-M-0100.toml",
        include_str!("../flows/PS-1.0-int-M-0100.toml"),
    ),
    (
        "PS-1.0-int-M-0100-same-id.toml",
        include_str!("../flows/PS-1.0-int-M-0100-same-id.toml"),
    ),
    (
        "PS-1.0-int-M-0100-refused.toml",
        include_str!("../flows/PS-1.0-int-M-0100-refused.toml"),
    ),
    (
        "PS-1.0-int-M-0110.toml",
        include_str!("../flows/PS-1.0-int-M-0110.toml"),
    ),
    (
        "PS-1.0-int-M-0110-shortened.toml",
        include_str!("../flows/PS-1.0-int-M-0110-shortened.toml"),
    ),
    (
        "PS-1.0-int-M-0110-refreshed.toml",
        include_str!("../flows/PS-1.0-int-M-0110-refreshed.toml"),
    ),
    (
        "PS-1.0-int-M-0120.toml",
        include_str!("../flows/PS-1.0-int-M-0120.toml"),
    ),
    (
        "PS-1.0-int-M-0120-in-dialog.toml",
        include_str!("../flows/PS-1.0-int-M-0120-in-dialog.toml"),
    ),
    (
        "PS-1.0-int-M-0130.toml",
        include_str!("../flows/PS-1.0-int-M-0130.toml"),
    ),
    (
        "PS-1.0-int-M-0130-blocked.toml",
        include_str!("../flows/PS-1.0-int-M-0130-blocked.toml"),
    ),
    (
        "PS-1.0-int-M-0140.toml",
        include_str!("../flows/PS-1.0-int-M-0140.toml"),
    ),
    (
        "PS-1.0-int-M-0140-changed.toml",
        include_str!("../flows/PS-1.0-int-M-0140-changed.toml"),
    ),
    (
        "PS-1.0-int-M-0150.toml",
        include_str!("../flows/PS-1.0-int-M-0150.toml"),
    ),
    (
        "PS-1.0-int-M-0150-rejected.toml",
        include_str!("../flows/PS-1.0-int-M-0150-rejected.toml"),
    ),
    (
        "PS-1.0-int-M-0150-waiting.toml",
        include_str!("../flows/PS-1.0-int-M-0150-waiting.toml"),
    ),
    (
        "PS-1.0-int-M-0150-strangers.toml",
        include_str!("../flows/PS-1.0-int-M-0150-strangers.toml"),
    ),
    (
        "PS-1.0-int-M-0150-rfc6665.toml",
        include_str!("../flows/PS-1.0-int-M-0150-rfc6665.toml"),
    ),
];

/// All of them, read.
pub fn builtin() -> Result<Vec<Flow>, Problem> {
    FLOWS
        .iter()
        .map(|(file, text)| read(&format!("lab/scenario/flows/{file}"), text))
        .collect()
}
