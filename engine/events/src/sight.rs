//! What a watcher is given: whether she is let in, and which part of the view she sees.

use std::fmt;
use std::sync::Arc;

use machine::settings::Handling;

use crate::resource::View;

/// Which part of a presentity's view somebody sees. Whoever knows what a body means makes them.
pub trait Sight: fmt::Debug + Send + Sync {
    /// What is seen of the composed view of `entity`.
    fn show(&self, entity: &str, view: &[u8]) -> Vec<u8>;

    /// The same for all through which the same is seen, in each life, and for no others. Never 0: that is the whole view's.
    fn digest(&self) -> u64;
}

/// What a presentity's rules give a watcher.
#[derive(Clone, Debug)]
pub struct Given {
    /// Whether she is let in.
    pub handling: Handling,
    /// What she sees where that is to allow; `None`: everything.
    pub sight: Option<Arc<dyn Sight>>,
}

impl Given {
    /// The whole view, where the handling shows any.
    pub const fn whole(handling: Handling) -> Self {
        Self {
            handling,
            sight: None,
        }
    }

    /// Of what she sees; 0 where that is everything, or where no view is shown.
    pub(crate) fn digest(&self) -> u64 {
        match (&self.sight, self.handling) {
            (Some(sight), Handling::Allow) => sight.digest().max(1),
            _ => 0,
        }
    }
}

/// What some watchers see of one resource, rendered once for all of them (decision 5).
#[derive(Debug)]
pub struct Seen {
    /// Of the sight.
    digest: u64,
    /// `None`: after a start, nobody has decided again yet.
    sight: Option<Arc<dyn Sight>>,
    /// Made when first needed, dropped when the composition changes.
    pub(crate) view: Option<View>,
    /// How many subscriptions see this.
    watchers: u32,
}

/// Stands for the whole view where a subscription names its `Seen`.
pub(crate) const WHOLE: u32 = u32::MAX;

/// What is seen of one resource besides the whole.
#[derive(Debug, Default)]
pub struct Sights(slab::Slab<Seen>);

impl Sights {
    /// One more watcher sees by this sight.
    pub(crate) fn join(&mut self, digest: u64, sight: Option<Arc<dyn Sight>>) -> u32 {
        if digest == 0 {
            return WHOLE;
        }
        // Few: each is a set of permissions that some rules grant together.
        let known = self.0.iter_mut().find(|(_, seen)| seen.digest == digest);
        if let Some((at, seen)) = known {
            seen.watchers += 1;
            if seen.sight.is_none() {
                seen.sight = sight;
            }
            return at as u32;
        }
        let seen = Seen {
            digest,
            sight,
            view: None,
            watchers: 1,
        };
        self.0.insert(seen) as u32
    }

    /// A watcher sees by it no longer.
    pub(crate) fn leave(&mut self, at: u32) {
        if let Some(seen) = self.0.get_mut(at as usize) {
            seen.watchers -= 1;
            if seen.watchers == 0 {
                self.0.remove(at as usize);
            }
        }
    }

    pub(crate) fn digest(&self, at: u32) -> u64 {
        self.0.get(at as usize).map_or(0, |seen| seen.digest)
    }

    /// After a start: this is what the digest stands for.
    pub(crate) fn know(&mut self, at: u32, sight: Option<Arc<dyn Sight>>) {
        if let Some(seen) = self.0.get_mut(at as usize) {
            seen.sight = sight;
        }
    }

    /// Those of which it is known what they show.
    pub(crate) fn known(&self) -> impl Iterator<Item = (u32, &Arc<dyn Sight>)> {
        let all = self.0.iter();
        all.filter_map(|(at, seen)| Some((at as u32, seen.sight.as_ref()?)))
    }

    /// The sight whose view has to be rendered; none: it is there, or nobody knows it.
    pub(crate) fn unrendered(&self, at: u32) -> Option<Arc<dyn Sight>> {
        let seen = self.0.get(at as usize)?;
        seen.sight.clone().filter(|_| seen.view.is_none())
    }

    pub(crate) fn rendered(&mut self, at: u32, view: View) {
        if let Some(seen) = self.0.get_mut(at as usize) {
            seen.view = Some(view);
        }
    }

    pub(crate) fn view(&self, at: u32) -> Option<&View> {
        self.0.get(at as usize)?.view.as_ref()
    }

    /// The composition is another one.
    pub(crate) fn recompose(&mut self) {
        for (_, seen) in &mut self.0 {
            seen.view = None;
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
