//! What can be wrong with a document, and where.

use std::fmt;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// What is wrong there.
    pub flaw: Flaw,
}

impl Malformed {
    /// Line and column of a place in the source (XML 1.0 §2.11: LF, CR LF and CR end a line).
    pub(crate) fn at(source: &str, offset: usize, flaw: Flaw) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let (mut line, mut column, mut after_cr) = (1, 1, false);
        for character in before.chars() {
            match character {
                '\n' if after_cr => {}
                '\n' | '\r' => (line, column) = (line + 1, 1),
                '\u{feff}' if line == 1 && column == 1 => {}
                _ => column += 1,
            }
            after_cr = character == '\r';
        }
        Self { line, column, flaw }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.flaw
        )
    }
}

impl std::error::Error for Malformed {}

/// The kinds of fault. Names in them are well-formed and short, so a message is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// The declaration names another character set.
    Encoding,
    /// A character that XML 1.0 forbids.
    Character,
    /// The XML declaration is not one, or not at the very beginning.
    Declaration,
    /// A document type declaration: refused, it is the door to entity bombs.
    DocumentType,
    /// A reference to an entity that is not predefined.
    Entity,
    /// `&` that begins no reference, or a character reference to no character.
    Reference,
    /// A name that is none.
    Name,
    /// A prefix that nobody declared.
    UndeclaredPrefix(String),
    /// A namespace declaration against the rules of Namespaces in XML 1.0.
    NamespaceDeclaration,
    /// A namespace name of more bytes than the bound.
    NamespaceTooLong(usize),
    /// Two attributes of one name, prefixes resolved.
    DuplicateAttribute(String),
    /// A start tag whose attributes cannot be read.
    Attribute,
    /// `<` in an attribute value.
    LessThan,
    /// An end tag that does not match.
    EndTag,
    /// The document ends inside an element.
    UnclosedElement,
    /// Markup that never ends or never was any.
    Markup,
    /// `--` inside a comment.
    Comment,
    /// A processing instruction without a proper target.
    Instruction,
    /// `]]>` in text.
    SectionEnd,
    /// Something other than comments and white space before or after the root.
    OutsideRoot,
    /// A second root.
    SecondRoot,
    /// No root at all.
    NoRoot,
    /// Elements nested deeper than the bound.
    TooDeep(u32),
    /// More elements and attributes than the bound.
    TooMany(u32),
    /// More namespace declarations in scope at once than the bound.
    TooManyDeclarations(usize),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::Encoding => "only UTF-8 is understood",
            Self::Character => "a character that XML forbids",
            Self::Declaration => "a misplaced or malformed XML declaration",
            Self::DocumentType => "document type declarations are refused",
            Self::Entity => "an undeclared entity",
            Self::Reference => "a malformed reference",
            Self::Name => "not a name",
            Self::UndeclaredPrefix(prefix) => {
                return write!(f, "the prefix {prefix} is not declared");
            }
            Self::NamespaceDeclaration => "a forbidden namespace declaration",
            Self::NamespaceTooLong(most) => {
                return write!(f, "a namespace name of more than {most} bytes");
            }
            Self::DuplicateAttribute(name) => return write!(f, "a second attribute {name}"),
            Self::Attribute => "a malformed attribute",
            Self::LessThan => "'<' in an attribute value",
            Self::EndTag => "an end tag that matches no start tag",
            Self::UnclosedElement => "the document ends inside an element",
            Self::Markup => "malformed markup",
            Self::Comment => "'--' inside a comment",
            Self::Instruction => "a malformed processing instruction",
            Self::SectionEnd => "']]>' in text",
            Self::OutsideRoot => "content outside the root element",
            Self::SecondRoot => "a second root element",
            Self::NoRoot => "no root element",
            Self::TooDeep(most) => return write!(f, "elements nested deeper than {most}"),
            Self::TooMany(most) => return write!(f, "more than {most} elements and attributes"),
            Self::TooManyDeclarations(most) => {
                return write!(f, "more than {most} namespace declarations in scope");
            }
        })
    }
}
