//! The time on this machine's wall: TZ or /etc/localtime (RFC 9636), read here so that no C library is asked.

use std::path::{Path, PathBuf};

/// A zone file is a few kilobytes; a larger one is none.
const FILE_BYTES_MAX: u64 = 262_144;
const DAY: i64 = 86_400;

/// How far local time is from UTC, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    /// From each of these seconds since 1970 on: so many seconds east.
    transitions: Vec<(i64, i64)>,
    /// Before the first of them.
    first: i64,
    /// After the last of them.
    rule: Option<Rule>,
}

impl Zone {
    /// The zone of this process: TZ if it is set, else the machine's. UTC where neither can be read.
    pub(crate) fn of_process() -> Self {
        match std::env::var("TZ") {
            Ok(name) => Self::named(name.strip_prefix(':').unwrap_or(&name)),
            Err(_) => Self::from_file(Path::new("/etc/localtime")),
        }
        .unwrap_or_default()
    }

    fn named(name: &str) -> Option<Self> {
        if let Some(rule) = Rule::parse(name) {
            return Some(Self {
                transitions: Vec::new(),
                first: 0,
                rule: Some(rule),
            });
        }
        let is_safe = !name.is_empty() && !name.split('/').any(|part| part == "..");
        let path = PathBuf::from("/usr/share/zoneinfo").join(name);
        is_safe.then(|| Self::from_file(&path)).flatten()
    }

    fn from_file(path: &Path) -> Option<Self> {
        let size = std::fs::metadata(path).ok()?.len();
        let bytes = if size <= FILE_BYTES_MAX {
            std::fs::read(path).ok()?
        } else {
            return None;
        };
        Self::read(&bytes)
    }

    /// RFC 9636 §3: a header and a block of 32-bit times, and from version 2 on both again with 64 bits, and a footer.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let header = Header::read(&mut reader)?;
        if header.version == 0 {
            return Self::read_block(&mut reader, &header, 4);
        }
        reader.take(header.block_length(4)?)?;
        let header = Header::read(&mut reader)?;
        let mut zone = Self::read_block(&mut reader, &header, 8)?;
        let footer = std::str::from_utf8(reader.0).ok()?;
        zone.rule = footer
            .strip_prefix('\n')
            .and_then(|footer| Rule::parse(footer.trim_end_matches('\n')));
        Some(zone)
    }

    fn read_block(reader: &mut Reader<'_>, header: &Header, time_bytes: usize) -> Option<Self> {
        let times = reader.take(header.times.checked_mul(time_bytes)?)?;
        let kinds = reader.take(header.times)?;
        let types = reader.take(header.types.checked_mul(6)?)?;
        reader.take(header.rest_length(time_bytes)?)?;
        let offset = |kind: usize| -> Option<i64> {
            let bytes = types.get(kind * 6..kind * 6 + 4)?;
            Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
        };
        let mut transitions = Vec::with_capacity(header.times);
        for (time, kind) in times.chunks_exact(time_bytes).zip(kinds) {
            let at = match time_bytes {
                4 => i64::from(i32::from_be_bytes(time.try_into().ok()?)),
                _ => i64::from_be_bytes(time.try_into().ok()?),
            };
            transitions.push((at, offset(usize::from(*kind))?));
        }
        Some(Self {
            transitions,
            first: offset(0)?,
            rule: None,
        })
    }

    /// Seconds east of UTC at so many seconds since 1970.
    fn offset(&self, at: i64) -> i64 {
        let after = self.transitions.partition_point(|(from, _)| *from <= at);
        match (&self.rule, after.checked_sub(1)) {
            (Some(rule), _) if after == self.transitions.len() => rule.offset(at),
            (_, Some(index)) => self
                .transitions
                .get(index)
                .map_or(self.first, |(_, offset)| *offset),
            (_, None) => self.first,
        }
    }

    /// `12:00:01`, of milliseconds since 1970.
    pub(crate) fn clock_time(&self, millis: u64) -> String {
        let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX / 2);
        let local = (seconds + self.offset(seconds)).rem_euclid(DAY);
        format!(
            "{:02}:{:02}:{:02}",
            local / 3600,
            local / 60 % 60,
            local % 60
        )
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

struct Header {
    version: u8,
    utc_marks: usize,
    standard_marks: usize,
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let bytes = reader.take(44)?;
        let count = |index: usize| -> Option<usize> {
            let bytes = bytes.get(20 + 4 * index..24 + 4 * index)?;
            usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
        };
        (bytes.get(..4)? == b"TZif").then_some(())?;
        Some(Self {
            version: *bytes.get(4)?,
            utc_marks: count(0)?,
            standard_marks: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            letters: count(5)?,
        })
    }

    /// What follows times and types.
    fn rest_length(&self, time_bytes: usize) -> Option<usize> {
        let leaps = self.leaps.checked_mul(time_bytes + 4)?;
        self.letters
            .checked_add(leaps)?
            .checked_add(self.standard_marks)?
            .checked_add(self.utc_marks)
    }

    fn block_length(&self, time_bytes: usize) -> Option<usize> {
        let times = self.times.checked_mul(time_bytes + 1)?;
        times
            .checked_add(self.types.checked_mul(6)?)?
            .checked_add(self.rest_length(time_bytes)?)
    }
}

