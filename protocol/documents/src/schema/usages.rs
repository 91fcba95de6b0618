//! The schemas of documents that people store: RFC 4745, RFC 5025, RFC 4826 and OMA's.

use super::{Content, Declared, Others, Particle, Type, What};
use crate::{common_policy, pres_rules};

const CP: &str = common_policy::URI;
const OCP: &str = common_policy::OMA_URI;
const PR: &str = pres_rules::URI;
const OPR: &str = pres_rules::OMA_URI;
/// The namespace of resource lists.
pub const RESOURCE_LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";
/// The namespace of services.
pub const RLS_SERVICES: &str = "urn:ietf:params:xml:ns:rls-services";
/// The namespace of publication rules.
pub const PUB_RULES: &str = "urn:oma:xml:prs:pub-rules";
/// The namespace of content like icons.
pub const PRES_CONTENT: &str = "urn:oma:xml:prs:pres-content";

const NEEDED: bool = true;

// Common policy.

static EXCEPT: Declared =
    Declared::empty(CP, "except").with(&[("domain", Type::Text, false), ("id", Type::Uri, false)]);
static ONE: Declared =
    Declared::new(CP, "one", &[Particle::maybe(What::Other)]).with(&[("id", Type::Uri, NEEDED)]);
static MANY_: Declared = Declared::new(
    CP,
    "many",
    &[Particle::any(What::Choice(&[
        What::One(&EXCEPT),
        What::Other,
    ]))],
)
.with(&[("domain", Type::Text, false)]);
static IDENTITY: Declared = Declared::new(
    CP,
    "identity",
    &[Particle {
        what: What::Choice(&[What::One(&ONE), What::One(&MANY_), What::Other]),
        min: 1,
        max: super::MANY,
    }],
);
static SPHERE: Declared = Declared::empty(CP, "sphere").with(&[("value", Type::Text, NEEDED)]);
static FROM: Declared = Declared::text(CP, "from", Type::DateTime);
static UNTIL: Declared = Declared::text(CP, "until", Type::DateTime);
static VALIDITY: Declared = Declared::new(
    CP,
    "validity",
    &[Particle {
        what: What::Sequence(&[
            Particle::one(What::One(&FROM)),
            Particle::one(What::One(&UNTIL)),
        ]),
        min: 1,
        max: super::MANY,
    }],
);
static CONDITIONS: Declared = Declared::new(
    CP,
    "conditions",
    &[Particle::any(What::Choice(&[
        What::One(&IDENTITY),
        What::One(&SPHERE),
        What::One(&VALIDITY),
        What::Other,
    ]))],
);
static ACTIONS: Declared = Declared::new(CP, "actions", &[Particle::any(What::Other)]);
static TRANSFORMATIONS: Declared =
    Declared::new(CP, "transformations", &[Particle::any(What::Other)]);
static RULE: Declared = Declared::new(
    CP,
    "rule",
    &[
        Particle::maybe(What::One(&CONDITIONS)),
        Particle::maybe(What::One(&ACTIONS)),
        Particle::maybe(What::One(&TRANSFORMATIONS)),
    ],
)
.with(&[("id", Type::Id, NEEDED)]);
/// The root of a ruleset.
pub static RULESET: Declared = Declared::new(CP, "ruleset", &[Particle::any(What::One(&RULE))]);

// OMA's conditions.

static OTHER_IDENTITY: Declared = Declared::empty(OCP, "other-identity");
static ANONYMOUS_REQUEST: Declared = Declared::empty(OCP, "anonymous-request");
static LIST_ENTRY: Declared = Declared::empty(OCP, "entry")
    .with(&[("anc", Type::Uri, false)])
    .and_any();
static EXTERNAL_LIST: Declared = Declared::new(
    OCP,
    "external-list",
    &[Particle::any(What::One(&LIST_ENTRY))],
);
/// Conditions of OMA's.
pub static OMA_CONDITIONS: &[&Declared] = &[&OTHER_IDENTITY, &ANONYMOUS_REQUEST, &EXTERNAL_LIST];

// Presence rules.

macro_rules! texts {
    ($($name:ident = $namespace:ident $local:literal $type:expr;)+) => {
        $(static $name: Declared = Declared::text($namespace, $local, $type);)+
    };
}

