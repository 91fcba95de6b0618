//! From a file to a configuration in force, or to everything that is wrong with it.

mod identity;
mod listen;
mod presence;
mod routing;
mod secrets;
mod small;
mod tls;

use std::path::{Path, PathBuf};

pub use secrets::names_of;

use machine::settings::{Root, Settings};

use crate::configuration::{Configuration, Role};
use crate::demo::{self, Overrides};
use crate::document::{Item, Section, Text, quoted};
use crate::entries::{Entry, Origin};
use crate::problems::{Place, Problem, Problems};
use crate::{address, entries, keys, walk};

/// A configuration that may run, and what is doubtful about it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What is in force.
    pub configuration: Configuration,
    /// What may not be as meant.
    pub warnings: Problems,
}

/// Reads `file`, or the demo where there is none.
///
/// # Errors
/// Everything that forbids running, with the warnings among it.
pub fn read(file: Option<&Path>, overrides: &Overrides) -> Result<Reading, Problems> {
    let Some(path) = file else {
        return demo(overrides);
    };
    let text = Text::read(path).map_err(|problem| Problems(vec![problem]))?;
    from_text(&text, Some(path), overrides)
}

/// Reads `text` as if it stood in a file called `path`.
///
/// # Errors
/// As [`read`].
pub fn read_text(path: &Path, text: &str, overrides: &Overrides) -> Result<Reading, Problems> {
    from_text(
        &Text::new(&path.display().to_string(), text.to_owned()),
        Some(path),
        overrides,
    )
}

/// The data folder that `file` names, however wrong the rest of it is: how commands find a server that runs.
pub fn data_folder(file: Option<&Path>) -> Option<PathBuf> {
    let Some(path) = file else {
        return Some(PathBuf::from(small::DATA));
    };
    let text = Text::read(path).ok()?;
    let table = text.parse().ok()?;
    let root = Section {
        text: &text,
        path: String::new(),
        table: &table,
    };
    let data = root
        .get("data")
        .and_then(|item| item.string().map(str::to_owned));
    Some(beside(Some(path), data.as_deref().unwrap_or(small::DATA)))
}

/// A path of the file: relative ones count from the file's own folder.
fn beside(file: Option<&Path>, path: &str) -> PathBuf {
    match file.and_then(Path::parent) {
        Some(folder) if !folder.as_os_str().is_empty() => folder.join(path),
        _ => PathBuf::from(path),
    }
}

fn demo(overrides: &Overrides) -> Result<Reading, Problems> {
    let mut problems = Vec::new();
    let mut flag = |name: &str, value: &Option<String>, default: &str| {
        let Some(value) = value else {
            return default.to_owned();
        };
        let wrong = |message: String| Place::none().problem(name, message);
        match address::socket_address(
            value,
            default
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
                .unwrap_or(0),
        ) {
            Ok(address) if address.ip().to_canonical().is_loopback() => address.to_string(),
            Ok(_) => {
                problems.push(wrong(format!(
                    "{value} is beyond loopback, and the demo lets anybody act as anybody; for a real one: tidings init tidings.toml"
                )));
                default.to_owned()
            }
            Err(why) => {
                problems.push(wrong(format!("{why}; write it like {default}")));
                default.to_owned()
            }
        }
    };
    let (sip, http) = (
        flag("--sip", &overrides.sip, demo::SIP),
        flag("--http", &overrides.http, demo::HTTP),
    );
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    from_text(&Text::new("", demo::text(&sip, &http)), None, overrides)
}

fn from_text(text: &Text, file: Option<&Path>, overrides: &Overrides) -> Result<Reading, Problems> {
    let table = text.parse().map_err(|problems| {
        let mut problems = Problems(problems);
        problems.sort();
        problems
    })?;
    let root = Section {
        text,
        path: String::new(),
        table: &table,
    };
    let mut reader = Reader {
        file,
        overrides,
        problems: Vec::new(),
        domains: Vec::new(),
    };
    walk::table(&root, keys::ROOT, &mut reader.problems);
    if file.is_some() {
        reader.refuse_demo_flags();
    }
    let configuration = reader.configuration(&root);
    let mut problems = Problems(reader.problems);
    problems.sort();
    if problems.has_errors() {
        return Err(problems);
    }
    Ok(Reading {
        configuration,
        warnings: problems,
    })
}

/// What is known while a file is read. Values of the wrong kind were told by the walk: here they count as absent.
struct Reader<'a> {
    file: Option<&'a Path>,
    overrides: &'a Overrides,
    problems: Vec<Problem>,
    /// Names of the served domains.
    domains: Vec<String>,
}

