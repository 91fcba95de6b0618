//! `tidings rules explain`: the decision about one watcher, by rules that are not stored yet.

use std::path::{Path, PathBuf};

use client::Clock;
use documents::common_policy::Ruleset;
use documents::pidf::Presence;
use documents::pres_rules::SubHandling;
use documents::schema::usages::{GLOBALS, RULESET};
use machine::Wall;
use presence::authorization::{
    Asking, Decision, Document, Listed, Lists, RuleSaid, Withheld, decide, shown, sphere,
};
use presence::composition::neutral;
use serde_json::{Value, json};

use crate::client_options::{Aor, BOUNDS, ClientOptions};
use crate::exit;
use crate::fetch;
use crate::terminal::{Terminal, clean};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// About whom: an address, or `anonymous`
    #[arg(value_name = "WATCHER")]
    watcher: String,
    /// The rules: a document as it would be stored
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// What is published; without it the server is asked for all that she publishes
    #[arg(long, value_name = "FILE")]
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
    let clock = Clock::new();
    let mut terminal = Terminal::new(clock);
    match explain(arguments, &mut terminal, clock) {
        Ok(()) => exit::DONE,
        Err((code, why)) => {
            if !why.is_empty() {
                terminal.talk(&format!("tidings: {why}"));
            }
            code
        }
    }
}

fn explain(arguments: &Arguments, terminal: &mut Terminal, clock: Clock) -> Result<(), Refusal> {
    let usage = |why: String| (exit::USAGE, why);
    let Some(file) = &arguments.rules else {
        return Err(usage(
            "rules explain without --rules FILE: not built yet".to_owned(),
        ));
    };
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
    let ruleset = read_rules(file).map_err(usage)?;
    let document = match &arguments.pidf {
        Some(file) => read(file).map_err(usage)?,
        None => published(arguments, terminal, clock, &itself)?,
    };
    let presence = Presence::read(&document, &BOUNDS).map_err(|why| {
        (
            exit::FAILED,
            format!("what is published is no presence document: {why}"),
        )
    })?;
    let identities: Vec<String> = watcher.iter().map(|aor| aor.uri.clone()).collect();
    let sphere = sphere([&presence]);
    let asking = Asking {
        identities: &identities,
        sphere: sphere.as_deref(),
        now: Wall::from_millis(u64::try_from(terminal.wall_millis()).unwrap_or_default()),
        canonical: &|uri| Aor::parse(uri).ok().map(|aor| aor.uri),
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
    if arguments.json {
        terminal.data(&as_json(&shown, &decision, &seen).to_string());
    } else {
        in_words(&shown, &decision, &seen)
            .iter()
            .for_each(|line| terminal.data(line));
    }
    Ok(())
}

/// Lists are on the server; a dry run does not ask for them.
pub(super) struct NoLists;

impl Lists for NoLists {
    fn holds(&self, _: &str, _: &[String]) -> Listed {
        Listed::Unavailable("lists are not looked up for rules that are not stored")
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The rules, if a server would store them.
fn read_rules(file: &Path) -> Result<Ruleset, String> {
    let bytes = read(file)?;
    let wrong = |what: String| format!("{}: {}", file.display(), clean(&what));
    let root = xml::read(&bytes, &BOUNDS).map_err(|malformed| wrong(malformed.to_string()))?;
    documents::schema::check(&root, &RULESET, GLOBALS)
        .map_err(|invalid| wrong(invalid.to_string()))?;
    Ruleset::read(&bytes, &BOUNDS).map_err(|unreadable| wrong(unreadable.to_string()))
}

/// Everything that she publishes: a presentity always sees her own presence whole.
fn published(
    arguments: &Arguments,
    terminal: &Terminal,
    clock: Clock,
    itself: &Aor,
) -> Result<Vec<u8>, Refusal> {
    let told = |code| (code, String::new());
    let fetched =
        fetch::once(&arguments.options, terminal, clock, itself, Some(itself)).map_err(told)?;
    match (fetched.notified, fetched.refused) {
        (_, Some((code, why))) => Err((code, format!("{}: {why}", itself.shown))),
        (Some(notified), None) if !notified.body.is_empty() => Ok(notified.body.to_vec()),
        _ => Err((
            exit::NO_ANSWER,
            format!("{}: no document came", itself.shown),
        )),
    }
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

/// What comes of it, in a few words.
const fn meaning(handling: Option<SubHandling>) -> &'static str {
    match handling {
        Some(SubHandling::Allow) => "sees what is granted",
        Some(SubHandling::PoliteBlock) => "sees somebody who is not there",
        Some(SubHandling::Confirm) => "sees nothing until it is decided",
        Some(SubHandling::Block) => "is refused",
        None => "no rule applies: the server's default_handling decides",
    }
}

fn handling(decision: &Decision) -> &'static str {
    decision.handling.map_or("default", SubHandling::name)
}

fn in_words(watcher: &str, decision: &Decision, seen: &Seen) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<14} {}: {}",
        handling(decision),
        clean(watcher),
        meaning(decision.handling)
    )];
    lines.extend(decision.rules.iter().map(rule_in_words));
    if let Some(until) = decision.until {
        lines.push(format!(
            "until          {}",
            documents::timestamp::format(until)
        ));
    }
    if let Some(document) = &seen.document {
        lines.push("sees".to_owned());
        let text = String::from_utf8_lossy(document);
        lines.extend(text.lines().map(|line| format!("  {}", clean(line))));
    }
    if !seen.withheld.is_empty() {
        lines.push("withheld".to_owned());
    }
    for Withheld { of, what, missing } in &seen.withheld {
        let of = if of.is_empty() {
            String::new()
        } else {
            format!(" of {of}")
        };
        lines.push(format!(
            "  {} for want of {}",
            clean(&format!("{what}{of}")),
            clean(missing)
        ));
    }
    lines
}

fn rule_in_words(rule: &RuleSaid) -> String {
    let conditions: Vec<String> = rule
        .conditions
        .iter()
        .map(|condition| {
            let mark = if condition.is { "" } else { "not " };
            clean(&format!(
                "{mark}{} ({})",
                condition.condition, condition.why
            ))
        })
        .collect();
    let verdict = match (rule.applies, rule.is_overruled) {
        (true, _) => format!("applies: {}", rule.handling.unwrap_or_default().name()),
        (_, true) => "gives way to a rule that means her more closely".to_owned(),
        _ => "does not apply".to_owned(),
    };
    let conditions = if conditions.is_empty() {
        "no conditions".to_owned()
    } else {
        conditions.join(", ")
    };
    format!("  rule {:<8} {verdict}; {conditions}", clean(&rule.id))
}

fn as_json(watcher: &str, decision: &Decision, seen: &Seen) -> Value {
    let rules: Vec<Value> = decision
        .rules
        .iter()
        .map(|rule| {
            json!({
                "document": rule.document,
                "id": rule.id,
                "applies": rule.applies,
                "overruled": rule.is_overruled,
                "handling": rule.handling.map(SubHandling::name),
                "conditions": rule.conditions.iter().map(|condition| json!({
                    "condition": condition.condition,
                    "fulfilled": condition.is,
                    "why": condition.why,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let withheld: Vec<Value> = seen
        .withheld
        .iter()
        .map(|withheld| json!({ "of": withheld.of, "what": withheld.what, "missing": withheld.missing }))
        .collect();
    json!({
        "watcher": watcher,
        "handling": handling(decision),
        "rules": rules,
        "until": decision.until.map(documents::timestamp::format),
        "sees": seen.document.as_deref().map(String::from_utf8_lossy),
        "withheld": withheld,
    })
}