texts! {
    SERVICE_URI_SCHEME = PR "service-uri-scheme" Type::Text;
    CLASS = PR "class" Type::Text;
    OCCURRENCE_ID = PR "occurrence-id" Type::Text;
    SERVICE_URI = PR "service-uri" Type::Uri;
    DEVICE_ID = PR "deviceID" Type::Uri;
    PROVIDE_ACTIVITIES = PR "provide-activities" Type::Boolean;
    PROVIDE_CLASS = PR "provide-class" Type::Boolean;
    PROVIDE_DEVICE_ID = PR "provide-deviceID" Type::Boolean;
    PROVIDE_MOOD = PR "provide-mood" Type::Boolean;
    PROVIDE_PLACE_IS = PR "provide-place-is" Type::Boolean;
    PROVIDE_PLACE_TYPE = PR "provide-place-type" Type::Boolean;
    PROVIDE_PRIVACY = PR "provide-privacy" Type::Boolean;
    PROVIDE_RELATIONSHIP = PR "provide-relationship" Type::Boolean;
    PROVIDE_STATUS_ICON = PR "provide-status-icon" Type::Boolean;
    PROVIDE_SPHERE = PR "provide-sphere" Type::Boolean;
    PROVIDE_TIME_OFFSET = PR "provide-time-offset" Type::Boolean;
    PROVIDE_NOTE = PR "provide-note" Type::Boolean;
    PROVIDE_USER_INPUT = PR "provide-user-input" Type::Exactly(&["false", "bare", "thresholds", "full"]);
    SUB_HANDLING = PR "sub-handling" Type::Word(&["block", "confirm", "polite-block", "allow"]);
    PROVIDE_WILLINGNESS = OPR "provide-willingness" Type::Boolean;
    PROVIDE_NETWORK_AVAILABILITY = OPR "provide-network-availability" Type::Boolean;
    PROVIDE_SESSION_PARTICIPATION = OPR "provide-session-participation" Type::Boolean;
    PROVIDE_REGISTRATION_STATE = OPR "provide-registration-state" Type::Boolean;
    PROVIDE_BARRING_STATE = OPR "provide-barring-state" Type::Boolean;
    PROVIDE_GEOPRIV = OPR "provide-geopriv" Type::Exactly(&["false", "full"]);
    SERVICE_ID = OPR "service-id" Type::Text;
}

static ALL_SERVICES: Declared = Declared::empty(PR, "all-services");
static ALL_PERSONS: Declared = Declared::empty(PR, "all-persons");
static ALL_DEVICES: Declared = Declared::empty(PR, "all-devices");

/// All of them, or any number of these: a choice that nothing may be chosen of.
macro_rules! all_or {
    ($all:ident, $($part:ident)+) => {
        &[Particle::maybe(What::Choice(&[
            What::One(&$all),
            What::Sequence(&[Particle {
                what: What::Choice(&[$(What::One(&$part),)+ What::Other]),
                min: 0,
                max: super::MANY,
            }]),
        ]))]
    };
}

static PROVIDE_SERVICES: Declared = Declared::new(
    PR,
    "provide-services",
    all_or!(ALL_SERVICES, SERVICE_URI SERVICE_URI_SCHEME OCCURRENCE_ID CLASS),
);
static PROVIDE_PERSONS: Declared = Declared::new(
    PR,
    "provide-persons",
    all_or!(ALL_PERSONS, OCCURRENCE_ID CLASS),
);
static PROVIDE_DEVICES: Declared = Declared::new(
    PR,
    "provide-devices",
    all_or!(ALL_DEVICES, DEVICE_ID OCCURRENCE_ID CLASS),
);
static PROVIDE_UNKNOWN_ATTRIBUTE: Declared =
    Declared::text(PR, "provide-unknown-attribute", Type::Boolean)
        .with(&[("name", Type::Text, NEEDED), ("ns", Type::Text, NEEDED)]);
static PROVIDE_ALL_ATTRIBUTES: Declared = Declared::empty(PR, "provide-all-attributes");

