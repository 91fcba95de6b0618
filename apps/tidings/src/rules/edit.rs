//! `tidings rules allow|block|polite-block|confirm|remove|list`: one rule for each watcher, by XCAP.

use std::borrow::Cow;

use axum::http::{Method, header};
use documents::common_policy::{
    Condition, OMA_URI as OMA_COMMON_POLICY, Rule, Ruleset, URI as COMMON_POLICY, Who,
};
use documents::pres_rules::{
    self, Attribute, OMA_URI as OMA_PRES_RULES, Permission, SubHandling, URI as PRES_RULES,
};
use presence::authorization::{Asking, Document, decide};

use super::explain::NoLists;
use crate::client_options::{Aor, BOUNDS, ClientOptions};
use crate::exit;
use crate::terminal::clean;
use crate::xcap::{Refusal, Server, in_words, quoted, tag};

/// How often somebody else may have changed the rules meanwhile.
const ATTEMPTS: u32 = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// About whom: an address, @domain, anonymous, everyone
    #[arg(value_name = "WATCHER")]
    watcher: String,
    #[command(flatten)]
    options: ClientOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Allow {
    #[command(flatten)]
    about: Arguments,
    /// Only these attributes, besides open or closed: note,activities,mood,place-is,…
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    options: ClientOptions,
}

pub(crate) fn allow(arguments: &Allow) -> Result<(), Refusal> {
    let transformations = transformations(&arguments.only)?;
    set(&arguments.about, SubHandling::Allow, &transformations)
}

pub(crate) fn refuse(arguments: &Arguments, handling: SubHandling) -> Result<(), Refusal> {
    set(arguments, handling, "")
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    One(Aor),
    Domain(String),
    Anonymous,
    Everyone,
}

impl Meant {
    fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(domain) = text.strip_prefix('@') {
            let is_host = !domain.is_empty()
                && domain
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
            return match is_host {
                true => Ok(Self::Domain(domain.to_ascii_lowercase())),
                false => Err((
                    exit::USAGE,
                    format!("WATCHER: '{}' is no domain", clean(text)),
                )),
            };
        }
        match text {
            "anonymous" => Ok(Self::Anonymous),
            "everyone" => Ok(Self::Everyone),
            _ => Aor::parse(text).map(Self::One).map_err(|why| {
                (
                    exit::USAGE,
                    format!("WATCHER: {why}; also @domain, anonymous, everyone"),
                )
            }),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::One(aor) => aor.shown.clone(),
            Self::Domain(domain) => format!("@{domain}"),
            Self::Anonymous => "anonymous".to_owned(),
            Self::Everyone => "everyone".to_owned(),
        }
    }

    /// Everyone: whom no rule names (OMA), so that a rule about one watcher is not undone by the rule about all.
    fn condition(&self) -> String {
        match self {
            Self::One(aor) => format!("<identity><one id=\"{}\"/></identity>", escaped(&aor.uri)),
            Self::Domain(domain) => {
                format!(
                    "<identity><many domain=\"{}\"/></identity>",
                    escaped(domain)
                )
            }
            Self::Anonymous => "<ocp:anonymous-request/>".to_owned(),
            Self::Everyone => "<ocp:other-identity/>".to_owned(),
        }
    }

    /// Whether a rule is about this, and about nothing else.
    fn is_of(&self, rule: &Rule) -> bool {
        match (self, rule.conditions.as_slice()) {
            (Self::One(aor), [Condition::Identity(who)]) => {
                matches!(who.as_slice(), [Who::One(uri)] if canonical(uri).as_deref() == Some(&aor.uri))
            }
            (Self::Domain(domain), [Condition::Identity(who)]) => matches!(
                who.as_slice(),
                [Who::Many { domain: Some(of), except }] if of.eq_ignore_ascii_case(domain) && except.is_empty()
            ),
            (Self::Anonymous, [Condition::AnonymousRequest])
            | (Self::Everyone, [Condition::OtherIdentity]) => true,
            _ => false,
        }
    }

    /// A name for a new rule: what comes before the @, where that is a name and free.
    fn id(&self, taken: &[Rule]) -> String {
        let shown = self.shown();
        let stem = shown
            .split('@')
            .find(|part| !part.is_empty())
            .unwrap_or("rule");
        let mut stem: String = stem
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        if !xml::is_ncname(&stem) {
            stem.insert(0, 'r');
        }
        let is_free = |id: &str| taken.iter().all(|rule| rule.id != id);
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        std::iter::once(stem.clone())
            .chain(numbered)
            .find(|id| is_free(id))
            .unwrap_or(stem)
    }
}

