//! Capabilities, RFC 5196: what a service or a device can do, in the words of RFC 3840.

use xml::Namespace;

use crate::shape::{Content, Many, NOTE, Need, Part, Shape};
use crate::value::Value;

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pidf:caps";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);

const fn once(local: &'static str, shape: &'static Shape) -> Part {
    Part::Child(local, shape, Many::Once, Need::Optional)
}

const fn often(local: &'static str, shape: &'static Shape) -> Part {
    Part::Child(local, shape, Many::Often, Need::Optional)
}

const fn number(attributes: &'static [(&'static str, Value, Need)]) -> Shape {
    Shape {
        content: Content::Empty,
        attributes,
        any_attribute: false,
    }
}

static FLAG: Shape = Shape::text(Value::Boolean);
static WORD: Shape = Shape::text(Value::Text);

// RFC 5196 §3.2: most capabilities are two lists, of what is supported and of what is not.
static CLASS: Shape =
    Shape::sequence(&[once("supported", &CLASSES), once("notsupported", &CLASSES)]);
static CLASSES: Shape = Shape::sequence(&[
    once("business", &WORD),
    once("personal", &WORD),
    Part::Other,
]);
static DUPLEX: Shape = Shape::sequence(&[
    once("supported", &DUPLEXES),
    once("notsupported", &DUPLEXES),
]);
static DUPLEXES: Shape = Shape::sequence(&[
    once("full", &WORD),
    once("half", &WORD),
    once("receive-only", &WORD),
    once("send-only", &WORD),
    Part::Other,
]);
static PACKAGES: Shape =
    Shape::sequence(&[once("supported", &PACKAGE), once("notsupported", &PACKAGE)]);
static PACKAGE: Shape = Shape::sequence(&[
    once("conference", &WORD),
    once("dialog", &WORD),
    once("kpml", &WORD),
    once("message-summary", &WORD),
    once("poc-settings", &WORD),
    once("presence", &WORD),
    once("reg", &WORD),
    once("refer", &WORD),
    once("Siemens-RTP-Stats", &WORD),
    once("spirits-INDPs", &WORD),
    once("spirits-user-prof", &WORD),
    once("winfo", &WORD),
    Part::Other,
]);
static PRIORITY: Shape = Shape::sequence(&[
    once("supported", &PRIORITIES),
    once("notsupported", &PRIORITIES),
]);
static PRIORITIES: Shape = Shape::sequence(&[
    // The schema's own spelling.
    often("equals", &EQUALS),
    often("higherhan", &HIGHER),
    often("lowerthan", &LOWER),
    often("range", &RANGE),
    Part::Other,
]);
static EQUALS: Shape = number(&[("value", Value::Integer, Need::Required)]);
static HIGHER: Shape = number(&[("minvalue", Value::Integer, Need::Required)]);
static LOWER: Shape = number(&[("maxvalue", Value::Integer, Need::Required)]);
static RANGE: Shape = number(&[
    ("minvalue", Value::Integer, Need::Required),
    ("maxvalue", Value::Integer, Need::Required),
]);
static METHODS: Shape =
    Shape::sequence(&[once("supported", &METHOD), once("notsupported", &METHOD)]);
static METHOD: Shape = Shape::sequence(&[
    once("ACK", &WORD),
    once("BYE", &WORD),
    once("CANCEL", &WORD),
    once("INFO", &WORD),
    once("INVITE", &WORD),
    once("MESSAGE", &WORD),
    once("NOTIFY", &WORD),
    once("OPTIONS", &WORD),
    once("PRACK", &WORD),
    once("PUBLISH", &WORD),
    once("REFER", &WORD),
    once("REGISTER", &WORD),
    once("SUBSCRIBE", &WORD),
    once("UPDATE", &WORD),
    Part::Other,
]);
static EXTENSIONS: Shape = Shape::sequence(&[
    once("supported", &EXTENSION),
    once("notsupported", &EXTENSION),
]);
static EXTENSION: Shape = Shape::sequence(&[
    once("rel100", &WORD),
    once("early-session", &WORD),
    once("eventlist", &WORD),
    once("from-change", &WORD),
    once("gruu", &WORD),
    once("hist-info", &WORD),
    once("join", &WORD),
    once("norefersub", &WORD),
    once("path", &WORD),
    once("precondition", &WORD),
    once("pref", &WORD),
    once("privacy", &WORD),
    once("recipient-list-invite", &WORD),
    once("recipient-list-subscribe", &WORD),
    once("replaces", &WORD),
    once("resource-priority", &WORD),
    once("sdp-anat", &WORD),
    once("sec-agree", &WORD),
    once("tdialog", &WORD),
    once("timer", &WORD),
    Part::Other,
]);
static SCHEMES: Shape =
    Shape::sequence(&[once("supported", &SCHEME), once("notsupported", &SCHEME)]);
static SCHEME: Shape = Shape::sequence(&[Part::Child("s", &WORD, Many::Often, Need::Required)]);
static LANGUAGES: Shape = Shape::sequence(&[
    once("supported", &LANGUAGE),
    once("notsupported", &LANGUAGE),
]);
static LANGUAGE: Shape = Shape::sequence(&[Part::Child("l", &WORD, Many::Often, Need::Required)]);
static ACTOR: Shape = Shape::sequence(&[once("supported", &ACTORS), once("notsupported", &ACTORS)]);
static ACTORS: Shape = Shape::sequence(&[
    once("attendant", &WORD),
    once("information", &WORD),
    once("msg-taker", &WORD),
    once("principal", &WORD),
    Part::Other,
]);
static MOBILITY: Shape = Shape::sequence(&[
    once("supported", &MOBILITIES),
    once("notsupported", &MOBILITIES),
]);
static MOBILITIES: Shape =
    Shape::sequence(&[once("fixed", &WORD), once("mobile", &WORD), Part::Other]);

static SERVCAPS: Shape = Shape {
    content: Content::Sequence(&[
        once("actor", &ACTOR),
        once("application", &FLAG),
        once("audio", &FLAG),
        once("automata", &FLAG),
        once("class", &CLASS),
        once("control", &FLAG),
        once("data", &FLAG),
        often("description", &NOTE),
        once("duplex", &DUPLEX),
        once("event-packages", &PACKAGES),
        once("extensions", &EXTENSIONS),
        once("isfocus", &FLAG),
        once("message", &FLAG),
        once("methods", &METHODS),
        once("languages", &LANGUAGES),
        once("priority", &PRIORITY),
        once("schemes", &SCHEMES),
        once("text", &FLAG),
        often("type", &WORD),
        once("video", &FLAG),
        Part::Other,
    ]),
    attributes: &[],
    any_attribute: true,
};
static DEVCAPS: Shape = Shape {
    content: Content::Sequence(&[
        often("description", &NOTE),
        once("mobility", &MOBILITY),
        Part::Other,
    ]),
    attributes: &[],
    any_attribute: true,
};

/// The shape of a global element.
pub fn shape(local: &str) -> Option<&'static Shape> {
    match local {
        "servcaps" => Some(&SERVCAPS),
        "devcaps" => Some(&DEVCAPS),
        _ => None,
    }
}
