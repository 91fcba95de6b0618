//! xmllint with the official schemas, where both are at hand.

#[path = "../../../../lab/peers/src/skipped.rs"]
mod skipped;

use std::path::{Path, PathBuf};
use std::process::Command;

use skipped::standards_with;

pub(crate) struct Oracle {
    schemas: PathBuf,
}

/// The shared folder with schemas and examples, if this machine has it.
#[allow(dead_code, reason = "properties need no examples")]
pub(crate) fn standards() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/standards");
    folder
        .join("schemas/drivers/presence.xsd")
        .exists()
        .then_some(folder)
}

pub(crate) fn find() -> Option<Oracle> {
    let standards = standards_with("drivers/presence.xsd")?;
    Some(Oracle {
        schemas: standards.join("schemas"),
    })
}

impl Oracle {
    /// Panics with xmllint's words and the document unless all are valid.
    pub(crate) fn check(&self, documents: &[Vec<u8>]) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "oracle-{}-{:p}",
            std::process::id(),
            documents
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let paths: Vec<PathBuf> = (0..documents.len())
            .map(|at| folder.join(format!("{at}.xml")))
            .collect();
        for (path, document) in paths.iter().zip(documents) {
            std::fs::write(path, document).unwrap();
        }
        let output = Command::new("xmllint")
            .args(["--nonet", "--noout", "--schema"])
            .arg(self.schemas.join("drivers/presence.xsd"))
            .args(&paths)
            .env("XML_CATALOG_FILES", self.schemas.join("catalog.xml"))
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        let complaint = words
            .lines()
            .find(|line| line.contains(": element ") || line.contains("parser error"))
            .unwrap_or_default();
        let document = paths
            .iter()
            .position(|path| complaint.starts_with(&*path.to_string_lossy()));
        let shown = document
            .map(|at| String::from_utf8_lossy(&documents[at]).into_owned())
            .unwrap_or_default();
        assert!(
            output.status.success(),
            "{complaint}\n{shown}\n{}",
            words.lines().last().unwrap_or_default()
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
