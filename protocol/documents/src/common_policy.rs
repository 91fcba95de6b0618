//! Common policy, RFC 4745, with OMA's conditions: rulesets, whatever their rules are about.
//!
//! A ruleset only ever permits. So whatever cannot be understood is read as what permits nothing: a condition as one that is never
//! fulfilled, a permission as not given.

use std::fmt;

use xml::{Bounds, Element, Malformed, Namespace};

use crate::timestamp;
use crate::value::collapse;

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:common-policy";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);
/// The name of the namespace of OMA's conditions.
pub const OMA_URI: &str = "urn:oma:xml:xdm:common-policy";

/// The media type of a ruleset.
pub const MEDIA_TYPE: &str = "application/auth-policy+xml";

/// A ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// In the order of the document, which means nothing (RFC 4745 §10).
    pub rules: Vec<Rule>,
}

/// One rule (RFC 4745 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in the document.
    pub id: String,
    /// All of them must be fulfilled; without any the rule always applies.
    pub conditions: Vec<Condition>,
    /// What is inside `actions`.
    pub actions: Vec<Element>,
    /// What is inside `transformations`.
    pub transformations: Vec<Element>,
}

/// What must hold for a rule to apply (RFC 4745 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// §7.1: any of these.
    Identity(Vec<Who>),
    /// §7.2: the presentity is in one of these spheres.
    Sphere(Vec<String>),
    /// §7.3: now is within one of these spans, in milliseconds since 1970, the end not included.
    Validity(Vec<(i64, i64)>),
    /// OMA: the watcher is in one of these lists, named by their XCAP URIs.
    ExternalList(Vec<String>),
    /// OMA: no rule that names somebody, or a list, applies.
    OtherIdentity,
    /// OMA: nobody knows who asks.
    AnonymousRequest,
    /// What no standard that we know defines, or what cannot be read: never fulfilled (RFC 4745 §13). Its name.
    Unknown(String),
}

/// Who is meant (RFC 4745 §7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// This one.
    One(String),
    /// Everybody who is known, of a domain where one is named, but for these.
    Many {
        /// The domain; none: of any.
        domain: Option<String>,
        /// But for these.
        except: Vec<Except>,
    },
    /// What cannot be understood: nobody.
    Unknown(String),
}

/// Who is not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Except {
    /// This one.
    One(String),
    /// Everybody of this domain.
    Domain(String),
}

