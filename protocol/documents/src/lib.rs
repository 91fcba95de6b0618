//! Presence documents, one file per format: names, order, what may repeat; mended on the way in, valid by the schemas on the way out.
//! Owns: namespaces, element names and schema order of PIDF and its extensions.   Takes: bytes of a peer, plain values of a client.
//! Gives: mended elements, documents as bytes, a summary for people.
//! Never: which source wins, who may see what, the time (those are `presence`).

pub mod capabilities;
pub mod cipid;
pub mod common_policy;
pub mod data_model;
pub mod identity;
pub mod oma_pres;
pub mod pidf;
pub mod pres_rules;
pub mod pub_rules;
pub mod rpid;
pub mod schema;
pub mod shape;
pub mod timed_status;
pub mod timestamp;
pub mod value;
pub mod watcherinfo;
