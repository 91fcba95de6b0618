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

/// What is seen of a view by whoever may see services.
pub(crate) fn services_of(entity: &str, view: &[u8]) -> Bytes {
    let mut permissions = Permissions::default();
    permissions.grant(Permission::Services(Part::All));
    let presence = Presence::read(view, &xml::Bounds::TRUSTED).unwrap_or_default();
    shown(&presence, entity, &permissions).0.into()
}
