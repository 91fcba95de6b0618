//! The pages of `docs/flows/`: each flow's ladder, drawn by its run in the world.

use std::fmt::Write as _;

use scenario::{Flow, Transport, builtin, run};

use crate::stage::Stage;

/// Whatever is drawn comes from it.
const SEED: u64 = 1;

/// File names and contents, in order; or where a flow went wrong.
pub fn pages() -> Result<Vec<(String, String)>, String> {
    let flows = builtin().map_err(|problem| problem.to_string())?;
    let mut pages = vec![("README.md".to_owned(), index(&flows))];
    for flow in &flows {
        let mut stage = Stage::new(flow, Transport::Udp, SEED);
        let trace = run(flow, &mut stage).map_err(|failure| failure.to_string())?;
        pages.push((format!("{}.txt", flow.id), trace.text()));
        pages.push((format!("{}.svg", flow.id), trace.svg()));
    }
    Ok(pages)
}

fn index(flows: &[Flow]) -> String {
    let mut out = String::from(
        "# Call flows\n\n\
         Each flow is a file in [lab/scenario/flows](../../lab/scenario/flows): who takes part, what they send, what has to come, and when. It is run in the\n\
         simulator, which drew these pictures, and over sockets against the real server, by UDP and TCP. The same expectations judge both.\n\n\
         `cargo xtask flows` compares this page and its pictures with a run; `cargo xtask flows --write` draws them anew.\n\n\
         A picture shows the time in seconds at the left. An arrow is a message; what matters of it stands at the right, what its body says first. Dashes: it was\n\
         sent before. In text, `*` is an event of [the lists](../events.md), `o` one that a timer brought about, and `c1`, `c2`, … lead from a request or a timer to\n\
         everything that came of it.\n",
    );
    for flow in flows {
        let file = flow.file.rsplit('/').next().unwrap_or_default();
        let _ = write!(
            out,
            "\n## {id}: {title}\n\n{about}\n\nClauses: {clauses}. [Flow](../../lab/scenario/flows/{file}), [ladder in text]({id}.txt).\n\n![{title}]({id}.svg)\n",
            id = flow.id,
            title = flow.title,
            about = flow.about,
            clauses = flow.clauses.join("; "),
        );
    }
    out
}
