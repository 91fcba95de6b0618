//! Whole documents over HTTP, and what a request has to say: conditions, names of users, escapes, prefixes, bounds, what the server says
//! of itself, and many at once (RFC 4825 §6, §7.11, §8, §12; RFC 9110 §13).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use std::sync::Barrier;

use running::http::Answer;
use running::xcap::{ALICE, ATTRIBUTE, BINDINGS, DOCUMENT, ELEMENT, LISTS, RULES, World, X, node};

const RULES_OF_ALICE: &str = "pres-rules/users/sip:alice@a.net/index";
const NO_RULES: &str = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>";
const NO_LISTS: &str = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>";
const ANNE: &str = "<rl:entry uri=\"sip:anne@a.net\"/>";

fn lists(inside: &str) -> String {
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">{inside}</resource-lists>"
    )
}

/// It said that it was ready, and answered 503.
#[test]
fn documents_are_served_once_the_server_says_that_it_is_ready() {
    for _ in 0..8 {
        assert_eq!(World::new().get(ALICE).status, 404);
    }
}

#[test]
fn a_document_is_created_read_replaced_and_deleted() {
    let world = World::new();
    let nothing = world.get(ALICE);
    assert_eq!((nothing.status, nothing.tag()), (404, ""));
    assert_eq!(world.delete(ALICE).status, 404);
    assert_eq!(
        world
            .put(&node("resource-lists/list"), ELEMENT, "<list/>")
            .conflict(),
        "no-parent"
    );
    let created = world.put(ALICE, LISTS, DOCUMENT);
    assert_eq!((created.status, created.body.as_str()), (201, ""));
    assert_eq!(world.is(DOCUMENT, "created"), created.tag());
    let head = world.ask("HEAD", ALICE, &[], b"");
    assert_eq!(
        (head.status, head.body.as_str(), head.tag()),
        (200, "", created.tag())
    );
    assert_eq!(head.field("Content-Length"), DOCUMENT.len().to_string());
    // The same again, and another.
    let same = world.put(ALICE, LISTS, DOCUMENT);
    assert_eq!((same.status, same.tag()), (200, created.tag()));
    let other = world.put(ALICE, LISTS, NO_LISTS);
    assert_eq!((other.status, other.body.as_str()), (200, ""));
    assert_ne!(other.tag(), created.tag());
    let gone = world.delete(ALICE);
    assert_eq!((gone.status, gone.body.as_str()), (200, ""));
    assert_eq!(world.get(ALICE).status, 404);
    // RFC 4825 §8.5: the same text once more is not the same document.
    let again = world.put(ALICE, LISTS, DOCUMENT);
    assert_eq!(again.status, 201);
    assert_ne!(again.tag(), created.tag());
}

/// Bytes are kept as they come: line ends of either kind, a byte order mark, no declaration, characters of every plane.
#[test]
fn whatever_is_well_formed_stays_byte_by_byte() {
    let world = World::with_lists();
    let crlf = DOCUMENT.replace('\n', "\r\n");
    let plane = DOCUMENT.replacen("Friends", "\u{1f600}\t\u{e9}e\u{301}", 1);
    let marked = format!("\u{feff}{DOCUMENT}");
    for text in [crlf.as_str(), &plane, &marked] {
        assert_eq!(world.put(ALICE, LISTS, text).status, 200, "{text:?}");
        world.is(text, "as it came");
        let path = node("resource-lists/list[1]/entry[2]");
        assert_eq!(world.put(&path, ELEMENT, ANNE).status, 200);
        let expected = text.replacen("<rl:entry uri='sip:carol@a.net'/>", ANNE, 1);
        world.is(&expected, "only this changed");
    }
}

