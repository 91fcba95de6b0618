//! What can happen, as lists that logs, traces, ladders and counters read alike (ARCHITECTURE.md, decision 12).
//!
//! Each engine crate in which something happens has one list, written with [`schema!`](crate::schema!): a dotted name, what it
//! means, what counts it, and what each field means. Nobody else keeps a second list.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// One thing that can happen.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Dotted, unique among all crates.
    pub name: &'static str,
    /// What it means.
    pub about: &'static [&'static str],
    /// What counts it, where anything does: ends in `_total`.
    pub metric: Option<&'static str>,
    /// Which fields tell its counts apart: words and numbers of our own only, two at most.
    pub labels: &'static [&'static str],
    /// Everything that is known of it.
    pub fields: &'static [Field],
}

/// What one field of a happening means.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, the same wherever it means the same.
    pub name: &'static str,
    /// What it means, with unit and source.
    pub about: &'static [&'static str],
}

/// Fields that name a user: whoever writes them down may have to hide them.
pub const USERS: [&str; 4] = ["presentity", "watcher", "identity", "aor"];

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value<'a> {
    /// Words of our own: one of few.
    Word(&'static str),
    /// Anything, also what a peer wrote.
    Text(&'a str),
    /// A number.
    Number(u64),
    /// Not known, or there is none.
    Nothing,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Nothing => Ok(()),
        }
    }
}

/// What a field of a list may be.
pub trait AsValue {
    /// What it says.
    fn as_value(&self) -> Value<'_>;
}

impl AsValue for &'static str {
    fn as_value(&self) -> Value<'_> {
        Value::Word(self)
    }
}

impl AsValue for String {
    fn as_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl AsValue for Arc<str> {
    fn as_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl<T: AsValue> AsValue for Option<T> {
    fn as_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Nothing, AsValue::as_value)
    }
}

/// In milliseconds.
impl AsValue for Duration {
    fn as_value(&self) -> Value<'_> {
        Value::Number(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A document, where it is text.
impl AsValue for Bytes {
    fn as_value(&self) -> Value<'_> {
        std::str::from_utf8(self).map_or(Value::Nothing, Value::Text)
    }
}

impl AsValue for bool {
    fn as_value(&self) -> Value<'_> {
        Value::Word(if *self { "yes" } else { "no" })
    }
}

impl AsValue for u64 {
    fn as_value(&self) -> Value<'_> {
        Value::Number(*self)
    }
}

impl AsValue for u32 {
    fn as_value(&self) -> Value<'_> {
        Value::Number(u64::from(*self))
    }
}

impl AsValue for u16 {
    fn as_value(&self) -> Value<'_> {
        Value::Number(u64::from(*self))
    }
}

/// Something that happened, as its list says.
pub trait Happening {
    /// Everything of this list, in its order.
    const KINDS: &'static [Kind];

    /// Which of `KINDS` this is.
    fn index(&self) -> usize;

    /// Shows each field, in the order of the list.
    fn fields(&self, show: &mut dyn FnMut(&'static str, Value<'_>));

    /// What the list says of it.
    fn kind(&self) -> &'static Kind {
        &Self::KINDS[self.index()]
    }
}

/// Which input of which shard led to something: the same on everything that came of it, however much later.
///
/// A NOTIFY has the cause of the newest thing that it says: the PUBLISH, the expiry, the SUBSCRIBE or the reload. Numbers
/// begin anew with each life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(u64);

impl Cause {
    /// Inputs of one shard are told apart for 2⁴⁸ of them.
    const NUMBER_BITS: u32 = 48;

    /// Nothing in this life of the process.
    pub const NONE: Self = Self(0);

    /// Before the first input of this shard.
    pub const fn before(shard: u16) -> Self {
        Self((shard as u64) << Self::NUMBER_BITS)
    }

    /// The next input of the same shard.
    #[must_use]
    pub const fn next(self) -> Self {
        let number = self.0.wrapping_add(1) & ((1 << Self::NUMBER_BITS) - 1);
        Self(self.0 >> Self::NUMBER_BITS << Self::NUMBER_BITS | number)
    }