fn canonical(uri: &str) -> Option<String> {
    Aor::parse(uri).ok().map(|aor| aor.uri)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// What is granted: everything, or services and persons with the attributes that are named.
fn transformations(only: &[String]) -> Result<String, Refusal> {
    let parts = "<pr:provide-devices><pr:all-devices/></pr:provide-devices>\
                 <pr:provide-persons><pr:all-persons/></pr:provide-persons>\
                 <pr:provide-services><pr:all-services/></pr:provide-services>";
    if only.is_empty() {
        return Ok(format!("{parts}<pr:provide-all-attributes/>"));
    }
    let mut out = parts.to_owned();
    for name in only {
        let wanted = format!("provide-{}", name.trim());
        if wanted == "provide-user-input" {
            out.push_str("<pr:provide-user-input>full</pr:provide-user-input>");
            continue;
        }
        let known = Attribute::ALL.iter().find(|(_, name)| *name == wanted);
        let Some((attribute, _)) = known else {
            let names: Vec<&str> = Attribute::ALL
                .iter()
                .filter_map(|(_, name)| name.strip_prefix("provide-"))
                .collect();
            return Err((
                exit::USAGE,
                format!(
                    "--only: '{}' is no attribute; one of {}, user-input",
                    clean(name),
                    names.join(", ")
                ),
            ));
        };
        match (attribute.is_oma(), attribute) {
            (false, _) => out.push_str(&format!("<pr:{wanted}>true</pr:{wanted}>")),
            (true, Attribute::Geopriv) => {
                out.push_str(&format!("<opr:{wanted}>full</opr:{wanted}>"));
            }
            (true, _) => out.push_str(&format!("<opr:{wanted}>true</opr:{wanted}>")),
        }
    }
    Ok(out)
}

/// Rules of one presentity on a server.
struct Rules {
    server: Server,
    /// The document's address below the root.
    path: String,
    owner: Aor,
}

/// As they are there.
struct Found {
    ruleset: Ruleset,
    /// None: there is no document.
    tag: Option<String>,
}

impl Rules {
    fn of(options: &ClientOptions) -> Result<Self, Refusal> {
        let Some(identity) = &options.identity else {
            let why = "--as AOR is missing: whose rules? --as alice@example.com".to_owned();
            return Err((exit::USAGE, why));
        };
        let owner = Aor::parse(identity).map_err(|why| (exit::USAGE, format!("--as: {why}")))?;
        Ok(Self {
            server: Server::of(options)?,
            path: format!("pres-rules/users/{}/index", owner.uri),
            owner,
        })
    }

    fn find(&self) -> Result<Found, Refusal> {
        let answer = self
            .server
            .ask(Method::GET, &self.path, Vec::new(), Vec::new())?;
        match answer.status {
            200 => {
                let ruleset = Ruleset::read(&answer.body, &BOUNDS)
                    .map_err(|why| (exit::FAILED, format!("{}: {why}", self.path)))?;
                Ok(Found {
                    ruleset,
                    tag: tag(&answer),
                })
            }
            404 => Ok(Found {
                ruleset: Ruleset::default(),
                tag: None,
            }),
            status => Err((
                exit::REFUSED,
                in_words(status, &String::from_utf8_lossy(&answer.body)),
            )),
        }
    }

    /// Her other documents of rules, which count as much (RFC 5025 §9.7); none where the server keeps no directory.
    fn others(&self) -> Result<Vec<(String, Ruleset)>, Refusal> {
        let get = |path: &str| {
            let answer = self.server.ask(Method::GET, path, Vec::new(), Vec::new())?;
            Ok((answer.status == 200).then_some(answer.body))
        };
        let user = &self.owner.uri;
        let directory = get(&format!(
            "org.openmobilealliance.xcap-directory/users/{user}/directory.xml"
        ))?;
        let Some(directory) = directory.and_then(|text| xml::read(&text, &BOUNDS).ok()) else {
            return Ok(Vec::new());
        };
        let mut others = Vec::new();
        for folder in directory.elements() {
            let auid = folder.attribute("auid").unwrap_or_default();
            if !matches!(auid, "pres-rules" | "org.openmobilealliance.pres-rules") {
                continue;
            }
            let uris = folder.elements().filter_map(|entry| entry.attribute("uri"));
            for document in uris.filter_map(document_of) {
                let path = format!("{auid}/users/{user}/{document}");
                if path != self.path
                    && let Some(text) = get(&path)?
                    && let Ok(ruleset) = Ruleset::read(&text, &BOUNDS)
                {
                    others.push((format!("{auid}/{document}"), ruleset));
                }
            }
        }
        Ok(others)
    }

    /// Changes one rule where the document is still as it was found; `false`: it is not.
    fn change(&self, found: &Found, id: &str, rule: Option<&str>) -> Result<bool, Refusal> {
        let namespaces = format!(
            "xmlns=\"{COMMON_POLICY}\" xmlns:pr=\"{PRES_RULES}\" xmlns:ocp=\"{OMA_COMMON_POLICY}\" xmlns:opr=\"{OMA_PRES_RULES}\""
        );
        let node = format!(
            "{}/~~/cp:ruleset/cp:rule[@id=\"{id}\"]?xmlns(cp={COMMON_POLICY})",
            self.path
        );
        let condition = match &found.tag {
            Some(tag) => (header::IF_MATCH, quoted(tag)),
            None => (header::IF_NONE_MATCH, "*".to_owned()),
        };
        let answer = match (rule, &found.tag) {
            (None, _) => self
                .server
                .ask(Method::DELETE, &node, vec![condition], Vec::new())?,
            (Some(rule), Some(_)) => {
                let rule = rule.replacen("<rule", &format!("<rule {namespaces}"), 1);
                let kind = (header::CONTENT_TYPE, xcap::ELEMENT.to_owned());
                self.server
                    .ask(Method::PUT, &node, vec![condition, kind], rule.into_bytes())?
            }
            (Some(rule), None) => {
                let document = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ruleset {namespaces}>\n  {rule}\n</ruleset>\n"
                );
                let kind = (
                    header::CONTENT_TYPE,
                    documents::common_policy::MEDIA_TYPE.to_owned(),
                );
                self.server.ask(
                    Method::PUT,
                    &self.path,
                    vec![condition, kind],
                    document.into_bytes(),
                )?
            }
        };
        match answer.status {
            200..=299 => Ok(true),
            412 => Ok(false),
            status => Err((
                exit::REFUSED,
                in_words(status, &String::from_utf8_lossy(&answer.body)),
            )),
        }
    }
}

