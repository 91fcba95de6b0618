//! What requests do to documents: RFC 4825 §7, §8, §11 by kind of selector, and each usage's constraints.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use xcap::{Address, Condition};
use xdm::usages::{self, find};
use xdm::{Answer, Bounds, Change, Entry, Method, Request, Stored, directory, handle};

const BOUNDS: Bounds = Bounds {
    bytes_max: 4096,
    xml: xml::Bounds {
        depth_max: 16,
        nodes_max: 200,
    },
    list_entries_max: 20,
};
const LISTS: &str = "application/resource-lists+xml";
const RULES: &str = "application/auth-policy+xml";
const ELEMENT: &str = "application/xcap-el+xml";
const ATTRIBUTE: &str = "application/xcap-att+xml";
const FRIENDS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n <!-- mine -->\n <list name=\"friends\">\n  <entry uri=\"sip:bob@example.com\"/>\n </list>\n</resource-lists>\n";
const OWNER: &str = "sip:alice@example.com";

/// One document, as a server would keep it.
struct Kept {
    text: Option<String>,
    version: u32,
}

impl Kept {
    fn new(text: &str) -> Self {
        Self {
            text: Some(text.to_owned()),
            version: 1,
        }
    }

    fn none() -> Self {
        Self {
            text: None,
            version: 0,
        }
    }

    fn ask(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: &[u8],
        condition: Condition<'_>,
    ) -> Answer {
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let address = Address::parse(path, query, usages::default_namespace).unwrap();
        let request = Request {
            method,
            address: &address,
            content_type: Some(kind),
            body,
            condition,
            owner: Some(OWNER),
        };
        let tag = self.version.to_string();
        let stored = self.text.as_deref().map(|text| Stored { text, tag: &tag });
        let answer = handle(find(&address.auid).unwrap(), &request, stored, &BOUNDS);
        match &answer.change {
            Change::None => {}
            Change::Put(text) => {
                self.text = Some(text.clone());
                self.version += 1;
            }
            Change::Delete => self.text = None,
        }
        answer
    }

    fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::Get, path, "", b"", Condition::default())
    }

    fn put(&mut self, path: &str, kind: &str, body: &str) -> Answer {
        self.ask(
            Method::Put,
            path,
            kind,
            body.as_bytes(),
            Condition::default(),
        )
    }

    fn delete(&mut self, path: &str) -> Answer {
        self.ask(Method::Delete, path, "", b"", Condition::default())
    }
}

const INDEX: &str = "resource-lists/users/sip:alice@example.com/index";

fn node(selector: &str) -> String {
    format!("{INDEX}/~~/{selector}")
}

