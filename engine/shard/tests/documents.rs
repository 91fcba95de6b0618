//! Documents that users keep, at one shard: who may, conditions, order, what is durable, what is bounded.

mod world;

use world::World;
use xdm::Method;

const LISTS: &str = "resource-lists/users/sip:alice@example.com/index";
const RULES: &str = "pres-rules/users/sip:alice@example.com/index";

fn list(entries: &[&str]) -> String {
    let entries: String = entries
        .iter()
        .map(|uri| format!("<entry uri=\"{uri}\"/>"))
        .collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"f\">{entries}</list></resource-lists>"
    )
}

#[test]
fn a_document_is_put_read_changed_in_one_place_and_deleted() {
    let mut world = World::new();
    assert_eq!(world.get(LISTS).status, 404);
    let put = world.put(LISTS, &list(&["sip:bob@example.com"]));
    assert_eq!(put.status, 201);
    let got = world.get(LISTS);
    assert_eq!(
        (got.status, &got.body),
        (200, &list(&["sip:bob@example.com"]))
    );
    assert_eq!((got.tag.is_some(), &got.tag), (true, &put.tag));
    let entry =
        format!("{LISTS}/~~/resource-lists/list/entry%5b@uri=%22sip:carol@example.com%22%5d");
    let added = world.put(&entry, "<entry uri=\"sip:carol@example.com\"/>");
    assert_eq!(added.status, 201);
    assert_ne!(added.tag, put.tag);
    let got = world.get(LISTS);
    assert_eq!(
        got.body,
        list(&["sip:bob@example.com", "sip:carol@example.com"])
    );
    assert_eq!(got.tag, added.tag);
    // The same once more changes nothing, so it has the same tag.
    let again = world.put(&entry, "<entry uri=\"sip:carol@example.com\"/>");
    assert_eq!((again.status, again.tag), (200, added.tag));
    assert_eq!(world.delete(LISTS).status, 200);
    assert_eq!(world.get(LISTS).status, 404);
    assert_eq!(world.delete(LISTS).status, 404);
    assert!(world.kept.is_empty());
}

#[test]
fn a_tag_never_comes_again() {
    let mut world = World::new();
    let mut tags = std::collections::BTreeSet::new();
    for life in 0..3 {
        for _ in 0..3 {
            for entries in [&["sip:a@b.c"][..], &[]] {
                let put = world.put(LISTS, &list(entries));
                assert!(tags.insert(put.tag.unwrap()), "life {life}");
            }
            world.delete(LISTS);
        }
        world.crash();
    }
}

#[test]
fn nobody_touches_what_is_anothers_and_everybody_reads_what_is_everybodys() {
    let mut world = World::new();
    world.put(LISTS, &list(&[]));
    for method in [Method::Get, Method::Put, Method::Delete] {
        for by in ["sip:bob@example.com", ""] {
            let mut request = world.request_document(method, LISTS, &list(&[]));
            request.by = by.to_owned();
            assert_eq!(world.ask(request).unwrap().status, 403, "{by}");
        }
    }
    assert_eq!(world.get("xcap-caps/global/index").status, 200);
    assert_eq!(world.put("xcap-caps/global/index", "").status, 403);
    assert_eq!(world.get("resource-lists/global/index").status, 404);
    assert_eq!(
        world.put("resource-lists/global/index", &list(&[])).status,
        403
    );
    assert_eq!(
        world
            .get("nonsense/users/sip:alice@example.com/index")
            .status,
        404
    );
    let elsewhere = "resource-lists/users/sip:alice@example.net/index";
    assert_eq!(world.put(elsewhere, &list(&[])).status, 404);
}

#[test]
fn what_the_server_can_do_and_what_a_user_has_can_be_read() {
    let mut world = World::new();
    let caps = world.get("xcap-caps/global/index");
    assert!(
        caps.body.contains("<auid>pres-rules</auid>"),
        "{}",
        caps.body
    );
    let auid = world.get("xcap-caps/global/index/~~/xcap-caps/auids/auid%5b1%5d");
    assert_eq!(
        (auid.status, auid.media_type.as_str()),
        (200, xcap::ELEMENT)
    );
    let directory =
        "org.openmobilealliance.xcap-directory/users/sip:alice@example.com/directory.xml";
    assert!(!world.get(directory).body.contains("<entry"));
    world.put(LISTS, &list(&[]));
    let got = world.get(directory);
    assert!(
        got.body.contains(&format!("uri=\"{LISTS}\"")),
        "{}",
        got.body
    );
    let mut request = world.request_document(Method::Get, directory, "");
    request.if_none_match = Some(format!("\"{}\"", got.tag.unwrap()));
    assert_eq!(world.ask(request).unwrap().status, 304);
    let put = world.put(directory, "");
    assert_eq!((put.status, put.allow), (405, "GET, HEAD"));
}

