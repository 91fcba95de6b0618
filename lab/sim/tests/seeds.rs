//! A few hundred stories on every run; `cargo xtask sim` tells thousands.

use sim::{Breakage, Plan, Tally, run};

/// A share of the seeds: the tests run side by side.
#[track_caller]
fn every_promise_is_kept(seeds: std::ops::RangeInclusive<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let outcome = run(Plan::of(seed), Breakage::None, false);
        tally.add(&outcome.tally);
        assert!(
            outcome.violations.is_empty(),
            "cargo xtask sim --seed {seed}: {:#?}",
            outcome.violations
        );
    }
    tally
}

#[test]
fn every_promise_is_kept_in_a_world_that_is_bad_enough() {
    let tally = every_promise_is_kept(1..=60);
    // Nobody takes a calm world for a test.
    for (what, count) in [
        ("lost", tally.lost),
        ("doubled", tally.doubled),
        ("late", tally.late),
        ("cut in mid-message", tally.torn_connections),
        ("crashes", tally.crashes),
        ("stops", tally.stops),
        ("batches kept in a crash", tally.batches_kept),
        ("batches lost in a crash", tally.batches_lost),
        ("wall clock steps", tally.wall_steps),
    ] {
        assert!(count > 0, "{what}: never\n{tally}");
    }
}

#[test]
fn every_promise_is_kept_in_another_sixty_stories() {
    every_promise_is_kept(61..=120);
}

#[test]
fn every_promise_is_kept_in_sixty_more() {
    every_promise_is_kept(121..=180);
}

#[test]
fn every_promise_is_kept_in_the_last_sixty() {
    every_promise_is_kept(181..=240);
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
        assert_eq!(one.tally, other.tally);
    }
    let (one, other) = (
        run(Plan::of(3), Breakage::None, true),
        run(Plan::of(4), Breakage::None, true),
    );
    assert_ne!(one.trace, other.trace);
}
