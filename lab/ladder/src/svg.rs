//! The ladder as an SVG document: whole in itself, no scripts, for light and dark backgrounds.

use std::fmt::Write as _;

use crate::digest::Kind;
use crate::drawing::{Arrow, Drawing, Mark, Row, clock};
use crate::trace::PointKind;

/// The first lifeline; the time is left of it.
const LEFT: i64 = 150;
const TOP: i64 = 118;
const ROW: i64 = 36;
/// A row that says only that time passes.
const THIN_ROW: i64 = 30;
/// One character of the words at the right, about.
const CHARACTER: f64 = 6.1;
/// The same of those that matter most.
const BOLD_CHARACTER: f64 = 7.2;

const STYLE: &str = "\
.ladder{--paper:#ffffff;--edge:#e3e7ee;--ink:#1d2433;--soft:#667085;--line:#c3cad6;--box:#f3f5f9;\
--publish:#0b7a5c;--subscribe:#2257c9;--notify:#8a3fc0;--request:#475467;--success:#5b6b80;--failure:#c4302b;--mark:#b25e09;\
font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,'DejaVu Sans',sans-serif}\
@media (prefers-color-scheme:dark){.ladder{--paper:#12161f;--edge:#2a3140;--ink:#e6eaf2;--soft:#98a2b6;--line:#3b4559;--box:#1c2230;\
--publish:#43c69b;--subscribe:#7aa7ff;--notify:#c79af0;--request:#a9b4c6;--success:#9aa8bd;--failure:#ff8078;--mark:#f0a44b}}\
.paper{fill:var(--paper);stroke:var(--edge)}.title{font-size:17px;font-weight:650;fill:var(--ink)}\
.box{fill:var(--box);stroke:var(--line)}.name{font-size:13px;font-weight:600;fill:var(--ink);text-anchor:middle}\
.life{stroke:var(--line);stroke-width:1.5}.gone{stroke:var(--failure);stroke-width:1.5;stroke-dasharray:2 5;opacity:.6}\
.wait{stroke:var(--line);stroke-width:1.5;stroke-dasharray:1.5 5}\
.time{font-size:11.5px;fill:var(--soft);text-anchor:end;font-variant-numeric:tabular-nums}\
.words{font-size:12px;fill:var(--soft)}.said{fill:var(--ink);font-weight:600}.pause{font-size:11.5px;fill:var(--soft);font-style:italic}\
.label{font-size:12px;font-weight:650;text-anchor:middle;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}\
.shaft{stroke-width:1.7;fill:none}g:hover .shaft{stroke-width:3}.again{stroke-dasharray:6 4}\
.publish{--tone:var(--publish)}.subscribe{--tone:var(--subscribe)}.notify{--tone:var(--notify)}.request{--tone:var(--request)}\
.success{--tone:var(--success)}.failure{--tone:var(--failure)}.mark{--tone:var(--mark)}\
.shaft,.cross{stroke:var(--tone)}.label,.head,.dot{fill:var(--tone)}.cross{stroke-width:2.2}.ring{fill:var(--paper);stroke:var(--tone);stroke-width:2}\
.cause{stroke:none}.number{font-size:10.5px;font-weight:700;fill:#ffffff;text-anchor:middle}";

/// Colours of causes: told apart from one another, white reads on each.
const CAUSES: [&str; 8] = [
    "#0b7a5c", "#b25e09", "#2257c9", "#a8327a", "#5a6b00", "#6b43c7", "#00718f", "#a33b20",
];

