//! `sim`: tells stories by their seeds until a promise is broken, or none is.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use sim::{Breakage, Plan, Tally, run, shrink};

const USAGE: &str = "usage: sim [--seeds N] [--seed S | --first S] [--jobs J] [--keep-going]
  --seeds N      tell N stories (default 1), seeds S, S+1, …
  --seed S       the first seed; with one story: tell it line by line, and its shortest form if it fails (default 1)
  --jobs J       on J threads (default 1)
  --keep-going   go on after a broken promise, and list the seeds at the end";

struct Wish {
    seeds: u64,
    first: u64,
    jobs: u64,
    keep_going: bool,
}

fn main() -> ExitCode {
    let Some(wish) = read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let failed = if wish.seeds > 1 {
        tell_many(&wish)
    } else {
        vec![wish.first]
    };
    let mut broken = failed.len() > 1;
    // The first is told whole: as it was, and as short as it gets.
    if let Some(seed) = failed.first() {
        broken |= tell_one(*seed);
    }
    ExitCode::from(u8::from(broken))
}

fn read(words: impl Iterator<Item = String>) -> Option<Wish> {
    let mut wish = Wish {
        seeds: 1,
        first: 1,
        jobs: 1,
        keep_going: false,
    };
    let mut words = words;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--keep-going" => wish.keep_going = true,
            "--seeds" => wish.seeds = words.next()?.parse().ok()?,
            "--seed" | "--first" => wish.first = words.next()?.parse().ok()?,
            "--jobs" => wish.jobs = words.next()?.parse().ok().filter(|jobs| *jobs > 0)?,
            _ => return None,
        }
    }
    Some(wish)
}

/// The seeds whose stories break a promise.
fn tell_many(wish: &Wish) -> Vec<u64> {
    let (next, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let (seconds, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let tally = Mutex::new(Tally::default());
    let work = || {
        while !enough.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index > 0 && index.is_multiple_of(10_000) {
                eprintln!("{index} stories are told or being told");
            }
            if index >= wish.seeds {
                return;
            }
            let seed = wish.first.wrapping_add(index);
            let outcome = run(Plan::of(seed), Breakage::None, false);
            seconds.fetch_add(outcome.lasted.as_secs(), Ordering::Relaxed);
            tally
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(&outcome.tally);
            for violation in &outcome.violations {
                println!("seed {seed}: {}: {}", violation.checker, violation.what);
            }
            if !outcome.violations.is_empty() {
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(seed);
                enough.fetch_or(!wish.keep_going, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..wish.jobs {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    let told = next.into_inner().min(wish.seeds);
    print!(
        "{}",
        tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    );
    println!(
        "{told} stories, {} hours, {} with a broken promise {}",
        seconds.into_inner() / 3600,
        failed.len(),
        failed
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    );
    failed
}

/// Tells one story; true when it breaks a promise.
fn tell_one(seed: u64) -> bool {
    let plan = Plan::of(seed);
    let outcome = run(plan.clone(), Breakage::None, true);
    let Some(first) = outcome.violations.first() else {
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("seed {seed}: every promise was kept");
        return false;
    };
    let short = shrink(&plan, Breakage::None, first.checker);
    let told = run(short.clone(), Breakage::None, true);
    told.trace.iter().for_each(|line| println!("{line}"));
    println!(
        "seed {seed}, {} of {} operations:",
        short.operations.len(),
        plan.operations.len()
    );
    for (at, operation) in &short.operations {
        println!("  {:12.6} {operation}", *at as f64 / 1e6);
    }
    for violation in told.violations.iter().chain(&outcome.violations) {
        let at = violation.at.as_micros() as f64 / 1e6;
        println!(
            "{at:.6} {}: {}\n  promised: {}",
            violation.checker, violation.what, violation.promise
        );
    }
    // A picture begins at 0; the lines above say when that is.
    let mut ladder = told.ladder;
    let begin = ladder
        .entries()
        .map(|entry| entry.at)
        .min()
        .unwrap_or_default();
    ladder.title = format!("seed {seed}; 0.000 is {:.6}", begin as f64 / 1e6);
    println!("\n{}", ladder.text());
    println!("again: cargo xtask sim --seed {seed}");
    true
}
