//! `tidings init`: a configuration file to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::command_line::Init;
use crate::{commands, exit};

pub(crate) fn run(arguments: &Init) -> u8 {
    if arguments.ims {
        return commands::not_built("init --ims");
    }
    let text = match configuration::initial(&arguments.domain) {
        Ok(text) => text,
        Err(wrong) => {
            eprintln!("tidings: --domain: {wrong}");
            return exit::USAGE;
        }
    };
    let Some(file) = &arguments.file else {
        return match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => exit::DONE,
            Err(_) => exit::FAILED,
        };
    };
    match write(file, &text) {
        Ok(()) => {
            eprintln!(
                "{}: written; look through it, then: tidings check --config {0}",
                file.display()
            );
            exit::DONE
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            eprintln!(
                "tidings: {}: exists and is not overwritten; name another file",
                file.display()
            );
            exit::USAGE
        }
        Err(error) => {
            eprintln!("tidings: {}: {error}", file.display());
            exit::FAILED
        }
    }
}

/// Users and their secrets may come to stand in it: nobody else reads it.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
