//! Nothing outlives its expiry by more than a second, and nothing lapses before it.
//!
//! While one process of the server lives its expiry is what was granted, from the moment the answer left. Over a restart the
//! wall clock counts, and never more than was granted.

use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::{GRACE, Model};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Expiry;

impl Checker for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn promise(&self) -> &'static str {
        "Nothing outlives its expiry by more than a second, and nothing lapses before it."
    }

    fn see(&mut self, at: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        match happening {
            Happening::Overdue(what) => Err(format!("{what} outlives its expiry")),
            Happening::LapsedEarly(what) => {
                Err(format!("{what} lapses while nothing of it is due"))
            }
            Happening::Answered {
                request,
                status: 200..=299,
                ..
            } => {
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
            _ => Ok(()),
        }
    }
}
