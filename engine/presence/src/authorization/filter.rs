//! What is left of a document for a watcher. Nothing leaves that is not granted: an element is kept because a permission covers it,
//! never because none forbids it.

use documents::pidf::{Presence, URI as PIDF};
use documents::pres_rules::{Attribute, Part, Permission, UserInput};
use documents::{data_model, oma_pres, rpid, timed_status};
use xml::{Element, Node};

use super::Permissions;

/// `geopriv` (RFC 4119): location.
const GEOPRIV: &str = "urn:ietf:params:xml:ns:pidf:geopriv10";

/// Something that a watcher does not see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withheld {
    /// The service, person or device that it belongs to, by kind and id; empty: the document.
    pub of: String,
    /// The element.
    pub what: String,
    /// Which transformation would show it.
    pub missing: String,
}

/// What a watcher sees of a document, and what not.
pub fn filter(presence: &Presence, permissions: &Permissions) -> (Presence, Vec<Withheld>) {
    if permissions.is_everything() {
        return (presence.clone(), Vec::new());
    }
    let mut filtering = Filtering {
        permissions,
        withheld: Vec::new(),
    };
    let seen = Presence {
        entity: presence.entity.clone(),
        tuples: filtering.components(&presence.tuples, Kind::Tuple),
        persons: filtering.components(&presence.persons, Kind::Person),
        devices: filtering.components(&presence.devices, Kind::Device),
        notes: presence
            .notes
            .iter()
            .filter(|note| filtering.keeps(note, "", false))
            .cloned()
            .collect(),
        others: presence
            .others
            .iter()
            // It belongs to no service, person or device: "all attributes" are theirs (RFC 5025 §3.3.2.15).
            .filter(|other| filtering.keeps(other, "", true))
            .cloned()
            .collect(),
    };
    (seen, filtering.withheld)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tuple,
    Person,
    Device,
}

impl Kind {
    const fn transformation(self) -> &'static str {
        match self {
            Self::Tuple => "provide-services",
            Self::Person => "provide-persons",
            Self::Device => "provide-devices",
        }
    }

    fn part(self, permission: &Permission) -> Option<&Part> {
        match (self, permission) {
            (Self::Tuple, Permission::Services(part))
            | (Self::Person, Permission::Persons(part))
            | (Self::Device, Permission::Devices(part)) => Some(part),
            _ => None,
        }
    }
}

struct Filtering<'p> {
    permissions: &'p Permissions,
    withheld: Vec<Withheld>,
}

impl Filtering<'_> {
    fn components(&mut self, all: &[Element], kind: Kind) -> Vec<Element> {
        let mut seen = Vec::new();
        for component in all {
            let of = format!(
                "{} {}",
                component.name.local,
                component.attribute("id").unwrap_or_default()
            );
            let mut parts = self.permissions.parts(|permission| kind.part(permission));
            if parts.any(|part| is_meant(part, component)) {
                seen.push(self.component(component, kind, &of));
            } else {
                self.withheld.push(Withheld {
                    of: String::new(),
                    what: of,
                    missing: kind.transformation().to_owned(),
                });
            }
        }
        seen
    }

    /// What identifies a service, person or device and says when comes with it; the rest needs its permission.
    fn component(&mut self, component: &Element, kind: Kind, of: &str) -> Element {
        let mut seen = bare(component);
        for child in component.elements() {
            let identifies = data_model::is_timestamp(child)
                || match kind {
                    Kind::Tuple => {
                        child.is(PIDF, "contact") || child.is(oma_pres::URI, "service-description")
                    }
                    // RFC 5025 §3.3.2.3: the permission is about the devices of services.
                    Kind::Device => child.is(data_model::URI, "deviceID"),
                    Kind::Person => false,
                };
            if kind == Kind::Tuple && child.is(PIDF, "status") {
                let status = self.status(child, of);
                seen.push(status);
            } else if identifies {
                seen.push(child.clone());
            } else if let Some(shown) = self.attribute(child, of, false) {
                seen.push(shown);
            }
        }
        seen
    }

    fn status(&mut self, status: &Element, of: &str) -> Element {
        let mut seen = bare(status);
        for child in status.elements() {
            if child.is(PIDF, "basic") {
                seen.push(child.clone());
            } else if let Some(shown) = self.attribute(child, of, false) {
                seen.push(shown);
            }
        }
        seen
    }

    fn keeps(&mut self, element: &Element, of: &str, outside: bool) -> bool {
        self.attribute(element, of, outside).is_some()
    }

    /// An attribute as far as it is shown. `outside`: of no service, person or device.
    fn attribute(&mut self, element: &Element, of: &str, outside: bool) -> Option<Element> {
        let namespace = element.name.namespace.as_str();
        let local = &*element.name.local;
        let (shown, missing) = match own_permission(element) {
            Own::Attribute(attribute) => (
                self.permissions.shows(attribute)
                    && (!outside || self.permissions.names(attribute)),
                attribute.transformation().to_owned(),
            ),
            Own::UserInput => (
                !outside && self.permissions.user_input() > UserInput::Nothing,
                "provide-user-input".to_owned(),
            ),
            Own::None => (
                !outside && self.permissions.shows_all()
                    || self.permissions.shows_unknown(namespace, local),
                format!("provide-unknown-attribute {local} of {namespace}"),
            ),
        };
        if !shown {
            self.withhold(of, local, missing);
            return None;
        }
        let mut element = element.clone();
        if matches!(own_permission(&element), Own::UserInput) {
            self.user_input(&mut element, of);
        }
        if !self.permissions.shows(Attribute::Note) {
            self.strip_notes(&mut element, of);
        }
        Some(element)
    }

    fn user_input(&mut self, element: &mut Element, of: &str) {
        let shown = self.permissions.user_input();
        for (attribute, least) in [
            ("idle-threshold", UserInput::Thresholds),
            ("last-input", UserInput::Full),
        ] {
            if shown < least && element.attribute(attribute).is_some() {
                element.remove_attribute(attribute);
                self.withhold(of, attribute, "provide-user-input".to_owned());
            }
        }
    }

    /// Words of the presentity's own inside of an attribute are notes too.
    fn strip_notes(&mut self, element: &mut Element, of: &str) {
        let mut stripped = false;
        element.children.retain_mut(|node| {
            let Node::Element(child) = node else {
                return true;
            };
            if is_note(child) {
                stripped = true;
                return false;
            }
            self.strip_notes(child, of);
            true
        });
        if stripped {
            let what = format!("note of {}", element.name.local);
            self.withhold(of, &what, Attribute::Note.transformation().to_owned());
        }
    }

    fn withhold(&mut self, of: &str, what: &str, missing: String) {
        self.withheld.push(Withheld {
            of: of.to_owned(),
            what: what.to_owned(),
            missing,
        });
    }
}

