//! Finding and changing one node: the rules of RFC 4825 §6.3 and §8.2, and every other byte as it was.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use proptest::prelude::*;
use xml::{Bounds, Found, Name, Namespace, Refused, Selector, Source, Step, Terminal};

const LIST: &str = "<?xml version=\"1.0\"?>\n<!-- kept -->\n<l xmlns=\"urn:l\" xmlns:x='urn:x'>\n  <e n=\"a\">1</e> <!-- c -->\n  <x:e n='b'  x:k=\"q\"/>\n  <e n=\"c\"/><f/>\n</l>\n";

/// `*`, `name`, `x:name`; `[2]`, `[@n=b]`, `[2][@n=b]`; at the end `@n`, `@x:k` or `ns`.
fn selector(text: &str) -> Selector {
    let name = |text: &str, default: &'static str| match text.split_once(':') {
        Some((_, local)) => Name::new(Namespace::fixed("urn:x"), local.to_owned()),
        None => Name::new(Namespace::fixed(default), text.to_owned()),
    };
    let mut steps = Vec::new();
    let mut terminal = Terminal::Element;
    for part in text.split('/') {
        if let Some(attribute) = part.strip_prefix('@') {
            terminal = Terminal::Attribute(name(attribute, ""));
        } else if part == "ns" {
            terminal = Terminal::Namespaces;
        } else {
            let mut pieces = part.split('[').map(|piece| piece.trim_end_matches(']'));
            let first = pieces.next().unwrap();
            let mut step = Step {
                name: (first != "*").then(|| name(first, "urn:l")),
                ..Step::default()
            };
            for piece in pieces {
                match piece
                    .strip_prefix('@')
                    .and_then(|piece| piece.split_once('='))
                {
                    Some((attribute, value)) => {
                        step.attribute = Some((name(attribute, ""), value.to_owned()))
                    }
                    None => step.position = Some(piece.parse().unwrap()),
                }
            }
            steps.push(step);
        }
    }
    Selector { steps, terminal }
}

fn find(text: &str) -> Found {
    Source::new(LIST).unwrap().find(&selector(text))
}

fn one(text: &str) -> Found {
    Found::One(text.to_owned())
}

#[test]
fn a_selector_means_one_node_or_none() {
    assert_eq!(find("l/e[1]"), one("<e n=\"a\">1</e>"));
    assert_eq!(find("l/e[@n=c]"), one("<e n=\"c\"/>"));
    assert_eq!(find("l/*[2]"), one("<x:e n='b'  x:k=\"q\"/>"));
    assert_eq!(find("l/*[2][@n=b]"), one("<x:e n='b'  x:k=\"q\"/>"));
    assert_eq!(find("l/*[2][@n=a]"), Found::Nothing);
    assert_eq!(find("l/x:e"), one("<x:e n='b'  x:k=\"q\"/>"));
    assert_eq!(find("l/e"), Found::Several);
    assert_eq!(find("l/e[3]"), Found::Nothing);
    assert_eq!(find("m"), Found::Nothing);
    assert_eq!(find("l/e[1]/@n"), one("a"));
    assert_eq!(find("l/x:e/@x:k"), one("q"));
    assert_eq!(find("l/x:e/@k"), Found::Nothing);
    assert_eq!(find("l/e/@n"), Found::Several);
    assert_eq!(
        find("l/f/ns"),
        one("<f xmlns=\"urn:l\" xmlns:x=\"urn:x\"/>")
    );
    assert_eq!(
        find("l/x:e/ns"),
        one("<x:e xmlns=\"urn:l\" xmlns:x=\"urn:x\"/>")
    );
}

fn put(address: &str, element: &str) -> Result<(bool, String), Refused> {
    let insertion =
        Source::new(LIST)
            .unwrap()
            .put_element(&selector(address), element, &Bounds::TRUSTED)?;
    Ok((insertion.replaces, insertion.candidates[0].clone()))
}

/// The document with one piece of it exchanged.
fn with(old: &str, new: &str) -> String {
    assert_eq!(LIST.matches(old).count(), 1, "{old}");
    LIST.replace(old, new)
}

#[test]
fn an_element_is_replaced_where_it_stands() {
    assert_eq!(
        put("l/e[1]", " <e n='z'>2</e>\n"),
        Ok((true, with("<e n=\"a\">1</e>", "<e n='z'>2</e>")))
    );
    assert_eq!(
        put("l", "<l xmlns='urn:l'/>").unwrap().1,
        "<?xml version=\"1.0\"?>\n<!-- kept -->\n<l xmlns='urn:l'/>\n"
    );
}

