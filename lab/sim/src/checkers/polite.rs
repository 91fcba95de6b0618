//! What a politely blocked watcher hears does not depend on what the presentity does.

use std::collections::BTreeMap;

use machine::Instant;
use machine::settings::Handling;

use super::Checker;
use crate::happening::{Happening, Notify};
use crate::model::{DialogId, Model};

#[derive(Debug, Default)]
struct Track {
    cseq: u32,
    /// NOTIFYs for which there is a reason that she may know of.
    reasons: u32,
    /// Presentity and watcher.
    parties: (String, String),
    decision: Option<Handling>,
    unanswered: bool,
}

impl Track {
    /// Several at once may be answered by one NOTIFY, or by one each where one waits for the disk.
    fn give_reason(&mut self) {
        self.reasons = (self.reasons + 1).min(3);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Polite {
    dialogs: BTreeMap<DialogId, Track>,
}

impl Polite {
    fn notified(&mut self, notify: &Notify, model: &Model) -> Result<(), String> {
        let track = self.dialogs.entry(notify.leg.clone()).or_insert(Track {
            reasons: 1,
            ..Track::default()
        });
        let repeated = std::mem::replace(&mut track.cseq, notify.cseq) == notify.cseq;
        let (Some(presentity), Some(watcher)) = (&notify.presentity, &notify.watcher) else {
            return Ok(());
        };
        if repeated || notify.is_terminal() {
            return Ok(());
        }
        let decision = model.decision(presentity, watcher);
        track.parties = (presentity.clone(), watcher.clone());
        let before = track.decision.replace(decision);
        let reasons = track.reasons;
        track.reasons = reasons.saturating_sub(1);
        let unanswered = std::mem::replace(&mut track.unanswered, true);
        if notify.state.starts_with("pending") {
            // Decided before the rules: what they say comes after it.
            track.reasons = reasons.max(1);
        }
        if decision != Handling::PoliteBlock {
            return Ok(());
        }
        if notify.body != model.neutral(presentity) {
            return Err(format!(
                "{watcher} is shown more of {presentity} than nothing"
            ));
        }
        if before == Some(decision) && reasons == 0 && !unanswered {
            return Err(format!(
                "{watcher} hears of {presentity} (CSeq {}) though nothing happened that she may know of",
                notify.cseq
            ));
        }
        Ok(())
    }
}

impl Checker for Polite {
    fn name(&self) -> &'static str {
        "polite"
    }

    fn promise(&self) -> &'static str {
        "What a politely blocked watcher hears does not depend on what the presentity does."
    }

    fn see(&mut self, _: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        match happening {
            Happening::Notified(notify) => return self.notified(notify, model),
            Happening::Heard { leg, cseq, status } => {
                if let Some(track) = self.dialogs.get_mut(*leg)
                    && track.cseq == *cseq
                {
                    track.unanswered = !(200..300).contains(status);
                }
            }
            Happening::Asked(request) if request.method == "SUBSCRIBE" => {
                let all = self.dialogs.range_mut(format!("{}|", request.dialog)..);
                let hers = all.take_while(|(leg, _)| leg.starts_with(&request.dialog));
                hers.for_each(|(_, track)| track.give_reason());
            }
            Happening::Reloaded => {
                for track in self.dialogs.values_mut() {
                    let decision = model.decision(&track.parties.0, &track.parties.1);
                    if track.decision.replace(decision) != Some(decision) {
                        track.give_reason();
                    }
                }
            }
            // The server may not know any more what she has answered.
            Happening::Crashed { .. } | Happening::Stopped { .. } => {
                self.dialogs.values_mut().for_each(Track::give_reason);
            }
            _ => {}
        }
        Ok(())
    }
}