#[test]
fn what_is_no_such_document_is_refused_in_the_words_of_the_standard() {
    let world = World::with_lists();
    let tag = world.reset();
    let entry = "<entry uri='sip:a@a.net'/>";
    let twice = lists(&format!("<list>{entry}{entry}</list>"));
    let many: String = (0..21)
        .map(|n| format!("<entry uri='sip:{n}@a.net'/>"))
        .collect();
    let deep = format!("{}{}", "<list>".repeat(30), "</list>".repeat(30));
    let wide = "<list/>".repeat(200);
    let billion = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><r>&b;</r>";
    let external = "<!DOCTYPE r [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><r>&a;</r>";
    let cases = [
        ("", "not-well-formed"),
        ("lists", "not-well-formed"),
        ("<resource-lists", "not-well-formed"),
        ("<a/><b/>", "not-well-formed"),
        (billion, "not-well-formed"),
        (external, "not-well-formed"),
        ("<p:resource-lists/>", "not-well-formed"),
        ("<?xml version='1.0' encoding='UTF-16'?><a/>", "not-utf-8"),
        ("<resource-lists/>", "schema-validation-error"),
        (&lists(entry), "schema-validation-error"),
        (&lists("<list><entry/></list>"), "schema-validation-error"),
        (&lists("hello"), "schema-validation-error"),
        (&twice, "uniqueness-failure"),
        (
            &lists("<list name='a'/><list name='a'/>"),
            "uniqueness-failure",
        ),
        (
            &lists(&format!("<list>{many}</list>")),
            "constraint-failure",
        ),
        (&lists(&deep), "constraint-failure"),
        (&lists(&wide), "constraint-failure"),
    ];
    for (text, conflict) in cases {
        let refused = world.put(ALICE, LISTS, text);
        assert_eq!(refused.status, 409, "{text}: {refused:?}");
        assert_eq!(refused.conflict(), conflict, "{text}");
    }
    for kind in ["", "text/xml", "application/xml", RULES, ELEMENT] {
        let refused = world.put(ALICE, kind, NO_LISTS);
        assert_eq!(refused.status, 415, "{kind}");
    }
    // By its bytes before anybody reads it, in one piece or through a node.
    let large = "x".repeat(9000);
    assert_eq!(world.put(ALICE, LISTS, &large).status, 413);
    let element = format!("<rl:entry uri=\"sip:{}\"/>", "x".repeat(7600));
    let path = node("resource-lists/list[1]/entry[3]");
    assert_eq!(world.put(&path, ELEMENT, &element).status, 413);
    assert_eq!(world.is(DOCUMENT, "nothing of it counted"), tag);
    // Four documents are the most here.
    for number in 2..=4 {
        let path = format!("resource-lists/users/sip:alice@a.net/n{number}");
        assert_eq!(world.put(&path, LISTS, NO_LISTS).status, 201);
    }
    let path = "resource-lists/users/sip:alice@a.net/n5";
    assert_eq!(
        world.put(path, LISTS, NO_LISTS).conflict(),
        "constraint-failure"
    );
    assert_eq!(
        world.put(ALICE, LISTS, NO_LISTS).status,
        200,
        "not one more"
    );
}

#[test]
fn a_method_that_a_resource_does_not_have_is_refused_with_those_that_it_has() {
    let world = World::with_lists();
    let bindings = node("resource-lists/list[1]/namespace::*");
    let everything = "GET, HEAD, PUT, DELETE";
    for (method, path, allow) in [
        ("POST", ALICE, everything),
        ("PATCH", ALICE, everything),
        ("OPTIONS", ALICE, everything),
        ("PUT", bindings.as_str(), "GET, HEAD"),
        ("DELETE", bindings.as_str(), "GET, HEAD"),
        (
            "PUT",
            "org.openmobilealliance.xcap-directory/users/sip:alice@a.net/directory.xml",
            "GET, HEAD",
        ),
    ] {
        let refused = world.ask(method, path, &[("Content-Type", BINDINGS)], b"<a/>");
        assert_eq!(
            (refused.status, refused.field("Allow")),
            (405, allow),
            "{method} {path}"
        );
    }
}

