//! Who may not see is never told.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::Instant;
use machine::settings::Handling;

use super::Checker;
use crate::happening::Happening;
use crate::model::{DialogId, Model};

/// A NOTIFY that was decided before a reload may still wait for the disk.
const COMMIT_MAX: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Privacy {
    told: BTreeMap<DialogId, u32>,
}

impl Checker for Privacy {
    fn name(&self) -> &'static str {
        "privacy"
    }

    fn promise(&self) -> &'static str {
        "Who may not see is never told."
    }

    fn see(&mut self, at: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        let Happening::Notified(notify) = happening else {
            return Ok(());
        };
        if notify.winfo {
            return Ok(());
        }
        let (Some(presentity), Some(watcher)) = (&notify.presentity, &notify.watcher) else {
            return Ok(());
        };
        // What was sent before the rules changed is sent again as it was.
        if self.told.insert(notify.leg.clone(), notify.cseq) == Some(notify.cseq) {
            return Ok(());
        }
        let may = model.decision(presentity, watcher) == Handling::Allow;
        let hidden = notify.body.is_empty() || notify.body == model.neutral(presentity);
        if may || hidden || at < model.decided_since(presentity) + COMMIT_MAX {
            return Ok(());
        }
        Err(format!(
            "{watcher} is told of {presentity} (CSeq {})",
            notify.cseq
        ))
    }
}
