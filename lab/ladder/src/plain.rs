//! Words of a peer, made harmless: they neither begin a line nor steer a terminal, turn no text around, and end somewhere.

/// Longer words are cut.
pub(crate) const WORDS_MAX: usize = 72;

/// The same words in one line of ordinary characters.
pub(crate) fn plain(words: &str) -> String {
    cut(words, WORDS_MAX)
}

/// The same, of at most so many characters.
pub(crate) fn cut(words: &str, most: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for character in words.chars() {
        if count >= most {
            out.push('…');
            break;
        }
        if is_harmless(character) {
            out.push(character);
            count += 1;
        } else {
            let escaped: String = character.escape_default().collect();
            count += escaped.len();
            out.push_str(&escaped);
        }
    }
    out
}

/// Neither a control character nor one that changes the direction or the place of its neighbours. What takes no room or more than
/// one place is harmless to a terminal, not to columns; it stands only where nothing follows that has to be in line.
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
        && !matches!(character, '\u{e0000}'..='\u{e0fff}' | '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_spelled() {
        assert_eq!(plain("a\x1b[2Jb\r\nc"), r"a\u{1b}[2Jb\r\nc");
        assert_eq!(plain("\u{202e}evil"), r"\u{202e}evil");
        assert_eq!(plain("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn long_words_end() {
        assert_eq!(cut("abcdef", 3), "abc…");
        assert!(plain(&"\u{1}".repeat(10_000)).len() < 100);
    }
}
