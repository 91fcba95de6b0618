//! `tidings rules explain`: the decision about one watcher, by the rules that are stored, or by others.

use std::path::{Path, PathBuf};

use client::Clock;
use documents::pidf::Presence;
use documents::pres_rules::SubHandling;
use machine::Wall;
use presence::authorization::{
    Asking, Decision, Document, Listed, Lists, Withheld, decide, shown, sphere,
};
use presence::composition::neutral;
use serde_json::Value;

use crate::client_options::{Aor, BOUNDS, ClientOptions};
use crate::exit;
use crate::explained::{self, Outcome, read_rules};
use crate::terminal::{Terminal, clean};
use crate::xcap::{Server, in_words};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// About whom: an address, or `anonymous`
    #[arg(value_name = "WATCHER")]
    watcher: String,
    /// As if this were stored as her pres-rules/index; without it: by what is stored
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// With --rules: no server is asked; this is all that is published, and the rules are all there are
    #[arg(long, value_name = "FILE", requires = "rules")]
    pidf: Option<PathBuf>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ClientOptions,
}

/// A refusal that has a word for the person, and an exit code.
type Refusal = (u8, String);

pub(crate) fn run(arguments: &Arguments) -> u8 {
    let mut terminal = Terminal::new(Clock::new());
    match explain(arguments, &mut terminal) {
        Ok(()) => exit::DONE,
        Err((code, why)) => {
            if !why.is_empty() {
                terminal.talk(&format!("tidings: {why}"));
            }
            code
        }
    }
}

fn explain(arguments: &Arguments, terminal: &mut Terminal) -> Result<(), Refusal> {
    let usage = |why: String| (exit::USAGE, why);
    let watcher = match arguments.watcher.as_str() {
        "anonymous" => None,
        text => {
            Some(Aor::parse(text).map_err(|why| usage(format!("WATCHER: {why}, or anonymous")))?)
        }
    };
    let itself = match &arguments.options.identity {
        Some(text) => Aor::parse(text).map_err(|why| usage(format!("--as: {why}")))?,
        None => {
            return Err(usage(
                "--as AOR is missing: whose rules? --as alice@example.com".to_owned(),
            ));
        }
    };
    let Some(file) = &arguments.rules else {
        return by_server(arguments, terminal, watcher.as_ref(), &itself, None);
    };
    let bytes = read(file).map_err(usage)?;
    let wrong = |what: String| usage(format!("{}: {}", file.display(), clean(&what)));
    let ruleset = read_rules(&bytes, &BOUNDS).map_err(wrong)?;
    let Some(document) = &arguments.pidf else {
        return by_server(arguments, terminal, watcher.as_ref(), &itself, Some(bytes));
    };
    let document = read(document).map_err(usage)?;
    let presence = Presence::read(&document, &BOUNDS).map_err(|why| {
        (
            exit::FAILED,
            format!("what is published is no presence document: {why}"),
        )
    })?;
    let identities: Vec<String> = watcher.iter().map(|aor| aor.uri.clone()).collect();
    let sphere = sphere([&presence], None);
    let asking = Asking {
        identities: &identities,
        sphere: sphere.as_deref(),
        now: Wall::from_millis(u64::try_from(terminal.wall_millis()).unwrap_or_default()),
        canonical: &|uri| Aor::parse(uri).ok().map(|aor| aor.uri.into()),
        lists: &NoLists,
    };
    let name = file.display().to_string();
    let decision = decide(
        &asking,
        &[Document {
            name: &name,
            ruleset: &ruleset,
        }],
    );
    let seen = Seen::of(&decision, &presence, &itself.uri);
    let shown = watcher.map_or_else(|| "anonymous".to_owned(), |aor| aor.shown);
    let explained = explained::as_json(&Outcome {
        watcher: &shown,
        decision: &decision,
        default: None,
        is_presentity: false,
        published: None,
        seen: seen.document.as_deref(),
        withheld: &seen.withheld,
    });
    tell(arguments, terminal, &explained);
    Ok(())
}

fn tell(arguments: &Arguments, terminal: &mut Terminal, explained: &Value) {
    if arguments.json {
        terminal.data(&explained.to_string());
    } else {
        explained::in_words(explained)
            .iter()
            .for_each(|line| terminal.data(line));
    }
}

/// By the rules that are stored, or as if `rules` were, what is published, and everything else that the server knows.
fn by_server(
    arguments: &Arguments,
    terminal: &mut Terminal,
    watcher: Option<&Aor>,
    itself: &Aor,
    rules: Option<Vec<u8>>,
) -> Result<(), Refusal> {
    let server = Server::of(&arguments.options)?;
    let watcher = watcher.map_or("anonymous", |aor| aor.uri.as_str());
    let answer = server.explain(&itself.uri, watcher, rules)?;
    if answer.status != 200 {
        let body = String::from_utf8_lossy(&answer.body);
        return Err((exit::REFUSED, in_words(answer.status, &body)));
    }
    let explained = serde_json::from_slice(&answer.body)
        .map_err(|error| (exit::FAILED, format!("the answer is no JSON: {error}")))?;
    tell(arguments, terminal, &explained);
    Ok(())
}

/// Lists are on the server; with documents from files it is not asked.
pub(super) struct NoLists;

impl Lists for NoLists {
    fn holds(&self, _: &str, _: &[String]) -> Listed {
        Listed::Unavailable("lists are not looked up with --pidf, which asks no server".to_owned())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// What a watcher sees.
struct Seen {
    document: Option<Vec<u8>>,
    withheld: Vec<Withheld>,
}

impl Seen {
    fn of(decision: &Decision, presence: &Presence, entity: &str) -> Self {
        let (document, withheld) = match decision.handling {
            Some(SubHandling::Allow) => {
                let (seen, withheld) = shown(presence, entity, &decision.permissions);
                (Some(seen), withheld)
            }
            Some(SubHandling::PoliteBlock) => (Some(neutral(entity)), Vec::new()),
            Some(SubHandling::Confirm | SubHandling::Block) | None => (None, Vec::new()),
        };
        Self { document, withheld }
    }
}