#[test]
fn a_new_element_comes_after_the_last_of_its_name_or_last() {
    assert_eq!(
        put("l/e[@n=d]", "<e n='d'/>"),
        Ok((false, with("<e n=\"c\"/>", "<e n=\"c\"/><e n='d'/>")))
    );
    assert_eq!(
        put("l/g", "<g/>"),
        Ok((false, with("<f/>\n</l>", "<f/>\n<g/></l>")))
    );
    assert_eq!(
        put("l/f/g", "<g/>"),
        Ok((false, with("<f/>", "<f><g/></f>")))
    );
    // By position: before the one there that has another attribute, or after the last.
    assert_eq!(
        put("l/e[3]", "<e/>"),
        Ok((false, with("<e n=\"c\"/>", "<e n=\"c\"/><e/>")))
    );
    assert_eq!(
        put("l/e[1][@n=z]", "<e n='z'/>"),
        Ok((false, with("<e n=\"a\">", "<e n='z'/><e n=\"a\">")))
    );
    assert_eq!(
        put("l/*[@n=z]", "<f n='z'/>"),
        Ok((false, with("<f/>", "<f/><f n='z'/>")))
    );
}

#[test]
fn a_schema_may_choose_among_other_places() {
    let insertion = Source::new(LIST)
        .unwrap()
        .put_element(&selector("l/g"), "<g/>", &Bounds::TRUSTED)
        .unwrap();
    assert_eq!(insertion.candidates.len(), 5);
    assert_eq!(insertion.candidates[1], with("<f/>", "<g/><f/>"));
    assert_eq!(
        insertion.candidates[4],
        with("<e n=\"a\">", "<g/><e n=\"a\">")
    );
}

#[test]
fn what_would_not_be_found_again_is_not_inserted() {
    for (address, element) in [
        ("l/e[5]", "<e/>"),
        ("l/e[@n=d]", "<e n='e'/>"),
        ("l/e[1]", "<f/>"),
        ("l/e", "<e/>"),
        ("l/e[1][@n=a]", "<e n='b'/>"),
        ("m", "<m/>"),
        ("l/*[9]", "<f/>"),
    ] {
        assert_eq!(
            put(address, element),
            Err(Refused::CannotInsert),
            "{address}"
        );
    }
    // Two of them, where one is meant.
    assert_eq!(put("l/*[@n=a]", "<e n='b'/>"), Err(Refused::CannotInsert));
}

#[test]
fn without_a_parent_the_nearest_is_named() {
    assert_eq!(put("l/f/g/h", "<h/>"), Err(Refused::NoParent(2)));
    assert_eq!(put("l/e/h", "<h/>"), Err(Refused::NoParent(1)));
    assert_eq!(put("m/h", "<h/>"), Err(Refused::NoParent(0)));
    let source = Source::new(LIST).unwrap();
    assert_eq!(
        source.put_attribute(&selector("l/f/g/@a"), "1"),
        Err(Refused::NoParent(2))
    );
    assert_eq!(
        source.put_attribute(&selector("l/e/@a"), "1"),
        Err(Refused::NoParent(1))
    );
}

#[test]
fn what_is_no_element_is_no_fragment() {
    for body in [
        "",
        "text",
        "<e/><e/>",
        "<e>",
        "</e>",
        "<!-- c --><e/>",
        "<?xml version='1.0'?><e/>",
        "<!DOCTYPE e><e/>",
        "<e/>x",
    ] {
        assert_eq!(put("l/e[1]", body), Err(Refused::NotFragment), "{body}");
    }
}

#[test]
fn attributes_are_put_between_the_quotes_that_are_there_where_they_can() {
    let source = Source::new(LIST).unwrap();
    let put = |address: &str, value: &str| {
        let insertion = source.put_attribute(&selector(address), value)?;
        Ok((insertion.replaces, insertion.candidates[0].clone()))
    };
    assert_eq!(put("l/x:e/@n", "z"), Ok((true, with("n='b'", "n='z'"))));
    // Between the others where it holds these, and nowhere where it holds both.
    assert_eq!(
        put("l/x:e/@n", "it's"),
        Ok((true, with("n='b'", "n=\"it's\"")))
    );
    // Not an attribute: it could not be read again.
    assert_eq!(put("l/f/@xmlns", "urn:x"), Err(Refused::CannotInsert));
    assert_eq!(
        put("l/f/@n", "it's &amp; \"so\""),
        Err(Refused::NotAttributeValue)
    );
    assert_eq!(
        put("l/f/@n", "\"so\""),
        Ok((false, with("<f/>", "<f n='\"so\"'/>")))
    );
    assert_eq!(
        put("l/f/@x:k", "1&#65;"),
        Ok((false, with("<f/>", "<f x:k=\"1&#65;\"/>")))
    );
    for bad in ["<", "&", "&x;", "a & b", "\u{1}"] {
        assert_eq!(put("l/f/@n", bad), Err(Refused::NotAttributeValue), "{bad}");
    }
    // The element would no longer be the one that is meant.
    assert_eq!(put("l/e[@n=a]/@n", "b"), Err(Refused::CannotInsert));
    assert_eq!(put("l/e[@n=a]/@n", "a"), Ok((true, LIST.to_owned())));
}