/// Actions, transformations and what is inside of them (RFC 5025).
pub static PRES_RULES: &[&Declared] = &[
    &SERVICE_URI_SCHEME,
    &CLASS,
    &OCCURRENCE_ID,
    &SERVICE_URI,
    &DEVICE_ID,
    &PROVIDE_SERVICES,
    &PROVIDE_PERSONS,
    &PROVIDE_DEVICES,
    &PROVIDE_ACTIVITIES,
    &PROVIDE_CLASS,
    &PROVIDE_DEVICE_ID,
    &PROVIDE_MOOD,
    &PROVIDE_PLACE_IS,
    &PROVIDE_PLACE_TYPE,
    &PROVIDE_PRIVACY,
    &PROVIDE_RELATIONSHIP,
    &PROVIDE_STATUS_ICON,
    &PROVIDE_SPHERE,
    &PROVIDE_TIME_OFFSET,
    &PROVIDE_NOTE,
    &PROVIDE_USER_INPUT,
    &PROVIDE_UNKNOWN_ATTRIBUTE,
    &PROVIDE_ALL_ATTRIBUTES,
    &SUB_HANDLING,
];

/// Transformations of OMA's.
pub static OMA_PRES_RULES: &[&Declared] = &[
    &PROVIDE_WILLINGNESS,
    &PROVIDE_NETWORK_AVAILABILITY,
    &PROVIDE_SESSION_PARTICIPATION,
    &PROVIDE_REGISTRATION_STATE,
    &PROVIDE_BARRING_STATE,
    &PROVIDE_GEOPRIV,
    &SERVICE_ID,
];

// Publication rules.

texts! {
    PUB_HANDLING = PUB_RULES "pub-handling" Type::Word(&["block", "allow"]);
    PERM_HANDLING = PUB_RULES "perm-handling" Type::Word(&["block", "allow"]);
    ALLOW_SERVICES = PUB_RULES "allow-services" Type::Boolean;
    ALLOW_DEVICES = PUB_RULES "allow-devices" Type::Boolean;
    ALLOW_PERSONS = PUB_RULES "allow-persons" Type::Boolean;
    ALLOW_ACTIVITIES = PUB_RULES "allow-activities" Type::Boolean;
    ALLOW_CLASS = PUB_RULES "allow-class" Type::Boolean;
    ALLOW_MOOD = PUB_RULES "allow-mood" Type::Boolean;
    ALLOW_PLACE_TYPE = PUB_RULES "allow-place-type" Type::Boolean;
    ALLOW_STATUS_ICON = PUB_RULES "allow-status-icon" Type::Boolean;
    ALLOW_TIME_OFFSET = PUB_RULES "allow-time-offset" Type::Boolean;
    ALLOW_NOTE = PUB_RULES "allow-note" Type::Boolean;
    ALLOW_WILLINGNESS = PUB_RULES "allow-willingness" Type::Boolean;
    ALLOW_NETWORK_AVAILABILITY = PUB_RULES "allow-network-availability" Type::Boolean;
    ALLOW_SESSION_PARTICIPATION = PUB_RULES "allow-session-participation" Type::Boolean;
    ALLOW_REGISTRATION_STATE = PUB_RULES "allow-registration-state" Type::Boolean;
    ALLOW_BARRING_STATE = PUB_RULES "allow-barring-state" Type::Boolean;
    ALLOW_GEOPRIV = PUB_RULES "allow-geopriv" Type::Boolean;
}

static ALLOW_UNKNOWN_ATTRIBUTE: Declared =
    Declared::text(PUB_RULES, "allow-unknown-attribute", Type::Boolean)
        .with(&[("name", Type::Text, NEEDED), ("ns", Type::Text, NEEDED)]);
static ALLOW_ALL_ATTRIBUTES: Declared = Declared::empty(PUB_RULES, "allow-all-attributes");

/// Actions and transformations of publication rules.
pub static OMA_PUB_RULES: &[&Declared] = &[
    &PUB_HANDLING,
    &PERM_HANDLING,
    &ALLOW_SERVICES,
    &ALLOW_DEVICES,
    &ALLOW_PERSONS,
    &ALLOW_ACTIVITIES,
    &ALLOW_CLASS,
    &ALLOW_MOOD,
    &ALLOW_PLACE_TYPE,
    &ALLOW_STATUS_ICON,
    &ALLOW_TIME_OFFSET,
    &ALLOW_NOTE,
    &ALLOW_WILLINGNESS,
    &ALLOW_NETWORK_AVAILABILITY,
    &ALLOW_SESSION_PARTICIPATION,
    &ALLOW_REGISTRATION_STATE,
    &ALLOW_BARRING_STATE,
    &ALLOW_GEOPRIV,
    &ALLOW_UNKNOWN_ATTRIBUTE,
    &ALLOW_ALL_ATTRIBUTES,
];

