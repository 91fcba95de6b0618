//! One target under libFuzzer: `FUZZ_TARGET` says which, `FUZZ_TELL=1` has it tell its stories. `cargo xtask fuzz` builds and runs it.

#![no_main]

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let telling = std::env::var_os("FUZZ_TELL").is_some();
        fuzz::TELLING.store(telling, Ordering::Relaxed);
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        match fuzz::target(&name) {
            Some(target) => target,
            None => {
                eprintln!("FUZZ_TARGET names no target: {name:?}");
                std::process::exit(2)
            }
        }
    });
    (target.run)(bytes);
});
