//! The blocks of the page: found, compared, written.

/// What one block shows.
pub(crate) struct Block {
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<String>,
}

const END: &str = "<!-- /tour -->";

/// Every block that says something else than the run did. Numbers, times and made-up names may differ.
pub(crate) fn differences(file: &str, text: &str, blocks: &[Block]) -> Vec<String> {
    let mut wrong = Vec::new();
    for block in blocks {
        let Some((line, shown)) = find(text, block.name) else {
            wrong.push(format!("{file}:1: no block `{}`; `<!-- tour: {} -->`, a fenced block and `{END}` would be right", block.name, block.name));
            continue;
        };
        let lines = shown.lines().count().max(block.lines.len());
        let mut shown = shown.lines();
        let mut said = block.lines.iter();
        for index in 0..lines {
            let (shown, said) = (
                shown.next().unwrap_or_default(),
                said.next().map_or("", String::as_str),
            );
            if plain(shown) != plain(said) {
                wrong.push(format!(
                    "{file}:{}: block `{}` shows `{shown}`; a run says `{said}`",
                    line + index,
                    block.name
                ));
                break;
            }
        }
    }
    wrong
}

/// The page with what the run said.
pub(crate) fn rewritten(text: &str, blocks: &[Block]) -> Result<String, String> {
    let mut text = text.to_owned();
    for block in blocks {
        let Some((_, shown)) = find(&text, block.name) else {
            return Err(format!("no block `{}`", block.name));
        };
        let at = shown.as_ptr() as usize - text.as_ptr() as usize;
        let said: String = block
            .lines
            .iter()
            .flat_map(|line| [line.trim_end(), "\n"])
            .collect();
        text.replace_range(at..at + shown.len(), &said);
    }
    Ok(text)
}

/// The line on which the inside of a block begins, and that inside.
fn find<'t>(text: &'t str, name: &str) -> Option<(usize, &'t str)> {
    let begin = text.find(&format!("<!-- tour: {name} -->\n```\n"))?;
    let inside = begin + text[begin..].find("```\n")? + "```\n".len();
    let end = inside + text[inside..].find(&format!("```\n{END}"))?;
    Some((text[..inside].lines().count() + 1, &text[inside..end]))
}

/// Without what differs from run to run: each number is `0`, each name made of hexadecimal digits is `#`, blanks are one.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    for word in line.split_whitespace() {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let end = rest
                .find(|character: char| !character.is_ascii_alphanumeric())
                .unwrap_or(rest.len());
            if end == 0 {
                plain.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            plain.push_str(&plain_word(&rest[..end]));
            rest = &rest[end..];
        }
        plain.push(' ');
    }
    plain
}

fn plain_word(word: &str) -> String {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    // A zero in front is not written, so one is shorter now and then; a word of people has no digits in it.
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    let is_name = word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (word.len() >= 8 || word.len() >= 5 && is_mixed);
    if is_name || word.starts_with("z9hG4bK") {
        return "#".to_owned();
    }
    let mut plain = String::new();
    for character in word.chars() {
        match character {
            '0'..='9' if plain.ends_with('0') => {}
            '0'..='9' => plain.push('0'),
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "Words.\n\n<!-- tour: one -->\n```\n$ say\nit took 3 ms\n```\n<!-- /tour -->\n\n<!-- tour: two -->\n```\n```\n<!-- /tour -->\n";

    fn block(name: &'static str, lines: &[&str]) -> Block {
        Block {
            name,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    #[test]
    fn numbers_and_made_up_names_may_differ() {
        let blocks = [
            block("one", &["$ say", "it took   12 ms"]),
            block("two", &[]),
        ];
        assert_eq!(differences("p", PAGE, &blocks), Vec::<String>::new());
        assert_eq!(
            plain("tag=d136dcbba78214f3;x"),
            plain("tag=ffffffffffffffff;x")
        );
        assert_eq!(
            plain("branch=z9hG4bK3e31.1.0;rport=5"),
            plain("branch=z9hG4bKffff.1.0;rport=43412")
        );
        assert_eq!(plain("tag=1.f30449e"), plain("tag=1.4e8907b9"));
        assert_ne!(plain("open"), plain("closed"));
        assert_ne!(plain("faced"), plain("faded"));
    }

    #[test]
    fn a_block_that_says_something_else_is_named() {
        let said = differences("p", PAGE, &[block("one", &["$ say", "it took 3 s"])]);
        assert_eq!(
            said,
            ["p:6: block `one` shows `it took 3 ms`; a run says `it took 3 s`"]
        );
        let said = differences("p", PAGE, &[block("two", &["more"])]);
        assert_eq!(said, ["p:12: block `two` shows ``; a run says `more`"]);
        assert_eq!(differences("p", PAGE, &[block("three", &[])]).len(), 1);
    }

    #[test]
    fn a_page_is_written_again_with_what_was_said() {
        let blocks = [block("one", &["$ say", "new  "]), block("two", &["x"])];
        let page = rewritten(PAGE, &blocks).unwrap();
        assert!(
            page.contains("```\n$ say\nnew\n```\n<!-- /tour -->"),
            "{page}"
        );
        assert_eq!(rewritten(&page, &blocks).unwrap(), page);
        assert!(rewritten(PAGE, &[block("three", &[])]).is_err());
    }
}