/// The element without what it holds.
fn bare(element: &Element) -> Element {
    let mut bare = Element::new(element.name.clone());
    bare.attributes.clone_from(&element.attributes);
    bare.mentions.clone_from(&element.mentions);
    bare
}

fn is_note(element: &Element) -> bool {
    data_model::is_note(element)
        || element.is(rpid::URI, "note")
        || element.is(timed_status::URI, "note")
}

enum Own {
    Attribute(Attribute),
    UserInput,
    None,
}

/// The permission that is about this element alone.
fn own_permission(element: &Element) -> Own {
    if is_note(element) {
        return Own::Attribute(Attribute::Note);
    }
    let attribute = match (element.name.namespace.as_str(), &*element.name.local) {
        (rpid::URI, "user-input") => return Own::UserInput,
        (rpid::URI, "activities") => Attribute::Activities,
        (rpid::URI, "class") => Attribute::Class,
        (rpid::URI, "mood") => Attribute::Mood,
        (rpid::URI, "place-is") => Attribute::PlaceIs,
        (rpid::URI, "place-type") => Attribute::PlaceType,
        (rpid::URI, "privacy") => Attribute::Privacy,
        (rpid::URI, "relationship") => Attribute::Relationship,
        (rpid::URI, "status-icon") => Attribute::StatusIcon,
        (rpid::URI, "sphere") => Attribute::Sphere,
        (rpid::URI, "time-offset") => Attribute::TimeOffset,
        (data_model::URI, "deviceID") => Attribute::DeviceId,
        (oma_pres::URI, "willingness" | "overriding-willingness") => Attribute::Willingness,
        (oma_pres::URI, "network-availability") => Attribute::NetworkAvailability,
        (oma_pres::URI, "session-participation") => Attribute::SessionParticipation,
        (oma_pres::URI, "registration-state") => Attribute::RegistrationState,
        (oma_pres::URI, "barring-state") => Attribute::BarringState,
        (GEOPRIV, "geopriv") => Attribute::Geopriv,
        _ => return Own::None,
    };
    Own::Attribute(attribute)
}

/// RFC 3986 §6.2.2.1, RFC 3261 §19.1.4: a scheme and a host have no case; what stands before the host of a SIP URI has, and of any
/// other URI nothing more is known.
fn is_same_uri(one: &str, other: &str) -> bool {
    let split = |uri: &'_ str| -> Option<(String, String, String)> {
        let (scheme, rest) = uri.split_once(':')?;
        let scheme = scheme.to_ascii_lowercase();
        let (user, host) = match scheme.as_str() {
            "sip" | "sips" | "pres" | "im" | "mailto" => {
                rest.rsplit_once('@').unwrap_or(("", rest))
            }
            _ => (rest, ""),
        };
        Some((scheme, user.to_owned(), host.to_ascii_lowercase()))
    };
    one == other || split(one).is_some_and(|one| split(other) == Some(one))
}

/// Whether a service, person or device is one of those meant.
fn is_meant(part: &Part, component: &Element) -> bool {
    let contact = || component.element(PIDF, "contact").map(Element::text);
    match part {
        Part::All => true,
        Part::Class(class) => data_model::class(component).is_some_and(|own| own.trim() == class),
        Part::OccurrenceId(id) => component.attribute("id") == Some(id),
        Part::DeviceId(id) => data_model::device_ids(component).any(|own| own.trim() == id),
        Part::ServiceUri(uri) => contact().is_some_and(|own| is_same_uri(own.trim(), uri)),
        Part::ServiceUriScheme(scheme) => contact().is_some_and(|own| {
            own.trim()
                .split_once(':')
                .is_some_and(|(own, _)| own.eq_ignore_ascii_case(scheme))
        }),
        Part::ServiceId(id) => component
            .element(oma_pres::URI, "service-description")
            .and_then(|service| service.element(oma_pres::URI, "service-id"))
            .is_some_and(|own| own.text().trim() == id),
    }
}

#[cfg(test)]
mod tests {
    use super::is_same_uri;

    #[test]
    fn hosts_and_schemes_of_service_uris_have_no_case() {
        assert!(is_same_uri(
            "SIP:Alice@Example.com",
            "sip:Alice@example.com"
        ));
        assert!(is_same_uri("tel:+1", "TEL:+1"));
        for (one, other) in [
            ("sip:alice@example.com", "sip:Alice@example.com"),
            ("sip:alice@example.com", "sips:alice@example.com"),
            ("sip:alice@example.com", "sip:alice@example.com:5060"),
            ("urn:x:A", "urn:x:a"),
            ("alice", "Alice"),
        ] {
            assert!(!is_same_uri(one, other), "{one} {other}");
        }
    }
}
