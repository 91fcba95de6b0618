//! Reading Rust source just well enough: where code is and where text, and where functions begin and end.

/// The same text, byte for byte as long and with the same lines, in which comments and the insides of string and
/// character literals are blanks. What is left is code, and every brace in it counts.
pub(crate) fn mask(text: &str) -> Vec<u8> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        masked: text.as_bytes().to_vec(),
        at: 0,
    };
    while scanner.at < scanner.bytes.len() {
        scanner.step();
    }
    scanner.masked
}

struct Scanner<'t> {
    bytes: &'t [u8],
    masked: Vec<u8>,
    at: usize,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let end = match self.bytes[self.at] {
            b'/' if self.peek(1) == b'/' => self.line_comment_end(),
            b'/' if self.peek(1) == b'*' => self.block_comment_end(),
            b'"' => self.string_end(self.at + 1),
            b'r' if self.begins_word() => match self.raw_string_end() {
                Some(end) => end,
                None => return self.at += 1,
            },
            b'\'' => match self.character_end() {
                Some(end) => end,
                None => return self.at += 1,
            },
            _ => return self.at += 1,
        };
        let end = end.min(self.bytes.len());
        for byte in &mut self.masked[self.at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        self.at = end;
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Whether the `r` here can begin a raw string: `r"`, `br"`, `cr"`, and not the end of a longer word.
    fn begins_word(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).map_or(b' ', |at| self.bytes[at]);
        !is_word(before(1)) || (matches!(before(1), b'b' | b'c') && !is_word(before(2)))
    }

    fn line_comment_end(&self) -> usize {
        let rest = &self.bytes[self.at..];
        self.at
            + rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len())
    }

    /// Block comments nest.
    fn block_comment_end(&self) -> usize {
        let mut depth = 0_usize;
        let mut at = self.at;
        while at < self.bytes.len() {
            match self.bytes.get(at..at + 2) {
                Some(b"/*") => (depth, at) = (depth + 1, at + 2),
                Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                return at;
            }
        }
        at
    }

    fn string_end(&self, mut at: usize) -> usize {
        while at < self.bytes.len() {
            match self.bytes[at] {
                b'\\' => at += 2,
                b'"' => return at + 1,
                _ => at += 1,
            }
        }
        at
    }

    /// `r#"…"#` with any number of `#`; nothing for a raw identifier (`r#type`) or a plain `r`.
    fn raw_string_end(&self) -> Option<usize> {
        let mut at = self.at + 1;
        while self.bytes.get(at) == Some(&b'#') {
            at += 1;
        }
        let hashes = at - self.at - 1;
        if self.bytes.get(at) != Some(&b'"') {
            return None;
        }
        at += 1;
        while at < self.bytes.len() {
            let closes = self.bytes[at] == b'"'
                && self.bytes[at + 1..]
                    .iter()
                    .take(hashes)
                    .filter(|byte| **byte == b'#')
                    .count()
                    == hashes;
            at += 1;
            if closes {
                return Some(at + hashes);
            }
        }
        Some(at)
    }

    /// A character literal; nothing for a lifetime or a label, whose quote has no partner.
    fn character_end(&self) -> Option<usize> {
        if self.peek(1) == b'\\' {
            // Past the escaped character, which may itself be a quote.
            let rest = self.bytes.get(self.at + 3..)?;
            return Some(self.at + 3 + rest.iter().position(|byte| *byte == b'\'')? + 1);
        }
        let width = match self.peek(1) {
            0..=0x7f => 1,
            0x80..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        (self.peek(1 + width) == b'\'').then_some(self.at + width + 2)
    }
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The line, from one, on which a byte stands.
pub(crate) fn line_of(text: &[u8], at: usize) -> usize {
    1 + text[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

/// Where a word stands as a word of its own, in masked text.
pub(crate) fn words<'m>(masked: &'m [u8], word: &'m str) -> impl Iterator<Item = usize> + 'm {
    let word = word.as_bytes();
    let ends = move |at: usize| masked.get(at).is_none_or(|byte| !is_word(*byte));
    (0..masked.len().saturating_sub(word.len() - 1))
        .filter(move |at| masked[*at..].starts_with(word))
        .filter(move |at| at.checked_sub(1).is_none_or(&ends) && ends(at + word.len()))
}

/// The word that begins at or after some blanks.
pub(crate) fn next_word(masked: &[u8], at: usize) -> &[u8] {
    let rest = masked.get(at..).unwrap_or_default().trim_ascii_start();
    &rest[..rest
        .iter()
        .position(|byte| !is_word(*byte))
        .unwrap_or(rest.len())]
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From the line of `fn` to the line of the closing brace, both counted.
    pub(crate) lines: usize,
}

/// Every function with a body, nested ones too, in masked text.
pub(crate) fn functions(masked: &[u8]) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(masked, "fn") {
        let name = next_word(masked, at + 2);
        // Without a name it is a type, `fn(u8) -> u8`.
        if name.is_empty() {
            continue;
        }
        let Some(end) = body_end(masked, at) else {
            continue;
        };
        let line = line_of(masked, at);
        let lines = line_of(masked, end) - line + 1;
        found.push(Function {
            name: String::from_utf8_lossy(name).into_owned(),
            line,
            lines,
        });
    }
    found
}

/// The closing brace of the body that belongs to the `fn` here; nothing for a declaration that ends in `;`.
fn body_end(masked: &[u8], from: usize) -> Option<usize> {
    // In parentheses and brackets a brace or semicolon belongs to a type or a constant: `[u8; { N }]`.
    let mut nested = 0_i64;
    let mut braces = 0_i64;
    for (at, byte) in masked.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' if braces == 0 => nested += 1,
            b')' | b']' if braces == 0 => nested -= 1,
            b';' if braces == 0 && nested == 0 => return None,
            b'{' if nested == 0 => braces += 1,
            b'}' if nested == 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left as code, blanks drawn together; that nothing moved is checked on the way.
    fn code(text: &str) -> String {
        let masked = String::from_utf8(mask(text)).unwrap();
        assert_eq!(masked.len(), text.len());
        let newlines = |text: &str| {
            text.match_indices('\n')
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        assert_eq!(newlines(&masked), newlines(text));
        masked.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn sizes(text: &str) -> Vec<(String, usize, usize)> {
        functions(&mask(text))
            .into_iter()
            .map(|function| (function.name, function.line, function.lines))
            .collect()
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(code("a // { b\nc /* { /* } */ { */ d\n"), "a c d");
        assert_eq!(code("/// fn doc() {\nx"), "x");
        assert_eq!(code("a /* never closed {\n{"), "a");
        assert_eq!(code("a / b * c"), "a / b * c");
    }

    #[test]
    fn strings_are_no_code() {
        assert_eq!(code(r#"a("{\"}", b"}");"#), "a( , b );");
        assert_eq!(code(r#"r"\" { b"#), "{ b");
        assert_eq!(code("r#\"{ \" }\"# + x"), "+ x");
        assert_eq!(code("br##\"}\"#\"## }"), "b }");
        assert_eq!(code("\"a\nb // \" {"), "{");
        assert_eq!(code("\"never closed {"), "");
        assert_eq!(code("r\"never closed {"), "");
    }

    #[test]
    fn raw_identifiers_and_words_that_end_in_r_are_code() {
        assert_eq!(code("r#type { bar }"), "r#type { bar }");
        assert_eq!(code("for x in y {} r"), "for x in y {} r");
        assert_eq!(code("m!(bar\"}\") {"), "m!(bar ) {");
    }

    #[test]
    fn characters_are_text_and_lifetimes_are_code() {
        assert_eq!(code("'{' a '}'"), "a");
        assert_eq!(code(r"'\'' {"), "{");
        assert_eq!(code(r"'\\' {"), "{");
        assert_eq!(code(r"'\u{7d}' }"), "}");
        assert_eq!(code("b'\"' {"), "b {");
        assert_eq!(code("'ä' {"), "{");
        assert_eq!(code("'€' '😀' {"), "{");
        for kept in [
            "fn a<'a, 'b>(x: &'a str) {",
            "'outer: loop { break 'outer; }",
            "'",
        ] {
            assert_eq!(code(kept), kept);
        }
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let text = "struct A;\nimpl A {\n    fn one(&self) -> u8 {\n        let c = '}';\n        1\n    }\n    fn two() {}\n}\n";
        assert_eq!(
            sizes(text),
            [("one".to_owned(), 3, 4), ("two".to_owned(), 7, 1)]
        );
    }

    #[test]
    fn declarations_and_types_have_no_size() {
        let text = "trait T {\n fn a(&self, f: fn(u8) -> u8);\n fn b(&self) -> [u8; { 2 }] {\n  [0; 2]\n }\n}";
        assert_eq!(sizes(text), [("b".to_owned(), 3, 3)]);
    }

    #[test]
    fn nested_functions_and_closures_are_found() {
        let text =
            "fn outer()\nwhere\n  u8: Copy,\n{\n  fn inner() {\n  }\n  let f = || { 1 };\n}\n";
        assert_eq!(
            sizes(text),
            [("outer".to_owned(), 1, 8), ("inner".to_owned(), 5, 2)]
        );
    }

    #[test]
    fn a_word_is_whole_or_nothing() {
        let text = mask("unsafe_code unsafe {} not_unsafe unsafe");
        assert_eq!(words(&text, "unsafe").collect::<Vec<_>>(), [12, 33]);
    }
}
