//! The ladder in text: time at the left, actors as columns, what matters at the right.

use std::fmt::Write as _;

use crate::drawing::{Arrow, Drawing, Mark, Row, clock};
use crate::trace::PointKind;

/// Where the first actor stands; the time is left of it.
const LEFT: usize = 13;
/// Between two actors, at least and at most.
const GAP: std::ops::RangeInclusive<usize> = 18..=40;

pub(crate) fn write(drawing: &Drawing) -> String {
    let places = places(drawing);
    let mut out = String::new();
    if !drawing.title.is_empty() {
        let _ = writeln!(out, "{}\n", drawing.title);
    }
    let mut names = Line::new();
    names.put(LEFT - 7, "time");
    for (place, name) in places.iter().zip(&drawing.columns) {
        names.put(*place, name);
    }
    names.end(&mut out);
    for row in &drawing.rows {
        write_row(row, &places, &mut out);
    }
    out
}

/// The place of each actor: labels fit between them where they can.
fn places(drawing: &Drawing) -> Vec<usize> {
    let mut gaps: Vec<usize> = drawing
        .columns
        .iter()
        .map(|name| (name.chars().count() + 3).max(*GAP.start()))
        .collect();
    for row in &drawing.rows {
        let Mark::Arrow(arrow) = &row.mark else {
            continue;
        };
        let (left, right) = (arrow.from.min(arrow.to), arrow.from.max(arrow.to));
        let each = (arrow.label.chars().count() + 13).div_ceil(right - left);
        gaps[left..right]
            .iter_mut()
            .for_each(|gap| *gap = (*gap).max(each.min(*GAP.end())));
    }
    let mut next = LEFT;
    let place = |gap: usize| {
        let place = next;
        next += gap;
        place
    };
    gaps.into_iter().map(place).collect()
}

fn write_row(row: &Row, places: &[usize], out: &mut String) {
    let mut line = Line::new();
    for (place, down) in places.iter().zip(&row.down) {
        let waits = matches!(row.mark, Mark::Pause | Mark::Missing);
        line.put(*place, if waits || *down { ":" } else { "|" });
    }
    let parts = [row.said.as_str(), row.words.as_str()];
    let mut words = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    match &row.mark {
        Mark::Arrow(arrow) => draw(arrow, places, &mut line),
        Mark::Point(column, kind) => {
            let mark = match kind {
                PointKind::Event => "*",
                PointKind::Timer => "o",
                PointKind::Note => "#",
                PointKind::Down => "X",
                PointKind::Up => "|",
            };
            line.put(places.get(*column).copied().unwrap_or(LEFT), mark);
        }
        Mark::Across => {
            across(&words, places, &mut line);
            words.clear();
        }
        Mark::Pause | Mark::Missing => words = format!("   ({words})"),
    }
    if !matches!(row.mark, Mark::Pause | Mark::Missing) {
        line.put(0, &format!("{:>10}", clock(row.at)));
    }
    let right = places.last().map_or(LEFT, |place| place + 4);
    let cause = row
        .cause
        .map_or_else(String::new, |cause| format!("[c{cause}]"));
    line.put(right, format!("{cause:5} {words}").trim_end());
    line.end(out);
}

fn draw(arrow: &Arrow, places: &[usize], line: &mut Line) {
    let place = |column: usize| places.get(column).copied().unwrap_or(LEFT);
    let (from, to) = (place(arrow.from), place(arrow.to));
    let (left, right) = (from.min(to), from.max(to));
    for offset in 1..right - left {
        // Dashes for what was sent before.
        line.put(
            left + offset,
            if arrow.again && offset % 2 == 0 {
                " "
            } else {
                "-"
            },
        );
    }
    let room = (right - left).saturating_sub(9);
    let label: String = arrow.label.chars().take(room).collect();
    line.put(left + 4, &format!(" {label} "));
    match (arrow.lost, to > from) {
        (false, true) => line.put(to - 2, "->"),
        (false, false) => line.put(to + 1, "<-"),
        (true, true) => line.put(to - 3, "X  "),
        (true, false) => line.put(to + 1, "  X"),
    }
}

/// A line from the first actor to the last, with words in it.
fn across(words: &str, places: &[usize], line: &mut Line) {
    let last = places.last().copied().unwrap_or(LEFT);
    (LEFT + 1..last).for_each(|at| line.put(at, "="));
    line.put(LEFT + 3, &format!(" {words} "));
}

/// A line into which words are put at places.
struct Line(Vec<char>);

impl Line {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn put(&mut self, at: usize, words: &str) {
        for (offset, character) in words.chars().enumerate() {
            if self.0.len() <= at + offset {
                self.0.resize(at + offset + 1, ' ');
            }
            self.0[at + offset] = character;
        }
    }

    fn end(self, out: &mut String) {
        out.push_str(self.0.into_iter().collect::<String>().trim_end());
        out.push('\n');
    }
}