fn set(arguments: &Arguments, handling: SubHandling, transformations: &str) -> Result<(), Refusal> {
    let meant = Meant::parse(&arguments.watcher)?;
    let rules = Rules::of(&arguments.options)?;
    for _ in 0..ATTEMPTS {
        let found = rules.find()?;
        let own = found.ruleset.rules.iter().find(|rule| meant.is_of(rule));
        let id = own.map_or_else(|| meant.id(&found.ruleset.rules), |rule| rule.id.clone());
        let granted = match transformations {
            "" => String::new(),
            granted => format!("<transformations>{granted}</transformations>"),
        };
        let rule = format!(
            "<rule id=\"{}\"><conditions>{}</conditions><actions><pr:sub-handling>{}</pr:sub-handling></actions>{granted}</rule>",
            escaped(&id),
            meant.condition(),
            handling.name()
        );
        if rules.change(&found, &id, Some(&rule))? {
            println!("{}: {}", clean(&meant.shown()), handling.name());
            return warn_of_others(&rules, &meant, handling);
        }
    }
    Err((
        exit::FAILED,
        "somebody else changes these rules all the time; try again".to_owned(),
    ))
}

/// What follows the user in the address of a document.
fn document_of(uri: &str) -> Option<&str> {
    let (_, below) = uri.split_once("/users/")?;
    let (_, document) = below.split_once('/')?;
    Some(document)
}

/// Rules add up (RFC 4745 §10): another one that means her too may give more than what was asked for.
fn warn_of_others(rules: &Rules, meant: &Meant, wanted: SubHandling) -> Result<(), Refusal> {
    let Meant::One(watcher) = meant else {
        return Ok(());
    };
    let found = rules.find()?;
    let identities = [watcher.uri.clone()];
    let asking = Asking {
        identities: &identities,
        sphere: None,
        now: client::Clock::new().wall(),
        canonical: &|uri| canonical(uri).map(Cow::Owned),
        lists: &NoLists,
    };
    let others = rules.others()?;
    let others = others
        .iter()
        .map(|(name, ruleset)| (name.as_str(), ruleset));
    let documents: Vec<Document<'_>> = std::iter::once(("index", &found.ruleset))
        .chain(others)
        .map(|(name, ruleset)| Document { name, ruleset })
        .collect();
    let decision = decide(&asking, &documents);
    if decision.handling == Some(wanted) {
        return Ok(());
    }
    let others: Vec<&str> = decision
        .rules
        .iter()
        .filter(|rule| rule.applies && rule.handling > Some(wanted))
        .map(|rule| rule.id.as_str())
        .collect();
    eprintln!(
        "tidings: {} still gets {}: rules add up, and {} means her too; tidings rules explain {} --as {}",
        clean(&watcher.shown),
        decision
            .handling
            .map_or("the server's default", SubHandling::name),
        clean(&others.join(", ")),
        clean(&watcher.shown),
        rules.owner.shown
    );
    Ok(())
}