#[test]
fn a_condition_is_about_the_whole_document_and_its_one_entity_tag() {
    let world = World::with_lists();
    let tag = world.reset();
    let entry = node("resource-lists/list[1]/entry[1]");
    let new = node("resource-lists/list[1]/entry[3]");
    let nowhere = "resource-lists/users/sip:alice@a.net/nowhere";
    let both = format!("\"other\", {tag}");
    let weak = format!("W/{tag}");
    let ask = |method, path: &str, name, value: &str| {
        let kind = match path.contains("~~") {
            true => ELEMENT,
            false => LISTS,
        };
        let body = match (method, path.contains("~~")) {
            ("PUT", true) => ANNE,
            ("PUT", false) => DOCUMENT,
            _ => "",
        };
        let fields = [("Content-Type", kind), (name, value)];
        world.ask(method, path, &fields, body.as_bytes())
    };
    // Nothing of this changes anything.
    for (method, path, name, value, status) in [
        ("GET", ALICE, "If-None-Match", tag.as_str(), 304),
        ("HEAD", ALICE, "If-None-Match", &tag, 304),
        ("GET", ALICE, "If-None-Match", &weak, 304),
        ("GET", ALICE, "If-None-Match", &both, 304),
        ("GET", ALICE, "If-None-Match", "*", 304),
        ("GET", &entry, "If-None-Match", &tag, 304),
        ("GET", ALICE, "If-None-Match", "\"other\"", 200),
        ("GET", ALICE, "If-Match", &tag, 200),
        ("GET", ALICE, "If-Match", "\"other\"", 412),
        ("GET", &entry, "If-Match", "\"other\"", 412),
        ("GET", nowhere, "If-None-Match", "*", 404),
        ("GET", nowhere, "If-Match", "*", 404),
        ("GET", &new, "If-None-Match", &tag, 404),
        ("PUT", ALICE, "If-Match", "\"other\"", 412),
        ("PUT", ALICE, "If-Match", &weak, 412),
        ("PUT", ALICE, "If-None-Match", "*", 412),
        ("PUT", ALICE, "If-None-Match", &tag, 412),
        ("PUT", nowhere, "If-Match", "*", 412),
        ("PUT", nowhere, "If-Match", &tag, 412),
        ("PUT", &entry, "If-Match", "\"other\"", 412),
        ("PUT", &entry, "If-None-Match", "*", 412),
        ("PUT", &new, "If-Match", "*", 412),
        ("DELETE", ALICE, "If-Match", "\"other\"", 412),
        ("DELETE", ALICE, "If-None-Match", "*", 412),
        ("DELETE", &entry, "If-Match", "\"other\"", 412),
    ] {
        let answer = ask(method, path, name, value);
        assert_eq!(answer.status, status, "{method} {path} {name}: {value}");
        if matches!(status, 200 | 304) {
            assert_eq!(answer.tag(), tag, "{method} {path} {name}: {value}");
        }
        if status == 304 {
            assert_eq!(answer.body, "");
        }
    }
    assert_eq!(world.is(DOCUMENT, "as it was"), tag);
    // What holds goes on, and the next needs the next.
    let first = ask("PUT", &new, "If-None-Match", "*");
    assert_eq!(first.status, 201);
    assert_eq!(ask("PUT", &entry, "If-Match", &tag).status, 412);
    let dave = node("resource-lists/list[1]/list/entry");
    let second = ask("DELETE", &dave, "If-Match", first.tag());
    assert_eq!(second.status, 200);
    assert_eq!(ask("DELETE", ALICE, "If-Match", first.tag()).status, 412);
    assert_eq!(ask("DELETE", ALICE, "If-Match", second.tag()).status, 200);
    assert_eq!(ask("PUT", ALICE, "If-None-Match", "*").status, 201);
}

#[test]
fn one_user_has_many_names_and_nobody_else_has_any_of_them() {
    let world = World::with_lists();
    let tag = world.reset();
    for xui in [
        "sip:alice@a.net",
        "sip%3aalice%40a.net",
        "sip:%61lice@A.NET",
        "alice@a.net",
        "alice%40a.net",
        "tel:+15550100",
        "tel%3A%2B15550100",
        "tel:+1-555-0100",
    ] {
        let read = world.get(&format!("resource-lists/users/{xui}/index"));
        assert_eq!((read.status, read.tag()), (200, tag.as_str()), "{xui}");
    }
    for (xui, status) in [
        ("sip:bob@a.net", 404),
        ("tel:+15550199", 404),
        ("sip:alice@elsewhere.net", 404),
        ("sip%253aalice%2540a.net", 404),
        ("Alice@a.net", 404),
        ("%", 400),
        ("%ff@a.net", 400),
    ] {
        let read = world.get(&format!("resource-lists/users/{xui}/index"));
        assert_eq!(read.status, status, "{xui}");
    }
    // Whoever is asserted is no more than she is.
    let as_bob = [
        ("X-3GPP-Asserted-Identity", "\"sip:bob@a.net\""),
        ("Content-Type", LISTS),
    ];
    for method in ["GET", "PUT", "DELETE"] {
        let refused = world.ask(method, ALICE, &as_bob, NO_LISTS.as_bytes());
        assert_eq!((refused.status, refused.tag()), (403, ""), "{method}");
    }
    let by_number = [("X-XCAP-Asserted-Identity", "\"tel:+15550100\"")];
    assert_eq!(world.ask("GET", ALICE, &by_number, b"").status, 200);
    assert_eq!(world.is(DOCUMENT, "untouched"), tag);
}