impl Reader<'_> {
    fn say(&mut self, problem: Problem) {
        if self.problems.len() < walk::PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Each string of a list, read by `read`; what it refuses is a problem of that element.
    fn each<T>(
        &mut self,
        item: Option<Item<'_>>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for element in item.iter().flat_map(Item::elements) {
            let Some(text) = element.string() else {
                continue;
            };
            match read(text) {
                Ok(value) => values.push(value),
                Err(wrong) => self.say(element.problem(format!("{}: {wrong}", quoted(text)))),
            }
        }
        values
    }

    fn refuse_demo_flags(&mut self) {
        for (flag, value) in [
            ("--sip", &self.overrides.sip),
            ("--http", &self.overrides.http),
        ] {
            if let Some(value) = value {
                let key = if flag == "--sip" {
                    "sip = [\"udp://"
                } else {
                    "http = [\"http://"
                };
                self.say(Place::none().problem(
                    flag,
                    format!("moves the demo only, and there is a configuration file; write there, under [listen]: {key}{value}\"]"),
                ));
            }
        }
    }

    fn configuration(&mut self, root: &Section<'_>) -> Configuration {
        let (names, aliases) = self.domain_names(root);
        self.domains = names;
        let roles = self.roles(root);
        let xcap_roots = self.xcap_roots(root, &roles);
        // The roles of SIP; documents are asked for by HTTP.
        let sip_role = roles.iter().copied().find(|role| *role != Role::Xdms);
        let tls = self.tls(root.section("tls").as_ref());
        let listen = self.listen(root, sip_role, &tls);
        let identity = self.identity(root, &listen);
        let domains = self.domains_served(root, &aliases);
        let limits = small::limits(root.section("limits").as_ref());
        let hosts = self.hosts(root);
        let node = root.section("node");
        let settings = Settings {
            number: 1,
            domains,
            listeners: listen
                .sip
                .iter()
                .map(|bind| Configuration::listener_bound(bind, bind.address))
                .collect(),
            identity: identity.settings,
            limits,
            path_mtu: self.path_mtu(root),
            hosts,
            xcap_roots,
        };
        let mut configuration = Configuration {
            file: self.file.map(Path::to_owned),
            data: self.data(root),
            roles,
            node_name: self.node_name(node.as_ref()),
            threads: small::number(node.as_ref(), "threads", 0),
            drain_seconds_max: small::number(node.as_ref(), "drain_seconds_max", 8),
            sip: listen.sip,
            http: listen.http,
            tls,
            domain_pairs: self.domain_pairs(root),
            durability: small::durability(root),
            log: self.log(root),
            settings,
            entries: Vec::new(),
        };
        configuration.entries = self.entries(root, &configuration, &identity.content);
        configuration
    }

    fn xcap_roots(&mut self, root: &Section<'_>, roles: &[Role]) -> Vec<Root> {
        let section = root.section("xdms");
        let item = section.as_ref().and_then(|section| section.get("roots"));
        let is_written = item.is_some();
        if let Some(item) = item.as_ref().filter(|item| item.elements().is_empty()) {
            self.say(item.problem("no root; write: roots = [\"/xcap-root\"]"));
        }
        let mut roots = self.each(item, xcap_root);
        if !is_written {
            roots.extend(xcap_root("/xcap-root"));
        }
        if !roles.contains(&Role::Xdms) {
            roots.clear();
        }
        roots
    }

    fn entries(
        &self,
        root: &Section<'_>,
        configuration: &Configuration,
        [own_users, file_users]: &[String; 2],
    ) -> Vec<Entry> {
        let mut entries = entries::collect(root, keys::ROOT, self.file.is_none());
        for entry in &mut entries {
            match entry.key.as_str() {
                "data" => {
                    if let Some((_, origin)) = &self.overrides.data {
                        entry.value = quoted(&configuration.data.display().to_string());
                        entry.origin = origin.clone();
                    }
                }
                "listen.sip" if self.file.is_none() && self.overrides.sip.is_some() => {
                    entry.origin = Origin::Flag("--sip".to_owned());
                }
                "listen.http" if self.file.is_none() && self.overrides.http.is_some() => {
                    entry.origin = Origin::Flag("--http".to_owned());
                }
                "log.level" => {
                    if let Some(filter) = &configuration.log.filter {
                        entry.value = quoted(filter);
                        entry.origin = Origin::Environment("TIDINGS_LOG".to_owned());
                    }
                }
                "identity.users" => own_users.clone_into(&mut entry.content),
                "identity.users_file" => file_users.clone_into(&mut entry.content),
                _ => {}
            }
        }
        entries
    }
}

/// A URL or a path; else what would be right.
fn xcap_root(text: &str) -> Result<Root, String> {
    let wrong = || {
        "not a URL and no path; write https://xcap.example.com/xcap-root or /xcap-root".to_owned()
    };
    let (authority, path) = match text.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let is_http =
                scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            if !is_http || host.is_empty() || host.contains('@') {
                return Err(wrong());
            }
            (
                Some(format!("{scheme}://{host}").to_ascii_lowercase()),
                path,
            )
        }
        None => (None, text),
    };
    let path = path.trim_end_matches('/');
    let is_path = path.is_empty() || path.starts_with('/');
    if !is_path || path.contains(['?', '#', ' ', '%']) || authority.is_none() && text.is_empty() {
        return Err(wrong());
    }
    Ok(Root {
        authority,
        path: path.to_owned(),
    })
}