/// Why bytes are no ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No XML as it must be.
    Malformed(Malformed),
    /// XML, but something else.
    NotRuleset(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NotRuleset(name) => write!(f, "the root is {name}, not a ruleset of {URI}"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Ruleset {
    /// Reads a ruleset.
    ///
    /// # Errors
    /// It is no XML, or another document.
    pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Self, Unreadable> {
        let root = xml::read(bytes, bounds).map_err(Unreadable::Malformed)?;
        if !root.is(URI, "ruleset") {
            let name = root.name.local.chars().filter(|c| !c.is_control());
            return Err(Unreadable::NotRuleset(name.take(80).collect()));
        }
        let rules = root.elements().filter(|child| child.is(URI, "rule"));
        Ok(Self {
            rules: rules.map(Rule::read).collect(),
        })
    }
}

impl Rule {
    fn read(rule: &Element) -> Self {
        let inside = |local: &str| -> Vec<Element> {
            rule.elements()
                .filter(|part| part.is(URI, local))
                .flat_map(Element::elements)
                .cloned()
                .collect()
        };
        let conditions = rule
            .elements()
            .filter(|part| part.is(URI, "conditions"))
            .flat_map(Element::elements);
        Self {
            id: rule.attribute("id").unwrap_or_default().to_owned(),
            conditions: conditions.map(Condition::read).collect(),
            actions: inside("actions"),
            transformations: inside("transformations"),
        }
    }
}

impl Condition {
    fn read(condition: &Element) -> Self {
        let known = match (condition.name.namespace.as_str(), &*condition.name.local) {
            (URI, "identity") => Some(Self::Identity(
                condition.elements().map(Who::read).collect(),
            )),
            (URI, "sphere") => condition.attribute("value").map(|spheres| {
                Self::Sphere(
                    spheres
                        .split_ascii_whitespace()
                        .map(str::to_owned)
                        .collect(),
                )
            }),
            (URI, "validity") => validity(condition).map(Self::Validity),
            (OMA_URI, "external-list") => {
                let anchors = condition
                    .elements()
                    .filter(|entry| entry.is(OMA_URI, "entry"))
                    .filter_map(|entry| entry.attribute("anc"));
                Some(Self::ExternalList(anchors.map(collapse).collect()))
            }
            (OMA_URI, "other-identity") => Some(Self::OtherIdentity),
            (OMA_URI, "anonymous-request") => Some(Self::AnonymousRequest),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown(condition.name.local.to_string()))
    }
}

/// Pairs of `from` and `until`; anything else is no validity.
fn validity(condition: &Element) -> Option<Vec<(i64, i64)>> {
    let moments: Vec<&Element> = condition.elements().collect();
    let spans = moments.chunks(2).map(|pair| {
        let [from, until] = pair else { return None };
        let of = |moment: &Element, local: &str| {
            let text = moment.is(URI, local).then(|| collapse(&moment.text()))?;
            timestamp::parse(&text)
        };
        Some((of(from, "from")?, of(until, "until")?))
    });
    spans.collect()
}

impl Who {
    fn read(who: &Element) -> Self {
        let id = |element: &Element| element.attribute("id").map(collapse);
        let domain = |element: &Element| element.attribute("domain").map(collapse);
        let known = match &*who.name.local {
            _ if who.name.namespace != NAMESPACE => None,
            "one" => id(who).map(Self::One),
            "many" => {
                // An exception that cannot be understood could be anybody: then nobody is meant.
                let except = who.elements().map(|except| {
                    let is_except = except.is(URI, "except");
                    match (id(except), domain(except)) {
                        (Some(id), None) if is_except => Some(Except::One(id)),
                        (None, Some(domain)) if is_except => Some(Except::Domain(domain)),
                        _ => None,
                    }
                });
                let except: Option<Vec<Except>> = except.collect();
                except.map(|except| Self::Many {
                    domain: domain(who),
                    except,
                })
            }
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown(who.name.local.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(inside: &str) -> Vec<Condition> {
        let text = format!(
            "<cp:ruleset xmlns:cp=\"{URI}\" xmlns:oma=\"{OMA_URI}\"><cp:rule id=\"a\"><cp:conditions>{inside}</cp:conditions>\
             </cp:rule></cp:ruleset>"
        );
        let ruleset = Ruleset::read(text.as_bytes(), &Bounds::TRUSTED).unwrap();
        ruleset.rules[0].conditions.clone()
    }

    #[test]
    fn identities_are_read_with_their_exceptions() {
        let read = conditions(
            "<cp:identity><cp:one id=' sip:bob@example.com'/><cp:many domain='example.org'><cp:except id='tel:+1'/>\
             <cp:except domain='bad.example.org'/></cp:many><cp:many/></cp:identity>",
        );
        let many = |domain: Option<&str>, except| Who::Many {
            domain: domain.map(str::to_owned),
            except,
        };
        let except = vec![
            Except::One("tel:+1".to_owned()),
            Except::Domain("bad.example.org".to_owned()),
        ];
        assert_eq!(
            read,
            [Condition::Identity(vec![
                Who::One("sip:bob@example.com".to_owned()),
                many(Some("example.org"), except),
                many(None, Vec::new()),
            ])]
        );
    }

    #[test]
    fn what_is_not_understood_means_nobody() {
        let nobody = |name: &str| Who::Unknown(name.to_owned());
        assert_eq!(
            conditions(
                "<cp:identity><cp:one/><oma:one id='a'/><cp:many><cp:except/></cp:many><cp:some/></cp:identity><cp:sphere/>\
                 <cp:validity><cp:from>2026-01-01T00:00:00Z</cp:from></cp:validity><oma:weather/>"
            ),
            [
                Condition::Identity(vec![
                    nobody("one"),
                    nobody("one"),
                    nobody("many"),
                    nobody("some")
                ]),
                Condition::Unknown("sphere".to_owned()),
                Condition::Unknown("validity".to_owned()),
                Condition::Unknown("weather".to_owned()),
            ]
        );
    }

    #[test]
    fn other_conditions_are_read() {
        assert_eq!(
            conditions(
                "<cp:sphere value='home work'/><cp:validity><cp:from>1970-01-01T00:00:01Z</cp:from><cp:until>1970-01-01T00:00:02Z\
                 </cp:until></cp:validity><oma:external-list><oma:entry anc='http://x/a'/></oma:external-list><oma:other-identity/>\
                 <oma:anonymous-request/>"
            ),
            [
                Condition::Sphere(vec!["home".to_owned(), "work".to_owned()]),
                Condition::Validity(vec![(1000, 2000)]),
                Condition::ExternalList(vec!["http://x/a".to_owned()]),
                Condition::OtherIdentity,
                Condition::AnonymousRequest,
            ]
        );
    }

    #[test]
    fn another_document_is_named() {
        let wrong = Ruleset::read(b"<presence/>", &Bounds::TRUSTED).unwrap_err();
        assert!(wrong.to_string().starts_with("the root is presence, not"));
    }
}
