//! Who asks who watches her ends with those who do; in a dialog versions have no gap but where everybody is told.

use std::collections::BTreeMap;

use documents::watcherinfo::WatcherInfo;
use machine::Instant;
use machine::settings::Handling;
use xml::Bounds;

use super::Checker;
use crate::happening::{Happening, Notify};
use crate::model::{DialogId, Model};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// CSeq and version of the newest NOTIFY.
    told: BTreeMap<DialogId, (u32, u64)>,
}

impl Watchers {
    fn notified(&mut self, notify: &Notify) -> Result<(), String> {
        if notify.body.is_empty() && notify.is_terminal() {
            return Ok(());
        }
        let leg = &notify.leg;
        let info = WatcherInfo::read(&notify.body, &Bounds::TRUSTED)
            .map_err(|unreadable| format!("{leg}: {unreadable}"))?;
        let now = (notify.cseq, info.version);
        let Some(before) = self.told.insert(leg.clone(), now) else {
            return match info.is_full {
                true => Ok(()),
                false => Err(format!("{leg}: begins with a part of the list")),
            };
        };
        let (cseq, version) = before;
        let follows = info.version == version + 1 || info.is_full && info.version > version;
        if now == before || notify.cseq > cseq && follows {
            return Ok(());
        }
        Err(format!(
            "{leg}: version {} in CSeq {} after version {version} in CSeq {cseq}",
            info.version, notify.cseq
        ))
    }
}

impl Checker for Watchers {
    fn name(&self) -> &'static str {
        "watchers"
    }

    fn promise(&self) -> &'static str {
        "Who asks who watches her ends with those who do, and versions have no gap but where everybody is told."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        model: &Model,
    ) -> Result<(), String> {
        let standings = match happening {
            Happening::Notified(notify) if notify.winfo => return self.notified(notify),
            Happening::Calm(standings) => standings,
            _ => return Ok(()),
        };
        for standing in *standings {
            let Some(told) = &standing.asks else {
                continue;
            };
            let live = (model.live.dialogs.values()).filter(|dialog| {
                !dialog.ending && !dialog.winfo && dialog.presentity == standing.identity
            });
            let mut expected: Vec<(String, &str)> = live
                .map(|dialog| {
                    let pending = model.decision(&dialog.presentity, &dialog.watcher);
                    let status = match pending {
                        Handling::Confirm => "pending",
                        _ => "active",
                    };
                    (dialog.watcher.clone(), status)
                })
                .collect();
            expected.sort_unstable();
            if told.as_ref() != Some(&expected) {
                return Err(format!(
                    "person {} is told that {told:?} watch her, but it is {expected:?}",
                    standing.who
                ));
            }
        }
        Ok(())
    }
}
