//! Date (RFC 3261 §20.17): only GMT, only one form.

/// True for `Sat, 13 Nov 2010 23:29:00 GMT`.
pub(crate) fn is_date(value: &[u8]) -> bool {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    const SHAPE: &[u8] = b"AAA, 00 AAA 0000 00:00:00 GMT";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'A' => byte.is_ascii_alphabetic(),
        b'0' => byte.is_ascii_digit(),
        other => byte.eq_ignore_ascii_case(other),
    };
    value.len() == SHAPE.len()
        && value.iter().zip(SHAPE).all(fits)
        && DAYS.iter().any(|day| value[..3].eq_ignore_ascii_case(day))
        && MONTHS
            .iter()
            .any(|month| value[8..11].eq_ignore_ascii_case(month))
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn only_gmt_in_the_one_form() {
        assert!(is_date(b"Sat, 13 Nov 2010 23:29:00 GMT"));
        assert!(!is_date(b"Sat, 13 Nov 2010 23:29:00 EST"));
        assert!(!is_date(b"Sat, 13 Nov 2010 23:29:00"));
        assert!(!is_date(b"Sat, 13 Foo 2010 23:29:00 GMT"));
        assert!(!is_date(b"Xat, 13 Nov 2010 23:29:00 GMT"));
    }
}
