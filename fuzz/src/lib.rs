//! What must hold for any bytes: the bodies of the fuzz targets, for libFuzzer and for ordinary tests.
//! Owns: the properties, the seeded mutations.   Takes: bytes of any origin.
//! Gives: nothing, or a panic that says what does not hold.
//! Never: files, sockets, clocks, chance that no seed determines.

pub mod mutate;
pub mod targets;

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a target that plays a story also tells it, on the standard error output.
pub static TELLING: AtomicBool = AtomicBool::new(false);

/// Tells a step of a story, if somebody listens.
pub(crate) fn tell(step: impl FnOnce() -> String) {
    if TELLING.load(Ordering::Relaxed) {
        eprintln!("{}", step());
    }
}

/// One thing that is fuzzed.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is also the name of its folders in `corpus` and `found`.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
    /// Longer inputs find nothing that shorter ones don't.
    pub bytes_max: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "sip_message",
        run: targets::sip_message::run,
        bytes_max: 4096,
    },
    Target {
        name: "stream_framing",
        run: targets::stream_framing::run,
        bytes_max: 4096,
    },
    Target {
        name: "pidf",
        run: targets::pidf::run,
        bytes_max: 4096,
    },
    Target {
        name: "header_values",
        run: targets::header_values::run,
        bytes_max: 512,
    },
    Target {
        name: "shard_operations",
        run: targets::shard_operations::run,
        bytes_max: 512,
    },
];

/// The target with this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
