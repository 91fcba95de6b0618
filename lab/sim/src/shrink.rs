//! From a story in which a promise is broken to a short one.

use crate::breakage::Breakage;
use crate::plan::Plan;

/// Runs are cheap, patience is not endless.
const RUNS_MAX: usize = 600;

/// The shortest plan found in which the same checker complains.
pub fn shrink(plan: &Plan, breakage: Breakage, checker: &str) -> Plan {
    let mut runs = 0;
    let mut fails = |plan: &Plan| {
        runs += 1;
        runs <= RUNS_MAX
            && crate::run(plan.clone(), breakage, false)
                .violations
                .iter()
                .any(|violation| violation.checker == checker)
    };
    let mut best = plan.clone();
    // A calmer world first, then fewer operations, then calmer still.
    for _ in 0..2 {
        for calmer in calmer(&best) {
            if fails(&calmer) {
                best = calmer;
            }
        }
        let mut size = best.operations.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            while from < best.operations.len() {
                let mut shorter = best.clone();
                let to = (from + size).min(shorter.operations.len());
                shorter.operations.drain(from..to);
                if fails(&shorter) {
                    best = shorter;
                } else {
                    from += size;
                }
            }
            if size == 1 {
                break;
            }
            size /= 2;
        }
    }
    best
}

/// The same plan with one thing less that goes wrong.
fn calmer(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Plan)| {
        let mut calmer = plan.clone();
        change(&mut calmer);
        all.push(calmer);
    };
    add(&|plan| (plan.lost, plan.doubled, plan.late) = (0, 0, 0));
    add(&|plan| {
        (plan.lost, plan.doubled, plan.late) = (0, 0, 0);
        (
            plan.delay_ms_max,
            plan.commit_ms_max,
            plan.shards,
            plan.named,
        ) = (1, 0, 1, false);
    });
    add(&|plan| plan.lost = 0);
    add(&|plan| plan.doubled = 0);
    add(&|plan| plan.late = 0);
    add(&|plan| plan.delay_ms_max = 1);
    add(&|plan| plan.commit_ms_max = 0);
    add(&|plan| plan.interval_ms = 0);
    add(&|plan| plan.named = false);
    add(&|plan| plan.shards = 1);
    all
}
