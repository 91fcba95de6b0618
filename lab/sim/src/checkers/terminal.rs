//! A subscription ends with exactly one terminal NOTIFY.
//!
//! Exempt: a watcher that refuses or does not answer NOTIFYs, or whose Contact is not found, is given up without one, and a fetch
//! that a crash interrupts.
//! After a start the last NOTIFY may come again when its answer was not on record.

use std::collections::{BTreeMap, BTreeSet};

use machine::Instant;

use super::Checker;
use crate::happening::{Happening, Notify};
use crate::model::{DialogId, Model};

#[derive(Debug, Default)]
struct Track {
    /// A 2xx was given.
    granted: bool,
    fetch: bool,
    contact: Option<String>,
    /// Terminal NOTIFYs, by their CSeq.
    terminal: BTreeSet<u32>,
    answered: bool,
    /// A start since the terminal NOTIFY: it may come once more.
    again: bool,
    /// It need not come.
    excused: bool,
    newest: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    dialogs: BTreeMap<DialogId, Track>,
    watchers: BTreeMap<DialogId, (String, String)>,
}

impl Terminal {
    fn restarted(&mut self, everything_is_durable: bool) {
        for track in self.dialogs.values_mut() {
            track.excused |= track.fetch;
            track.again |= !(track.answered && everything_is_durable);
        }
    }

    fn notified(&mut self, notify: &Notify) -> Result<(), String> {
        if let (Some(presentity), Some(watcher)) = (&notify.presentity, &notify.watcher) {
            let both = (presentity.clone(), watcher.clone());
            self.watchers.insert(notify.leg.clone(), both);
        }
        let track = self.dialogs.entry(notify.leg.clone()).or_default();
        let is_new = track.newest < notify.cseq;
        track.newest = track.newest.max(notify.cseq);
        if is_new && !track.terminal.is_empty() && !std::mem::take(&mut track.again) {
            return Err(format!(
                "{}: CSeq {} after the end",
                notify.leg, notify.cseq
            ));
        }
        if is_new {
            track.answered = false;
        }
        if notify.is_terminal() {
            track.terminal.insert(notify.cseq);
        }
        Ok(())
    }
}

impl Checker for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn promise(&self) -> &'static str {
        "A subscription ends with exactly one terminal NOTIFY."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        _model: &Model,
    ) -> Result<(), String> {
        match happening {
            Happening::Answered {
                request,
                status: 200..=299,
                tag,
                ..
            } if request.method == "SUBSCRIBE" => {
                let leg = format!("{}|{tag}", request.dialog);
                let both = (request.presentity.clone(), request.from.clone());
                self.watchers.entry(leg.clone()).or_insert(both);
                let track = self.dialogs.entry(leg).or_default();
                track.granted = true;
                track.fetch |= !request.in_dialog && request.expires == Some(0);
                track.contact.clone_from(&request.contact);
            }
            Happening::Notified(notify) => {
                return self.notified(notify);
            }
            Happening::Heard { leg, cseq, status } => {
                if let Some(track) = self
                    .dialogs
                    .get_mut(*leg)
                    .filter(|track| track.newest == *cseq)
                {
                    track.answered = true;
                    track.excused |= *status >= 300;
                }
            }
            Happening::NotFound(name) => {
                // Of a fetch that is given up no event tells; it sends one NOTIFY or none.
                for track in self.dialogs.values_mut() {
                    let unsent = track.fetch && track.terminal.is_empty();
                    track.excused |= unsent && track.contact.as_deref() == Some(*name);
                }
            }
            Happening::GaveUp {
                presentity,
                watcher,
                why,
            } => {
                for (id, both) in &self.watchers {
                    if (both.0.as_str(), both.1.as_str()) == (*presentity, *watcher)
                        && let Some(track) = self.dialogs.get_mut(id)
                    {
                        track.excused |= !track.answered || *why == "next hop not found";
                    }
                }
            }
            Happening::Crashed { pending, .. } => self.restarted(*pending == 0),
            Happening::Stopped { hasty } => self.restarted(!*hasty),
            Happening::Over(_) => {
                let missing = self.dialogs.iter().find(|(_, track)| {
                    track.granted && track.terminal.is_empty() && !track.excused
                });
                if let Some((id, _)) = missing {
                    return Err(format!("{id} never saw its end"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
