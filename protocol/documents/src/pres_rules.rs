//! Presence rules, RFC 5025 and OMA's: what a rule of a ruleset lets a watcher see.

use xml::{Element, Namespace};

use crate::common_policy::Rule;
use crate::value::collapse;

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pres-rules";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);
/// The name of the namespace of OMA's transformations.
pub const OMA_URI: &str = "urn:oma:xml:prs:pres-rules";

/// What becomes of a SUBSCRIBE (RFC 5025 §3.2.1), the weakest first: of several the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubHandling {
    /// 0: refused.
    #[default]
    Block,
    /// 10: the presentity is to decide.
    Confirm,
    /// 20: accepted, and shown somebody who is not there.
    PoliteBlock,
    /// 30: accepted.
    Allow,
}

impl SubHandling {
    /// As the document writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Confirm => "confirm",
            Self::PoliteBlock => "polite-block",
            Self::Allow => "allow",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Block, Self::Confirm, Self::PoliteBlock, Self::Allow]
            .into_iter()
            .find(|handling| handling.name() == text)
    }
}

/// How much of `user-input` is shown (RFC 5025 §3.3.2.12), the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserInput {
    /// Nothing.
    #[default]
    Nothing,
    /// Whether there is any, without `last-input` and `idle-threshold`.
    Bare,
    /// With `idle-threshold`.
    Thresholds,
    /// Everything.
    Full,
}

/// Something that a watcher may see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Which services (RFC 5025 §3.3.1.3).
    Services(Part),
    /// Which persons (RFC 5025 §3.3.1.2).
    Persons(Part),
    /// Which devices (RFC 5025 §3.3.1.1).
    Devices(Part),
    /// An attribute that has a permission of its own (RFC 5025 §3.3.2, OMA).
    Attribute(Attribute),
    /// How much of `user-input`.
    UserInput(UserInput),
    /// Elements of this name in this namespace (RFC 5025 §3.3.2.14).
    Unknown {
        /// Namespace name.
        namespace: String,
        /// Local name.
        name: String,
    },
    /// Every attribute of what is shown at all (RFC 5025 §3.3.2.15).
    AllAttributes,
}

/// Services, persons or devices that are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of them.
    All,
    /// Those of this `class` (RFC 4480 §3.3).
    Class(String),
    /// The one with this id.
    OccurrenceId(String),
    /// The device with this deviceID.
    DeviceId(String),
    /// The service with this contact.
    ServiceUri(String),
    /// Services whose contact has this scheme.
    ServiceUriScheme(String),
    /// OMA: the service that describes itself by this service-id.
    ServiceId(String),
}

/// What has a permission of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// RPID.
    Activities,
    /// RPID.
    Class,
    /// RFC 4479.
    DeviceId,
    /// RPID.
    Mood,
    /// RPID.
    PlaceIs,
    /// RPID.
    PlaceType,
    /// RPID.
    Privacy,
    /// RPID.
    Relationship,
    /// RPID.
    StatusIcon,
    /// RPID.
    Sphere,
    /// RPID.
    TimeOffset,
    /// Notes of services, persons, devices and the whole document.
    Note,
    /// OMA: `willingness` and `overriding-willingness`.
    Willingness,
    /// OMA.
    NetworkAvailability,
    /// OMA.
    SessionParticipation,
    /// OMA.
    RegistrationState,
    /// OMA.
    BarringState,
    /// OMA: `geopriv`, which is location.
    Geopriv,
}

impl Attribute {
    /// All, with the transformation that grants each.
    pub const ALL: [(Self, &'static str); 18] = [
        (Self::Activities, "provide-activities"),
        (Self::Class, "provide-class"),
        (Self::DeviceId, "provide-deviceID"),
        (Self::Mood, "provide-mood"),
        (Self::PlaceIs, "provide-place-is"),
        (Self::PlaceType, "provide-place-type"),
        (Self::Privacy, "provide-privacy"),
        (Self::Relationship, "provide-relationship"),
        (Self::StatusIcon, "provide-status-icon"),
        (Self::Sphere, "provide-sphere"),
        (Self::TimeOffset, "provide-time-offset"),
        (Self::Note, "provide-note"),
        (Self::Willingness, "provide-willingness"),
        (Self::NetworkAvailability, "provide-network-availability"),
        (Self::SessionParticipation, "provide-session-participation"),
        (Self::RegistrationState, "provide-registration-state"),
        (Self::BarringState, "provide-barring-state"),
        (Self::Geopriv, "provide-geopriv"),
    ];

    /// The transformation that grants it.
    pub fn transformation(self) -> &'static str {
        let own = Self::ALL.iter().find(|(attribute, _)| *attribute == self);
        own.map_or("", |(_, name)| name)
    }

    /// Whether its transformation is of OMA's namespace.
    pub fn is_oma(self) -> bool {
        self >= Self::Willingness
    }
}

/// What a rule says becomes of a SUBSCRIBE; none where it does not say, or says what nobody defines.
pub fn sub_handling(rule: &Rule) -> Option<SubHandling> {
    let said = rule
        .actions
        .iter()
        .filter(|action| action.is(URI, "sub-handling"))
        .filter_map(|action| SubHandling::read(&collapse(&action.text())));
    said.max()
}

/// What a rule lets a watcher see.
pub fn permissions(rule: &Rule) -> Vec<Permission> {
    rule.transformations.iter().flat_map(read).collect()
}

