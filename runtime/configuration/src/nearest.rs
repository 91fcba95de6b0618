//! Which name was meant.

/// How many characters must be put in, left out, exchanged or swapped with their neighbour to make `a` from `b`.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

/// The nearest of `names`, if any is near enough to be meant: at most a third of it is different.
pub(crate) fn nearest<'n>(
    written: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<(&'n str, usize)> {
    // Longer than any name of ours: not worth the work, which grows with the square.
    if written.len() > 80 {
        return None;
    }
    let written = written.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (name, distance(&written, &name.replace('-', "_"))))
        .filter(|(name, distance)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(_, distance)| *distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("form", "from", 1),
            ("nat", "nat", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_near_names_are_meant() {
        assert_eq!(
            nearest(
                "publish_expires_second",
                ["publish_expires_seconds", "profile"]
            ),
            Some(("publish_expires_seconds", 1))
        );
        assert_eq!(
            nearest("notify-interval-ms-min", ["notify_interval_ms_min"]),
            Some(("notify_interval_ms_min", 0))
        );
        assert_eq!(nearest("colour", ["profile", "level"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), ["profile"]), None);
    }
}
