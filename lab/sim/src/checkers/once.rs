//! No request, however often its bytes arrive and whatever crashes between, takes effect twice.
//!
//! As long as it may be a retransmission: 64·T1. The network of the world carries nothing that is older.

use std::collections::BTreeMap;

use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::{Model, RequestId};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Once {
    /// What was said to each: the same again, always.
    granted: BTreeMap<RequestId, String>,
}

impl Checker for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn promise(&self) -> &'static str {
        "No request, however often its bytes arrive and whatever crashes between, takes effect twice."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        model: &Model,
    ) -> Result<(), String> {
        match happening {
            Happening::Effect(id) if model.live.effects.contains(*id) => {
                Err(format!("{id} takes effect twice"))
            }
            Happening::Answered {
                request,
                status: 200..=299,
                tag,
                ..
            } => {
                let granted = self
                    .granted
                    .entry(request.id.clone())
                    .or_insert((*tag).to_owned());
                // A fetch is not stored: after a crash it is looked at anew, and nothing is done twice.
                let reads =
                    request.expires == Some(0) && request.if_match.is_none() && !request.in_dialog;
                if granted != tag && !reads {
                    return Err(format!(
                        "{} is answered with {granted}, then {tag}",
                        request.id
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
