//! `tidings rules`: what a presentity's rules let watchers see.

mod explain;

use crate::command_line::Anything;
use crate::commands;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which rule decides about a watcher, and what she sees
    Explain(Box<explain::Arguments>),
    /// Let a watcher see (not built yet)
    Allow(Anything),
    /// Refuse a watcher (not built yet)
    Block(Anything),
    /// Show a watcher somebody who is not there (not built yet)
    PoliteBlock(Anything),
    /// Ask before a watcher sees anything (not built yet)
    Confirm(Anything),
    /// Take a rule back (not built yet)
    Remove(Anything),
    /// Show the rules (not built yet)
    List(Anything),
}

pub(crate) fn run(arguments: Arguments) -> u8 {
    match arguments.command {
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Allow(_) => commands::not_built("rules allow"),
        Command::Block(_) => commands::not_built("rules block"),
        Command::PoliteBlock(_) => commands::not_built("rules polite-block"),
        Command::Confirm(_) => commands::not_built("rules confirm"),
        Command::Remove(_) => commands::not_built("rules remove"),
        Command::List(_) => commands::not_built("rules list"),
    }
}