/// A POSIX TZ: `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    standard: i64,
    /// Offset in summer, when it begins, when it ends.
    summer: Option<(i64, Change, Change)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    day: Day,
    /// Seconds of local time, that before the change.
    time: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// 1 to 365; 29 February is never counted.
    Julian(i64),
    /// 0 to 365.
    OfYear(i64),
    /// Month, week (5: the last), weekday (0: Sunday).
    OfMonth(i64, i64, i64),
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (standard, rest) = parse_offset(skip_name(text)?)?;
        if rest.is_empty() {
            return Some(Self {
                standard,
                summer: None,
            });
        }
        let rest = skip_name(rest)?;
        let (summer, rest) = match parse_offset(rest) {
            Some(parsed) => parsed,
            None => (standard + 3600, rest),
        };
        let mut changes = rest.strip_prefix(',')?.split(',');
        let (begin, end) = (
            parse_change(changes.next()?)?,
            parse_change(changes.next()?)?,
        );
        changes.next().is_none().then_some(Self {
            standard,
            summer: Some((summer, begin, end)),
        })
    }

    fn offset(&self, at: i64) -> i64 {
        let Some((summer, begin, end)) = &self.summer else {
            return self.standard;
        };
        let (year, ..) = date_of((at + self.standard).div_euclid(DAY));
        let begins = begin.at(year) - self.standard;
        let ends = end.at(year) - summer;
        let is_summer = if begins <= ends {
            (begins..ends).contains(&at)
        } else {
            !(ends..begins).contains(&at)
        };
        if is_summer { *summer } else { self.standard }
    }
}

impl Change {
    /// Local seconds since 1970.
    fn at(&self, year: i64) -> i64 {
        let first = days_of(year, 1, 1);
        let day = match self.day {
            Day::Julian(day) => first + day - 1 + i64::from(day >= 60 && is_leap(year)),
            Day::OfYear(day) => first + day,
            Day::OfMonth(month, week, weekday) => {
                let first = days_of(year, month, 1);
                let next = if month == 12 {
                    days_of(year + 1, 1, 1)
                } else {
                    days_of(year, month + 1, 1)
                };
                // 1970-01-01 was a Thursday.
                let mut day = first + (weekday - (first + 4)).rem_euclid(7) + 7 * (week - 1);
                while day >= next {
                    day -= 7;
                }
                day
            }
        };
        day * DAY + self.time
    }
}

fn skip_name(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('<') {
        return rest
            .split_once('>')
            .filter(|(name, _)| !name.is_empty())
            .map(|(_, rest)| rest);
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    (end >= 3).then(|| text.get(end..)).flatten()
}

/// `[+-]hh[:mm[:ss]]`, as written and the rest.
fn parse_time(text: &str) -> Option<(i64, &str)> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => (1, text),
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit() && c != ':')
        .unwrap_or(digits.len());
    let (time, rest) = digits.split_at_checked(end)?;
    let mut seconds = 0;
    let mut unit = 3600;
    for part in time.split(':') {
        let value: i64 = part
            .parse()
            .ok()
            .filter(|value| *value <= 167 && part.len() <= 3)?;
        seconds += value * unit;
        unit /= 60;
    }
    (time.matches(':').count() <= 2).then_some((sign * seconds, rest))
}

/// Offsets of a POSIX TZ count westward; ours count east.
fn parse_offset(text: &str) -> Option<(i64, &str)> {
    parse_time(text).map(|(seconds, rest)| (-seconds, rest))
}

