//! What happened between actors, as a picture: a ladder in text and in SVG.
//! Owns: the trace (what happened when, bounded), what matters of a message, the drawing.
//! Takes: messages, events, timers and notes in any order of time, or a trace file.
//! Gives: text, SVG, a trace file.
//! Never: a clock, a socket, a file, trust in what a peer wrote.

mod body;
mod digest;
mod drawing;
mod file;
mod http;
mod plain;
mod svg;
mod text;
mod trace;

pub use file::{FileError, read, write};
pub use trace::{Actor, Arrival, Cause, Entry, Point, PointKind, Room, Trace, What};

impl Trace {
    /// The ladder in text.
    pub fn text(&self) -> String {
        text::write(&drawing::Drawing::of(self))
    }

    /// The ladder as an SVG document.
    pub fn svg(&self) -> String {
        svg::write(&drawing::Drawing::of(self))
    }
}
