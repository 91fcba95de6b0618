//! A decision about one watcher as JSON, which the server answers and the commands print, and in words.

use documents::common_policy::Ruleset;
use documents::pres_rules::{Part, Permission, SubHandling};
use documents::schema::usages::{GLOBALS, RULESET};
use presence::authorization::{Decision, Withheld};
use serde_json::{Value, json};
use xml::Bounds;

use crate::terminal::clean;

/// The rules, if a server would store them.
pub(crate) fn read_rules(bytes: &[u8], bounds: &Bounds) -> Result<Ruleset, String> {
    let root = xml::read(bytes, bounds).map_err(|malformed| malformed.to_string())?;
    documents::schema::check(&root, &RULESET, GLOBALS).map_err(|invalid| invalid.to_string())?;
    Ruleset::read(bytes, bounds).map_err(|unreadable| unreadable.to_string())
}

/// What becomes of a decision.
pub(crate) struct Outcome<'a> {
    /// About whom.
    pub(crate) watcher: &'a str,
    pub(crate) decision: &'a Decision,
    /// What holds where no rule applies; none: nobody here knows.
    pub(crate) default: Option<&'static str>,
    pub(crate) is_presentity: bool,
    /// Everything that is published; none: not asked for.
    pub(crate) published: Option<&'a [u8]>,
    pub(crate) seen: Option<&'a [u8]>,
    pub(crate) withheld: &'a [Withheld],
}

pub(crate) fn as_json(outcome: &Outcome<'_>) -> Value {
    let decision = outcome.decision;
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
    let withheld: Vec<Value> = outcome
        .withheld
        .iter()
        .map(|withheld| json!({ "of": withheld.of, "what": withheld.what, "missing": withheld.missing }))
        .collect();
    let by_rules = decision.handling.map(SubHandling::name);
    let handling = match (outcome.is_presentity, by_rules, outcome.default) {
        (true, _, _) => "allow",
        (false, Some(handling), _) => handling,
        (false, None, Some(default)) => default,
        (false, None, None) => "default",
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "watcher": outcome.watcher,
        "handling": handling,
        "by_default": by_rules.is_none() && !outcome.is_presentity,
        "is_presentity": outcome.is_presentity,
        "rules": rules,
        "granted": decision.permissions.granted().map(granted).collect::<Vec<_>>(),
        "until": decision.until.map(documents::timestamp::format),
        "published": outcome.published.map(text),
        "sees": outcome.seen.map(text),
        "withheld": withheld,
    })
}

/// The transformation that grants it, and of which services, persons or devices.
fn granted(permission: &Permission) -> String {
    let of = |kind: &str, part: &Part| match part {
        Part::All => kind.to_owned(),
        Part::Class(of) => format!("{kind} of class {of}"),
        Part::OccurrenceId(of) => format!("{kind} of occurrence-id {of}"),
        Part::DeviceId(of) => format!("{kind} of deviceID {of}"),
        Part::ServiceUri(of) => format!("{kind} of service-uri {of}"),
        Part::ServiceUriScheme(of) => format!("{kind} of service-uri-scheme {of}"),
        Part::ServiceId(of) => format!("{kind} of service-id {of}"),
    };
    match permission {
        Permission::Services(part) => of("provide-services", part),
        Permission::Persons(part) => of("provide-persons", part),
        Permission::Devices(part) => of("provide-devices", part),
        Permission::AllAttributes => "provide-all-attributes".to_owned(),
        Permission::Attribute(attribute) => attribute.transformation().to_owned(),
        Permission::UserInput(_) => "provide-user-input".to_owned(),
        Permission::Unknown { namespace, name } => {
            format!("provide-unknown-attribute {name} of {namespace}")
        }
    }
}

/// What comes of it, in a few words.
fn meaning(value: &Value) -> &'static str {
    let by_default = value["by_default"] == true;
    match value["handling"].as_str().unwrap_or_default() {
        _ if value["is_presentity"] == true => "it is the presentity herself, who sees everything",
        "allow" if by_default => "no rule applies, and by default everything is seen",
        "polite-block" if by_default => "no rule applies, and by default nobody is there",
        "confirm" if by_default => {
            "no rule applies, and by default nothing is seen until it is decided"
        }
        "block" if by_default => "no rule applies, and by default she is refused",
        "allow" => "sees what is granted",
        "polite-block" => "sees somebody who is not there",
        "confirm" => "sees nothing until it is decided",
        "block" => "is refused",
        _ => "no rule applies: the server's default_handling decides",
    }
}

pub(crate) fn in_words(value: &Value) -> Vec<String> {
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "{:<14} {}: {}",
        text(&value["handling"]),
        text(&value["watcher"]),
        meaning(value)
    )];
    lines.extend(list(&value["rules"]).iter().map(rule_in_words));
    if let Some(until) = value["until"].as_str() {
        lines.push(format!("until          {}", clean(until)));
    }
    if let Some(document) = value["sees"].as_str() {
        lines.push("sees".to_owned());
        lines.extend(document.lines().map(|line| format!("  {}", clean(line))));
    }
    let withheld = list(&value["withheld"]);
    if !withheld.is_empty() {
        lines.push("withheld".to_owned());
    }
    for one in &withheld {
        let of = one["of"].as_str().filter(|of| !of.is_empty());
        let of = of.map_or_else(String::new, |of| format!(" of {}", clean(of)));
        lines.push(format!(
            "  {}{of} for want of {}",
            text(&one["what"]),
            text(&one["missing"])
        ));
    }
    lines
}

fn rule_in_words(rule: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = rule["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Vec<String> = conditions
        .iter()
        .map(|condition| {
            let mark = if condition["fulfilled"] == true {
                ""
            } else {
                "not "
            };
            clean(&format!(
                "{mark}{} ({})",
                text(&condition["condition"]),
                text(&condition["why"])
            ))
        })
        .collect();
    let verdict = match (rule["applies"] == true, rule["overruled"] == true) {
        // RFC 5025 §3.2.1: without sub-handling it is block.
        (true, _) => format!("applies: {}", rule["handling"].as_str().unwrap_or("block")),
        (_, true) => "gives way to a rule that means her more closely".to_owned(),
        _ => "does not apply".to_owned(),
    };
    let conditions = match conditions.is_empty() {
        true => "no conditions".to_owned(),
        false => conditions.join(", "),
    };
    format!(
        "  rule {:<8} {verdict}; {conditions}",
        clean(&text(&rule["id"]))
    )
}