#[test]
fn what_is_deleted_is_gone_and_nothing_stands_in_for_it() {
    let source = Source::new(LIST).unwrap();
    let delete = |address: &str| source.delete(&selector(address));
    assert_eq!(delete("l/e[@n=a]"), Ok(with("<e n=\"a\">1</e>", "")));
    assert_eq!(delete("l/x:e/@x:k"), Ok(with("  x:k=\"q\"", "")));
    assert_eq!(delete("l/e[2]"), Ok(with("<e n=\"c\"/>", "")));
    assert_eq!(delete("l/e[1]"), Err(Refused::CannotDelete));
    assert_eq!(delete("l"), Err(Refused::CannotDelete));
    assert_eq!(delete("l/ns"), Err(Refused::CannotDelete));
    assert_eq!(delete("l/e"), Err(Refused::Missing));
    assert_eq!(delete("l/e[@n=z]"), Err(Refused::Missing));
    assert_eq!(delete("l/f/@n"), Err(Refused::Missing));
}

#[test]
fn a_prefix_may_be_bound_where_the_element_will_stand() {
    let (_, edited) = put("l/x:g", "<x:g/>").unwrap();
    xml::read(edited.as_bytes(), &Bounds::TRUSTED).unwrap();
    // Nobody binds y: whoever reads the whole says so.
    let insertion = Source::new(LIST)
        .unwrap()
        .put_element(&selector("l/x:g"), "<y:g/>", &Bounds::TRUSTED)
        .unwrap();
    assert!(xml::read(insertion.candidates[0].as_bytes(), &Bounds::TRUSTED).is_err());
}

fn element() -> impl Strategy<Value = String> {
    let leaf = (
        prop::sample::select(vec!["a", "b"]),
        prop::sample::select(vec!["", " n='1'", " n='2'"]),
    )
        .prop_map(|(name, attribute)| format!("<{name}{attribute}/>"));
    leaf.prop_recursive(3, 20, 4, |inner| {
        (
            prop::sample::select(vec!["a", "b"]),
            prop::collection::vec(inner, 0..4),
            prop::sample::select(vec!["", " ", "<!-- / -->", "x"]),
        )
            .prop_map(|(name, inner, between)| {
                format!("<{name}>{between}{}</{name}>", inner.join(between))
            })
    })
}

fn step() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec!["a", "b", "*"]),
        prop::sample::select(vec!["", "[1]", "[2]", "[3]"]),
        prop::sample::select(vec!["", "[@n=1]", "[@n=2]"]),
    )
        .prop_map(|(name, position, attribute)| format!("{name}{position}{attribute}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn what_was_put_is_found_and_the_rest_is_as_it_was(
        inside in prop::collection::vec(element(), 0..5),
        path in prop::collection::vec(step(), 1..4),
        new in element(),
    ) {
        let text = format!("<l xmlns='urn:l'>{}</l>", inside.concat());
        let selector = selector(&format!("l/{}", path.join("/")));
        let source = Source::new(&text).unwrap();
        match source.put_element(&selector, &new, &Bounds::TRUSTED) {
            Ok(insertion) => for edited in insertion.candidates {
                let after = Source::new(&edited).unwrap();
                prop_assert_eq!(after.find(&selector), Found::One(new.clone()));
                // Putting it again changes nothing.
                let again = after.put_element(&selector, &new, &Bounds::TRUSTED).unwrap();
                prop_assert!(again.replaces);
                prop_assert_eq!(&again.candidates, std::slice::from_ref(&edited));
                // Nothing else is there: without it the rest is what it was without what it replaced.
                let common = text.bytes().zip(edited.bytes()).take_while(|(one, two)| one == two).count();
                let tail = text.bytes().rev().zip(edited.bytes().rev()).take_while(|(one, two)| one == two).count();
                prop_assert!(common + tail + new.len() + "></a>".len() >= edited.len().min(text.len()));
            },
            Err(Refused::NoParent(_) | Refused::CannotInsert) => {}
            Err(other) => prop_assert!(false, "{:?}", other),
        }
        if let Ok(edited) = source.delete(&selector) {
            prop_assert_eq!(Source::new(&edited).unwrap().find(&selector), Found::Nothing);
            prop_assert!(edited.len() < text.len());
        }
    }
}