// Resource lists.

static DISPLAY_NAME: Declared =
    Declared::text(RESOURCE_LISTS, "display-name", Type::Text).in_a_language();

/// A display name, then anything of other namespaces.
const NAMED: &[Particle] = &[
    Particle::maybe(What::One(&DISPLAY_NAME)),
    Particle::any(What::Other),
];
static ENTRY: Declared = Declared::new(RESOURCE_LISTS, "entry", NAMED)
    .with(&[("uri", Type::Uri, NEEDED)])
    .and_others();
static ENTRY_REF: Declared = Declared::new(RESOURCE_LISTS, "entry-ref", NAMED)
    .with(&[("ref", Type::Uri, NEEDED)])
    .and_others();
static EXTERNAL: Declared = Declared::new(RESOURCE_LISTS, "external", NAMED)
    .with(&[("anchor", Type::Uri, false)])
    .and_others();
static LIST_CONTENT: [Particle; 3] = [
    Particle::maybe(What::One(&DISPLAY_NAME)),
    Particle::any(What::Choice(&[
        What::One(&LIST),
        What::One(&EXTERNAL),
        What::One(&ENTRY),
        What::One(&ENTRY_REF),
    ])),
    Particle::any(What::Other),
];
static LIST: Declared = Declared::new(RESOURCE_LISTS, "list", &LIST_CONTENT)
    .with(&[("name", Type::Text, false)])
    .and_others();
/// The root of resource lists.
pub static LISTS: Declared = Declared::new(
    RESOURCE_LISTS,
    "resource-lists",
    &[Particle::any(What::One(&LIST))],
);

// Services.

static RESOURCE_LIST: Declared = Declared::text(RLS_SERVICES, "resource-list", Type::Uri);
static SERVICE_LIST: Declared = Declared {
    namespace: RLS_SERVICES,
    local: "list",
    // Its type is of the other schema.
    schema: RESOURCE_LISTS,
    content: Content::Elements(&LIST_CONTENT),
    attributes: &[("name", Type::Text, false)],
    language: false,
    others: Others::OfOtherNamespaces,
};
static PACKAGE: Declared = Declared::text(RLS_SERVICES, "package", Type::Text);
static PACKAGES: Declared = Declared::new(
    RLS_SERVICES,
    "packages",
    &[Particle::any(What::Sequence(&[
        Particle::one(What::One(&PACKAGE)),
        Particle::any(What::Other),
    ]))],
);
static SERVICE: Declared = Declared::new(
    RLS_SERVICES,
    "service",
    &[
        Particle::one(What::Choice(&[
            What::One(&RESOURCE_LIST),
            What::One(&SERVICE_LIST),
        ])),
        Particle::maybe(What::One(&PACKAGES)),
        Particle::any(What::Other),
    ],
)
.with(&[("uri", Type::Uri, NEEDED)])
.and_others();
/// The root of services.
pub static SERVICES: Declared = Declared::new(
    RLS_SERVICES,
    "rls-services",
    &[Particle::any(What::One(&SERVICE))],
);

// Content.

static MIME_TYPE: Declared = Declared::text(PRES_CONTENT, "mime-type", Type::Text).and_any();
static ENCODING: Declared = Declared::text(PRES_CONTENT, "encoding", Type::Text).and_any();
static DESCRIPTION: Declared = Declared::text(PRES_CONTENT, "description", Type::Text)
    .in_a_language()
    .and_any();
static DATA: Declared = Declared::text(PRES_CONTENT, "data", Type::Text).and_any();
/// The root of content like icons.
pub static CONTENT: Declared = Declared::new(
    PRES_CONTENT,
    "content",
    &[
        Particle::maybe(What::One(&MIME_TYPE)),
        Particle::maybe(What::One(&ENCODING)),
        Particle::any(What::One(&DESCRIPTION)),
        Particle::one(What::One(&DATA)),
        Particle::any(What::Other),
    ],
)
.and_any();

/// What is declared for elements that may stand where any may.
pub static GLOBALS: &[&[&Declared]] = &[
    OMA_CONDITIONS,
    PRES_RULES,
    OMA_PRES_RULES,
    OMA_PUB_RULES,
    &[&RULESET, &LISTS, &SERVICES, &CONTENT],
];