pub(crate) fn write(drawing: &Drawing) -> String {
    let layout = Layout::of(drawing);
    let mut out = String::new();
    let (width, height) = (layout.width, layout.height);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ladder\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"10\"/>\n\
         <text class=\"title\" x=\"28\" y=\"38\">{title}</text>\n",
        width - 1,
        height - 1,
        title = escaped(&drawing.title),
    );
    lifelines(drawing, &layout, &mut out);
    for y in [58, height - 54] {
        names(drawing, &layout, y, &mut out);
    }
    for (row, y) in drawing.rows.iter().zip(&layout.rows) {
        write_row(row, *y, &layout, drawing, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

struct Layout {
    columns: Vec<i64>,
    rows: Vec<i64>,
    words: i64,
    width: i64,
    height: i64,
}

impl Layout {
    fn of(drawing: &Drawing) -> Self {
        let gap = match drawing.columns.len() {
            0..=3 => 230,
            4..=5 => 190,
            _ => 160,
        };
        let columns: Vec<i64> = (0..drawing.columns.len() as i64)
            .map(|index| LEFT + index * gap)
            .collect();
        let mut y = TOP;
        let place = |row: &Row| {
            let height = if matches!(row.mark, Mark::Pause | Mark::Missing) {
                THIN_ROW
            } else {
                ROW
            };
            y += height;
            y - height / 2
        };
        let rows: Vec<i64> = drawing.rows.iter().map(place).collect();
        let length = |row: &Row| {
            let (said, words) = (row.said.chars().count(), row.words.chars().count());
            said as f64 * BOLD_CHARACTER + words as f64 * CHARACTER
        };
        let longest = drawing.rows.iter().map(length).fold(0.0, f64::max);
        let words = columns.last().copied().unwrap_or(LEFT) + 76;
        let title = (drawing.title.chars().count() as f64 * 9.2) as i64 + 56;
        Self {
            words,
            width: (words + 48 + longest as i64).max(title),
            height: y + 84,
            columns,
            rows,
        }
    }

    fn x(&self, column: usize) -> i64 {
        self.columns.get(column).copied().unwrap_or(LEFT)
    }

    /// Where a time is, by the rows that happened until then.
    fn y(&self, at: u64, drawing: &Drawing) -> i64 {
        let later = drawing.rows.partition_point(|row| row.at <= at);
        self.rows
            .get(later.saturating_sub(1))
            .map_or(TOP, |y| y + 12)
    }
}

fn names(drawing: &Drawing, layout: &Layout, y: i64, out: &mut String) {
    for (name, x) in drawing.columns.iter().zip(&layout.columns) {
        let name = crate::plain::cut(name, 22);
        let width = (name.chars().count() as i64 * 8 + 28).max(84);
        let _ = writeln!(
            out,
            "<rect class=\"box\" x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"32\" rx=\"7\"/><text class=\"name\" x=\"{x}\" y=\"{}\">{}</text>",
            x - width / 2,
            y + 21,
            escaped(&name),
        );
    }
}

/// Each lifeline in as few pieces as its states allow.
fn lifelines(drawing: &Drawing, layout: &Layout, out: &mut String) {
    let class = |row: &Row, column: usize| {
        if row.down.get(column) == Some(&true) {
            "gone"
        } else if matches!(row.mark, Mark::Pause | Mark::Missing) {
            "wait"
        } else {
            "life"
        }
    };
    let mut piece = |x: i64, from: i64, to: i64, class: &str| {
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\"/>"
        );
    };
    for (column, x) in layout.columns.iter().enumerate() {
        let (mut from, mut now) = (90, "life");
        for (row, y) in drawing.rows.iter().zip(&layout.rows) {
            let (next, half) = (
                class(row, column),
                if class(row, column) == "life" {
                    ROW / 2
                } else {
                    THIN_ROW / 2
                },
            );
            if next != now {
                piece(*x, from, y - half, now);
                (from, now) = (y - half, next);
            }
        }
        piece(*x, from, layout.height - 54, now);
    }
}

fn write_row(row: &Row, y: i64, layout: &Layout, drawing: &Drawing, out: &mut String) {
    let timeless = matches!(row.mark, Mark::Pause | Mark::Missing);
    if !timeless {
        let _ = write!(
            out,
            "<text class=\"time\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 64,
            y + 4,
            clock(row.at)
        );
    }
    match &row.mark {
        Mark::Arrow(arrow) => draw(arrow, row, y, layout, drawing, out),
        Mark::Point(column, kind) => point(layout.x(*column), y, (*kind, row.cause), out),
        Mark::Across => return band(row, y, layout, out),
        Mark::Pause | Mark::Missing => {}
    }
    let mut x = layout.words;
    if let Some(cause) = row.cause {
        let colour = colour(cause);
        let _ = write!(
            out,
            "<rect class=\"cause\" x=\"{}\" y=\"{}\" width=\"26\" height=\"16\" rx=\"8\" fill=\"{colour}\"/>\
             <text class=\"number\" x=\"{}\" y=\"{}\">c{cause}</text>",
            x - 34,
            y - 8,
            x - 21,
            y + 4,
        );
    }
    let class = if timeless { "pause" } else { "words" };
    if matches!(row.mark, Mark::Pause) {
        x = LEFT - 64;
        let _ = writeln!(
            out,
            "<text class=\"time\" font-style=\"italic\" x=\"{x}\" y=\"{}\">{}</text>",
            y + 4,
            escaped(&row.words)
        );
        return;
    }
    let said = if row.said.is_empty() {
        String::new()
    } else {
        format!("<tspan class=\"said\">{}</tspan>", escaped(&row.said))
    };
    let gap = if row.said.is_empty() || row.words.is_empty() {
        ""
    } else {
        "\u{2002}"
    };
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{said}{gap}{}</text>",
        y + 4,
        escaped(&row.words)
    );
}

