//! The README's tour, run: what its blocks show is what the program says.

mod page;
mod terminal;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use page::Block;
use terminal::{Terminal, run_once};

const README: &str = "README.md";
const PATIENCE_SECONDS: u64 = 20;
/// Where the demo listens; the tour shows no other.
const SIP: &str = "127.0.0.1:5060";
const HTTP: &str = "127.0.0.1:8080";

/// `cargo xtask tour [--write]`.
pub(crate) fn run(root: &Path, write: bool) -> ExitCode {
    let done = match (write, occupied()) {
        (_, Some(why)) => Err(why),
        (true, None) => rewrite(root),
        (false, None) => check(root),
    };
    match done {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Why the tour cannot be taken here.
pub(crate) fn occupied() -> Option<String> {
    let is_free = UdpSocket::bind(SIP).is_ok()
        && TcpListener::bind(SIP).is_ok()
        && TcpListener::bind(HTTP).is_ok();
    (!is_free).then(|| format!("{SIP} or {HTTP} is in use; the tour needs both"))
}

/// Takes the tour and holds the README to it.
pub(crate) fn check(root: &Path) -> Result<String, String> {
    let text = read(root)?;
    let blocks = Tour::take(root)?;
    let wrong = page::differences(README, &text, &blocks);
    if wrong.is_empty() {
        return Ok(format!("tour: {} blocks", blocks.len()));
    }
    Err(format!(
        "{}\n`cargo xtask tour --write` writes what a run says",
        wrong.join("\n")
    ))
}

fn rewrite(root: &Path) -> Result<String, String> {
    let text = read(root)?;
    let blocks = Tour::take(root)?;
    let text = page::rewritten(&text, &blocks)?;
    fs::write(root.join(README), text).map_err(|error| format!("{README}: {error}"))?;
    Ok(format!("tour: {} blocks written", blocks.len()))
}

fn read(root: &Path) -> Result<String, String> {
    fs::read_to_string(root.join(README)).map_err(|error| format!("{README}: {error}"))
}

/// A folder of its own, in which the program stands where `cargo build --release` would have put it.
struct Tour {
    folder: PathBuf,
    program: PathBuf,
    blocks: Vec<Block>,
}

impl Tour {
    fn take(root: &Path) -> Result<Vec<Block>, String> {
        let folder = root.join("target").join("tour");
        // What a former tour left is not shown again.
        let _ = fs::remove_dir_all(&folder);
        let program = folder.join("target").join("release").join("tidings");
        let built = root.join("target").join("debug").join("tidings");
        let copied = fs::create_dir_all(folder.join("target").join("release"))
            .and_then(|()| fs::copy(&built, &program));
        copied.map_err(|error| format!("{}: {error}; `cargo build` makes it", built.display()))?;
        let mut tour = Tour {
            folder,
            program,
            blocks: Vec::new(),
        };
        let (server, mut watch) = tour.first_minutes()?;
        tour.rules(&mut watch)?;
        tour.one_look()?;
        tour.a_mistake()?;
        watch.interrupt();
        server.interrupt();
        tour.a_picture()?;
        Ok(tour.blocks)
    }

    fn start(&self, arguments: &str) -> Result<Terminal, String> {
        Terminal::start(&self.program, &self.folder, arguments)
    }

    fn show(&mut self, name: &'static str, lines: Vec<String>) {
        self.blocks.push(Block { name, lines });
    }

    /// Serve, watch, publish, change, kill, go on, take back, expire.
    fn first_minutes(&mut self) -> Result<(Terminal, Terminal), String> {
        let mut server = self.start("serve")?;
        let banner = server.lines_until("ready in ")?;
        self.show(
            "serve",
            [vec!["$ cargo run --release -- serve".to_owned()], banner].concat(),
        );

        let mut watch = self.start("watch alice@example.com --as bob@example.com")?;
        let mut seen = vec![watch.command(), watch.line()?];
        let mut publish = self.start("publish alice@example.com --note \"at lunch\"")?;
        let mut said = vec![publish.command(), publish.line()?];
        seen.push(watch.line()?);
        said.push("closed back at 3".to_owned());
        publish.type_line("closed back at 3")?;
        said.push(publish.line()?);
        seen.push(watch.line()?);
        self.show("watch", seen);
        self.show("publish", said);

        server.kill();
        let mut server = self.start("serve")?;
        let banner = server.lines_until("ready in ")?;
        let mut kept = vec![
            "$ pkill -9 -f 'tidings serve'; tidings serve".to_owned(),
            "…".to_owned(),
        ];
        kept.extend(
            banner
                .into_iter()
                .filter(|line| line.contains("  data ") || line.contains("ready in ")),
        );
        self.show("kill", kept);
        publish.type_line("open here again")?;
        self.show("typed", vec!["open here again".to_owned(), publish.line()?]);
        self.show("seen", vec![watch.line()?]);

        publish.interrupt();
        watch.line()?;
        let once =
            self.start("publish alice@example.com --note \"for two seconds\" --expires 2 --once")?;
        let said = once.every_line()?;
        self.show("expire", said);
        self.show("expired", vec![watch.line()?, watch.line()?]);
        Ok((server, watch))
    }

    /// What Alice lets Bob see, as he sees it.
    fn rules(&mut self, watch: &mut Terminal) -> Result<(), String> {
        let mut publish = self.start("publish alice@example.com --note \"at lunch\"")?;
        publish.line()?;
        watch.line()?;
        for (shown, seen, handling) in [
            ("polite-block", "politely-blocked", "polite-block"),
            ("confirm", "pending", "confirm"),
            ("allow", "allowed", "allow"),
        ] {
            let rule = format!("rules {handling} bob@example.com --as alice@example.com");
            let said = self.start(&rule)?.every_line()?;
            self.show(shown, said);
            self.show(seen, vec![watch.line()?]);
            if handling == "polite-block" {
                let why = "rules explain bob@example.com --as alice@example.com";
                let said = self.start(why)?.every_line()?;
                self.show("explain", said);
            }
        }
        publish.interrupt();
        watch.line()?;
        Ok(())
    }

    fn one_look(&mut self) -> Result<(), String> {
        let fetch = self
            .start("fetch alice@example.com --as bob@example.com")?
            .every_line()?;
        self.show("fetch", fetch);
        let trace = "fetch alice@example.com --as bob@example.com --trace";
        let (said, printed) = run_once(&self.program, &self.folder, trace)?;
        self.show(
            "trace",
            [vec![format!("$ tidings {trace}")], said, printed].concat(),
        );
        Ok(())
    }

    /// A server that draws what it does, and what it drew of one watcher and one publication.
    fn a_picture(&mut self) -> Result<(), String> {
        let mut server = self.start("serve --data picture --trace-ladder ladder.txt")?;
        server.lines_until("ready in ")?;
        let mut watch = self.start("watch alice@example.com --as bob@example.com")?;
        watch.line()?;
        let publish = "publish alice@example.com --note \"at lunch\" --once";
        self.start(publish)?.every_line()?;
        watch.line()?;
        server.interrupt();
        let drawn = fs::read_to_string(self.folder.join("ladder.txt"));
        let drawn = drawn.map_err(|error| format!("ladder.txt: {error}"))?;
        let mut lines = vec![
            "$ tidings serve --trace-ladder ladder.txt".to_owned(),
            "…".to_owned(),
            "$ cat ladder.txt".to_owned(),
        ];
        lines.extend(drawn.lines().map(str::to_owned));
        self.show("ladder", lines);
        Ok(())
    }

    fn a_mistake(&mut self) -> Result<(), String> {
        self.start("init tidings.toml")?.every_line()?;
        let file = self.folder.join("tidings.toml");
        let text = fs::read_to_string(&file).map_err(|error| format!("tidings.toml: {error}"))?;
        let wrong = text.replacen("publish_expires_seconds", "publish_expires_second", 1);
        fs::write(&file, wrong).map_err(|error| format!("tidings.toml: {error}"))?;
        let said = self.start("check --config tidings.toml")?.every_line()?;
        self.show("check", said);
        Ok(())
    }
}
