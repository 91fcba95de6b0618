//! Every command there is and its arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{bench, ladder, store};
use crate::{fetch, publish, rules, users, watch};

/// A SIP presence server: publish, compose, notify.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, disable_help_subcommand = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server; without a configuration file: the demo, for this machine only
    Serve(Serve),
    /// Write a commented configuration file to begin with
    Init(Init),
    /// Say everything that is wrong with a configuration, or how a data folder is
    Check(Check),
    /// Let a server that runs read its configuration again
    Reload(Admin),
    /// Hand the watchers of a server that runs away, then stop it
    Drain(Admin),
    /// What runs, since when
    Status(Status),
    /// Publish presence, refresh it, and remove it at the end
    Publish(publish::Arguments),
    /// Watch presence as it changes
    Watch(watch::Arguments),
    /// Fetch presence once
    Fetch(fetch::Arguments),
    /// Users of the store: who they are, by which passwords
    User(users::command::Arguments),
    /// Verify, back up and restore a store
    Store(store::Arguments),
    /// Documents on a server: rules, lists
    Xcap(crate::xcap::Arguments),
    /// Presence rules: what they let a watcher see
    Rules(rules::Arguments),
    /// Call flows against this or any implementation (not built yet)
    Interop(Anything),
    /// Load a server, and say what it costs and what was wrong
    Bench(bench::Bench),
    /// Draw what `serve --trace-ladder` recorded (captures are not built yet)
    Ladder(ladder::Ladder),
    /// One user's messages, live (not built yet)
    Trace(Anything),
}

/// What a command takes that is not built yet: anything, so that it can say so.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) _rest: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder, in place of the configuration's
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the demo speaks SIP
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) sip: Option<String>,
    /// Where the demo speaks HTTP
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) http: Option<String>,
    /// Refuse a store of an older version instead of taking it forward
    #[arg(long)]
    pub(crate) no_upgrade: bool,
    /// Draw every message and event into this file while it runs: a picture (.svg), a trace (.jsonl), or text
    #[arg(long, value_name = "FILE")]
    pub(crate) trace_ladder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file; without one it goes to stdout
    pub(crate) file: Option<PathBuf>,
    /// Whose users are served
    #[arg(long, value_name = "DOMAIN", default_value = "example.com")]
    pub(crate) domain: String,
    /// For an IMS core (not built yet)
    #[arg(long)]
    pub(crate) ims: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Configuration file; without one: the demo's
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Show every key in force, its default, where it came from
    #[arg(long)]
    pub(crate) print: bool,
    /// Warnings are errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print initial filter criteria (not built yet)
    #[arg(long)]
    pub(crate) ifc: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Examine this data folder; no server may have it open
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// Configuration file of the server, which names its data folder
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Who signs the server's certificate, where TIDINGS_ADMIN is an https:// URL; without it: whom this system believes
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}