#[test]
fn an_escape_is_decoded_once_wherever_it_stands() {
    let world = World::with_lists();
    let inside = "<list name='%41'><entry uri='sip:a%2Fb@a.net'/><entry uri='sip:\"]/@a.net'/>\
        <entry uri=\"sip:&lt;it's&amp;>\"/></list><list name='A'/>";
    let text = lists(inside);
    assert_eq!(world.put(ALICE, LISTS, &text).status, 200);
    for (selector, name) in [
        ("resource-lists/list%5B@name=%22%2541%22%5D/@name", "%41"),
        ("resource-lists/list[@name=%22A%22]/@name", "A"),
        ("resource-lists/list[@name=%22%41%22]/@name", "A"),
        ("resource-lists/list[@name=\"A\"]/@name", "A"),
        ("resource-lists/list[@name='A']/@name", "A"),
        ("%72esource-lists/list%5b2%5d/%40name", "A"),
        (
            "resource-lists/list[1]/entry[@uri=%22sip:a%252Fb@a.net%22]/@uri",
            "sip:a%2Fb@a.net",
        ),
        (
            "resource-lists/list[1]/entry[@uri='sip:%22%5d/@a.net']/@uri",
            "sip:\"]/@a.net",
        ),
        (
            "resource-lists/list[1]/entry[@uri=%22sip:&lt;it's&amp;%3E%22]/@uri",
            "sip:&lt;it's&amp;>",
        ),
        (
            "resource-lists/list[1]/entry[@uri=%22sip:%26lt;it%27s%26amp;%3E%22]/@uri",
            "sip:&lt;it's&amp;>",
        ),
    ] {
        let read = world.get(&format!("{ALICE}/~~/{selector}"));
        assert_eq!((read.status, read.body.as_str()), (200, name), "{selector}");
        assert_eq!(read.field("Content-Type"), ATTRIBUTE);
    }
    // RFC 3986 §6.2.2.2: a tilde is a tilde.
    let read = world.get(&format!("{ALICE}/%7E%7e/resource-lists/list[2]/@name"));
    assert_eq!((read.status, read.body.as_str()), (200, "A"));
    for (selector, status) in [
        ("resource-lists/list%255b2%255d", 400),
        ("resource-lists/list[2", 400),
        ("resource-lists/list[0]", 400),
        ("resource-lists/list[@name=A]", 400),
        ("resource-lists//list", 400),
        ("resource-lists/list[%zz]", 400),
        ("@name", 400),
        ("", 400),
        ("resource-lists/list[99999999999999999999]", 400),
        ("resource-lists/list[99]", 404),
        ("resource-lists/list", 404),
        ("resource-lists/list[@name=%22a%22]", 404),
    ] {
        let read = world.get(&format!("{ALICE}/~~/{selector}"));
        assert_eq!(read.status, status, "{selector}");
    }
}

#[test]
fn a_prefix_is_the_query_s_and_a_name_without_one_is_the_usage_s() {
    let world = World::with_lists();
    let list = |selector: &str, query: &str| world.get(&format!("{}{query}", node(selector)));
    let lists = "urn:ietf:params:xml:ns:resource-lists";
    for (selector, query) in [
        ("resource-lists/list[1]/@name", String::new()),
        (
            "q:resource-lists/q:list[1]/@name",
            format!("?xmlns(q={lists})"),
        ),
        (
            "q:resource-lists/list[1]/@name",
            format!("?xmlns(q={lists})"),
        ),
        (
            "resource-lists/q:list[@x:mood=\"good\"]/@name",
            format!("?xmlns(q={lists}){X}"),
        ),
        // What the document calls rl another may call x.
        (
            "x:resource-lists/x:list[1]/@name",
            format!("?xmlns(x={lists})"),
        ),
        (
            "q:resource-lists/list[1]/@name",
            format!("?xmlns%28q%3D{lists}%29"),
        ),
        (
            "q:resource-lists/list[1]/@name",
            format!("?other(1)xmlns(q={lists})"),
        ),
    ] {
        let read = list(selector, &query);
        assert_eq!(
            (read.status, read.body.as_str()),
            (200, "friends"),
            "{selector} {query}"
        );
    }
    for (selector, query, status) in [
        ("q:resource-lists/list[1]/@name", "", 400),
        ("rl:resource-lists/list[1]/@name", "", 400),
        ("q:resource-lists/list[1]/@name", "?xmlns(q=urn:other)", 404),
        ("resource-lists/list[1]/colour", "", 404),
        // An attribute without a prefix is in no namespace.
        ("resource-lists/list[1]/@mood", "", 404),
        (
            "resource-lists/list[1]/@q:name",
            "?xmlns(q=urn:ietf:params:xml:ns:resource-lists)",
            404,
        ),
    ] {
        assert_eq!(list(selector, query).status, status, "{selector} {query}");
    }
}