    /// Whether anything in this life of the process led to it.
    pub const fn is_known(self) -> bool {
        self.0 & ((1 << Self::NUMBER_BITS) - 1) != 0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, number) = (
            self.0 >> Self::NUMBER_BITS,
            self.0 & ((1 << Self::NUMBER_BITS) - 1),
        );
        write!(f, "{shard}-{number}")
    }
}

/// Declares what can happen in a crate.
///
/// ```
/// machine::schema! {
///     /// What can happen to a lamp.
///     pub enum Happened {
///         /// It was switched.
///         Switched = "lamp.switched", counted "lamps_switched_total" by state {
///             /// On or off.
///             state: &'static str,
///         }
///     }
/// }
/// use machine::happening::Happening;
/// let happened = Happened::Switched { state: "on" };
/// assert_eq!(happened.kind().name, "lamp.switched");
/// assert_eq!(happened.kind().about, [" It was switched."]);
/// ```
#[macro_export]
macro_rules! schema {
    (
        $(#[doc = $about:literal])+
        $vis:vis enum $List:ident {
            $(
                $(#[doc = $doc:literal])+
                $Variant:ident = $name:literal $(, counted $metric:literal $(by $($label:ident)+)?)? {
                    $(
                        $(#[doc = $field_doc:literal])+
                        $field:ident: $Type:ty,
                    )*
                }
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $List {
            $(
                $(#[doc = $doc])+
                $Variant {
                    $(
                        $(#[doc = $field_doc])+
                        $field: $Type,
                    )*
                },
            )+
        }

        impl $crate::happening::Happening for $List {
            const KINDS: &'static [$crate::happening::Kind] = &[
                $(
                    $crate::happening::Kind {
                        name: $name,
                        about: &[$($doc),+],
                        metric: $crate::schema!(@metric $($metric)?),
                        labels: &[$($($(stringify!($label)),+)?)?],
                        fields: &[
                            $(
                                $crate::happening::Field {
                                    name: stringify!($field),
                                    about: &[$($field_doc),+],
                                },
                            )*
                        ],
                    },
                )+
            ];

            fn index(&self) -> usize {
                enum Index {
                    $($Variant),+
                }
                match self {
                    $(Self::$Variant { .. } => Index::$Variant as usize,)+
                }
            }

            fn fields(
                &self,
                show: &mut dyn FnMut(&'static str, $crate::happening::Value<'_>),
            ) {
                match self {
                    $(
                        Self::$Variant { $($field),* } => {
                            $(show(stringify!($field), $crate::happening::AsValue::as_value($field));)*
                        }
                    )+
                }
            }
        }
    };
    (@metric $metric:literal) => { Some($metric) };
    (@metric) => { None };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::schema! {
        /// For a test.
        pub(super) enum Happened {
            /// Nothing is known of it.
            Bare = "test.bare" {}
            /// Two lines
            /// about it.
            Counted = "test.counted", counted "test_counted_total" by why status {
                /// Why.
                why: &'static str,
                /// With what.
                status: u16,
                /// By whom.
                watcher: Option<Arc<str>>,
            }
        }
    }

    #[test]
    fn a_list_says_what_it_declares() {
        assert_eq!(Happened::Bare {}.kind().metric, None);
        let counted = Happened::Counted {
            why: "late",
            status: 408,
            watcher: None,
        };
        let kind = counted.kind();
        assert_eq!(kind.name, "test.counted");
        assert_eq!(kind.about, [" Two lines", " about it."]);
        assert_eq!(kind.metric, Some("test_counted_total"));
        assert_eq!(kind.labels, ["why", "status"]);
        let mut shown = Vec::new();
        counted.fields(&mut |name, value| shown.push(format!("{name}={value}")));
        assert_eq!(shown, ["why=late", "status=408", "watcher="]);
        assert_eq!(kind.fields.len(), shown.len());
    }

    #[test]
    fn causes_of_one_shard_follow_each_other() {
        let before = Cause::before(3);
        assert!(!before.is_known());
        assert_eq!(before.next().next().to_string(), "3-2");
        assert!(before.next().is_known());
        let last = Cause(u64::MAX);
        assert_eq!(last.next(), Cause::before(u16::MAX));
    }
}
