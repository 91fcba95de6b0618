//! What a person sees first: what listens where, and what to try next.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use configuration::{Configuration, HttpBind, Serves};
use machine::settings::Listener;
use node::Node;

/// The client's own guess for the demo's domain; any other address has to be named.
const USUAL: &str = "127.0.0.1:5060";

/// And for its documents.
const USUAL_ROOT: &str = "http://127.0.0.1:8080/xcap-root";

/// Prints it to stdout. Nobody has to listen.
pub(crate) fn print(
    configuration: &Configuration,
    node: &Node,
    http: &[SocketAddr],
    is_new: bool,
    took: Duration,
) {
    let data = match (is_new, node.status().store.objects) {
        (true, _) => "new; delete it to begin again",
        (false, 0) => "kept; nothing in it",
        (false, _) => "kept; what was published and watched goes on",
    };
    let text = text(configuration, node.listeners(), http, data, &program());
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}ready in {} ms", took.as_millis());
    let _ = out.flush();
}

fn text(
    configuration: &Configuration,
    listeners: &[Listener],
    http: &[SocketAddr],
    data: &str,
    program: &str,
) -> String {
    let domains: Vec<&str> = configuration
        .settings
        .domains
        .iter()
        .map(|domain| domain.name.as_str())
        .collect();
    let domains = domains.join(", ");
    let version = env!("CARGO_PKG_VERSION");
    let mut out = match &configuration.file {
        None => format!(
            "tidings {version}, demo: no configuration file, {domains}, this machine only\n"
        ),
        Some(file) => format!("tidings {version}, {}: {domains}\n", file.display()),
    };
    let _ = writeln!(out, "  sip      {}", sip(listeners));
    let health = urls(configuration, http, Serves::Health, "/readyz");
    if !health.is_empty() {
        let _ = writeln!(out, "  health   {}", health.join("   "));
    }
    let roots = &configuration.settings.xcap_roots;
    let documents = match roots.first() {
        Some(root) => urls(configuration, http, Serves::Xcap, &root.path),
        None => Vec::new(),
    };
    if !documents.is_empty() {
        let _ = writeln!(out, "  xcap     {}", documents.join("   "));
    }
    let _ = writeln!(out, "  data     {} ({data})", configuration.data.display());
    if configuration.settings.identity.from_is_identity {
        out.push_str("  Anyone on this machine may act as any user.");
        if configuration.is_demo() {
            out.push_str(" Watchers are allowed unless a rule says otherwise.");
        }
        out.push('\n');
    }
    if configuration.is_demo() {
        let server = listeners
            .first()
            .map(|listener| listener.bound.to_string())
            .filter(|address| address != USUAL);
        let server = server
            .map(|address| format!(" --server {address}"))
            .unwrap_or_default();
        let root = documents
            .first()
            .filter(|root| *root != USUAL_ROOT)
            .map(|root| format!(" --xcap-root {root}"))
            .unwrap_or_default();
        let _ = write!(
            out,
            "Try, each in a terminal of its own:\n  \
             {program} watch   alice@example.com --as bob@example.com{server}\n  \
             {program} publish alice@example.com --note \"at lunch\"{server}\n  \
             {program} rules   polite-block bob@example.com --as alice@example.com{root}\n\
             For a real one: {program} init tidings.toml\n"
        );
    }
    out
}

/// Where HTTP serves this, below `path`.
fn urls(
    configuration: &Configuration,
    http: &[SocketAddr],
    served: Serves,
    path: &str,
) -> Vec<String> {
    let listeners = configuration.http.iter().zip(http);
    let serving = listeners.filter(|(bind, _)| bind.serves.contains(&served));
    let url = |(bind, address): (&HttpBind, &SocketAddr)| {
        let scheme = if bind.secure.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{address}{path}")
    };
    serving.map(url).collect()
}

/// `udp, tcp 127.0.0.1:5060   udp [::1]:5060`: transports by address.
fn sip(listeners: &[Listener]) -> String {
    let mut places: Vec<(SocketAddr, Vec<String>)> = Vec::new();
    for listener in listeners {
        let transport = listener.transport.name().to_ascii_lowercase();
        match places
            .iter_mut()
            .find(|(address, _)| *address == listener.bound)
        {
            Some((_, transports)) => transports.push(transport),
            None => places.push((listener.bound, vec![transport])),
        }
    }
    let places: Vec<String> = places
        .iter()
        .map(|(address, transports)| format!("{} {address}", transports.join(", ")))
        .collect();
    places.join("   ")
}

/// How to call this program from here, so that a line can be pasted.
fn program() -> String {
    let typed = std::env::args_os().next().unwrap_or_default();
    if !typed.is_empty()
        && Path::new(&typed).components().count() == 1
        && !typed.to_string_lossy().contains('/')
    {
        return quoted(&typed.to_string_lossy());
    }
    let (Ok(program), Ok(here)) = (std::env::current_exe(), std::env::current_dir()) else {
        return quoted(&typed.to_string_lossy());
    };
    match program.strip_prefix(&here) {
        Ok(inside) if inside.components().count() > 1 => quoted(&inside.to_string_lossy()),
        Ok(inside) => quoted(&format!("./{}", inside.display())),
        Err(_) => quoted(&program.to_string_lossy()),
    }
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%=:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use configuration::Overrides;

    fn demo(sip: Option<&str>, http: &str) -> String {
        let overrides = Overrides {
            sip: sip.map(str::to_owned),
            ..Overrides::default()
        };
        let configuration = configuration::read(None, &overrides).unwrap().configuration;
        let http = [http.parse().unwrap()];
        text(
            &configuration,
            &configuration.settings.listeners,
            &http,
            "new; delete it to begin again",
            "target/release/tidings",
        )
    }

    #[test]
    fn the_demo_says_what_it_is_and_what_to_try() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            demo(None, "127.0.0.1:8080"),
            format!(
                "tidings {version}, demo: no configuration file, example.com, this machine only
  sip      udp, tcp 127.0.0.1:5060
  health   http://127.0.0.1:8080/readyz
  xcap     http://127.0.0.1:8080/xcap-root
  data     tidings-data (new; delete it to begin again)
  Anyone on this machine may act as any user. Watchers are allowed unless a rule says otherwise.
Try, each in a terminal of its own:
  target/release/tidings watch   alice@example.com --as bob@example.com
  target/release/tidings publish alice@example.com --note \"at lunch\"
  target/release/tidings rules   polite-block bob@example.com --as alice@example.com
For a real one: target/release/tidings init tidings.toml
"
            )
        );
    }

    #[test]
    fn commands_find_a_demo_that_moved() {
        let text = demo(Some("[::1]:5080"), "[::1]:8090");
        assert!(text.contains("  sip      udp, tcp [::1]:5080\n"), "{text}");
        assert_eq!(text.matches(" --server [::1]:5080\n").count(), 2, "{text}");
        let root = " --as alice@example.com --xcap-root http://[::1]:8090/xcap-root\n";
        assert!(text.contains(root), "{text}");
    }

    #[test]
    fn odd_words_are_quoted() {
        assert_eq!(quoted("a/b-c.d"), "a/b-c.d");
        assert_eq!(quoted("my tools/it's"), r"'my tools/it'\''s'");
    }
}
