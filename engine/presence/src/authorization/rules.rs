//! Which rules apply to a watcher, and what they say together.

use documents::common_policy::{Condition, Except, Rule, Ruleset, Who};
use documents::pres_rules::{self, SubHandling};
use machine::Wall;

use super::Permissions;

/// Who asks, and when.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Canonical addresses of record of the watcher, any of which may be meant (standards C9: sip and tel). Empty: anonymous.
    pub identities: &'a [String],
    /// The sphere that the presentity is in, where all that she publishes agrees on one (RFC 5025 §3.1.2).
    pub sphere: Option<&'a str>,
    /// The time, for `validity`.
    pub now: Wall,
    /// The canonical address of record that a URI in a rule means; none: no user's.
    pub canonical: &'a dyn Fn(&str) -> Option<String>,
    /// Lists that rules refer to.
    pub lists: &'a dyn Lists,
}

/// Lists that rules refer to.
pub trait Lists {
    /// Whether any of these is in the list with this XCAP URI.
    fn holds(&self, list: &str, identities: &[String]) -> Listed;
}

/// Whether somebody is in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// In it: whose list it is, and how it was found.
    Yes(String),
    /// Not in it.
    No,
    /// Nobody knows, so nobody is meant: why.
    Unavailable(String),
}

/// A document with rules.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// What it says.
    pub ruleset: &'a Ruleset,
}

/// What the rules give a watcher, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of a SUBSCRIBE; none: no rule applies, and the default does.
    pub handling: Option<SubHandling>,
    /// What may be seen where that is allowed.
    pub permissions: Permissions,
    /// Each rule, in order of the documents.
    pub rules: Vec<RuleSaid>,
    /// When a `validity` begins or ends next, in milliseconds since 1970: the decision may be another one from then on.
    pub until: Option<i64>,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSaid {
    /// The document that it stands in.
    pub document: String,
    /// Its id there.
    pub id: String,
    /// Each of its conditions.
    pub conditions: Vec<Fulfilled>,
    /// It applies.
    pub applies: bool,
    /// It would, but a rule that means the watcher more closely does (OMA).
    pub is_overruled: bool,
    /// What it says becomes of a SUBSCRIBE.
    pub handling: Option<SubHandling>,
}

/// What became of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fulfilled {
    /// As people call it: "identity", "sphere", …
    pub condition: String,
    /// Whether it is.
    pub is: bool,
    /// By what, or why not.
    pub why: String,
}

/// How closely a rule means somebody: of those that are fulfilled only the closest count, beside those that name nobody (OMA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Others,
    Listed,
    Named,
}

/// Decides about a watcher.
pub fn decide(asking: &Asking<'_>, documents: &[Document<'_>]) -> Decision {
    let mut rules: Vec<(RuleSaid, &Rule, Option<Closeness>)> = Vec::new();
    let mut until = None;
    for document in documents {
        for rule in &document.ruleset.rules {
            let conditions: Vec<Fulfilled> = rule
                .conditions
                .iter()
                .map(|condition| fulfilled(asking, condition))
                .collect();
            let applies = conditions.iter().all(|condition| condition.is);
            until = earlier(until, next_change(rule, asking.now));
            let said = RuleSaid {
                document: document.name.to_owned(),
                id: rule.id.clone(),
                conditions,
                applies,
                is_overruled: false,
                handling: pres_rules::sub_handling(rule),
            };
            rules.push((said, rule, closeness(rule)));
        }
    }
    let applying = rules.iter().filter(|(said, ..)| said.applies);
    let closest = applying.filter_map(|(_, _, closeness)| *closeness).max();
    let mut decision = Decision {
        handling: None,
        permissions: Permissions::default(),
        rules: Vec::with_capacity(rules.len()),
        until,
    };
    for (mut said, rule, closeness) in rules {
        if said.applies && closeness.is_some() && closeness < closest {
            (said.applies, said.is_overruled) = (false, true);
        }
        if said.applies {
            // RFC 4745 §10.2: the greatest value; RFC 5025 §3.2.1: a rule that says nothing of it gives "block".
            let handling = said.handling.unwrap_or_default();
            decision.handling = decision.handling.max(Some(handling));
            pres_rules::permissions(rule)
                .into_iter()
                .for_each(|permission| decision.permissions.grant(permission));
        }
        decision.rules.push(said);
    }
    decision
}

fn closeness(rule: &Rule) -> Option<Closeness> {
    let of = |condition: &Condition| match condition {
        Condition::Identity(_) => Some(Closeness::Named),
        Condition::ExternalList(_) => Some(Closeness::Listed),
        Condition::OtherIdentity => Some(Closeness::Others),
        _ => None,
    };
    rule.conditions.iter().filter_map(of).max()
}

