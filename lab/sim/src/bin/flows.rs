//! `flows`: draws `docs/flows/` by running each flow, or compares it with a run.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [folder] => compare(Path::new(folder)),
        [folder, "--write"] => write(Path::new(folder)),
        _ => {
            eprintln!("usage: flows FOLDER [--write]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(folder: &Path) -> Result<String, String> {
    let pages = sim::pages()?;
    let differs = |(name, text): &&(String, String)| {
        std::fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text)
    };
    let wrong: Vec<&str> = pages
        .iter()
        .filter(differs)
        .map(|(name, _)| name.as_str())
        .collect();
    if wrong.is_empty() {
        Ok(format!("flows: {} files", pages.len()))
    } else {
        Err(format!(
            "{}: {} not what a run draws; `cargo xtask flows --write` draws them anew",
            folder.display(),
            wrong.join(", ")
        ))
    }
}

fn write(folder: &Path) -> Result<String, String> {
    let pages = sim::pages()?;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    // What no flow draws any more is not kept.
    for old in std::fs::read_dir(folder).map_err(failed)?.flatten() {
        let name = old.file_name().to_string_lossy().into_owned();
        let is_picture = name.ends_with(".svg") || name.ends_with(".txt");
        if is_picture && !pages.iter().any(|(page, _)| *page == name) {
            std::fs::remove_file(old.path()).map_err(failed)?;
        }
    }
    for (name, text) in &pages {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    Ok(format!("flows: {} files written", pages.len()))
}
