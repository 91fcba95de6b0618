//! What comes of a request.

use xcap::Conflict;

/// An answer, and what becomes of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body; empty where there is none.
    pub media_type: &'static str,
    /// The body.
    pub body: String,
    /// What becomes of the document.
    pub change: Change,
    /// The methods that are possible, for a 405; else empty.
    pub allow: &'static str,
}

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    None,
    /// It is this from now on.
    Put(String),
    /// It is gone.
    Delete,
}

impl Answer {
    pub(crate) const fn of(status: u16, change: Change) -> Self {
        Self {
            status,
            media_type: "",
            body: String::new(),
            change,
            allow: "",
        }
    }

    pub(crate) const fn refused(status: u16) -> Self {
        Self::of(status, Change::None)
    }

    pub(crate) fn read(media_type: &'static str, body: String) -> Self {
        Self {
            media_type,
            body,
            ..Self::of(200, Change::None)
        }
    }

    /// RFC 4825 §11: a conflict is reported.
    pub(crate) fn conflict(conflict: &Conflict) -> Self {
        Self {
            media_type: xcap::ERROR,
            body: conflict.write(),
            ..Self::refused(409)
        }
    }
}