fn earlier(one: Option<i64>, two: Option<i64>) -> Option<i64> {
    one.into_iter().chain(two).min()
}

fn next_change(rule: &Rule, now: Wall) -> Option<i64> {
    let now = millis(now);
    let spans = rule
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            Condition::Validity(spans) => Some(spans),
            _ => None,
        });
    spans
        .flatten()
        .flat_map(|(from, until)| [*from, *until])
        .filter(|at| *at > now)
        .min()
}

fn millis(wall: Wall) -> i64 {
    i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)
}

fn fulfilled(asking: &Asking<'_>, condition: &Condition) -> Fulfilled {
    let anonymous = asking.identities.is_empty();
    let (name, outcome) = match condition {
        // RFC 4745 §7.1.1: who is not known is neither one nor one of many.
        Condition::Identity(_) if anonymous => {
            ("identity", Err("nobody knows who asks".to_owned()))
        }
        Condition::Identity(all) => ("identity", identity(asking, all)),
        Condition::Sphere(spheres) => ("sphere", sphere(asking.sphere, spheres)),
        Condition::Validity(spans) => ("validity", validity(millis(asking.now), spans)),
        Condition::ExternalList(_) if anonymous => {
            ("external-list", Err("nobody knows who asks".to_owned()))
        }
        Condition::ExternalList(lists) => ("external-list", external_list(asking, lists)),
        Condition::OtherIdentity if anonymous => {
            ("other-identity", Err("nobody knows who asks".to_owned()))
        }
        Condition::OtherIdentity => ("other-identity", Ok("somebody".to_owned())),
        Condition::AnonymousRequest if anonymous => {
            ("anonymous-request", Ok("nobody knows who asks".to_owned()))
        }
        Condition::AnonymousRequest => ("anonymous-request", Err("who asks is known".to_owned())),
        Condition::Unknown(name) => (name.as_str(), Err("not understood".to_owned())),
    };
    let (is, why) = match outcome {
        Ok(why) => (true, why),
        Err(why) => (false, why),
    };
    Fulfilled {
        condition: name.to_owned(),
        is,
        why,
    }
}

fn identity(asking: &Asking<'_>, all: &[Who]) -> Result<String, String> {
    for who in all {
        for identity in asking.identities {
            match who {
                Who::One(one) if (asking.canonical)(one).as_ref() == Some(identity) => {
                    return Ok(identity.clone());
                }
                Who::Many { domain, except }
                    if is_one_of(asking, identity, domain.as_deref(), except) =>
                {
                    return Ok(match domain {
                        Some(domain) => format!("{identity}, of {domain}"),
                        None => format!("{identity}, of everybody"),
                    });
                }
                Who::One(_) | Who::Many { .. } | Who::Unknown(_) => {}
            }
        }
    }
    Err(format!("{} is not meant", asking.identities.join(", ")))
}

/// An exception of any of her identities counts for all: she who is excepted does not come in by another name.
fn is_one_of(asking: &Asking<'_>, identity: &str, domain: Option<&str>, except: &[Except]) -> bool {
    let excepted = asking.identities.iter().any(|known| {
        except.iter().any(|except| match except {
            Except::One(one) => (asking.canonical)(one).as_ref() == Some(known),
            Except::Domain(domain) => is_of(known, domain),
        })
    });
    !excepted && domain.is_none_or(|domain| is_of(identity, domain))
}

fn is_of(identity: &str, domain: &str) -> bool {
    let host = identity.rsplit_once('@').map(|(_, host)| host);
    host.is_some_and(|host| host.eq_ignore_ascii_case(domain))
}

fn sphere(sphere: Option<&str>, spheres: &[String]) -> Result<String, String> {
    match sphere {
        Some(sphere) if spheres.iter().any(|one| one == sphere) => Ok(sphere.to_owned()),
        Some(sphere) => Err(format!("the sphere is {sphere}")),
        // RFC 5025 §3.1.2: undefined is false.
        None => Err("the sphere is not defined".to_owned()),
    }
}

fn validity(now: i64, spans: &[(i64, i64)]) -> Result<String, String> {
    let holds = spans
        .iter()
        .find(|(from, until)| (*from..*until).contains(&now));
    match holds {
        Some((_, until)) => Ok(format!("until {}", documents::timestamp::format(*until))),
        None => Err("not now".to_owned()),
    }
}

fn external_list(asking: &Asking<'_>, lists: &[String]) -> Result<String, String> {
    let mut why = "in no list".to_owned();
    for list in lists {
        match asking.lists.holds(list, asking.identities) {
            Listed::Yes(whence) => return Ok(format!("in {list}, {whence}")),
            Listed::No => {}
            Listed::Unavailable(reason) => why = format!("{list}: {reason}"),
        }
    }
    Err(why)
}
