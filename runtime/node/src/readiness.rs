//! Whether the node takes requests, for whoever is asked before, while and after it does.

use std::sync::{Arc, PoisonError, RwLock};

/// Whether the node takes requests; clones are the same. Begins with "starting".
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Result<(), &'static str>>>);

impl Readiness {
    /// Not ready: starting.
    pub fn new() -> Self {
        Self(Arc::new(RwLock::new(Err("starting"))))
    }

    /// Ready, or why not: "starting", "draining", "stopping", "failed".
    pub fn get(&self) -> Result<(), &'static str> {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, value: Result<(), &'static str>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}
