//! Whom the routes ask.

use serde_json::{Map, Value};

/// What the program can be asked. Called on threads that may block for a moment.
pub trait Administration: Send + Sync + 'static {
    /// Ready, or why not: state not loaded, a socket not open, draining.
    ///
    /// # Errors
    /// One line for people.
    fn readiness(&self) -> Result<(), String>;

    /// What runs, since when.
    fn status(&self) -> Value;

    /// Counters and gauges, as OpenMetrics writes them.
    fn metrics(&self) -> String;

    /// Reads the configuration again and says what was taken over and what waits for a restart.
    ///
    /// # Errors
    /// Nothing was changed, and why.
    fn reload(&self) -> Result<Value, Refusal>;

    /// Why a watcher (`anonymous` is nobody that is known) sees what she sees of a presentity. `rules`: as if this ruleset were stored as her
    /// `pres-rules/…/index`.
    ///
    /// # Errors
    /// Nobody of that name is served here, or these are no rules.
    fn explain(
        &self,
        presentity: &str,
        watcher: &str,
        rules: Option<&[u8]>,
    ) -> Result<Value, Refusal>;

    /// Users of the configuration and of the store, by their addresses; secrets aside. With `next` where there are more.
    ///
    /// # Errors
    /// The store can't say.
    fn users(&self, page: &Page) -> Result<Value, Refusal>;

    /// One of them.
    ///
    /// # Errors
    /// The store can't say.
    fn user(&self, aor: &str) -> Result<Option<Value>, Refusal>;

    /// Adds a user or changes one, by what an object of JSON says. `exists`: whether she has to be there (If-Match) or must not
    /// (If-None-Match).
    ///
    /// # Errors
    /// Nothing was changed, and why.
    fn put_user(&self, aor: &str, text: &str, exists: Option<bool>) -> Result<Value, Refusal>;

    /// Removes a user of the store.
    ///
    /// # Errors
    /// Nothing was changed, and why.
    fn remove_user(&self, aor: &str) -> Result<Value, Refusal>;

    /// Begins to hand watchers away; the process ends when that is done.
    ///
    /// # Errors
    /// Why not.
    fn drain(&self) -> Result<Value, Refusal>;
}

/// Which part of a long list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What comes after this one, which need not be there any more.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Page {
    /// 1000 users of 1 kB are 1 MB; a client of ours takes four. More are asked for: so many come.
    pub const LIMIT_MAX: usize = 1000;
}

/// An answer that is no, as RFC 9457 writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// In a few words.
    pub title: String,
    /// The particulars, for people.
    pub detail: String,
    /// The particulars, for programs.
    pub members: Map<String, Value>,
}

impl Refusal {
    /// Without particulars for programs.
    pub fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title: title.to_owned(),
            detail: detail.into(),
            members: Map::new(),
        }
    }

    /// The object of RFC 9457 §3.
    pub fn to_json(&self) -> Value {
        let mut object = self.members.clone();
        object.insert("type".to_owned(), "about:blank".into());
        object.insert("title".to_owned(), self.title.as_str().into());
        object.insert("status".to_owned(), self.status.into());
        object.insert("detail".to_owned(), self.detail.as_str().into());
        Value::Object(object)
    }
}
