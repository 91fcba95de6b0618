//! Whether a request may go on, by the entity-tag of the document (RFC 4825 §7.11, §8.5; RFC 9110 §13).

/// If-Match and If-None-Match of a request, as they came; several lines joined by commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition<'a> {
    /// Go on only where one of these is the tag.
    pub if_match: Option<&'a str>,
    /// Go on only where none of these is.
    pub if_none_match: Option<&'a str>,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Go,
    /// 304: the reader has it already.
    NotModified,
    /// 412.
    Failed,
}

impl Condition<'_> {
    /// Judges. `tag`: of the document, where there is one, without quotes. `there`: whether what is meant is there; a condition of `*` is
    /// about that, a tag is the whole document's. `reads`: GET and HEAD.
    pub fn judge(&self, tag: Option<&str>, there: bool, reads: bool) -> Verdict {
        if let Some(wanted) = self.if_match
            && !names(wanted, tag, there, false)
        {
            return Verdict::Failed;
        }
        match self.if_none_match {
            Some(unwanted) if names(unwanted, tag, there, reads) => match reads {
                true => Verdict::NotModified,
                false => Verdict::Failed,
            },
            _ => Verdict::Go,
        }
    }
}

/// Whether a list names what is there. RFC 9110 §13.1: If-Match compares strongly, If-None-Match weakly.
fn names(list: &str, tag: Option<&str>, there: bool, weakly: bool) -> bool {
    if list.trim() == "*" {
        return there;
    }
    let Some(tag) = tag else { return false };
    let mut rest = list;
    while let Some(open) = rest.find('"') {
        let weak = rest[..open].trim_end().ends_with("W/");
        let after = &rest[open + 1..];
        let Some(close) = after.find('"') else {
            return false;
        };
        if &after[..close] == tag && (weakly || !weak) {
            return true;
        }
        rest = &after[close + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
        tag: Option<&str>,
        reads: bool,
    ) -> Verdict {
        Condition {
            if_match,
            if_none_match,
        }
        .judge(tag, tag.is_some(), reads)
    }

    #[test]
    fn a_tag_matches_itself_and_a_star_anything_that_is_there() {
        use Verdict::{Failed, Go, NotModified};
        assert_eq!(judge(None, None, Some("a"), false), Go);
        assert_eq!(judge(Some("\"b\", \"a\""), None, Some("a"), false), Go);
        assert_eq!(judge(Some("W/\"a\""), None, Some("a"), false), Failed);
        assert_eq!(judge(Some("\"b\""), None, Some("a"), false), Failed);
        assert_eq!(judge(Some("*"), None, Some("a"), false), Go);
        assert_eq!(judge(Some("*"), None, None, false), Failed);
        assert_eq!(judge(Some("\"a\""), None, None, true), Failed);
        assert_eq!(judge(None, Some("*"), Some("a"), false), Failed);
        assert_eq!(judge(None, Some("*"), None, false), Go);
        assert_eq!(judge(None, Some("\"a\""), Some("a"), true), NotModified);
        assert_eq!(judge(None, Some("W/\"a\""), Some("a"), true), NotModified);
        assert_eq!(judge(None, Some("\"b\""), Some("a"), true), Go);
        assert_eq!(judge(None, Some("\"a"), Some("a"), true), Go);
        assert_eq!(judge(None, Some("a"), Some("a"), true), Go);
    }

    #[test]
    fn a_star_is_about_the_node() {
        let none = Condition {
            if_none_match: Some("*"),
            ..Condition::default()
        };
        assert_eq!(none.judge(Some("a"), false, false), Verdict::Go);
        let any = Condition {
            if_match: Some("*"),
            ..Condition::default()
        };
        assert_eq!(any.judge(Some("a"), false, false), Verdict::Failed);
    }
}
