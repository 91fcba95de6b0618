//! Nothing outlives its expiry by more than a second, and nothing lapses before it.
//!
//! While one process of the server lives its expiry is what was granted, from the moment the answer left. Over a restart the
//! wall clock counts, and never more than was granted. No answer promises more than that.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::Instant;

use super::Checker;
use crate::happening::{Happening, Request};
use crate::model::{GRACE, Model, RequestId};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// When what this life of the server has not answered yet was asked: it may wait for the disk, and a retransmission says
    /// the same again.
    asked: BTreeMap<RequestId, Instant>,
}

impl Expiry {
    fn promises(
        &mut self,
        request: &Request,
        (tag, expires): (&str, Option<u32>),
        model: &Model,
    ) -> Result<(), String> {
        let (Some(at), Some(expires @ 1..)) = (self.asked.remove(&request.id), expires) else {
            return Ok(());
        };
        let publication = model.live.publications.get(tag);
        let dialog = model.live.dialogs.get(&request.dialog);
        let lasts = publication
            .map(|publication| publication.lasts)
            .or_else(|| dialog.map(|dialog| dialog.lasts));
        let promised = at + Duration::from_secs(u64::from(expires));
        match lasts.filter(|lasts| promised > lasts.latest + GRACE) {
            Some(lasts) => Err(format!(
                "{} is promised {} ms more than there are",
                request.id,
                promised.since(lasts.latest).as_millis()
            )),
            None => Ok(()),
        }
    }
}

impl Checker for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn promise(&self) -> &'static str {
        "Nothing outlives its expiry by more than a second, and nothing lapses before it."
    }

    fn see(&mut self, at: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        match happening {
            Happening::Asked(request) if !request.again => {
                self.asked.insert(request.id.clone(), at);
                Ok(())
            }
            Happening::Overdue(what) => Err(format!("{what} outlives its expiry")),
            Happening::LapsedEarly(what) => {
                Err(format!("{what} lapses while nothing of it is due"))
            }
            Happening::Answered {
                request,
                status: 200..=299,
                tag,
                expires,
            } => {
                self.promises(request, (tag, *expires), model)?;
                let publication = request
                    .if_match
                    .as_ref()
                    .and_then(|tag| model.live.publications.get(tag));
                match publication {
                    Some(publication) if at > publication.lasts.latest + GRACE => {
                        Err(format!("{} is taken although it lapsed", publication.tag))
                    }
                    _ => Ok(()),
                }
            }
            Happening::Crashed { .. } | Happening::Stopped { .. } => {
                self.asked.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