#[test]
fn of_concurrent_changes_with_the_same_condition_one_wins() {
    let mut world = World::new();
    let tag = world.put(LISTS, &list(&[])).tag.unwrap();
    world.keeps = false;
    let tickets: Vec<u64> = (0..5)
        .map(|each| {
            let body = list(&[&format!("sip:{each}@example.com")]);
            let mut request = world.request_document(Method::Put, LISTS, &body);
            request.if_match = Some(format!("\"{tag}\""));
            let ticket = request.ticket;
            assert_eq!(world.ask(request), None);
            ticket
        })
        .collect();
    // What is on its way is not there yet.
    assert_eq!(world.get(LISTS).body, list(&[]));
    assert_eq!(world.keeping.len(), 1);
    world.keep_next(Ok(()));
    let statuses: Vec<u16> = tickets
        .iter()
        .map(|ticket| world.answer_of(*ticket).unwrap().status)
        .collect();
    assert_eq!(statuses, [200, 412, 412, 412, 412]);
    assert!(world.keeping.is_empty() && world.shard.is_quiet());
}

#[test]
fn a_change_that_could_not_be_kept_changes_nothing() {
    let mut world = World::new();
    let put = world.put(LISTS, &list(&[]));
    world.keeps = false;
    let request = world.request_document(Method::Delete, LISTS, "");
    let ticket = request.ticket;
    assert_eq!(world.ask(request), None);
    let request = world.request_document(Method::Put, RULES, "<x");
    let second = request.ticket;
    assert_eq!(world.ask(request), None);
    world.keep_next(Err("disk".to_owned()));
    let failed = world.answer_of(ticket).unwrap();
    assert_eq!((failed.status, failed.tag), (500, put.tag));
    assert_eq!(world.answer_of(second).unwrap().status, 409);
    assert_eq!(world.get(LISTS).status, 200);
}

#[test]
fn a_crash_loses_nothing_that_was_answered() {
    let mut world = World::new();
    world.put(LISTS, &list(&["sip:a@b.c"]));
    world.keeps = false;
    let request = world.request_document(Method::Put, LISTS, &list(&[]));
    assert_eq!(world.ask(request), None);
    world.crash();
    assert_eq!(world.get(LISTS).body, list(&["sip:a@b.c"]));
}

#[test]
fn documents_of_one_user_are_bounded_in_size_number_and_shape() {
    let mut settings = world::settings();
    settings.limits.documents_per_user_max = 2;
    settings.limits.document_bytes_max = 1000;
    settings.limits.list_entries_max = 3;
    settings.limits.xml_depth_max = 8;
    let mut world = World::with(settings);
    assert_eq!(world.put(LISTS, &list(&[&"a".repeat(1000)])).status, 413);
    assert_eq!(world.put(LISTS, &list(&["a", "b", "c"])).status, 409);
    assert_eq!(world.put(LISTS, &list(&["a", "b"])).status, 201);
    let deep = "<a>".repeat(100) + &"</a>".repeat(100);
    let place = format!("{LISTS}/~~/resource-lists/list/a");
    let put = world.put(&place, &deep);
    assert_eq!(put.status, 409);
    assert!(put.body.contains("constraint-failure"), "{}", put.body);
    let name = |number: u32| format!("resource-lists/users/sip:alice@example.com/{number}");
    assert_eq!(world.put(&name(1), &list(&[])).status, 201);
    assert_eq!(world.put(&name(2), &list(&[])).status, 409);
    assert_eq!(world.put(&name(1), &list(&["a"])).status, 200);
    assert_eq!(
        world
            .put(&name(9).replace('9', &"x".repeat(600)), "")
            .status,
        414
    );
}

#[test]
fn changes_that_wait_are_bounded() {
    let mut world = World::new();
    world.keeps = false;
    let mut refused = 0;
    for each in 0..150 {
        let body = list(&[&format!("sip:{each}@example.com")]);
        let request = world.request_document(Method::Put, LISTS, &body);
        refused += u32::from(
            world
                .ask(request)
                .is_some_and(|answer| answer.status == 503),
        );
    }
    assert_eq!(refused, 49);
    world.keeps = true;
    world.run();
    assert!(world.shard.is_quiet());
    assert!(world.get(LISTS).body.contains("sip:100@"));
}
