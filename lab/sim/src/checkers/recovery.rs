//! Clients recover from every answer in the table: once it is calm, who wants to watch watches, and who wants to publish has
//! published.

use agent::{End, Event};
use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::Model;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recovery;

impl Checker for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn promise(&self) -> &'static str {
        "Clients recover from every answer: once it is calm, who wants to watch watches, who wants to publish has published."
    }

    fn see(
        &mut self,
        _at: Instant,
        happening: &Happening<'_>,
        _model: &Model,
    ) -> Result<(), String> {
        match happening {
            // A passing failure is waited out, it does not end what a person asked for. (A fetch is over at once.)
            Happening::Shown {
                who,
                wanted: true,
                event:
                    Event::Ended {
                        end:
                            End::Refused {
                                status: 480 | 491 | 500 | 502 | 503 | 504,
                                ..
                            },
                        ..
                    },
            } => Err(format!("person {who} gives up on a passing failure")),
            Happening::Calm(standings) => {
                for standing in *standings {
                    if let Some((whom, None)) = &standing.watches {
                        return Err(format!("person {} does not see {whom}", standing.who));
                    }
                    if let Some((note, false)) = standing.publishes {
                        return Err(format!("person {} has not published n{note}", standing.who));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
