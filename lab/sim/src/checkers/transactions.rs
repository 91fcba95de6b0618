//! Every transaction ends: a request is answered soon, a NOTIFY is not repeated for ever, people's programs come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::Instant;

use super::Checker;
use crate::happening::Happening;
use crate::model::{DialogId, Model, RequestId};

/// The slowest disk of the world takes 4 s for a commit, and several may be before it.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// 64·T1, and the last retransmission's own wait (a connection tried, a datagram instead).
const NOTIFY_MAX: Duration = Duration::from_secs(37);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    unanswered: BTreeMap<RequestId, Instant>,
    notifies: BTreeMap<DialogId, (u32, Instant)>,
}

impl Checker for Transactions {
    fn name(&self) -> &'static str {
        "transactions"
    }

    fn promise(&self) -> &'static str {
        "Every transaction ends: a request is answered, a NOTIFY is not repeated for ever, people's programs come to rest."
    }

    fn see(
        &mut self,
        at: Instant,
        happening: &Happening<'_>,
        _model: &Model,
    ) -> Result<(), String> {
        match happening {
            Happening::Asked(request) if !request.again => {
                self.unanswered.entry(request.id.clone()).or_insert(at);
                let late = self
                    .unanswered
                    .iter()
                    .find(|(_, since)| at.since(**since) > ANSWER_MAX);
                late.map_or(Ok(()), |(id, _)| Err(format!("{id} has no answer")))
            }
            Happening::Answered {
                request,
                status: 200..,
                ..
            } => {
                self.unanswered.remove(&request.id);
                Ok(())
            }
            Happening::Notified(notify) => {
                let first = self
                    .notifies
                    .entry(notify.leg.clone())
                    .or_insert((notify.cseq, at));
                if first.0 != notify.cseq {
                    *first = (notify.cseq, at);
                }
                if at.since(first.1) > NOTIFY_MAX {
                    return Err(format!(
                        "{}: CSeq {} is still repeated",
                        notify.leg, notify.cseq
                    ));
                }
                Ok(())
            }
            Happening::Crashed { .. } | Happening::Stopped { .. } => {
                self.unanswered.clear();
                Ok(())
            }
            Happening::Over(remains) => match self.unanswered.keys().next() {
                Some(id) => Err(format!("{id} has no answer")),
                None if !remains.busy.is_empty() => {
                    Err(format!("the programs of {:?} do not end", remains.busy))
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
