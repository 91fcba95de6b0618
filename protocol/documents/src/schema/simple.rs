//! Simple types, held strictly.

use crate::value::collapse;

/// A simple type of XML Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `xs:string`, `xs:token`: anything.
    Text,
    /// `xs:anyURI`: next to anything.
    Uri,
    /// `xs:boolean`.
    Boolean,
    /// `xs:dateTime`.
    DateTime,
    /// `xs:language`, or nothing.
    Language,
    /// `xs:ID`.
    Id,
    /// One of these, white space around it aside.
    Word(&'static [&'static str]),
    /// One of these, to the letter.
    Exactly(&'static [&'static str]),
}

impl Type {
    /// Whether a text is of this type; else what it should be.
    ///
    /// # Errors
    /// What it should be.
    pub fn check(self, text: &str) -> Result<(), String> {
        let trimmed = text.trim_ascii();
        let (fits, wanted) = match self {
            Self::Text => (true, String::new()),
            Self::Uri => (is_uri(&collapse(text)), "a URI".to_owned()),
            Self::Boolean => (
                matches!(trimmed, "true" | "false" | "1" | "0"),
                "true or false".to_owned(),
            ),
            Self::DateTime => (
                is_date_time(trimmed),
                "a date and time like 2026-01-31T12:00:00Z".to_owned(),
            ),
            Self::Language => (is_language(trimmed), "a language".to_owned()),
            Self::Id => (
                xml::is_ncname(trimmed),
                "a name that begins with a letter".to_owned(),
            ),
            Self::Word(words) => (words.contains(&collapse(text).as_str()), one_of(words)),
            Self::Exactly(words) => (words.contains(&text), one_of(words)),
        };
        if fits { Ok(()) } else { Err(wanted) }
    }
}

fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}

/// An escape is an escape, and brackets are about addresses only; what else there may be is not for a schema to say.
fn is_uri(text: &str) -> bool {
    let mut rest = text.split('%');
    rest.next();
    let escapes = rest.all(|after| {
        after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
    });
    escapes && text.matches('#').count() <= 1
}

fn is_language(text: &str) -> bool {
    text.is_empty()
        || text.split('-').enumerate().all(|(at, part)| {
            (1..=8).contains(&part.len())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()))
        })
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return false;
    };
    let (time, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    is_date(date) && is_time(time) && is_offset(offset)
}

/// Exactly so many digits, within bounds.
fn number(text: &str, digits: usize, least: u32, most: u32) -> bool {
    text.len() == digits
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text
            .parse()
            .is_ok_and(|number: u32| (least..=most).contains(&number))
}

fn is_date(date: &str) -> bool {
    let date = date.strip_prefix('-').unwrap_or(date);
    let mut parts = date.splitn(3, '-');
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let long = year.len() == 4 || year.len() > 4 && !year.starts_with('0');
    let is_year = long
        && year.bytes().all(|byte| byte.is_ascii_digit())
        && year.bytes().any(|byte| byte != b'0');
    is_year && number(month, 2, 1, 12) && {
        let last_digits: u32 = year
            .get(year.len().saturating_sub(4)..)
            .and_then(|year| year.parse().ok())
            .unwrap_or(0);
        let leaps = last_digits.is_multiple_of(4)
            && (!last_digits.is_multiple_of(100) || last_digits.is_multiple_of(400));
        let days = match month {
            "04" | "06" | "09" | "11" => 30,
            "02" if leaps => 29,
            "02" => 28,
            _ => 31,
        };
        number(day, 2, 1, days)
    }
}

fn is_time(time: &str) -> bool {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_midnight = hour == "24"
        && minute == "00"
        && second == "00"
        && fraction.bytes().all(|byte| byte == b'0');
    is_fraction
        && (is_midnight
            || number(hour, 2, 0, 23) && number(minute, 2, 0, 59) && number(second, 2, 0, 59))
}

fn is_offset(offset: &str) -> bool {
    if matches!(offset, "" | "Z") {
        return true;
    }
    let Some((hours, minutes)) = offset.get(1..).and_then(|offset| offset.split_once(':')) else {
        return false;
    };
    hours == "14" && minutes == "00" || number(hours, 2, 0, 13) && number(minutes, 2, 0, 59)
}
