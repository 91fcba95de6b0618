//! What presentities of the world let whom see, as a person would say it, and as the document that she puts.

use bytes::Bytes;
use documents::pidf::Presence;
use documents::pres_rules::{Part, Permission};
use machine::settings::Handling;
use presence::authorization::{Permissions, shown};

use crate::document::user;
use crate::plan::USERS;

/// What one watcher is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// No rule is about her.
    Nothing,
    /// 403, or an end.
    Block,
    /// Not decided.
    Confirm,
    /// Somebody who is not there.
    PoliteBlock,
    /// Services, and of them no more than that they are there and open or closed.
    Services,
    /// Everything.
    Everything,
}

/// What each user is given by one presentity.
pub type Rules = [Gives; USERS as usize];

impl Gives {
    /// Each.
    pub const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Block,
        Self::Confirm,
        Self::PoliteBlock,
        Self::Services,
        Self::Everything,
    ];

    /// What becomes of her SUBSCRIBE; none: the default decides.
    pub(crate) const fn handling(self) -> Option<Handling> {
        match self {
            Self::Nothing => None,
            Self::Block => Some(Handling::Block),
            Self::Confirm => Some(Handling::Confirm),
            Self::PoliteBlock => Some(Handling::PoliteBlock),
            Self::Services | Self::Everything => Some(Handling::Allow),
        }
    }
}

/// The document; none: nobody is mentioned.
pub(crate) fn document(rules: &Rules) -> Option<String> {
    let rule = |(number, gives): (usize, &Gives)| {
        let handling = match gives {
            Gives::Nothing => return None,
            Gives::Block => "block",
            Gives::Confirm => "confirm",
            Gives::PoliteBlock => "polite-block",
            Gives::Services | Gives::Everything => "allow",
        };
        let all = match gives {
            Gives::Everything => "<provide-all-attributes/>",
            _ => "",
        };
        let who = user(number as u8);
        Some(format!(
            "<cp:rule id=\"r{number}\"><cp:conditions><cp:identity><cp:one id=\"{who}\"/></cp:identity></cp:conditions>\
             <cp:actions><sub-handling>{handling}</sub-handling></cp:actions><cp:transformations><provide-services>\
             <all-services/></provide-services>{all}</cp:transformations></cp:rule>"
        ))
    };
    let rules: Vec<String> = rules.iter().enumerate().filter_map(rule).collect();
    (!rules.is_empty()).then(|| {
        format!(
            "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" \
             xmlns=\"urn:ietf:params:xml:ns:pres-rules\">{}</cp:ruleset>",
            rules.concat()
        )
    })
}

/// Who keeps everybody's lists, where rules are by lists.
pub(crate) const KEEPER: &str = "sip:keeper@example.com";

/// The lists of one presentity: a name, and what who is in it is given.
const LISTS: [(&str, Gives); 5] = [
    ("block", Gives::Block),
    ("confirm", Gives::Confirm),
    ("polite-block", Gives::PoliteBlock),
    ("services", Gives::Services),
    ("everything", Gives::Everything),
];

/// Where the lists of a presentity are, below the keeper's.
pub(crate) fn lists_path(presentity: &str) -> String {
    let name = presentity.trim_start_matches("sip:");
    name.split('@').next().unwrap_or_default().to_owned()
}

/// Her rules by those lists, which never change.
pub(crate) fn document_by_lists(presentity: &str) -> String {
    let path = lists_path(presentity);
    let rule = |(name, gives): &(&str, Gives)| {
        let (handling, all) = match gives {
            Gives::Services => ("allow", ""),
            Gives::Everything => ("allow", "<provide-all-attributes/>"),
            _ => (*name, ""),
        };
        format!(
            "<cp:rule id=\"{name}\"><cp:conditions><o:external-list><o:entry anc=\"resource-lists/users/{KEEPER}/{path}/~~/\
             resource-lists/list%5b@name=%22{name}%22%5d\"/></o:external-list></cp:conditions><cp:actions>\
             <sub-handling>{handling}</sub-handling></cp:actions><cp:transformations><provide-services>\
             <all-services/></provide-services>{all}</cp:transformations></cp:rule>"
        )
    };
    let rules: String = LISTS.iter().map(rule).collect();
    format!(
        "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\" xmlns=\"urn:ietf:params:xml:ns:pres-rules\" \
         xmlns:o=\"urn:oma:xml:xdm:common-policy\">{rules}</cp:ruleset>"
    )
}

/// Those lists; none: nobody is mentioned.
pub(crate) fn lists(rules: &Rules) -> Option<String> {
    let list = |(name, gives): &(&str, Gives)| {
        let all = rules.iter().enumerate();
        let in_it = all.filter(|(_, given)| *given == gives);
        let entries = in_it.map(|(number, _)| format!("<entry uri=\"{}\"/>", user(number as u8)));
        let entries: String = entries.collect();
        format!("<list name=\"{name}\">{entries}</list>")
    };
    let lists: String = LISTS.iter().map(list).collect();
    let says = rules.iter().any(|gives| *gives != Gives::Nothing);
    says.then(|| {
        format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">{lists}</resource-lists>"
        )
    })
}

/// What such lists say.
pub(crate) fn read_lists(text: &str) -> Rules {
    let holds = |name: &str, number: u8| {
        let list = text
            .split("<list ")
            .find(|list| list.starts_with(&format!("name=\"{name}\"")));
        list.is_some_and(|list| list.contains(&user(number)))
    };
    std::array::from_fn(|number| {
        let mut all = LISTS.iter();
        let found = all.find(|(name, _)| holds(name, number as u8));
        found.map_or(Gives::Nothing, |(_, gives)| *gives)
    })
}

/// What is seen of a view by whoever may see services.
pub(crate) fn services_of(entity: &str, view: &[u8]) -> Bytes {
    let mut permissions = Permissions::default();
    permissions.grant(Permission::Services(Part::All));
    let presence = Presence::read(view, &xml::Bounds::TRUSTED).unwrap_or_default();
    shown(&presence, entity, &permissions).0.into()
}
