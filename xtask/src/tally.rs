//! Counting: what the lines of `cargo test` say, and what the tests themselves said they skipped.

use std::fmt;

/// How many checks passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One check that came out this way.
    pub(crate) fn one(passed: bool) -> Tally {
        Tally {
            passed: u64::from(passed),
            failed: u64::from(!passed),
            skipped: 0,
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Takes in one line of `cargo test`'s output: `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    /// Any other line counts nothing.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = without_colours(line);
        let Some(rest) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = rest.split_once(". ") else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// A test that found nothing to run against returns early, so that `cargo test` counts it as passed; it says so in
    /// the file that `TIDINGS_SKIPPED` names, and is counted as what it is.
    pub(crate) fn move_to_skipped(&mut self, tests: u64) {
        self.passed = self.passed.saturating_sub(tests);
        self.skipped += tests;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The lines `skipped: NAME: why` of such a file, each once.
pub(crate) fn skipped_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("skipped: "))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// The line without terminal escapes, which `CARGO_TERM_COLOR=always` brings even into a pipe.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        for escaped in characters.by_ref() {
            if escaped.is_ascii_alphabetic() {
                break;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read_line(line));
        tally
    }

    #[test]
    fn result_lines_are_summed_and_others_count_nothing() {
        let text = "running 3 tests\ntest a ... ok\ntest b ... FAILED\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s\n\
            test result: ok. 20 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(
            tally(text),
            Tally {
                passed: 21,
                failed: 1,
                skipped: 1
            }
        );
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        let text = "test result: \u{1b}[32mok\u{1b}[m. 2 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(
            tally(text),
            Tally {
                passed: 2,
                failed: 0,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_test_that_skipped_is_not_a_pass() {
        let mut sum = Tally {
            passed: 3,
            failed: 0,
            skipped: 0,
        };
        sum.move_to_skipped(
            skipped_lines("skipped: a: no sipp\nskipped: a: no sipp\nnoise\nskipped: b: x\n").len()
                as u64,
        );
        assert_eq!(sum.to_string(), "1 passed, 0 failed, 2 skipped");
    }
}
