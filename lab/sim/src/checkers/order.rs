//! A watcher is never told an older state after a newer one, and never one that was not.

use std::collections::BTreeMap;

use machine::Instant;
use machine::settings::Handling;

use super::Checker;
use crate::happening::Happening;
use crate::model::{DialogId, Model};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The newest NOTIFY of a dialog, and the oldest view that it can have told of.
    told: BTreeMap<DialogId, (u32, usize)>,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn promise(&self) -> &'static str {
        "A watcher is never told an older state after a newer one, and never one that was not."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        model: &Model,
    ) -> Result<(), String> {
        let Happening::Notified(notify) = happening else {
            return Ok(());
        };
        if notify.winfo {
            return Ok(());
        }
        let (Some(presentity), Some(watcher)) = (&notify.presentity, &notify.watcher) else {
            return Ok(());
        };
        let (last, index) = self.told.get(&notify.leg).copied().unwrap_or_default();
        if last == notify.cseq {
            return Ok(());
        }
        let hidden = notify.body.is_empty() || notify.body == model.neutral(presentity);
        match model.find_view(presentity, index, &notify.body) {
            Some(found) => {
                // The neutral document may be what everybody sees, or what she alone does.
                let found = if hidden && model.decision(presentity, watcher) != Handling::Allow {
                    index
                } else {
                    found
                };
                self.told.insert(notify.leg.clone(), (notify.cseq, found));
                Ok(())
            }
            None if hidden => {
                self.told.insert(notify.leg.clone(), (notify.cseq, index));
                // Who may see is told the neutral document only while nothing is published.
                Ok(())
            }
            None if model.find_view(presentity, 0, &notify.body).is_some() => Err(format!(
                "{}: CSeq {} tells a state that is older than the one before",
                notify.leg, notify.cseq
            )),
            None => Err(format!(
                "{}: CSeq {} tells a state that {presentity} never had",
                notify.leg, notify.cseq
            )),
        }
    }
}