/// The element of the report of a conflict.
fn conflict(answer: &Answer) -> String {
    assert_eq!(
        (answer.status, answer.media_type),
        (409, "application/xcap-error+xml"),
        "{answer:?}"
    );
    assert_eq!(answer.change, Change::None);
    let root = xml::read(answer.body.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
    root.elements().next().unwrap().name.local.to_string()
}

#[test]
fn a_document_is_created_read_replaced_and_deleted() {
    let mut kept = Kept::none();
    assert_eq!(kept.get(INDEX).status, 404);
    assert_eq!(kept.delete(INDEX).status, 404);
    let created = kept.put(INDEX, LISTS, FRIENDS);
    assert_eq!((created.status, created.body.as_str()), (201, ""));
    let read = kept.get(INDEX);
    assert_eq!(
        (read.status, read.media_type, read.body.as_str()),
        (200, LISTS, FRIENDS)
    );
    assert_eq!(kept.put(INDEX, LISTS, FRIENDS).status, 200);
    assert_eq!(kept.delete(INDEX).status, 200);
    assert_eq!(kept.get(INDEX).status, 404);
}

#[test]
fn what_is_no_such_document_is_refused_in_the_right_words() {
    let mut kept = Kept::none();
    assert_eq!(kept.put(INDEX, RULES, FRIENDS).status, 415);
    assert_eq!(kept.put(INDEX, LISTS, &"x".repeat(5000)).status, 413);
    let mut put = |body: &str| conflict(&kept.put(INDEX, LISTS, body));
    assert_eq!(put("<resource-lists"), "not-well-formed");
    assert_eq!(put("<!DOCTYPE a><a/>"), "not-well-formed");
    assert_eq!(put("<resource-lists/>"), "schema-validation-error");
    assert_eq!(
        put(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><entry uri='a'/></resource-lists>"
        ),
        "schema-validation-error"
    );
    assert_eq!(
        put(&("<a>".repeat(20) + &"</a>".repeat(20))),
        "constraint-failure"
    );
    assert_eq!(
        put(&format!("<a>{}</a>", "<b/>".repeat(300))),
        "constraint-failure"
    );
    assert_eq!(
        put("<?xml version='1.0' encoding='ISO-8859-1'?><a/>"),
        "not-utf-8"
    );
    let bytes = kept.ask(
        Method::Put,
        INDEX,
        LISTS,
        b"<a>\xff</a>",
        Condition::default(),
    );
    assert_eq!(conflict(&bytes), "not-utf-8");
}

#[test]
fn names_are_unique_within_their_list() {
    let mut kept = Kept::none();
    let mut put = |inside: &str| {
        let text = format!(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'>{inside}</resource-lists>"
        );
        kept.put(INDEX, LISTS, &text)
    };
    assert_eq!(
        put("<list name='a'/><list name='b'><list name='a'/></list><list/><list/>").status,
        201
    );
    for twice in [
        "<list name='a'/><list name='a'/>",
        "<list><entry uri='sip:a'/><entry uri='sip:a'/></list>",
        "<list><list name='b'><entry-ref ref='x'/><entry-ref ref='x'/></list></list>",
        "<list><external anchor='x'/><external anchor='x'/></list>",
    ] {
        assert_eq!(conflict(&put(twice)), "uniqueness-failure", "{twice}");
    }
    let report = put("<list name='a'><entry uri='sip:a'/><entry uri='sip:a'/></list>");
    assert!(
        report.body.contains(
            "field=\"resource-lists/list[@name=&quot;a&quot;]/entry[@uri=&quot;sip:a&quot;]/@uri\""
        ),
        "{}",
        report.body
    );
}

#[test]
fn elements_are_read_put_and_deleted_and_every_other_byte_stays() {
    let mut kept = Kept::new(FRIENDS);
    let read = kept.get(&node("resource-lists/list%5b@name=%22friends%22%5d/entry"));
    assert_eq!(
        (read.media_type, read.body.as_str()),
        (ELEMENT, "<entry uri=\"sip:bob@example.com\"/>")
    );
    let carol = "<entry uri=\"sip:carol@example.com\"/>";
    let path = node("resource-lists/list%5b1%5d/entry%5b@uri=%22sip:carol@example.com%22%5d");
    assert_eq!(kept.put(&path, ELEMENT, carol).status, 201);
    assert_eq!(
        kept.text.as_deref(),
        Some(
            FRIENDS
                .replace(
                    "bob@example.com\"/>",
                    &format!("bob@example.com\"/>{carol}")
                )
                .as_str()
        )
    );
    assert_eq!(kept.put(&path, ELEMENT, carol).status, 200);
    assert_eq!(kept.get(&path).body, carol);
    assert_eq!(kept.delete(&path).status, 200);
    assert_eq!(kept.text.as_deref(), Some(FRIENDS));
    assert_eq!(kept.delete(&path).status, 404);
    assert_eq!(kept.get(&path).status, 404);
}

#[test]
fn attributes_and_namespaces_are_nodes_too() {
    let mut kept = Kept::new(FRIENDS);
    let name = node("resource-lists/list/@name");
    let read = kept.get(&name);
    assert_eq!(
        (read.media_type, read.body.as_str()),
        (ATTRIBUTE, "friends")
    );
    assert_eq!(kept.put(&name, ATTRIBUTE, "family").status, 200);
    assert_eq!(
        kept.text.as_deref(),
        Some(FRIENDS.replace("friends", "family").as_str())
    );
    assert_eq!(kept.delete(&name).status, 200);
    assert_eq!(kept.get(&name).status, 404);
    assert_eq!(kept.put(&name, ATTRIBUTE, "friends").status, 201);
    assert_eq!(
        conflict(&kept.put(&name, ATTRIBUTE, "<")),
        "not-xml-att-value"
    );
    assert_eq!(kept.put(&name, ELEMENT, "friends").status, 415);
    // What the schema wants must stay.
    assert_eq!(
        conflict(&kept.delete(&node("resource-lists/list/entry/@uri"))),
        "schema-validation-error"
    );
    let bindings = node("resource-lists/list/namespace::*");
    let read = kept.get(&bindings);
    assert_eq!(
        (read.media_type, read.body.as_str()),
        (
            "application/xcap-ns+xml",
            "<list xmlns=\"urn:ietf:params:xml:ns:resource-lists\"/>"
        )
    );
    let put = kept.put(&bindings, "application/xcap-ns+xml", "<list/>");
    assert_eq!((put.status, put.allow), (405, "GET, HEAD"));
    assert_eq!(kept.delete(&bindings).status, 405);
}

#[test]
fn conflicts_of_nodes_are_reported() {
    let mut kept = Kept::new(FRIENDS);
    let mut put = |selector: &str, body: &str| conflict(&kept.put(&node(selector), ELEMENT, body));
    assert_eq!(
        put("resource-lists/list[1]/entry[9]", "<entry uri='sip:a'/>"),
        "cannot-insert"
    );
    assert_eq!(
        put("resource-lists/list[@name='x']", "<list name='y'/>"),
        "cannot-insert"
    );
    assert_eq!(
        put(
            "resource-lists/list[1]/entry[1]",
            "<entry uri='sip:a'/><entry uri='sip:b'/>"
        ),
        "not-xml-frag"
    );
    assert_eq!(put("resource-lists/list[1]/entry[1]", "no"), "not-xml-frag");
    assert_eq!(
        put("resource-lists/list[1]/entry[1]", "<x:entry uri='sip:a'/>"),
        "not-xml-frag"
    );
    assert_eq!(
        put(
            "resource-lists/list[1]/entry[1]",
            "<entry uri='sip:a'><x:y/></entry>"
        ),
        "not-xml-frag"
    );
    assert_eq!(
        put("resource-lists/list[1]/entry[1]", "<entry/>"),
        "schema-validation-error"
    );
    assert_eq!(
        put(
            "resource-lists/list[1]/entry[2]",
            "<entry uri='sip:bob@example.com'/>"
        ),
        "uniqueness-failure"
    );
    assert_eq!(
        put("resource-lists/list[7]/entry", "<entry uri='sip:a'/>"),
        "no-parent"
    );
    assert_eq!(
        conflict(&Kept::none().put(&node("resource-lists/list"), ELEMENT, "<list/>")),
        "no-parent"
    );
    let report = kept.put(
        &node("resource-lists/list[@name=%22friends%22]/list/list"),
        ELEMENT,
        "<list/>",
    );
    assert!(
        report.body.contains("<ancestor>resource-lists/users/sip:alice@example.com/index/~~/resource-lists/list[@name=%22friends%22]</ancestor>"),
        "{}",
        report.body
    );
    kept.put(&node("resource-lists/list[2]"), ELEMENT, "<list name='b'/>");
    assert_eq!(
        conflict(&kept.delete(&node("resource-lists/list[1]"))),
        "cannot-delete"
    );
}

#[test]
fn an_element_goes_where_its_schema_wants_it() {
    let rules = "<cp:ruleset xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\"><cp:rule id=\"a\"><cp:transformations/></cp:rule></cp:ruleset>";
    let mut kept = Kept::new(rules);
    let path = "org.openmobilealliance.pres-rules/users/sip:alice@example.com/pres-rules/~~/cp:ruleset/cp:rule%5b@id=%22a%22%5d/cp:conditions?xmlns(cp=urn:ietf:params:xml:ns:common-policy)";
    assert_eq!(kept.put(path, ELEMENT, "<cp:conditions/>").status, 201);
    assert_eq!(
        kept.text.as_deref(),
        Some(
            rules
                .replace("<cp:trans", "<cp:conditions/><cp:trans")
                .as_str()
        )
    );
    // RFC 5025 §9.3: without a prefix a name is one of presence rules.
    let without = path.replace("cp:ruleset", "ruleset");
    assert_eq!(kept.get(&without).status, 404);
    // With a prefix of the query's.
    let path = "org.openmobilealliance.pres-rules/users/sip:alice@example.com/pres-rules/~~/x:ruleset/x:rule/x:actions/pr:sub-handling?xmlns(x=urn:ietf:params:xml:ns:common-policy)xmlns(pr=urn:ietf:params:xml:ns:pres-rules)";
    assert_eq!(
        conflict(&kept.put(
            path,
            ELEMENT,
            "<sub-handling xmlns='urn:ietf:params:xml:ns:pres-rules'>allow</sub-handling>"
        )),
        "no-parent"
    );
}

#[test]
fn conditions_are_about_the_tag_of_the_whole_document() {
    let mut kept = Kept::new(FRIENDS);
    let entry = node("resource-lists/list/entry");
    let matching = |tag| Condition {
        if_match: Some(tag),
        ..Condition::default()
    };
    let unless = |tag| Condition {
        if_none_match: Some(tag),
        ..Condition::default()
    };
    let mut ask = |method, path: &str, condition| {
        kept.ask(method, path, ELEMENT, b"<entry uri='sip:a'/>", condition)
            .status
    };
    assert_eq!(ask(Method::Get, INDEX, unless("\"1\"")), 304);
    assert_eq!(ask(Method::Get, &entry, unless("\"1\"")), 304);
    assert_eq!(ask(Method::Get, INDEX, unless("\"0\"")), 200);
    assert_eq!(ask(Method::Get, INDEX, matching("\"0\"")), 412);
    // RFC 4825 §7.11: to put a node only where none is.
    assert_eq!(ask(Method::Put, &entry, unless("*")), 412);
    assert_eq!(ask(Method::Put, &entry, matching("\"0\"")), 412);
    assert_eq!(ask(Method::Put, &entry, matching("\"1\"")), 200);
    // Of two who change what both have read, one wins.
    assert_eq!(ask(Method::Put, &entry, matching("\"1\"")), 412);
    assert_eq!(ask(Method::Delete, INDEX, matching("\"1\"")), 412);
    assert_eq!(ask(Method::Delete, INDEX, matching("\"2\"")), 200);
    assert_eq!(ask(Method::Delete, INDEX, matching("*")), 412);
}

#[test]
fn permanent_presence_is_strict_and_about_its_owner() {
    let mut kept = Kept::none();
    let path = "pidf-manipulation/users/sip:alice@example.com/index";
    let mut put = |entity: &str, inside: &str| {
        let text = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='{entity}'> {inside} </presence>"
        );
        kept.put(path, "application/pidf+xml", &text)
    };
    let tuple = "<tuple id='t'><status><basic>open</basic></status><contact priority='0.5'>sip:a@b</contact></tuple>";
    assert_eq!(put(OWNER, tuple).status, 201);
    assert_eq!(put("pres:alice@example.com", tuple).status, 200);
    assert_eq!(
        conflict(&put("sip:bob@example.com", tuple)),
        "constraint-failure"
    );
    for invalid in [
        "<tuple id='t'><contact>sip:a@b</contact><status/></tuple>",
        "<tuple><status/></tuple>",
        "<tuple id='1t'><status/></tuple>",
        "<tuple id='t'><status><basic>Open</basic></status></tuple>",
        "<tuple id='t'/>",
        "<odd/>",
        "<note/><tuple id='t'><status/></tuple>",
    ] {
        assert_eq!(
            conflict(&put(OWNER, invalid)),
            "schema-validation-error",
            "{invalid}"
        );
    }
}

