//! No NOTIFY says nothing new.
//!
//! News is another state or reason in Subscription-State, or another document, than the watcher's last 200 was for. Exempt:
//! the NOTIFY that answers a SUBSCRIBE; one that follows a NOTIFY which was not answered 2xx; and one after a start of the
//! server, unless the 200 of every watcher of that presentity was on record. (`expires` counts down by itself and is no news.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use machine::Instant;
use machine::settings::Handling;

use super::Checker;
use crate::happening::{Happening, Notify};
use crate::model::{DialogId, Model};

#[derive(Debug, Default)]
struct Track {
    presentity: Option<String>,
    watcher: Option<String>,
    /// The newest that was sent.
    cseq: u32,
    said: (String, Vec<u8>),
    /// What was answered 2xx last.
    accepted: Option<(String, Vec<u8>)>,
    unanswered: bool,
    /// A SUBSCRIBE is to be answered by a NOTIFY.
    asked: bool,
    /// Its 200 may not be on record.
    unrecorded: bool,
    over: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct News {
    dialogs: BTreeMap<DialogId, Track>,
    /// SUBSCRIBEs whose 2xx has left: a repeated 2xx asks for nothing.
    granted: BTreeMap<String, ()>,
    /// When the server started last.
    started: Instant,
}

/// What a start owes has left after so long: a name was looked up, an interval has passed.
const OWED_MAX: Duration = Duration::from_secs(10);

impl News {
    fn notified(&mut self, notify: &Notify) -> Result<(), String> {
        let track = self.dialogs.entry(notify.leg.clone()).or_default();
        if track.cseq == notify.cseq {
            return Ok(());
        }
        let said = (notify.state.clone(), notify.body.clone());
        let repeats = track.accepted.as_ref() == Some(&said) && !track.unanswered;
        if repeats && !track.asked && !track.unrecorded {
            return Err(format!(
                "{}: CSeq {} says nothing new",
                notify.leg, notify.cseq
            ));
        }
        track.presentity.clone_from(&notify.presentity);
        track.watcher.clone_from(&notify.watcher);
        track.cseq = notify.cseq;
        track.over = notify.is_terminal();
        (track.asked, track.unrecorded) = (false, false);
        (track.said, track.unanswered) = (said, true);
        Ok(())
    }

    /// The server starts anew: whose 200 may not be on record?
    fn restarted(&mut self, at: Instant, undone: Option<&BTreeSet<String>>, model: &Model) {
        // Two starts in a row: what the first owed had not left yet.
        let hasty = at.since(self.started) < OWED_MAX;
        // Something changed that she was not told yet.
        let behind = |track: &Track| match (&track.presentity, &track.watcher, &track.accepted) {
            (Some(presentity), Some(watcher), Some((state, body))) => {
                let pending = model.decision(presentity, watcher) == Handling::Confirm;
                *body != model.seen_by(presentity, watcher)
                    || pending != state.starts_with("pending")
            }
            _ => true,
        };
        // A subscription of which its watcher never heard, and that the disk has nevertheless.
        let unheard = model.live.dialogs.iter().filter(|(id, dialog)| {
            let leg = self.dialogs.range(format!("{id}|")..).next();
            !dialog.ending
                && !dialog.winfo
                && !leg.is_some_and(|(leg, _)| leg.starts_with(id.as_str()))
        });
        let unheard = unheard.map(|(_, dialog)| Some(dialog.presentity.clone()));
        let unsettled: BTreeSet<Option<String>> = self
            .dialogs
            .values()
            .filter(|track| {
                let owed = track.unanswered || track.asked || hasty && track.unrecorded;
                !track.over && (owed || behind(track))
            })
            .map(|track| track.presentity.clone())
            .chain(unheard)
            .collect();
        // Without a crash everything is written.
        let is_undone = |track: &Track| match (undone, &track.presentity) {
            (Some(undone), Some(presentity)) => undone.contains(presentity),
            (Some(_), None) => true,
            (None, _) => false,
        };
        for track in self.dialogs.values_mut() {
            track.unrecorded |=
                track.unanswered || unsettled.contains(&track.presentity) || is_undone(track);
        }
    }
}

impl Checker for News {
    fn name(&self) -> &'static str {
        "news"
    }

    fn promise(&self) -> &'static str {
        "No NOTIFY says nothing new, but the answer to a SUBSCRIBE and, after a start, one whose 200 was not on record."
    }

    fn see(&mut self, at: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        match happening {
            // Each of a winfo subscription says something of its own.
            Happening::Notified(notify) if notify.winfo => {}
            Happening::Notified(notify) => return self.notified(notify),
            Happening::Answered {
                request,
                status: 200..=299,
                tag,
                ..
            } if request.method == "SUBSCRIBE"
                && !request.winfo
                && self.granted.insert(request.id.clone(), ()).is_none() =>
            {
                let track = self
                    .dialogs
                    .entry(format!("{}|{tag}", request.dialog))
                    .or_default();
                track.asked = true;
                track.presentity = Some(request.presentity.clone());
                track.watcher = Some(request.from.clone());
            }
            Happening::Heard { leg, cseq, status } => {
                if let Some(track) = self.dialogs.get_mut(*leg)
                    && track.cseq == *cseq
                    && *status >= 200
                    // A second answer to the same NOTIFY counts for nothing.
                    && std::mem::take(&mut track.unanswered)
                {
                    if *status < 300 {
                        track.accepted = Some(track.said.clone());
                    } else {
                        track.accepted = None;
                        track.over |= *status == 481;
                    }
                }
            }
            Happening::Crashed { undone, .. } => self.restarted(at, Some(*undone), model),
            Happening::Stopped { .. } => self.restarted(at, None, model),
            Happening::Started { .. } => self.started = at,
            _ => {}
        }
        Ok(())
    }
}
