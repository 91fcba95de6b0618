//! A blocked or pending watcher never saw a tuple, and who may see services never saw a note.

use std::collections::BTreeMap;

use machine::Instant;
use machine::settings::Handling;

use super::Checker;
use crate::happening::Happening;
use crate::model::{DialogId, Model};
use crate::rules::Gives;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    told: BTreeMap<DialogId, u32>,
}

impl Checker for Unseen {
    fn name(&self) -> &'static str {
        "unseen"
    }

    fn promise(&self) -> &'static str {
        "From the moment that rules take effect a blocked or pending watcher sees no tuple, and who may see services sees no note."
    }

    fn see(&mut self, _: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        let Happening::Notified(notify) = happening else {
            return Ok(());
        };
        let (Some(presentity), Some(watcher)) = (&notify.presentity, &notify.watcher) else {
            return Ok(());
        };
        // What left before the rules changed is sent again as it was.
        if self.told.insert(notify.leg.clone(), notify.cseq) == Some(notify.cseq) {
            return Ok(());
        }
        let hidden = notify.body.is_empty() || notify.body == model.neutral(presentity);
        let shut = matches!(
            model.decision(presentity, watcher),
            Handling::Block | Handling::Confirm
        );
        let waits = notify.state.starts_with("pending") || notify.state.ends_with("rejected");
        let notes = model.gives(presentity, watcher) == Gives::Services
            && String::from_utf8_lossy(&notify.body).contains("<note");
        if (shut || waits) && !hidden || notes {
            return Err(format!(
                "{watcher} sees what she may not of {presentity} (CSeq {}, {})",
                notify.cseq, notify.state
            ));
        }
        Ok(())
    }
}
