//! Subscription-State (RFC 6665 §8.2.3).

use crate::lexical;
use crate::{Flaw, Message, Name, Params};

/// What a NOTIFY says about its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState<'b> {
    /// `active`, `pending`, `terminated` or another, as written; compare without case.
    pub state: &'b str,
    /// Why it ended.
    pub reason: Option<&'b str>,
    /// Seconds left.
    pub expires: Option<u32>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u32>,
}

impl<'b> SubscriptionState<'b> {
    /// Reads the value.
    pub fn parse(text: &'b str) -> Result<SubscriptionState<'b>, Flaw> {
        let (state, params) = lexical::before(text, b';');
        let state = lexical::trim_text(state);
        let params = Params::new(params);
        if !lexical::is_token(state.as_bytes()) || !params.are_well_formed() {
            return Err(Flaw::bad(Name::SubscriptionState, "Bad Subscription-State"));
        }
        let seconds = |name| {
            params
                .value(name)
                .and_then(|value: &str| lexical::number32(value.as_bytes()))
        };
        Ok(SubscriptionState {
            state,
            reason: params.value("reason"),
            expires: seconds("expires"),
            retry_after: seconds("retry-after"),
        })
    }
}

impl<'b> Message<'b> {
    /// Subscription-State; none when absent.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState<'b>>, Flaw> {
        self.typed(Name::SubscriptionState, SubscriptionState::parse)
    }
}