/// A remark about everything stands across every lifeline.
fn band(row: &Row, y: i64, layout: &Layout, out: &mut String) {
    let last = layout.columns.last().copied().unwrap_or(LEFT);
    let needs = (row.said.chars().count() as f64 * BOLD_CHARACTER) as i64 + 28;
    let width = (last - LEFT + 84).max(needs);
    let _ = writeln!(
        out,
        "<rect class=\"box\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"24\" rx=\"5\"/><text class=\"words said\" x=\"{}\" y=\"{}\">{}</text>",
        LEFT - 42,
        y - 12,
        LEFT - 28,
        y + 4,
        escaped(&row.said)
    );
}

fn point(x: i64, y: i64, (kind, cause): (PointKind, Option<usize>), out: &mut String) {
    let _ = match kind {
        PointKind::Event if cause.is_some() => {
            let colour = colour(cause.unwrap_or_default());
            write!(
                out,
                "<circle class=\"cause\" cx=\"{x}\" cy=\"{y}\" r=\"4.5\" fill=\"{colour}\"/>"
            )
        }
        PointKind::Event => write!(
            out,
            "<circle class=\"dot mark\" cx=\"{x}\" cy=\"{y}\" r=\"4.5\"/>"
        ),
        PointKind::Timer => write!(
            out,
            "<circle class=\"ring mark\" cx=\"{x}\" cy=\"{y}\" r=\"7\"/><path class=\"shaft mark\" d=\"M{x} {} V{y} H{}\"/>",
            y - 4,
            x + 3
        ),
        PointKind::Note => write!(
            out,
            "<rect class=\"dot request\" x=\"{}\" y=\"{}\" width=\"8\" height=\"8\" rx=\"2\"/>",
            x - 4,
            y - 4
        ),
        PointKind::Down => write!(
            out,
            "<path class=\"cross failure\" d=\"M{0} {2} L{1} {3} M{0} {3} L{1} {2}\"/>",
            x - 6,
            x + 6,
            y - 6,
            y + 6
        ),
        PointKind::Up => write!(
            out,
            "<circle class=\"ring publish\" cx=\"{x}\" cy=\"{y}\" r=\"5.5\"/>"
        ),
    };
}

const fn colour(cause: usize) -> &'static str {
    CAUSES[cause.saturating_sub(1) % CAUSES.len()]
}

const fn tone(kind: Kind) -> &'static str {
    match kind {
        Kind::Publish => "publish",
        Kind::Subscribe => "subscribe",
        Kind::Notify => "notify",
        Kind::Request | Kind::Provisional | Kind::Unreadable => "request",
        Kind::Success => "success",
        Kind::Failure => "failure",
    }
}

fn draw(arrow: &Arrow, row: &Row, y: i64, layout: &Layout, drawing: &Drawing, out: &mut String) {
    let (from, to) = (layout.x(arrow.from), layout.x(arrow.to));
    let right = if to > from { 1 } else { -1 };
    let arrives = arrow.late.map_or(y, |at| layout.y(at, drawing).max(y + 6));
    // What is lost gets two thirds of its way.
    let (end, end_y) = if arrow.lost {
        (from + (to - from) * 2 / 3, y)
    } else {
        (to - right, arrives)
    };
    let dashes = if arrow.again { " again" } else { "" };
    let _ = write!(out, "<g class=\"{}\">", tone(arrow.kind));
    if !row.whole.is_empty() {
        let _ = write!(out, "<title>{}</title>", escaped(&row.whole));
    }
    let _ = write!(
        out,
        "<line class=\"shaft{dashes}\" x1=\"{from}\" y1=\"{y}\" x2=\"{end}\" y2=\"{end_y}\"/>"
    );
    if arrow.lost {
        let _ = write!(
            out,
            "<path class=\"cross failure\" d=\"M{0} {2} L{1} {3} M{0} {3} L{1} {2}\"/>",
            end - 5,
            end + 5,
            y - 5,
            y + 5
        );
    } else {
        let angle = f64::from((end_y - y) as i32)
            .atan2(f64::from((end - from) as i32))
            .to_degrees();
        let _ = write!(
            out,
            "<path class=\"head\" d=\"M0 0 L-10 -4.5 L-10 4.5 Z\" transform=\"translate({end} {end_y}) rotate({angle:.1})\"/>"
        );
    }
    if let Some(cause) = row.cause {
        let _ = write!(
            out,
            "<circle class=\"cause\" cx=\"{from}\" cy=\"{y}\" r=\"4\" fill=\"{}\"/>",
            colour(cause)
        );
    }
    // On a steep arrow the label stays where it begins.
    let (label_x, label_y) = if arrow.late.is_some() {
        (
            from + right * (arrow.label.chars().count() as i64 * 4 + 14),
            y,
        )
    } else {
        (i64::midpoint(from, to), y)
    };
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{label_x}\" y=\"{}\">{}</text></g>",
        label_y - 6,
        escaped(&arrow.label)
    );
}

/// Characters that XML forbids are gone already; these four mean something to it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
