//! A server that is broken on purpose is caught, each time by the checker whose promise it breaks.

use sim::{Breakage, Plan, checkers, run, shrink};

/// Enough stories for every kind of breakage to show.
const SEEDS: u64 = 60;

/// Every way to be broken.
const BREAKAGES: [Breakage; 20] = [
    Breakage::ForgetsPublications,
    Breakage::ForgetsSubscriptions,
    Breakage::SendsBeforeCommit,
    Breakage::ActsTwice,
    Breakage::SkipsWatchers,
    Breakage::RepeatsNotifies,
    Breakage::CountsBackwards,
    Breakage::TellsOldStates,
    Breakage::TellsEverybody,
    Breakage::TellsWhoWaits,
    Breakage::ReassuresPolitely,
    Breakage::ForgetsTheTime,
    Breakage::EndsTwice,
    Breakage::LeavesUnanswered,
    Breakage::KeepsEverything,
    Breakage::Misjudges,
    Breakage::GivesUp,
    Breakage::HidesAWatcher,
    Breakage::CountsWatchersByTwos,
    Breakage::KeepsListsForItself,
];

/// Whose promise that breaks.
const fn checker_of(breakage: Breakage) -> &'static str {
    match breakage {
        Breakage::None => "",
        Breakage::ForgetsPublications
        | Breakage::ForgetsSubscriptions
        | Breakage::SendsBeforeCommit => "forgotten",
        Breakage::ActsTwice => "once",
        Breakage::SkipsWatchers => "final view",
        Breakage::RepeatsNotifies => "news",
        Breakage::CountsBackwards => "sequence",
        Breakage::TellsOldStates => "order",
        Breakage::TellsEverybody => "privacy",
        Breakage::TellsWhoWaits => "unseen",
        Breakage::ReassuresPolitely => "polite",
        Breakage::ForgetsTheTime => "expiry",
        Breakage::EndsTwice => "terminal",
        Breakage::LeavesUnanswered => "transactions",
        Breakage::KeepsEverything => "gone",
        Breakage::Misjudges => "judgement",
        Breakage::GivesUp | Breakage::KeepsListsForItself => "recovery",
        Breakage::HidesAWatcher | Breakage::CountsWatchersByTwos => "watchers",
    }
}

#[track_caller]
fn is_caught(breakage: Breakage) -> u64 {
    let checker = checker_of(breakage);
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
fn every_checker_has_a_broken_server_to_catch() {
    for checker in checkers() {
        let broken = BREAKAGES
            .iter()
            .any(|breakage| checker_of(*breakage) == checker.name());
        assert!(
            broken,
            "nothing shows that {} sees anything",
            checker.name()
        );
    }
}

#[test]
fn a_refusal_for_another_reason() {
    is_caught(Breakage::Misjudges);
}

#[test]
fn a_forgotten_publication() {
    is_caught(Breakage::ForgetsPublications);
}

#[test]
fn a_list_that_changes_and_is_not_told() {
    is_caught(Breakage::KeepsListsForItself);
}

#[test]
fn a_forgotten_subscription() {
    is_caught(Breakage::ForgetsSubscriptions);
}

#[test]
fn an_answer_before_the_commit() {
    is_caught(Breakage::SendsBeforeCommit);
}

#[test]
fn a_request_that_acts_twice() {
    is_caught(Breakage::ActsTwice);
}

#[test]
fn a_skipped_watcher() {
    is_caught(Breakage::SkipsWatchers);
}

#[test]
fn a_repeated_notify() {
    is_caught(Breakage::RepeatsNotifies);
}

#[test]
fn numbers_that_go_back() {
    is_caught(Breakage::CountsBackwards);
}

#[test]
fn an_old_state() {
    is_caught(Breakage::TellsOldStates);
}

#[test]
fn a_state_for_everybody() {
    is_caught(Breakage::TellsEverybody);
}

#[test]
fn a_state_for_who_waits() {
    is_caught(Breakage::TellsWhoWaits);
}

#[test]
fn a_sign_of_life_for_who_is_politely_blocked() {
    is_caught(Breakage::ReassuresPolitely);
}

#[test]
fn a_late_expiry() {
    is_caught(Breakage::ForgetsTheTime);
}

#[test]
fn a_second_end() {
    is_caught(Breakage::EndsTwice);
}

#[test]
fn a_request_without_an_answer() {
    is_caught(Breakage::LeavesUnanswered);
}

#[test]
fn what_stays_on_disk() {
    is_caught(Breakage::KeepsEverything);
}

#[test]
fn a_client_that_gives_up() {
    is_caught(Breakage::GivesUp);
}

#[test]
fn a_hidden_watcher() {
    is_caught(Breakage::HidesAWatcher);
}

#[test]
fn versions_with_gaps() {
    is_caught(Breakage::CountsWatchersByTwos);
}

#[test]
fn a_failing_story_gets_short_and_still_fails() {
    let seed = is_caught(Breakage::ForgetsPublications);
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
