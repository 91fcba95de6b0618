//! `tidings rules`: what a presentity's rules let watchers see.

mod edit;
mod explain;

use documents::pres_rules::SubHandling;

use crate::xcap::told;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which rule decides about a watcher, and what she sees
    Explain(Box<explain::Arguments>),
    /// Let a watcher see everything, or only some attributes
    Allow(Box<edit::Allow>),
    /// Refuse a watcher, and let her know
    Block(Box<edit::Arguments>),
    /// Show a watcher somebody who is not there
    PoliteBlock(Box<edit::Arguments>),
    /// Let a watcher wait until you decide
    Confirm(Box<edit::Arguments>),
    /// Take the rule about a watcher back
    Remove(Box<edit::Arguments>),
    /// Show the rules
    List(Box<edit::List>),
}

pub(crate) fn run(arguments: Arguments) -> u8 {
    told(match arguments.command {
        Command::Explain(arguments) => return explain::run(&arguments),
        Command::Allow(arguments) => edit::allow(&arguments),
        Command::Block(arguments) => edit::refuse(&arguments, SubHandling::Block),
        Command::PoliteBlock(arguments) => edit::refuse(&arguments, SubHandling::PoliteBlock),
        Command::Confirm(arguments) => edit::refuse(&arguments, SubHandling::Confirm),
        Command::Remove(arguments) => edit::remove(&arguments),
        Command::List(arguments) => edit::list(&arguments),
    })
}
