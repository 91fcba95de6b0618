//! When all has ended, memory and disk are where they began.

use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::Model;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gone;

impl Checker for Gone {
    fn name(&self) -> &'static str {
        "gone"
    }

    fn promise(&self) -> &'static str {
        "When all has ended, memory and disk are where they began."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        _model: &Model,
    ) -> Result<(), String> {
        let Happening::Over(remains) = happening else {
            return Ok(());
        };
        for (index, (counts, remembered)) in remains.shards.iter().enumerate() {
            // Presentities who keep something of themselves for good are there, and are not among what is remembered.
            if counts.publications + counts.subscriptions > 0 {
                return Err(format!("shard {index} still holds {counts:?}"));
            }
            if *remembered > 0 {
                return Err(format!("shard {index} still remembers {remembered}"));
            }
        }
        if let Some((who, remembered)) = remains.agents.iter().find(|(_, left)| *left > 0) {
            return Err(format!("the program of {who} still remembers {remembered}"));
        }
        if remains.deadlines > 0 {
            return Err(format!(
                "{} shards still wait for something",
                remains.deadlines
            ));
        }
        if remains.objects > 0 {
            return Err(format!("the store still holds {} objects", remains.objects));
        }
        Ok(())
    }
}