fn read(transformation: &Element) -> Vec<Permission> {
    let local = &*transformation.name.local;
    let oma = match transformation.name.namespace.as_str() {
        URI => false,
        OMA_URI => true,
        _ => return Vec::new(),
    };
    let text = || collapse(&transformation.text());
    let is_true = || matches!(text().as_str(), "true" | "1");
    match local {
        "provide-services" if !oma => parts(transformation, Permission::Services),
        "provide-persons" if !oma => parts(transformation, Permission::Persons),
        "provide-devices" if !oma => parts(transformation, Permission::Devices),
        "provide-all-attributes" if !oma => vec![Permission::AllAttributes],
        "provide-user-input" if !oma => {
            let shown = match text().as_str() {
                "bare" => UserInput::Bare,
                "thresholds" => UserInput::Thresholds,
                "full" => UserInput::Full,
                _ => return Vec::new(),
            };
            vec![Permission::UserInput(shown)]
        }
        "provide-unknown-attribute" if !oma && is_true() => {
            let attribute = |local: &str| transformation.attribute(local).map(str::to_owned);
            let named = attribute("ns").zip(attribute("name"));
            named
                .map(|(namespace, name)| Permission::Unknown { namespace, name })
                .into_iter()
                .collect()
        }
        _ => {
            let known = Attribute::ALL
                .iter()
                .find(|(attribute, name)| *name == local && attribute.is_oma() == oma);
            let granted = match known {
                Some((Attribute::Geopriv, _)) => text() == "full",
                Some(_) => is_true(),
                None => false,
            };
            known
                .filter(|_| granted)
                .map(|(attribute, _)| Permission::Attribute(*attribute))
                .into_iter()
                .collect()
        }
    }
}

fn parts(transformation: &Element, of: fn(Part) -> Permission) -> Vec<Permission> {
    let parts = transformation.elements().filter_map(|part| {
        let text = || collapse(&part.text());
        let kind = &*transformation.name.local;
        Some(match (part.name.namespace.as_str(), &*part.name.local) {
            (URI, "all-services") if kind == "provide-services" => Part::All,
            (URI, "all-persons") if kind == "provide-persons" => Part::All,
            (URI, "all-devices") if kind == "provide-devices" => Part::All,
            (URI, "class") => Part::Class(text()),
            (URI, "occurrence-id") => Part::OccurrenceId(text()),
            (URI, "deviceID") if kind == "provide-devices" => Part::DeviceId(text()),
            (URI, "service-uri") if kind == "provide-services" => Part::ServiceUri(text()),
            (URI, "service-uri-scheme") if kind == "provide-services" => {
                Part::ServiceUriScheme(text().to_ascii_lowercase())
            }
            (OMA_URI, "service-id") if kind == "provide-services" => Part::ServiceId(text()),
            _ => return None,
        })
    });
    parts.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common_policy::{self, Ruleset};
    use xml::Bounds;

    fn rule(inside: &str) -> Rule {
        let text = format!(
            "<cp:ruleset xmlns:cp=\"{}\" xmlns=\"{URI}\" xmlns:oma=\"{OMA_URI}\"><cp:rule id=\"a\">{inside}</cp:rule></cp:ruleset>",
            common_policy::URI
        );
        let ruleset = Ruleset::read(text.as_bytes(), &Bounds::TRUSTED).unwrap();
        ruleset.rules[0].clone()
    }

    #[test]
    fn the_greatest_handling_counts_and_nonsense_does_not() {
        let handling =
            |inside: &str| sub_handling(&rule(&format!("<cp:actions>{inside}</cp:actions>")));
        assert_eq!(handling(""), None);
        assert_eq!(handling("<sub-handling>perhaps</sub-handling>"), None);
        assert_eq!(
            handling("<sub-handling> allow </sub-handling><sub-handling>block</sub-handling>"),
            Some(SubHandling::Allow)
        );
    }

    #[test]
    fn transformations_are_read_and_only_what_is_granted_is() {
        let permissions = permissions(&rule(
            "<cp:transformations><provide-services><service-uri-scheme>SIP</service-uri-scheme><all-persons/>\
             <oma:service-id>chat</oma:service-id></provide-services><provide-persons><all-persons/></provide-persons>\
             <provide-devices/><provide-mood>false</provide-mood><provide-note>1</provide-note>\
             <provide-willingness>true</provide-willingness><oma:provide-willingness>true</oma:provide-willingness>\
             <oma:provide-geopriv>true</oma:provide-geopriv><oma:provide-geopriv>full</oma:provide-geopriv>\
             <provide-user-input>bare</provide-user-input><provide-user-input>some</provide-user-input>\
             <provide-unknown-attribute ns='urn:x' name='y'>true</provide-unknown-attribute>\
             <provide-unknown-attribute ns='urn:x'>true</provide-unknown-attribute><provide-all-attributes/>\
             </cp:transformations>",
        ));
        assert_eq!(
            permissions,
            [
                Permission::Services(Part::ServiceUriScheme("sip".to_owned())),
                Permission::Services(Part::ServiceId("chat".to_owned())),
                Permission::Persons(Part::All),
                Permission::Attribute(Attribute::Note),
                Permission::Attribute(Attribute::Willingness),
                Permission::Attribute(Attribute::Geopriv),
                Permission::UserInput(UserInput::Bare),
                Permission::Unknown {
                    namespace: "urn:x".to_owned(),
                    name: "y".to_owned(),
                },
                Permission::AllAttributes,
            ]
        );
    }

    #[test]
    fn each_attribute_has_its_transformation() {
        for (attribute, name) in Attribute::ALL {
            assert_eq!(attribute.transformation(), name);
        }
    }
}
