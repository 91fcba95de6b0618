//! RPID, RFC 4480: what a person does and feels, where she is, how services and devices relate to her.

use xml::Namespace;

use crate::shape::{Content, EMPTY, Many, NOTE, Need, Part, Shape, Words};
use crate::value::Value;

/// The namespace's name.
pub const URI: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// The namespace.
pub const NAMESPACE: Namespace = Namespace::fixed(URI);

/// RFC 4480 §3.2, the activities that have an element of their own.
pub const ACTIVITIES: &[&str] = &[
    "appointment",
    "away",
    "breakfast",
    "busy",
    "dinner",
    "holiday",
    "in-transit",
    "looking-for-work",
    "meal",
    "meeting",
    "on-the-phone",
    "performance",
    "permanent-absence",
    "playing",
    "presentation",
    "shopping",
    "sleeping",
    "spectator",
    "steering",
    "travel",
    "tv",
    "vacation",
    "working",
    "worship",
];

/// RFC 4480 §3.4.
pub const MOODS: &[&str] = &[
    "afraid",
    "amazed",
    "angry",
    "annoyed",
    "anxious",
    "ashamed",
    "bored",
    "brave",
    "calm",
    "cold",
    "confused",
    "contented",
    "cranky",
    "curious",
    "depressed",
    "disappointed",
    "disgusted",
    "distracted",
    "embarrassed",
    "excited",
    "flirtatious",
    "frustrated",
    "grumpy",
    "guilty",
    "happy",
    "hot",
    "humbled",
    "humiliated",
    "hungry",
    "hurt",
    "impressed",
    "in_awe",
    "in_love",
    "indignant",
    "interested",
    "invincible",
    "jealous",
    "lonely",
    "mean",
    "moody",
    "nervous",
    "neutral",
    "offended",
    "playful",
    "proud",
    "relieved",
    "remorseful",
    "restless",
    "sad",
    "sarcastic",
    "serious",
    "shocked",
    "shy",
    "sick",
    "sleepy",
    "stressed",
    "surprised",
    "thirsty",
    "worried",
];

/// The registered copy of the schema lists places that the RFC's text takes from RFC 4589; both are in use.
const PLACES: &[&str] = &[
    "aircraft",
    "airport",
    "arena",
    "automobile",
    "bank",
    "bar",
    "bus",
    "bus-station",
    "cafe",
    "classroom",
    "club",
    "construction",
    "convention-center",
    "cycle",
    "government",
    "hospital",
    "hotel",
    "industrial",
    "library",
    "office",
    "outdoors",
    "parking",
    "place-of-worship",
    "prison",
    "public",
    "public-transport",
    "residence",
    "restaurant",
    "school",
    "shopping-area",
    "stadium",
    "store",
    "street",
    "theater",
    "train",
    "train-station",
    "truck",
    "underway",
    "warehouse",
    "water",
    "watercraft",
];

/// Elements that hold for a time and can be referred to.
const FOR_A_TIME: &[(&str, Value, Need)] = &[
    ("from", Value::DateTime, Need::Optional),
    ("until", Value::DateTime, Need::Optional),
    ("id", Value::Id, Need::Optional),
];

const fn words(list: &'static [&'static str]) -> Words {
    Words {
        list,
        other: false,
        many: false,
        notes: true,
        unknown_when_empty: true,
        mixed: false,
    }
}

static ACTIVITIES_SHAPE: Shape = Shape {
    content: Content::Words(Words {
        other: true,
        many: true,
        unknown_when_empty: false,
        ..words(ACTIVITIES)
    }),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
static MOOD: Shape = Shape {
    content: Content::Words(Words {
        other: true,
        many: true,
        ..words(MOODS)
    }),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
static PLACE_TYPE: Shape = Shape {
    content: Content::Words(Words {
        other: true,
        ..words(PLACES)
    }),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
static RELATIONSHIP: Shape = Shape {
    content: Content::Words(Words {
        other: true,
        ..words(&[
            "assistant",
            "associate",
            "family",
            "friend",
            "self",
            "supervisor",
        ])
    }),
    attributes: &[],
    any_attribute: false,
};
static SERVICE_CLASS: Shape = Shape {
    content: Content::Words(words(&[
        "courier",
        "electronic",
        "freight",
        "in-person",
        "postal",
    ])),
    attributes: &[],
    any_attribute: false,
};
static SPHERE: Shape = Shape {
    content: Content::Words(Words {
        notes: false,
        unknown_when_empty: false,
        mixed: true,
        ..words(&["home", "work"])
    }),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
/// RFC 4480 §3.7: `unknown`, or each of the three at most once in this order.
static PRIVACY: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("note", &NOTE, Many::Often, Need::Optional),
        Part::Alone("unknown"),
        Part::Child("audio", &EMPTY, Many::Once, Need::Optional),
        Part::Child("text", &EMPTY, Many::Once, Need::Optional),
        Part::Child("video", &EMPTY, Many::Once, Need::Optional),
        Part::Other,
    ]),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
const fn surrounding(list: &'static [&'static str]) -> Shape {
    Shape {
        content: Content::Words(Words {
            notes: false,
            ..words(list)
        }),
        attributes: &[],
        any_attribute: false,
    }
}
static AUDIO: Shape = surrounding(&["noisy", "ok", "quiet"]);
static VIDEO: Shape = surrounding(&["toobright", "ok", "dark"]);
static TEXT: Shape = surrounding(&["uncomfortable", "inappropriate", "ok"]);
static PLACE_IS: Shape = Shape {
    content: Content::Sequence(&[
        Part::Child("note", &NOTE, Many::Often, Need::Optional),
        Part::Child("audio", &AUDIO, Many::Once, Need::Optional),
        Part::Child("video", &VIDEO, Many::Once, Need::Optional),
        Part::Child("text", &TEXT, Many::Once, Need::Optional),
    ]),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
static CLASS: Shape = Shape::text(Value::Token);
static STATUS_ICON: Shape = Shape {
    content: Content::Text(Value::Uri),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
static TIME_OFFSET: Shape = Shape {
    content: Content::Text(Value::Integer),
    attributes: FOR_A_TIME,
    any_attribute: true,
};
static USER_INPUT: Shape = Shape {
    content: Content::Text(Value::OneOf(&["active", "idle"])),
    attributes: &[
        ("idle-threshold", Value::Positive, Need::Optional),
        ("last-input", Value::DateTime, Need::Optional),
        ("id", Value::Id, Need::Optional),
    ],
    any_attribute: true,
};

/// The shape of a global element.
pub fn shape(local: &str) -> Option<&'static Shape> {
    Some(match local {
        "activities" => &ACTIVITIES_SHAPE,
        "class" => &CLASS,
        "mood" => &MOOD,
        "place-is" => &PLACE_IS,
        "place-type" => &PLACE_TYPE,
        "privacy" => &PRIVACY,
        "relationship" => &RELATIONSHIP,
        "service-class" => &SERVICE_CLASS,
        "sphere" => &SPHERE,
        "status-icon" => &STATUS_ICON,
        "time-offset" => &TIME_OFFSET,
        "user-input" => &USER_INPUT,
        _ => return None,
    })
}
