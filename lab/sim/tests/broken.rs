//! A server that is broken on purpose is caught, each time by the checker whose promise it breaks.

use sim::{Breakage, Plan, run, shrink};

/// Enough stories for every kind of breakage to show.
const SEEDS: u64 = 60;

#[track_caller]
fn is_caught(breakage: Breakage, checker: &str) -> u64 {
    let complains = |seed: u64, breakage| {
        let outcome = run(Plan::of(seed), breakage, false);
        outcome
            .violations
            .iter()
            .any(|violation| violation.checker == checker)
    };
    // Whole, the same world has nothing to complain of.
    let caught =
        (1..=SEEDS).find(|seed| complains(*seed, breakage) && !complains(*seed, Breakage::None));
    assert!(caught.is_some(), "nobody noticed {breakage:?}");
    caught.unwrap_or_default()
}

#[test]
fn a_forgotten_publication() {
    is_caught(Breakage::ForgetsPublications, "forgotten");
}

#[test]
fn a_forgotten_subscription() {
    is_caught(Breakage::ForgetsSubscriptions, "forgotten");
}

#[test]
fn an_answer_before_the_commit() {
    is_caught(Breakage::SendsBeforeCommit, "forgotten");
}

#[test]
fn a_request_that_acts_twice() {
    is_caught(Breakage::ActsTwice, "once");
}

#[test]
fn a_skipped_watcher() {
    is_caught(Breakage::SkipsWatchers, "final view");
}

#[test]
fn a_repeated_notify() {
    is_caught(Breakage::RepeatsNotifies, "news");
}

#[test]
fn numbers_that_go_back() {
    is_caught(Breakage::CountsBackwards, "sequence");
}

#[test]
fn an_old_state() {
    is_caught(Breakage::TellsOldStates, "order");
}

#[test]
fn a_state_for_everybody() {
    is_caught(Breakage::TellsEverybody, "privacy");
}

#[test]
fn a_late_expiry() {
    is_caught(Breakage::ForgetsTheTime, "expiry");
}

#[test]
fn a_second_end() {
    is_caught(Breakage::EndsTwice, "terminal");
}

#[test]
fn a_request_without_an_answer() {
    is_caught(Breakage::LeavesUnanswered, "transactions");
}

#[test]
fn what_stays_on_disk() {
    is_caught(Breakage::KeepsEverything, "gone");
}

#[test]
fn a_client_that_gives_up() {
    is_caught(Breakage::GivesUp, "recovery");
}

#[test]
fn a_failing_story_gets_short_and_still_fails() {
    let seed = is_caught(Breakage::ForgetsPublications, "forgotten");
    let plan = Plan::of(seed);
    let short = shrink(&plan, Breakage::ForgetsPublications, "forgotten");
    assert!(short.operations.len() <= 4, "{:#?}", short.operations);
    let outcome = run(short, Breakage::ForgetsPublications, false);
    assert!(
        outcome
            .violations
            .iter()
            .any(|violation| violation.checker == "forgotten")
    );
}
