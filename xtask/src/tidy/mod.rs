//! What the compiler does not hold: the arrows between floors, room labels, sizes, names.

mod floors;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One thing that is not as it should be, and what would be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// From the root of the workspace, with `/`.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The folders that hold code.
const FOLDERS: &[&str] = &[
    "protocol", "engine", "runtime", "apps", "lab", "fuzz", "xtask",
];

/// `cargo xtask tidy`.
pub(crate) fn run(root: &Path) -> ExitCode {
    match check(root) {
        Ok(files) => {
            println!("tidy: {files} files");
            ExitCode::SUCCESS
        }
        Err(findings) => {
            for finding in &findings {
                println!("{finding}");
            }
            println!("tidy: {} findings", findings.len());
            ExitCode::FAILURE
        }
    }
}

/// Reads everything once; gives the number of files read, or what was found, in order of file and line.
pub(crate) fn check(root: &Path) -> Result<usize, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut manifests = Vec::new();
    let mut files = 0;
    for path in FOLDERS.iter().flat_map(|folder| walk(&root.join(folder))) {
        let file = relative(root, &path);
        let is_manifest = file.ends_with("/Cargo.toml");
        if !is_manifest && !file.ends_with(".rs") {
            continue;
        }
        files += 1;
        match fs::read_to_string(&path) {
            Ok(text) if is_manifest => manifests.push((file, text)),
            Ok(text) => findings.extend(rules::check(&file, &text)),
            Err(error) => findings.push(Finding {
                file,
                line: 1,
                what: format!("cannot be read: {error}; UTF-8 text would be right"),
            }),
        }
    }
    findings.extend(floors::check(&manifests));
    findings.sort();
    if files == 0 {
        findings.push(Finding {
            file: ".".to_owned(),
            line: 1,
            what: "no code found; the root of the workspace would be right".to_owned(),
        });
    }
    if findings.is_empty() {
        Ok(files)
    } else {
        Err(findings)
    }
}

/// Every file below a folder, sorted; build output and hidden folders left out. No folder: nothing.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "target" || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn relative(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}
