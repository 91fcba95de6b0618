//! What a user may rely on: one promise per file.

mod expiry;
mod final_view;
mod forgotten;
mod gone;
mod judgement;
mod news;
mod once;
mod order;
mod polite;
mod privacy;
mod recovery;
mod sequence;
mod terminal;
mod transactions;
mod unseen;
mod watchers;

use machine::Instant;

use crate::happening::Happening;
use crate::model::Model;

/// Holds the world to one promise.
pub trait Checker {
    /// Its short name.
    fn name(&self) -> &'static str;
    /// What a user may rely on.
    fn promise(&self) -> &'static str;
    /// Something happened; an error says how the promise was broken.
    fn see(&mut self, at: Instant, happening: &Happening<'_>, model: &Model) -> Result<(), String>;
}

/// One of each.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::<forgotten::Forgotten>::default(),
        Box::<once::Once>::default(),
        Box::<sequence::Sequence>::default(),
        Box::<order::Order>::default(),
        Box::<privacy::Privacy>::default(),
        Box::<unseen::Unseen>::default(),
        Box::<polite::Polite>::default(),
        Box::<news::News>::default(),
        Box::<terminal::Terminal>::default(),
        Box::<expiry::Expiry>::default(),
        Box::<judgement::Judgement>::default(),
        Box::<transactions::Transactions>::default(),
        Box::<recovery::Recovery>::default(),
        Box::<final_view::FinalView>::default(),
        Box::<watchers::Watchers>::default(),
        Box::<gone::Gone>::default(),
    ]
}
