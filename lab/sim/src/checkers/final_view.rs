//! Every watcher that may see ends with the composition of the live publications.

use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::Model;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FinalView;

impl Checker for FinalView {
    fn name(&self) -> &'static str {
        "final view"
    }

    fn promise(&self) -> &'static str {
        "Every watcher that may see ends with the composition of the live publications."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        model: &Model,
    ) -> Result<(), String> {
        let Happening::Calm(standings) = happening else {
            return Ok(());
        };
        for standing in *standings {
            let Some((whom, Some(seen))) = &standing.watches else {
                continue;
            };
            let expected = model.seen_by(whom, &standing.identity);
            if *seen != expected {
                return Err(format!(
                    "person {} ends with\n{}\nbut {whom} is\n{}",
                    standing.who,
                    String::from_utf8_lossy(seen),
                    String::from_utf8_lossy(&expected)
                ));
            }
        }
        // What a person published last is what is there.
        for standing in *standings {
            let Some((note, true)) = standing.publishes else {
                continue;
            };
            let note = format!("<note>n{note}");
            let there = model
                .live
                .publications
                .values()
                .any(|publication| String::from_utf8_lossy(&publication.body).contains(&note));
            if !there {
                return Err(format!(
                    "what person {} published last is not there",
                    standing.who
                ));
            }
        }
        Ok(())
    }
}