fn parse_change(text: &str) -> Option<Change> {
    let (day, time) = text
        .split_once('/')
        .map_or((text, None), |(day, time)| (day, Some(time)));
    let time = match time {
        Some(time) => parse_time(time).filter(|(_, rest)| rest.is_empty())?.0,
        None => 2 * 3600,
    };
    let number = |text: &str, least: i64, most: i64| -> Option<i64> {
        text.parse()
            .ok()
            .filter(|value| (least..=most).contains(value))
    };
    let day = match day.as_bytes().first()? {
        b'J' => Day::Julian(number(day.get(1..)?, 1, 365)?),
        b'M' => {
            let mut parts = day.get(1..)?.split('.');
            let (month, week, weekday) = (parts.next()?, parts.next()?, parts.next()?);
            Day::OfMonth(
                number(month, 1, 12)?,
                number(week, 1, 5)?,
                number(weekday, 0, 6)?,
            )
        }
        _ => Day::OfYear(number(day, 0, 365)?),
    };
    Some(Change { day, time })
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days since 1970-01-01 of a date. The year is counted from March, so that a leap day comes last.
const fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// Year, month, day of days since 1970-01-01.
const fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_of(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_of(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - days_of(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(date: (i64, i64, i64), hour: i64) -> u64 {
        u64::try_from((days_of(date.0, date.1, date.2) * DAY + hour * 3600) * 1000).unwrap()
    }

    #[test]
    fn dates_and_days() {
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(days_of(2000, 3, 1), 11_017);
        assert_eq!(days_of(2026, 11, 5), 20_762);
        for days in (-1000..60_000).step_by(13) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
            assert!((1..=31).contains(&day));
        }
    }

    #[test]
    fn rules_say_when_summer_is() {
        for (rule, date, hour, expected) in [
            ("UTC0", (2026, 7, 1), 12, "12:00:00"),
            ("<+0530>-5:30", (2026, 7, 1), 12, "17:30:00"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", (2026, 1, 15), 12, "13:00:00"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", (2026, 7, 15), 12, "14:00:00"),
            // 29 March 2026, 01:00 UTC: the change itself.
            ("CET-1CEST,M3.5.0,M10.5.0/3", (2026, 3, 29), 0, "01:00:00"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", (2026, 3, 29), 1, "03:00:00"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", (2026, 10, 25), 0, "02:00:00"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", (2026, 10, 25), 1, "02:00:00"),
            ("EST5EDT,M3.2.0,M11.1.0", (2026, 7, 1), 2, "22:00:00"),
            ("EST5EDT,M3.2.0,M11.1.0", (2026, 12, 1), 2, "21:00:00"),
            // South of the equator, and a summer that is behind.
            ("NZST-12NZDT,M9.5.0,M4.1.0/3", (2026, 1, 1), 0, "13:00:00"),
            ("NZST-12NZDT,M9.5.0,M4.1.0/3", (2026, 7, 1), 0, "12:00:00"),
            ("IST-1GMT0,M10.5.0,M3.5.0/1", (2026, 7, 1), 0, "01:00:00"),
            ("IST-1GMT0,M10.5.0,M3.5.0/1", (2026, 1, 1), 0, "00:00:00"),
            ("AAA3BBB,J60,300", (2024, 3, 1), 12, "10:00:00"),
        ] {
            let zone = Zone {
                rule: Rule::parse(rule),
                ..Zone::default()
            };
            assert!(zone.rule.is_some(), "{rule}");
            assert_eq!(
                zone.clock_time(at(date, hour)),
                expected,
                "{rule} {date:?} {hour}"
            );
        }
        for bad in [
            "",
            "X",
            "CET",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.1.0,M1.1.0",
            "Europe/Berlin",
            "<>1",
        ] {
            assert_eq!(Rule::parse(bad), None, "{bad}");
        }
    }

    /// A file with one transition at 2 000 000 000 s: before it +1 h, after it +2 h, and a footer or none.
    fn file(version: u8, footer: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut block = |wide: bool| {
            bytes.extend_from_slice(b"TZif");
            bytes.push(version);
            bytes.extend_from_slice(&[0; 15]);
            for count in [0u32, 0, 0, 1, 2, 4] {
                bytes.extend_from_slice(&count.to_be_bytes());
            }
            if wide {
                bytes.extend_from_slice(&2_000_000_000i64.to_be_bytes());
            } else {
                bytes.extend_from_slice(&2_000_000_000i32.to_be_bytes());
            }
            bytes.push(1);
            for offset in [3600i32, 7200] {
                bytes.extend_from_slice(&offset.to_be_bytes());
                bytes.extend_from_slice(&[0, 0]);
            }
            bytes.extend_from_slice(b"ABC\0");
        };
        block(false);
        if version > 0 {
            block(true);
            bytes.extend_from_slice(format!("\n{footer}\n").as_bytes());
        }
        bytes
    }

    #[test]
    fn zone_files_of_each_version() {
        for (version, footer, after) in [(0, "", 7200), (b'2', "", 7200), (b'2', "XYZ-9", 32_400)] {
            let zone = Zone::read(&file(version, footer)).unwrap();
            assert_eq!(zone.offset(1_999_999_999), 3600);
            assert_eq!(zone.offset(2_000_000_000), after, "{version} {footer}");
        }
        let whole = file(b'2', "XYZ-9");
        for length in 0..whole.len() {
            let _ = Zone::read(&whole[..length]); // Torn files are refused or read, never a panic.
        }
        assert_eq!(
            Zone::read(b"no zone at all, but longer than any header has to be"),
            None
        );
    }

    #[test]
    fn an_unknown_zone_is_utc_and_no_way_out_of_the_folder() {
        assert_eq!(Zone::named("../../../etc/passwd"), None);
        assert_eq!(Zone::named("No/Such/Zone"), None);
        assert_eq!(Zone::default().clock_time(43_200_000), "12:00:00");
    }
}
