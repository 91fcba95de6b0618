//! `xs:dateTime` as RFC 3863 §4.1.7 and RFC 4479 use it: read generously, written strictly.

/// Milliseconds since 1970-01-01T00:00:00Z of a date and time; without offset it counts as UTC. Lower-case `t` and `z`, a space for
/// `T` and a leap second are understood.
pub fn parse(text: &str) -> Option<i64> {
    Some(Parts::read(text)?.millis())
}

/// The same date and time in the form the schemas want, always with an offset; `None` when it is none.
pub fn mend(text: &str) -> Option<String> {
    let parts = Parts::read(text)?;
    let Parts {
        year,
        month,
        day,
        hour,
        minute,
        second,
        fraction,
        offset,
    } = &parts;
    let mut mended = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if !fraction.is_empty() {
        mended.push('.');
        mended.push_str(fraction);
    }
    match *offset {
        0 => mended.push('Z'),
        minutes => {
            let sign = if minutes < 0 { '-' } else { '+' };
            mended.push_str(&format!(
                "{sign}{:02}:{:02}",
                minutes.abs() / 60,
                minutes.abs() % 60
            ));
        }
    }
    Some(mended)
}

/// The date and time in UTC, whole seconds. Outside the years 1 to 9999 the nearest that can be written.
pub fn format(millis: i64) -> String {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    let seconds = millis.div_euclid(1000).clamp(FIRST, LAST);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

struct Parts<'a> {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction: &'a str,
    /// Minutes east of UTC.
    offset: i64,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let text = text.trim_ascii();
        if !text.is_ascii() {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            if digits.bytes().all(|digit| digit.is_ascii_digit()) {
                digits.parse::<i64>().ok()
            } else {
                None
            }
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        for (at, wanted) in [
            (4, &b"-"[..]),
            (7, b"-"),
            (10, b"Tt "),
            (13, b":"),
            (16, b":"),
        ] {
            text.as_bytes()
                .get(at)
                .filter(|byte| wanted.contains(byte))?;
        }
        let rest = text.get(19..)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(
                rest.bytes()
                    .position(|byte| !byte.is_ascii_digit())
                    .unwrap_or(rest.len()),
            ),
            None => ("", rest),
        };
        if rest.starts_with('.') && fraction.is_empty() {
            return None;
        }
        let good =
            year >= 1 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if !good || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // RFC 3339 has leap seconds, XML Schema has not.
        Some(Self {
            year,
            month,
            day,
            hour,
            minute,
            second: second.min(59),
            fraction,
            offset: offset(zone)?,
        })
    }

    fn millis(&self) -> i64 {
        let seconds = (days(self.year, self.month, self.day) * 24 + self.hour) * 3600
            + (self.minute - self.offset) * 60
            + self.second;
        let thousandths = self
            .fraction
            .bytes()
            .chain(*b"000")
            .take(3)
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        seconds * 1000 + thousandths
    }
}

fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2
        || minutes.len() != 2
        || !zone[1..]
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    // XML Schema: no zone is farther than 14 hours from UTC.
    (minutes < 60 && hours * 60 + minutes <= 14 * 60).then_some(sign * (hours * 60 + minutes))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar; years are counted from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    (
        era * 400 + year + i64::from(month <= 2),
        month,
        of_year - (153 * shifted + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2005-05-30T16:09:44+05:00"), Some(1_117_451_384_000));
        assert_eq!(
            parse(" 2005-10-27t16:49:29.1259z "),
            Some(1_130_431_769_125)
        );
        assert_eq!(parse("2004-02-29 00:00:00"), Some(1_078_012_800_000));
        assert_eq!(format(1_117_451_384_999), "2005-05-30T11:09:44Z");
    }

    #[test]
    fn what_the_schema_refuses_is_mended_or_refused() {
        assert_eq!(
            mend("2005-05-30t16:09:60.5z").as_deref(),
            Some("2005-05-30T16:09:59.5Z")
        );
        assert_eq!(
            mend("2005-05-30T16:09:44-03:30").as_deref(),
            Some("2005-05-30T16:09:44-03:30")
        );
        assert_eq!(
            mend("2005-05-30T16:09:44").as_deref(),
            Some("2005-05-30T16:09:44Z")
        );
        for bad in [
            "",
            "now",
            "2005-13-01T00:00:00Z",
            "2005-02-29T00:00:00Z",
            "2005-01-01T24:00:00Z",
            "2005-01-01T00:00:00.Z",
            "2005-01-01T00:00:00+15:00",
            "0000-01-01T00:00:00Z",
            "+005-01-01T00:00:00Z",
            "2005-01-01T00:00:00+0:00",
        ] {
            assert_eq!((mend(bad), parse(bad)), (None, None), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whole_seconds_round_trip(seconds in -62_135_596_800i64..253_402_300_800) {
            prop_assert_eq!(parse(&format(seconds * 1000)), Some(seconds * 1000));
        }

        #[test]
        fn mending_keeps_the_moment(text in "[0-9]{4}-[0-1][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,5})?(Z|z|[+-][01][0-9]:[0-5][0-9])?") {
            prop_assert_eq!(mend(&text).map(|mended| parse(&mended)), parse(&text).map(Some));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = (parse(&text), mend(&text));
        }
    }
}
