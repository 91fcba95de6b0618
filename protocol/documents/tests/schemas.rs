//! Strict schemas: what they let in and what not, and the official ones as a second opinion where they are at hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "../../../lab/peers/src/skipped.rs"]
mod skipped;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use documents::schema::usages::{CONTENT, GLOBALS, LISTS, RULESET, SERVICES};
use documents::schema::{Declared, check};
use skipped::standards_with;
use xml::{Bounds, Element, read};

const PREFIXES: &str = "xmlns:cp='urn:ietf:params:xml:ns:common-policy' xmlns:o='urn:oma:xml:xdm:common-policy' \
    xmlns:pr='urn:ietf:params:xml:ns:pres-rules' xmlns:op='urn:oma:xml:prs:pres-rules' xmlns:pub='urn:oma:xml:prs:pub-rules' \
    xmlns:rl='urn:ietf:params:xml:ns:resource-lists' xmlns:rs='urn:ietf:params:xml:ns:rls-services' \
    xmlns:pc='urn:oma:xml:prs:pres-content' xmlns:u='urn:u' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'";

fn roots() -> [&'static Declared; 4] {
    [&RULESET, &LISTS, &SERVICES, &CONTENT]
}

/// What our schemas say of a document.
fn judge(text: &str) -> Result<(), String> {
    let root =
        read(text.as_bytes(), &Bounds::TRUSTED).map_err(|malformed| malformed.to_string())?;
    let declared = roots()
        .into_iter()
        .find(|declared| root.is(declared.namespace, declared.local));
    check(&root, declared.unwrap_or(&RULESET), GLOBALS).map_err(|invalid| invalid.to_string())
}

/// Documents that use all that the schemas know.
fn samples() -> Vec<String> {
    let root = |name: &str, inside: &str| format!("<{name} {PREFIXES}>{inside}</{name}>");
    vec![
        root(
            "cp:ruleset",
            "<cp:rule id='a'><cp:conditions><cp:identity><cp:one id='sip:a@b'><u:x/></cp:one><cp:many domain='b'><cp:except id='sip:c@b'/>\
             <u:y/><cp:except domain='d'/></cp:many></cp:identity><cp:sphere value='home work'/><cp:validity><cp:from>2026-01-01T00:00:00Z</cp:from>\
             <cp:until>2026-02-01T00:00:00.5+01:00</cp:until></cp:validity><o:external-list><o:entry anc='http://x/y'/></o:external-list>\
             <o:other-identity/><o:anonymous-request/></cp:conditions><cp:actions><pr:sub-handling>allow</pr:sub-handling>\
             <pub:pub-handling>block</pub:pub-handling></cp:actions><cp:transformations><pr:provide-services><pr:service-uri-scheme>sip\
             </pr:service-uri-scheme><op:service-id>chat</op:service-id><pr:class>c</pr:class></pr:provide-services><pr:provide-persons>\
             <pr:all-persons/></pr:provide-persons><pr:provide-devices><pr:deviceID>urn:d</pr:deviceID></pr:provide-devices>\
             <pr:provide-mood>true</pr:provide-mood><pr:provide-user-input>bare</pr:provide-user-input><pr:provide-unknown-attribute ns='urn:u' name='x'>1\
             </pr:provide-unknown-attribute><pr:provide-all-attributes/><op:provide-willingness>0</op:provide-willingness>\
             <op:provide-geopriv>full</op:provide-geopriv><pub:allow-note>false</pub:allow-note></cp:transformations></cp:rule><cp:rule id='b'/>",
        ),
        root(
            "rl:resource-lists",
            "<rl:list name='l' u:x='1'><rl:display-name xml:lang='en'>L</rl:display-name><rl:entry uri='sip:a@b'><rl:display-name>A</rl:display-name>\
             <u:x/></rl:entry><rl:list name='m'><rl:entry-ref ref='a/b'/></rl:list><rl:external anchor='http://x'/><u:y/></rl:list>",
        ),
        root(
            "rs:rls-services",
            "<rs:service uri='sip:l@b'><rs:resource-list>http://x/y</rs:resource-list><rs:packages><rs:package>presence</rs:package><u:x/>\
             <rs:package>dialog</rs:package></rs:packages><u:y/></rs:service><rs:service uri='sip:m@b'><rs:list name='n'><rl:entry uri='sip:a@b'/>\
             </rs:list></rs:service>",
        ),
        root(
            "pc:content",
            "<pc:mime-type>image/png</pc:mime-type><pc:encoding>base64</pc:encoding><pc:description xml:lang='en'>d</pc:description>\
             <pc:description>e</pc:description><pc:data>AAAA</pc:data><u:x/>",
        ),
    ]
}