/// RFC 4825 §7.10: the bindings that hold there, on an empty element of that name.
#[test]
fn the_bindings_of_prefixes_are_read_as_one_empty_element() {
    let world = World::with_lists();
    let lists = "urn:ietf:params:xml:ns:resource-lists";
    let list = |selector: &str, query: &str| world.get(&format!("{}{query}", node(selector)));
    let read = list("resource-lists/list[1]/list/namespace::*", "");
    assert_eq!((read.status, read.field("Content-Type")), (200, BINDINGS));
    let root = xml::read(read.body.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
    assert!(
        root.is(lists, "list") && root.elements().count() == 0,
        "{}",
        read.body
    );
    for bound in [
        "=\"urn:ietf:params:xml:ns:resource-lists\"",
        "xmlns:x=\"urn:example:x\"",
    ] {
        assert_eq!(read.body.matches(bound).count(), 1, "{}", read.body);
    }
    assert_eq!(read.tag(), world.reset());
}

fn elements(text: &str, of: &str, name: &str) -> Vec<String> {
    let root = xml::read(text.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
    let found = root.elements().find(|element| *element.name.local == *of);
    let inside = found.map(|element| {
        let all = element.elements();
        all.filter(|one| *one.name.local == *name)
            .map(|one| one.text())
            .collect()
    });
    inside.unwrap_or_default()
}

#[test]
fn capabilities_name_what_is_really_there() {
    let world = World::new();
    let read = world.get("xcap-caps/global/index");
    assert_eq!(
        (read.status, read.field("Content-Type")),
        (200, "application/xcap-caps+xml")
    );
    assert!(read.tag().starts_with('"'));
    let usages = elements(&read.body, "auids", "auid");
    assert!(usages.contains(&"xcap-caps".to_owned()) && usages.contains(&"pres-rules".to_owned()));
    assert!(!elements(&read.body, "namespaces", "namespace").is_empty());
    // Of each that is named there can be documents; of others there can't.
    for usage in &usages {
        let put = world.put(
            &format!("{usage}/users/sip:alice@a.net/index"),
            "text/plain",
            "",
        );
        assert!(
            matches!(put.status, 403 | 404 | 405 | 409 | 415),
            "{usage}: {put:?}"
        );
        let is_kept = put.status == 415;
        let keeps_none = ["xcap-caps", "org.openmobilealliance.xcap-directory"];
        assert_eq!(
            is_kept,
            !keeps_none.contains(&usage.as_str()),
            "{usage}: {put:?}"
        );
    }
    let other = world.put(
        "org.openmobilealliance.groups/users/sip:alice@a.net/index",
        "text/plain",
        "",
    );
    assert_eq!(other.status, 404);
    let first = world.get("xcap-caps/global/index/~~/xcap-caps/auids/auid%5b1%5d");
    assert_eq!((first.status, first.tag()), (200, read.tag()));
    assert!(first.body.contains(&usages[0]));
    let same = world.ask(
        "GET",
        "xcap-caps/global/index",
        &[("If-None-Match", read.tag())],
        b"",
    );
    assert_eq!(same.status, 304);
    for method in ["PUT", "DELETE"] {
        let fields = [("Content-Type", "application/xcap-caps+xml")];
        let refused = world.ask(method, "xcap-caps/global/index", &fields, b"<a/>");
        assert!(matches!(refused.status, 403 | 405), "{refused:?}");
    }
}

#[test]
fn the_directory_lists_what_a_user_has() {
    let world = World::with_lists();
    const DIRECTORY: &str =
        "org.openmobilealliance.xcap-directory/users/sip:alice@a.net/directory.xml";
    let listed = || -> Vec<(String, String)> {
        let read = world.get(DIRECTORY);
        assert_eq!(
            (read.status, read.field("Content-Type")),
            (200, "application/vnd.oma.xcap-directory+xml")
        );
        let root = xml::read(read.body.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
        let entries = root
            .elements()
            .flat_map(|folder| folder.elements().collect::<Vec<_>>());
        entries
            .map(|entry| {
                let text = |name| entry.attribute(name).unwrap_or_default().to_owned();
                (text("uri"), text("etag"))
            })
            .collect()
    };
    let tag = world.reset();
    assert_eq!(
        listed(),
        [(ALICE.to_owned(), tag.trim_matches('"').to_owned())]
    );
    let rules = world.put(RULES_OF_ALICE, RULES, NO_RULES);
    assert_eq!(rules.status, 201);
    let both = listed();
    assert_eq!(both.len(), 2, "{both:?}");
    let told = (
        RULES_OF_ALICE.to_owned(),
        rules.tag().trim_matches('"').to_owned(),
    );
    assert!(both.contains(&told), "{both:?}");
    let changed = world.put(ALICE, LISTS, NO_LISTS);
    assert!(listed().contains(&(ALICE.to_owned(), changed.tag().trim_matches('"').to_owned())));
    world.delete(RULES_OF_ALICE);
    world.delete(ALICE);
    assert_eq!(listed(), []);
}

/// `how many` requests at once.
fn at_once(many: usize, ask: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let barrier = Barrier::new(many);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..many)
            .map(|number| {
                let (barrier, ask) = (&barrier, &ask);
                scope.spawn(move || {
                    barrier.wait();
                    ask(number)
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn of_many_changes_under_one_condition_exactly_one_wins() {
    const MANY: usize = 24;
    let world = World::with_lists();
    let mut tag = world.reset();
    let text = |round: usize, number: usize| lists(&format!("<list name='{round}-{number}'/>"));
    for round in 0..5 {
        let answers = at_once(MANY, |number| {
            let fields = [("Content-Type", LISTS), ("If-Match", tag.as_str())];
            world.ask("PUT", ALICE, &fields, text(round, number).as_bytes())
        });
        let won: Vec<usize> = (0..MANY).filter(|n| answers[*n].status == 200).collect();
        let lost = answers.iter().filter(|answer| answer.status == 412).count();
        assert_eq!((won.len(), lost), (1, MANY - 1), "{answers:?}");
        tag = world.is(&text(round, won[0]), "the winner's");
        assert_eq!(tag, answers[won[0]].tag());
    }
    // The same for what is not there yet.
    world.delete(ALICE);
    let answers = at_once(MANY, |number| {
        let fields = [("Content-Type", LISTS), ("If-None-Match", "*")];
        world.ask("PUT", ALICE, &fields, text(9, number).as_bytes())
    });
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    let lost = answers.iter().filter(|answer| answer.status == 412).count();
    assert_eq!((won, lost), (1, MANY - 1), "{answers:?}");
}

#[test]
fn of_many_changes_of_different_nodes_none_is_lost() {
    const MANY: usize = 16;
    let world = World::new();
    assert_eq!(world.put(ALICE, LISTS, &lists("<list/>")).status, 201);
    let answers = at_once(MANY, |number| {
        let uri = format!("sip:{number}@a.net");
        let path = node(&format!("resource-lists/list/entry[@uri=\"{uri}\"]"));
        world.put(&path, ELEMENT, &format!("<entry uri='{uri}'/>"))
    });
    let tags: std::collections::BTreeSet<&str> = answers.iter().map(Answer::tag).collect();
    assert!(
        answers.iter().all(|answer| answer.status == 201),
        "{answers:?}"
    );
    assert_eq!(tags.len(), MANY, "each has an entity-tag of its own");
    let all = world.get(ALICE).body;
    for number in 0..MANY {
        assert_eq!(
            all.matches(&format!("'sip:{number}@a.net'")).count(),
            1,
            "{all}"
        );
    }
}
