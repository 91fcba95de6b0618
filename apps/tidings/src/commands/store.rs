//! `tidings store`: the data folder, looked at, copied, put back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use store::documents::{self, Contents};

use crate::command_line::{Admin, Anything};
use crate::{commands, exit};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Look at everything and say what is damaged; changes nothing
    Verify(Admin),
    /// Copy documents, users and keys into a folder; a server may be running
    Backup {
        /// The folder; made where it isn't
        into: PathBuf,
        #[command(flatten)]
        admin: Admin,
    },
    /// Put a backup's documents, users and keys in their place; no server may be running
    Restore {
        /// The folder of the backup
        from: PathBuf,
        /// In place of what is there
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Documents and users as JSON lines (not built yet)
    Export(Anything),
    /// The same back (not built yet)
    Import(Anything),
}

pub(crate) fn run(arguments: &Arguments) -> u8 {
    match &arguments.deed {
        Deed::Verify(admin) => with_folder(admin, verify),
        Deed::Backup { into, admin } => with_folder(admin, |folder| {
            told(
                documents::backup(folder, into),
                &format!("{}: a copy", into.display()),
            )
        }),
        Deed::Restore {
            from,
            replace,
            admin,
        } => with_folder(admin, |folder| {
            let what = format!("{}: restored", folder.display());
            told(documents::restore(folder, from, *replace), &what)
        }),
        Deed::Export(_) => commands::not_built("store export"),
        Deed::Import(_) => commands::not_built("store import"),
    }
}

fn with_folder(admin: &Admin, deed: impl FnOnce(&Path) -> u8) -> u8 {
    let named = admin.data.clone();
    let folder = named.or_else(|| configuration::data_folder(admin.config.as_deref()));
    match folder {
        Some(folder) => deed(&folder),
        None => {
            eprintln!(
                "tidings: the configuration can't be read, so the data folder is not known; name it: --data DIR"
            );
            exit::USAGE
        }
    }
}

fn told(done: Result<Contents, store::StoreError>, what: &str) -> u8 {
    match done {
        Ok(contents) => {
            println!("{what}, {}", in_words(&contents));
            exit::DONE
        }
        Err(error) => failed(&error),
    }
}

fn in_words(contents: &Contents) -> String {
    let Contents {
        documents,
        bytes,
        users,
    } = contents;
    format!("{documents} documents of {bytes} bytes, {users} users")
}

fn failed(error: &store::StoreError) -> u8 {
    eprintln!("tidings: {error}");
    if error.needs_a_person() {
        exit::STORE
    } else {
        exit::FAILED
    }
}

fn verify(folder: &Path) -> u8 {
    if !folder.is_dir() {
        eprintln!(
            "tidings: {}: no such folder; --data names a server's data folder",
            folder.display()
        );
        return exit::USAGE;
    }
    let mut code = match documents::examine(folder) {
        Ok(Some(contents)) => {
            println!("documents: sound, {}", in_words(&contents));
            exit::DONE
        }
        Ok(None) => {
            println!("documents: none yet");
            exit::DONE
        }
        Err(error) => failed(&error),
    };
    match documents::is_in_use(folder) {
        Ok(true) => println!("journal: not looked at, for a server has it open"),
        Ok(false) => match store::examine(folder) {
            Ok(report) => {
                print!("{report}");
                if !report.is_sound() {
                    code = exit::STORE;
                }
            }
            Err(error) => code = code.max(failed(&error)),
        },
        Err(error) => code = code.max(failed(&error)),
    }
    code
}