#[test]
fn whole_documents_pass() {
    for sample in samples() {
        assert_eq!(judge(&sample), Ok(()), "{sample}");
    }
    for empty in ["cp:ruleset", "rl:resource-lists", "rs:rls-services"] {
        assert_eq!(judge(&format!("<{empty} {PREFIXES}/>")), Ok(()));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let rule = |inside: &str| {
        judge(&format!(
            "<cp:ruleset {PREFIXES}><cp:rule id='a'/><cp:rule id='b'>{inside}</cp:rule></cp:ruleset>"
        ))
    };
    let wrong = |inside: &str| rule(inside).unwrap_err();
    assert_eq!(
        wrong("<cp:actions/><cp:conditions/>"),
        "ruleset/rule[2]: conditions may not stand there"
    );
    assert_eq!(
        wrong("<cp:conditions><cp:identity/></cp:conditions>"),
        "ruleset/rule[2]/conditions/identity: one or many or an element of another namespace is missing"
    );
    assert_eq!(
        wrong(
            "<cp:conditions><cp:validity><cp:from>2026-01-01T00:00:00Z</cp:from></cp:validity></cp:conditions>"
        ),
        "ruleset/rule[2]/conditions/validity: until is missing"
    );
    assert_eq!(
        wrong("<cp:actions><pr:sub-handling>perhaps</pr:sub-handling></cp:actions>"),
        "ruleset/rule[2]/actions/sub-handling: text is 'perhaps', not one of block, confirm, polite-block, allow"
    );
    assert_eq!(
        wrong(
            "<cp:transformations><pr:provide-unknown-attribute ns='x'>true</pr:provide-unknown-attribute></cp:transformations>"
        ),
        "ruleset/rule[2]/transformations/provide-unknown-attribute: the attribute name is missing"
    );
    assert_eq!(
        wrong("<cp:conditions><cp:sphere value='a'> </cp:sphere></cp:conditions>"),
        "ruleset/rule[2]/conditions/sphere: nothing may be inside"
    );
    // Also inside of what nobody declares.
    assert_eq!(
        wrong("<cp:actions><u:x><pr:sub-handling>no</pr:sub-handling></u:x></cp:actions>"),
        "ruleset/rule[2]/actions/x/sub-handling: text is 'no', not one of block, confirm, polite-block, allow"
    );
    assert_eq!(
        judge(&format!(
            "<cp:ruleset {PREFIXES}><cp:rule id='a'/><cp:rule id='a'/></cp:ruleset>"
        )),
        Err("ruleset/rule[2]: the id 'a' is there twice".to_owned())
    );
    assert_eq!(
        judge("<presence/>"),
        Err(
            "presence: the root must be ruleset of urn:ietf:params:xml:ns:common-policy".to_owned()
        )
    );
}

// The second opinion.

/// For each document whether it is valid.
fn official(standards: &Path, documents: &[String]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = documents
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let file = folder.path().join(format!("{at}.xml"));
            std::fs::write(&file, text).unwrap();
            file
        })
        .collect();
    let output = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(standards.join("schemas/drivers/xdm.xsd"))
        .args(&files)
        .env("XML_CATALOG_FILES", standards.join("schemas/catalog.xml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    files
        .iter()
        .map(|file| {
            let validates = format!("{} validates", file.display());
            let fails = [
                format!("{} fails to validate", file.display()),
                format!("{}:", file.display()),
            ];
            assert!(
                said.contains(&validates) || fails.iter().any(|fails| said.contains(fails)),
                "{said}"
            );
            said.lines().any(|line| line == validates)
        })
        .collect()
}

/// A document changed in one place.
fn mutations(text: &str) -> Vec<String> {
    let root = read(text.as_bytes(), &Bounds::TRUSTED).unwrap();
    let mut all = Vec::new();
    let places = count(&root);
    for place in 0..places {
        for kind in 0..12 {
            let mut changed = root.clone();
            let mut at = place;
            if change(&mut changed, &mut at, kind) {
                all.push(
                    String::from_utf8(xml::write(
                        &changed,
                        &xml::Style {
                            default: "",
                            prefixes: &[],
                        },
                    ))
                    .unwrap(),
                );
            }
        }
    }
    all
}

fn count(element: &Element) -> usize {
    1 + element.elements().map(count).sum::<usize>()
}

/// Changes the element at a place, in document order; false: nothing to change.
fn change(element: &mut Element, at: &mut usize, kind: usize) -> bool {
    if *at == 0 {
        return change_here(element, kind);
    }
    *at -= 1;
    for node in &mut element.children {
        if let xml::Node::Element(child) = node {
            let own = count(child);
            if *at < own {
                return change(child, at, kind);
            }
            *at -= own;
        }
    }
    false
}

fn change_here(element: &mut Element, kind: usize) -> bool {
    let named = |namespace: &'static str, local: &'static str| {
        Element::new(xml::Name::new(xml::Namespace::fixed(namespace), local))
    };
    match kind {
        0 if !element.children.is_empty() => drop(element.children.remove(0)),
        1 if !element.children.is_empty() => element.children.push(element.children[0].clone()),
        2 if element.children.len() > 1 => element.children.reverse(),
        3 => element.children.push(xml::Node::Text("x".to_owned())),
        4 => element.push(named("urn:u", "more")),
        5 => element.push(named("", "bare")),
        6 if !element.attributes.is_empty() => drop(element.attributes.remove(0)),
        7 => element.set_attribute("more", "x"),
        8 => element.set_attribute_in(xml::Namespace::fixed("urn:u"), "more", "x"),
        9 => element.set_attribute_in(xml::XML, "lang", "en"),
        10 => element.children.insert(
            0,
            xml::Node::Element(named("urn:ietf:params:xml:ns:pres-rules", "sub-handling")),
        ),
        11 => {
            let mut allowed = named("urn:ietf:params:xml:ns:pres-rules", "provide-note");
            allowed.set_text(" true ");
            element.children.insert(0, xml::Node::Element(allowed));
        }
        _ => return false,
    }
    true
}

#[test]
fn the_official_schemas_agree_about_mutations() {
    let Some(standards) = standards_with("drivers/xdm.xsd") else {
        return;
    };
    let documents: Vec<String> = samples()
        .into_iter()
        .flat_map(|sample| mutations(&sample))
        .collect();
    assert!(documents.len() > 500, "{}", documents.len());
    let mut disagreements = String::new();
    let mut valid = 0;
    for (document, official) in documents.iter().zip(official(&standards, &documents)) {
        valid += usize::from(official);
        let ours = judge(document);
        if ours.is_ok() != official {
            let _ = writeln!(
                disagreements,
                "official {official}, ours {ours:?}: {document}\n"
            );
        }
    }
    assert!(
        valid > 50 && valid < documents.len() - 50,
        "{valid} of {}",
        documents.len()
    );
    assert!(disagreements.is_empty(), "{disagreements}");
}

#[test]
fn the_official_schemas_agree_about_examples() {
    let Some(standards) = standards_with("drivers/xdm.xsd") else {
        return;
    };
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(standards.join("examples/rfc-xml")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let is_ours = read(text.as_bytes(), &Bounds::TRUSTED).is_ok_and(|root| {
            roots()
                .iter()
                .any(|declared| root.is(declared.namespace, declared.local))
        });
        if is_ours {
            documents.push(text);
        }
    }
    assert!(documents.len() > 10, "{}", documents.len());
    for (document, official) in documents.iter().zip(official(&standards, &documents)) {
        assert_eq!(
            judge(document).is_ok(),
            official,
            "{:?} {document}",
            judge(document)
        );
    }
}