#[test]
fn services_are_unique() {
    let mut kept = Kept::none();
    let path = "rls-services/users/sip:alice@example.com/index";
    let service = |uri: &str| {
        format!("<service uri='{uri}'><resource-list>http://x</resource-list></service>")
    };
    let mut put = |inside: String| {
        let text = format!(
            "<rls-services xmlns='urn:ietf:params:xml:ns:rls-services'>{inside}</rls-services>"
        );
        kept.put(path, "application/rls-services+xml", &text)
    };
    assert_eq!(put(service("sip:a@b") + &service("sip:c@b")).status, 201);
    assert_eq!(
        conflict(&put(service("sip:a@b") + &service("sip:a@b"))),
        "uniqueness-failure"
    );
}

#[test]
fn capabilities_and_directories_are_made_from_what_is_there() {
    let capabilities = usages::capabilities();
    let root = xml::read(capabilities.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
    let auids: Vec<String> = root
        .elements()
        .next()
        .unwrap()
        .elements()
        .map(xml::Element::text)
        .collect();
    for usage in usages::USAGES {
        assert!(
            auids.iter().any(|auid| auid == usage.auid),
            "{}",
            usage.auid
        );
    }
    assert!(
        auids.contains(&"xcap-caps".to_owned()) && auids.contains(&usages::DIRECTORY.to_owned())
    );

    let entry = |auid, uri| Entry {
        auid,
        uri,
        tag: "a",
        last_modified: "2026-01-01T00:00:00Z",
        size: 12,
    };
    let entries = [
        entry("pres-rules", "pres-rules/users/a/index"),
        entry("resource-lists", "resource-lists/users/a/\"&"),
        entry("resource-lists", "resource-lists/users/a/index"),
    ];
    let folders = |auid| {
        let text = directory(&entries, auid);
        let root = xml::read(text.as_bytes(), &xml::Bounds::TRUSTED).unwrap();
        let folders = root.elements().map(|folder| {
            format!(
                "{} {}",
                folder.attribute("auid").unwrap(),
                folder.elements().count()
            )
        });
        folders.collect::<Vec<_>>()
    };
    assert_eq!(folders(None), ["pres-rules 1", "resource-lists 2"]);
    assert_eq!(folders(Some("resource-lists")), ["resource-lists 2"]);
    assert!(
        directory(&[], None).ends_with(
            "<xcap-directory xmlns=\"urn:oma:xml:xdm:xcap-directory\"></xcap-directory>\n"
        )
    );
}
