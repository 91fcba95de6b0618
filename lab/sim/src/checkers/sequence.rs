//! CSeq never goes back, has no gap without a crash, and one NOTIFY is in flight at a time.

use std::collections::BTreeMap;

use machine::Instant;

use super::Checker;
use crate::happening::{Happening, Notify};
use crate::model::{DialogId, Model};

#[derive(Debug)]
struct Track {
    cseq: u32,
    unanswered: bool,
    /// The process that sent it is gone, and could not write how far it came.
    crashed: bool,
    /// The process that sent it is gone.
    restarted: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    dialogs: BTreeMap<DialogId, Track>,
}

impl Sequence {
    fn notified(&mut self, notify: &Notify) -> Result<(), String> {
        let Some(track) = self.dialogs.get_mut(&notify.leg) else {
            let track = Track {
                cseq: notify.cseq,
                unanswered: true,
                crashed: false,
                restarted: false,
            };
            self.dialogs.insert(notify.leg.clone(), track);
            return Ok(());
        };
        let (before, now) = (track.cseq, notify.cseq);
        if now < before {
            return Err(format!("{}: CSeq {now} after {before}", notify.leg));
        }
        if now == before {
            return if track.restarted || track.crashed {
                Err(format!("{}: CSeq {now} of the life before", notify.leg))
            } else {
                Ok(())
            };
        }
        if now > before + 1 && !track.crashed {
            return Err(format!(
                "{}: CSeq {now} after {before}, without a crash",
                notify.leg
            ));
        }
        if track.unanswered && !track.crashed && !track.restarted {
            return Err(format!(
                "{}: CSeq {now} while {before} is unanswered",
                notify.leg
            ));
        }
        *track = Track {
            cseq: now,
            unanswered: true,
            crashed: false,
            restarted: false,
        };
        Ok(())
    }
}

impl Checker for Sequence {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn promise(&self) -> &'static str {
        "CSeq never goes back and has no gap without a crash, and one NOTIFY is in flight at a time."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        _model: &Model,
    ) -> Result<(), String> {
        match happening {
            Happening::Notified(notify) => return self.notified(notify),
            Happening::Heard {
                leg,
                cseq,
                status: 200..,
            } => {
                if let Some(track) = self.dialogs.get_mut(*leg)
                    && track.cseq == *cseq
                {
                    track.unanswered = false;
                }
            }
            Happening::Crashed { .. } => {
                self.dialogs
                    .values_mut()
                    .for_each(|track| track.crashed = true);
            }
            Happening::Stopped { .. } => {
                self.dialogs
                    .values_mut()
                    .for_each(|track| track.restarted = true);
            }
            _ => {}
        }
        Ok(())
    }
}
