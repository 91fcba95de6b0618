//! Whose document, which document, which node of it (RFC 4825 §6).

use std::fmt;

use xml::Selector;

use crate::selector;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The application usage.
    pub auid: String,
    /// Whose.
    pub tree: Tree,
    /// The document's path below that, `/` between its segments; each decoded once.
    pub document: String,
    /// The node of it, where one is meant.
    pub node: Option<Selector>,
    /// What the node selector says, as it came: for the report of a conflict.
    pub node_text: String,
    /// The query, as it came, for the same.
    pub query: String,
    /// The path of the XCAP root, for the same: `/xcap-root`; empty where addresses are below the root.
    pub root: String,
}

/// Below which of the two trees of a usage (RFC 4825 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Of nobody and everybody.
    Global,
    /// Of this user, the XUI decoded once.
    User(String),
}

/// Why a path is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// An escape that is none, or what they stand for is no UTF-8: 400.
    Escape,
    /// Something that can never be there: 404.
    Nowhere,
    /// A selector of nodes that its grammar does not know (RFC 4825 §6.3): 400.
    Selector,
    /// A prefix that nobody binds (RFC 4825 §6.4): 400.
    Prefix,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Escape => "the path has an escape that is none",
            Self::Nowhere => "no document can be there",
            Self::Selector => "the node selector is none",
            Self::Prefix => "the node selector has a prefix that the query does not bind",
        })
    }
}

impl std::error::Error for Bad {}

/// A selector that is longer than this means nothing.
const NODE_BYTES_MAX: usize = 8192;

impl Address {
    /// Reads what follows the root: `AUID/users/XUI/DOCUMENT[/~~/NODE]` or `AUID/global/DOCUMENT[/~~/NODE]`, as it came, and the
    /// query. `default`: the namespace that names without prefix have in a usage.
    ///
    /// # Errors
    /// Why it is no address.
    pub fn parse(
        path: &str,
        query: Option<&str>,
        default: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Self, Bad> {
        let (document, node) = separated(path);
        let mut segments = document.split('/').map(decode);
        let mut next = || segments.next().ok_or(Bad::Nowhere)?;
        let auid = next()?;
        let tree = match next()?.as_str() {
            "global" => Tree::Global,
            "users" => Tree::User(next()?),
            _ => return Err(Bad::Nowhere),
        };
        let segments: Vec<String> = segments.collect::<Result<_, _>>()?;
        let is_name = |segment: &String| {
            !segment.is_empty() && segment != "." && segment != ".." && !segment.contains('/')
        };
        if segments.is_empty()
            || !segments.iter().all(is_name)
            || matches!(&tree, Tree::User(xui) if xui.is_empty())
        {
            return Err(Bad::Nowhere);
        }
        let node_text = node.unwrap_or_default();
        if node_text.len() > NODE_BYTES_MAX {
            return Err(Bad::Selector);
        }
        let node = match node {
            Some(node) => {
                let bindings = selector::bindings(&decode(query.unwrap_or_default())?);
                let default = default(&auid).unwrap_or_default();
                Some(selector::parse(&decode(node)?, &bindings, default)?)
            }
            None => None,
        };
        Ok(Self {
            auid,
            tree,
            document: segments.join("/"),
            node,
            node_text: node_text.to_owned(),
            query: query.unwrap_or_default().to_owned(),
            root: String::new(),
        })
    }
}

impl Address {
    /// The address of what the first steps of the node selector lead to; without steps that is the document. A reference that the address
    /// of the request resolves (RFC 3986 §4.2).
    pub fn ancestor(&self, steps: usize) -> String {
        let mut out = match self.root.as_str() {
            "" => String::new(),
            root => format!("{root}/"),
        };
        let tree = match &self.tree {
            Tree::Global => "global".to_owned(),
            Tree::User(xui) => format!("users/{}", escaped(xui)),
        };
        out.push_str(&format!("{}/{tree}", self.auid));
        for segment in self.document.split('/') {
            out.push('/');
            out.push_str(&escaped(segment));
        }
        let (mut quote, mut left) = (None, steps);
        let mut end = 0;
        for (at, byte) in self.node_text.bytes().enumerate() {
            // Quotes come as they are or escaped.
            let rest = self.node_text.get(at..).unwrap_or_default();
            let mark = match byte {
                b'"' | b'\'' => Some(byte),
                b'%' if rest.starts_with("%22") => Some(b'"'),
                b'%' if rest.starts_with("%27") => Some(b'\''),
                _ => None,
            };
            match (mark, quote) {
                (Some(mark), None) => quote = Some(mark),
                (Some(mark), Some(open)) if mark == open => quote = None,
                _ if byte == b'/' && quote.is_none() => {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        break;
                    }
                }
                _ => {}
            }
            end = at + 1;
        }
        if let Some(prefix) = self.node_text.get(..end).filter(|_| steps > 0) {
            out.push_str("/~~/");
            out.push_str(prefix);
            // Its prefixes mean nothing without their bindings.
            if !self.query.is_empty() {
                out.push('?');
                out.push_str(&self.query);
            }
        }
        out
    }
}

