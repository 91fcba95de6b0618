//! Every call flow in the simulator, over UDP and TCP; and the pictures of them that the documentation shows.

use std::collections::BTreeSet;
use std::path::Path;

use scenario::{Transport, builtin, run};
use sim::Stage;

#[test]
fn every_flow_holds_in_the_world() {
    for flow in builtin().unwrap_or_else(|problem| panic!("{problem}")) {
        for (transport, seed) in [(Transport::Udp, 2), (Transport::Tcp, 3)] {
            let mut stage = Stage::new(&flow, transport, seed);
            if let Err(failure) = run(&flow, &mut stage) {
                panic!("{transport:?}, seed {seed}: {failure}");
            }
        }
    }
}

#[test]
fn the_same_seed_draws_the_same_picture() {
    let flows = builtin().unwrap_or_else(|problem| panic!("{problem}"));
    let flow = flows.first().expect("a flow");
    let draw = |seed| {
        run(flow, &mut Stage::new(flow, Transport::Udp, seed))
            .unwrap_or_else(|failure| panic!("{failure}"))
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn the_documentation_shows_what_a_run_draws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/flows");
    let pages = sim::pages().unwrap_or_else(|why| panic!("{why}"));
    for (name, drawn) in &pages {
        let shown = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            shown == *drawn,
            "docs/flows/{name} is not what a run draws; `cargo xtask flows --write` draws it anew. A run says:\n{drawn}"
        );
    }
    let there = std::fs::read_dir(&folder).expect("docs/flows");
    let there: BTreeSet<String> = there
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let drawn: BTreeSet<String> = pages.into_iter().map(|(name, _)| name).collect();
    assert_eq!(there, drawn, "every file in docs/flows is drawn by a run");
}
