//! What can't be served is refused with the status that says why.

use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::Model;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Judgement;

impl Checker for Judgement {
    fn name(&self) -> &'static str {
        "judgement"
    }

    fn promise(&self) -> &'static str {
        "What can't be served is refused with the status that says why."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        _model: &Model,
    ) -> Result<(), String> {
        match happening {
            Happening::Misjudged(what) => Err((*what).to_owned()),
            _ => Ok(()),
        }
    }
}
