//! A few dozen stories on every run; `cargo xtask sim` tells thousands.

use sim::{Breakage, Plan, run};

#[test]
fn every_promise_is_kept() {
    for seed in 1..=40 {
        let outcome = run(Plan::of(seed), Breakage::None, false);
        assert!(
            outcome.violations.is_empty(),
            "cargo xtask sim --seed {seed}: {:#?}",
            outcome.violations
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 7] {
        let (one, other) = (
            run(Plan::of(seed), Breakage::None, true),
            run(Plan::of(seed), Breakage::None, true),
        );
        assert!(one.trace.len() > 20, "something happens");
        assert_eq!(one.trace, other.trace);
    }
    let (one, other) = (
        run(Plan::of(3), Breakage::None, true),
        run(Plan::of(4), Breakage::None, true),
    );
    assert_ne!(one.trace, other.trace);
}