/// Cuts at the first segment that is `~~`. A tilde may come escaped and is the same (RFC 3986 §6.2.2.2).
fn separated(path: &str) -> (&str, Option<&str>) {
    let mut begin = 0;
    for segment in path.split('/') {
        let end = begin + segment.len();
        let is_it = matches!(segment.len(), 2 | 4 | 6)
            && segment.to_ascii_lowercase().replace("%7e", "~") == "~~";
        if is_it && begin > 0 {
            let node = path.get(end + 1..);
            return (path.get(..begin - 1).unwrap_or_default(), node);
        }
        begin = end + 1;
    }
    (path, None)
}

/// What a path segment cannot hold as it is.
fn escaped(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b':'
            | b'@'
            | b'+'
            | b'='
            | b';'
            | b',' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Decodes escapes, once (RFC 4825 §6).
fn decode(text: &str) -> Result<String, Bad> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || {
                let digit = bytes.next().map(char::from)?.to_digit(16)?;
                u8::try_from(digit).ok()
            };
            let (high, low) = (digit().ok_or(Bad::Escape)?, digit().ok_or(Bad::Escape)?);
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| Bad::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::{Name, Namespace, Step, Terminal};

    fn parse(path: &str, query: Option<&str>) -> Result<Address, Bad> {
        Address::parse(path, query, |auid| (auid == "lists").then_some("urn:l"))
    }

    #[test]
    fn documents_of_users_and_of_everybody_are_told_apart() {
        let address = parse("lists/users/sip%3aalice%40example.com/a/b", None).unwrap();
        assert_eq!(address.tree, Tree::User("sip:alice@example.com".to_owned()));
        assert_eq!(
            (address.auid.as_str(), address.document.as_str()),
            ("lists", "a/b")
        );
        assert_eq!(address.node, None);
        let address = parse("lists/global/index", None).unwrap();
        assert_eq!(
            (address.tree, address.document.as_str()),
            (Tree::Global, "index")
        );
        // The other form of the same user is decoded once, not twice.
        let address = parse("lists/users/a%2540b/index", None).unwrap();
        assert_eq!(address.tree, Tree::User("a%40b".to_owned()));
    }

    #[test]
    fn what_can_be_nowhere_is_nowhere() {
        for path in [
            "",
            "lists",
            "lists/global",
            "lists/global/",
            "lists/users/a",
            "lists/users//index",
            "lists/others/a/b",
            "lists/users/a/../b",
            "lists/users/a//b",
            "lists/users/a/x%2fy",
        ] {
            assert_eq!(parse(path, None), Err(Bad::Nowhere), "{path}");
        }
        for path in [
            "lists/users/%zz/index",
            "lists/users/%f/index",
            "lists/users/%ff/index",
        ] {
            assert_eq!(parse(path, None), Err(Bad::Escape), "{path}");
        }
    }

    #[test]
    fn a_node_is_read_with_its_prefixes() {
        let address = parse(
            "lists/global/index/~~/a/x:b%5b2%5d[@n=%22/%26lt;%22]/*/@x:k",
            Some("xmlns(x=urn:x)xmlns(y=urn:y)"),
        )
        .unwrap();
        let node = address.node.unwrap();
        let name = |namespace: &'static str, local: &'static str| {
            Name::new(Namespace::fixed(namespace), local)
        };
        assert_eq!(
            node.steps,
            [
                Step {
                    name: Some(name("urn:l", "a")),
                    ..Step::default()
                },
                Step {
                    name: Some(name("urn:x", "b")),
                    position: Some(2),
                    attribute: Some((name("", "n"), "/<".to_owned())),
                },
                Step::default(),
            ]
        );
        assert_eq!(node.terminal, Terminal::Attribute(name("urn:x", "k")));
        assert_eq!(parse("lists/global/index/~~/x:a", None), Err(Bad::Prefix));
    }

    #[test]
    fn an_ancestor_is_addressed_as_it_was_asked_for() {
        let address = parse(
            "lists/users/sip:a%2fb@c/index/~~/a/b%5b@n=%22x/y%22%5d/c[1]/@d",
            None,
        )
        .unwrap();
        let below = |rest: &str| format!("lists/users/sip:a%2Fb@c/index{rest}");
        assert_eq!(address.ancestor(0), below(""));
        let rooted = Address {
            root: "/x/y".to_owned(),
            query: "xmlns(a=b)".to_owned(),
            document: "a b/c%d".to_owned(),
            ..address.clone()
        };
        let whole = "/x/y/lists/users/sip:a%2Fb@c/a%20b/c%25d";
        assert_eq!(rooted.ancestor(0), whole);
        assert_eq!(rooted.ancestor(1), format!("{whole}/~~/a?xmlns(a=b)"));
        assert_eq!(address.ancestor(1), below("/~~/a"));
        assert_eq!(address.ancestor(2), below("/~~/a/b%5b@n=%22x/y%22%5d"));
        assert_eq!(address.ancestor(3), below("/~~/a/b%5b@n=%22x/y%22%5d/c[1]"));
    }
}
