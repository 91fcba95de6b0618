//! Tidings: a SIP presence server, and what it takes to try, run and examine one.
//! Owns: the process: command line, signals, exit codes, what a person reads.
//! Takes: arguments, environment, a configuration file.   Gives: the commands of `tidings --help`.
//! Never: protocol decisions; those are the engines'.

mod certificates;
mod client_options;
mod command_line;
mod commands;
mod exit;
mod explained;
mod fetch;
mod publish;
mod rules;
mod serve;
mod terminal;
mod users;
mod watch;
mod watchers;
mod xcap;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Command, CommandLine};

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are asked for, everything else is bad usage.
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::DONE
            };
            let _ = error.print();
            return exit::code(code);
        }
    };
    exit::code(run(line.command))
}

fn run(command: Command) -> u8 {
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Init(arguments) => commands::init::run(&arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Reload(arguments) => commands::admin::reload(&arguments),
        Command::Drain(arguments) => commands::admin::drain(&arguments),
        Command::Status(arguments) => commands::admin::status(&arguments),
        Command::Publish(arguments) => publish::run(arguments),
        Command::Watch(arguments) => watch::run(arguments),
        Command::Fetch(arguments) => fetch::run(arguments),
        Command::User(arguments) => users::command::run(&arguments),
        Command::Store(arguments) => commands::store::run(&arguments),
        Command::Xcap(arguments) => xcap::run(arguments),
        Command::Rules(arguments) => rules::run(arguments),
        Command::Interop(_) => commands::not_built("interop"),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Ladder(arguments) => commands::ladder::run(&arguments),
        Command::Trace(_) => commands::not_built("trace"),
    }
}
