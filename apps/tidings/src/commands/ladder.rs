//! `tidings ladder FILE`: a ladder from what `serve --trace-ladder` or a test recorded.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use ladder::Room;

use crate::exit;

/// Twice what a server writes; of more only the newest is kept.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(crate) struct Ladder {
    /// A trace (.jsonl); a capture (.pcap) is not built yet
    file: PathBuf,
    /// A picture instead of text
    #[arg(long)]
    svg: bool,
}

/// Draws it to stdout.
pub(crate) fn run(arguments: &Ladder) -> u8 {
    let file = arguments.file.display();
    if arguments
        .file
        .extension()
        .is_none_or(|ending| ending != "jsonl")
    {
        if arguments
            .file
            .extension()
            .is_some_and(|ending| ending == "pcap")
        {
            return super::not_built("ladder");
        }
        eprintln!(
            "tidings: {file}: no trace; FILE.jsonl of `serve --trace-ladder FILE.jsonl` would be right"
        );
        return exit::USAGE;
    }
    let text = match read(arguments) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("tidings: {file}: {error}");
            return exit::USAGE;
        }
    };
    let trace = match ladder::read(&text, Room::default()) {
        Ok(trace) => trace,
        Err(wrong) => {
            eprintln!("tidings: {file}:{}: {}", wrong.line, wrong.what);
            return exit::USAGE;
        }
    };
    let drawn = if arguments.svg {
        trace.svg()
    } else {
        trace.text()
    };
    match io::stdout().write_all(drawn.as_bytes()) {
        Ok(()) => exit::DONE,
        // Nobody reads any further.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::DONE,
        Err(_) => exit::FAILED,
    }
}

fn read(arguments: &Ladder) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(&arguments.file)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let why = format!("longer than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(io::Error::other(why));
    }
    Ok(text)
}