pub(crate) fn remove(arguments: &Arguments) -> Result<(), Refusal> {
    let meant = Meant::parse(&arguments.watcher)?;
    let rules = Rules::of(&arguments.options)?;
    for _ in 0..ATTEMPTS {
        let found = rules.find()?;
        let Some(rule) = found.ruleset.rules.iter().find(|rule| meant.is_of(rule)) else {
            return Err((
                exit::REFUSED,
                format!(
                    "{}: there is no rule about just this",
                    clean(&meant.shown())
                ),
            ));
        };
        if rules.change(&found, &rule.id, None)? {
            println!("{}: removed", clean(&meant.shown()));
            return Ok(());
        }
    }
    Err((
        exit::FAILED,
        "somebody else changes these rules all the time; try again".to_owned(),
    ))
}

pub(crate) fn list(arguments: &List) -> Result<(), Refusal> {
    let rules = Rules::of(&arguments.options)?;
    let found = rules.find()?;
    let others = rules.others()?;
    let mut all = others.iter().map(|(_, ruleset)| ruleset);
    if found.ruleset.rules.is_empty() && all.all(|ruleset| ruleset.rules.is_empty()) {
        eprintln!(
            "{} has no rules; the server's default_handling decides",
            rules.owner.shown
        );
    }
    for rule in &found.ruleset.rules {
        println!("{}", listed(rule));
    }
    for (name, ruleset) in &others {
        for rule in &ruleset.rules {
            println!("{}  of {}", listed(rule), clean(name));
        }
    }
    Ok(())
}

fn listed(rule: &Rule) -> String {
    let who: Vec<String> = rule.conditions.iter().map(named).collect();
    let who = match who.is_empty() {
        true => "always".to_owned(),
        false => who.join(" and "),
    };
    // RFC 5025 §3.2.1: without sub-handling it is block.
    let handling = pres_rules::sub_handling(rule).unwrap_or_default();
    let granted = pres_rules::permissions(rule);
    let sees = match handling {
        SubHandling::Allow if granted.contains(&Permission::AllAttributes) => {
            "  everything".to_owned()
        }
        SubHandling::Allow => {
            let names: Vec<&str> = granted
                .iter()
                .filter_map(|permission| match permission {
                    Permission::Attribute(attribute) => {
                        attribute.transformation().strip_prefix("provide-")
                    }
                    Permission::UserInput(_) => Some("user-input"),
                    _ => None,
                })
                .collect();
            format!(
                "  only {}",
                if names.is_empty() {
                    "open or closed".to_owned()
                } else {
                    names.join(", ")
                }
            )
        }
        _ => String::new(),
    };
    clean(&format!(
        "{:<14} {who:<32} rule {}{sees}",
        handling.name(),
        rule.id
    ))
}

fn named(condition: &Condition) -> String {
    match condition {
        Condition::Identity(who) => who
            .iter()
            .map(|who| match who {
                Who::One(uri) => uri.strip_prefix("sip:").unwrap_or(uri).to_owned(),
                Who::Many { domain, except } => {
                    let of = domain
                        .as_ref()
                        .map_or_else(|| "anybody".to_owned(), |domain| format!("@{domain}"));
                    match except.len() {
                        0 => of,
                        but => format!("{of} but {but}"),
                    }
                }
                Who::Unknown(what) => format!("unknown {what}"),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Condition::Sphere(spheres) => format!("sphere {}", spheres.join(", ")),
        Condition::Validity(_) => "at times".to_owned(),
        Condition::ExternalList(lists) => format!("list {}", lists.join(", ")),
        Condition::OtherIdentity => "everyone".to_owned(),
        Condition::AnonymousRequest => "anonymous".to_owned(),
        Condition::Unknown(what) => format!("unknown {what}"),
    }
}
