//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route and their kin (RFC 3261 §20.10).

use std::borrow::Cow;

use crate::lexical::{self, TOKEN, URI};
use crate::{Flaw, Name, Params, Uri};

/// A URI with a display name before and header parameters behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'b> {
    /// The display name without the quotes around it, escapes not undone.
    pub display: Option<&'b str>,
    /// The URI as written, or `*`.
    pub uri: &'b str,
    /// Header parameters.
    pub params: Params<'b>,
    text: &'b str,
    brackets: bool,
}

impl<'b> NameAddr<'b> {
    /// Reads one value strictly, its parameters' grammar and its URI's aside (`check` looks at those).
    pub fn parse(text: &'b str, header: Name) -> Result<NameAddr<'b>, Flaw> {
        read(lexical::trim_text(text)).map_err(|reason| Flaw::bad(header, reason))
    }

    /// What can be understood of a value that may be broken: enough to copy it and to find a tag.
    pub(crate) fn lenient(text: &'b str) -> NameAddr<'b> {
        let text = lexical::trim_text(text);
        read(text).unwrap_or_else(|_| {
            let from = text.rfind('<').map_or(0, |open| open + 1);
            let rest = &text[from..];
            let (uri, after) = match rest.split_once('>') {
                Some(parts) if from > 0 => parts,
                _ => rest.split_at(rest.find(';').unwrap_or(rest.len())),
            };
            NameAddr {
                display: None,
                uri: lexical::trim_text(uri),
                params: Params::new(&after[after.find(';').unwrap_or(after.len())..]),
                text,
                brackets: from > 0,
            }
        })
    }

    /// The `tag` parameter (RFC 3261 §19.3); an empty one is none.
    pub fn tag(&self) -> Option<&'b str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI taken apart.
    pub fn parsed(&self) -> Result<Uri<'b>, Flaw> {
        Uri::parse(self.uri)
    }

    /// The whole value as written; it may contain folds.
    pub fn text(&self) -> &'b str {
        self.text
    }

    /// True for the form with angle brackets.
    pub fn has_brackets(&self) -> bool {
        self.brackets
    }

    /// The display name for people, escapes undone.
    pub fn display_name(&self) -> Option<Cow<'b, str>> {
        let display = self.display?;
        if !display.contains('\\') {
            return Some(Cow::Borrowed(display));
        }
        let mut name = String::with_capacity(display.len());
        let mut letters = display.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next()),
                other => name.push(other),
            }
        }
        Some(Cow::Owned(name))
    }
}

fn read(text: &str) -> Result<NameAddr<'_>, &'static str> {
    let bytes = text.as_bytes();
    let (display, open) = if bytes.first() == Some(&b'"') {
        let length = lexical::quoted(bytes).ok_or("Quoted string without end")?;
        let rest = &text[length..];
        let open = length + rest.len() - lexical::trim_text(rest).len();
        if bytes.get(open) != Some(&b'<') {
            return Err("No URI after a display name");
        }
        (Some(&text[1..length - 1]), open)
    } else {
        match lexical::find(b'<', bytes) {
            Some(0) => (None, 0),
            // A colon before it: the bracket is in a parameter of a URI without brackets.
            Some(open) if lexical::find(b':', &bytes[..open]).is_none() => {
                let display = lexical::trim_text(&text[..open]);
                let good = |byte: u8| lexical::is(byte, TOKEN) || lexical::is_space(byte);
                if !display.bytes().all(good) {
                    return Err("Display name needs quotes");
                }
                ((!display.is_empty()).then_some(display), open)
            }
            _ => return bare(text),
        }
    };
    let (uri, after) =
        lexical::split(&text[open + 1..], b'>').ok_or("Angle bracket without end")?;
    if !is_one_word(uri) {
        return Err("No usable URI in angle brackets");
    }
    let after = lexical::trim_text(after);
    if !after.is_empty() && !after.starts_with(';') {
        return Err("Unexpected text after a URI");
    }
    Ok(NameAddr {
        display,
        uri,
        params: Params::new(after),
        text,
        brackets: true,
    })
}

/// The form without brackets. RFC 3261 §20.10: semicolons start header parameters, `?` and comma are not allowed.
fn bare(text: &str) -> Result<NameAddr<'_>, &'static str> {
    let (uri, params) = lexical::before(text, b';');
    let uri = lexical::trim_text(uri);
    if !is_one_word(uri) || uri.contains(['?', ',']) {
        return Err("No usable URI without angle brackets");
    }
    Ok(NameAddr {
        display: None,
        uri,
        params: Params::new(params),
        text,
        brackets: false,
    })
}

fn is_one_word(uri: &str) -> bool {
    !uri.is_empty() && lexical::all(uri.as_bytes(), URI)
}
