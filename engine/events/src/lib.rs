//! Event state: publications, subscriptions and notifications (RFC 6665, RFC 3903).
//! Owns: soft state of the users of one shard.   Takes: requests, policy changes, the time.
//! Gives: responses, NOTIFY requests, records to commit, deadlines.
//! Never: sockets, clocks, files, tasks, the meaning of a body (that is `presence`).

pub mod package;
