//! Event state: publications, subscriptions and notifications (RFC 6665, RFC 3903).
//! Owns: soft state of the users of one shard.   Takes: requests, policy changes, the time.
//! Gives: responses, NOTIFY requests, records to commit, deadlines.
//! Never: sockets, clocks, files, tasks, the meaning of a body (that is `presence`) but of those about subscriptions (`winfo`).

pub mod answer;
pub mod compositor;
mod deciding;
pub mod dialog;
pub mod fingerprint;
mod happened;
pub mod notifier;
pub mod package;
mod permanent;
pub mod resource;
mod restore;
pub mod sending;
pub mod sight;
pub mod state;
pub mod stored;
pub mod subscription;
mod waiting;
pub mod watcher;
pub mod winfo;
mod written;

pub use answer::Rejection;
pub use compositor::Published;
pub use happened::Happened;
pub use notifier::Subscribed;
pub use resource::Permanent;
pub use sight::{Given, Sight};
pub use state::{Context, Counts, EventState};

mod back_off;
pub mod publisher;
pub mod subscriber;
