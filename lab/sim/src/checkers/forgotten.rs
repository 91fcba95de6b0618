//! No acknowledged entity-tag or subscription is forgotten.

use machine::Instant;

use super::Checker;
use crate::happening::{Happening, Request};
use crate::model::Model;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Forgotten;

impl Forgotten {
    fn answered(at: Instant, request: &Request, status: u16, model: &Model) -> Result<(), String> {
        // In the model a tag is there until another takes its place, however the request that did so was answered.
        let known = request
            .if_match
            .as_ref()
            .and_then(|tag| model.live.publications.get(tag));
        if let (412, Some(publication)) = (status, known)
            && at < publication.lasts.earliest
        {
            return Err(format!("412 to the living entity-tag {}", publication.tag));
        }
        let dialog = model.live.dialogs.get(&request.dialog);
        if let (481, true, Some(dialog)) = (status, request.in_dialog, dialog)
            && !dialog.ending
            && at < dialog.lasts.earliest
        {
            return Err(format!("481 to the living subscription {}", request.dialog));
        }
        Ok(())
    }
}

impl Checker for Forgotten {
    fn name(&self) -> &'static str {
        "forgotten"
    }

    fn promise(&self) -> &'static str {
        "No acknowledged entity-tag or subscription is forgotten."
    }

    fn see(&mut self, at: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String> {
        match happening {
            Happening::Answered {
                request, status, ..
            } => Self::answered(at, request, *status, model),
            Happening::Started { counts } => {
                let publications = model
                    .live
                    .publications
                    .values()
                    .filter(|each| at < each.lasts.earliest)
                    .count();
                let dialogs = model
                    .live
                    .dialogs
                    .values()
                    .filter(|each| !each.ending && at < each.lasts.earliest);
                let dialogs = dialogs.count();
                if counts.publications < publications {
                    return Err(format!(
                        "{} of {publications} publications are there after the start",
                        counts.publications
                    ));
                }
                if counts.subscriptions < dialogs {
                    return Err(format!(
                        "{} of {dialogs} subscriptions are there after the start",
                        counts.subscriptions
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
