//! The arrows between floors, read from the manifests.

use super::Finding;
use std::collections::BTreeMap;

/// From the lowest to the highest. An arrow points to the same floor or to a lower one.
const FLOORS: &[&str] = &["protocol", "engine", "runtime", "apps"];
/// What stands beside the floors and may look at all of them.
const BESIDE: &[&str] = &["lab", "fuzz", "xtask"];
/// Of what stands beside, these are libraries that programs use: a picture of what happens, and call flows for anybody's server.
const USED_BY_APPS: &[&str] = &["ladder", "scenario"];
/// They meet in `shard`, and nowhere else.
const STRANGERS: &[&str] = &["presence", "rls", "xdm", "proxy"];
/// Async, sockets, clocks and disks: only from `runtime` upwards.
const DEEDS: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "libc",
    "rusqlite",
    "rustix",
    "nix",
    "hyper",
    "axum",
    "tracing-subscriber",
];

struct Manifest<'t> {
    file: &'t str,
    name: &'t str,
    arrows: Vec<Arrow<'t>>,
    inherits_lints: bool,
}

struct Arrow<'t> {
    to: &'t str,
    line: usize,
    is_dev: bool,
}

/// Checks all manifests together: (file, text) of each `Cargo.toml` below the root.
pub(crate) fn check(manifests: &[(String, String)]) -> Vec<Finding> {
    let read: Vec<Manifest<'_>> = manifests
        .iter()
        .map(|(file, text)| read(file, text))
        .collect();
    let places: BTreeMap<&str, &str> = read
        .iter()
        .map(|manifest| (manifest.name, place(manifest.file)))
        .collect();
    let mut findings = Vec::new();
    for manifest in &read {
        if !manifest.inherits_lints {
            let what = "does not take the workspace's lints; `[lints]` with `workspace = true` would be right";
            findings.push(Finding {
                file: manifest.file.to_owned(),
                line: 1,
                what: what.to_owned(),
            });
        }
        for arrow in &manifest.arrows {
            if let Some(what) = refuse(manifest, arrow, &places) {
                findings.push(Finding {
                    file: manifest.file.to_owned(),
                    line: arrow.line,
                    what,
                });
            }
        }
    }
    findings
}

/// Why an arrow is wrong; nothing when it is right.
fn refuse(
    manifest: &Manifest<'_>,
    arrow: &Arrow<'_>,
    places: &BTreeMap<&str, &str>,
) -> Option<String> {
    let from = place(manifest.file);
    let (name, to) = (manifest.name, arrow.to);
    let is_library = |name: &str| USED_BY_APPS.contains(&name);
    let drags_in = is_library(name) && !arrow.is_dev && !is_library(to);
    if drags_in && places.get(to).is_some_and(|place| floor(place).is_none()) {
        return Some(format!(
            "`{name}` depends on `{to}`, and programs use `{name}`; nothing else that stands beside the floors would be right"
        ));
    }
    let own_floor = floor(from)?;
    let Some(their_place) = places.get(to) else {
        let is_deed = !arrow.is_dev && own_floor < 2 && DEEDS.contains(&to);
        return is_deed.then(|| format!("`{name}` in {from} depends on `{to}`; async, sockets, clocks and disks only from runtime upwards would be right"));
    };
    if STRANGERS.contains(&name) && STRANGERS.contains(&to) {
        return Some(format!(
            "`{name}` depends on `{to}`; {} meet only in `shard`",
            STRANGERS.join(", ")
        ));
    }
    match floor(their_place) {
        Some(their_floor) if their_floor <= own_floor => None,
        Some(_) => Some(format!(
            "`{name}` in {from} depends on `{to}` in {their_place}; arrows only downwards would be right: {}",
            FLOORS.join(" ← ")
        )),
        None if arrow.is_dev && *their_place == "lab" => None,
        None if from == "apps" && *their_place == "lab" && is_library(to) => None,
        None => Some(format!(
            "`{name}` in {from} depends on `{to}` in {their_place}, which stands beside the floors; only a test may, and only on lab; apps may on {}",
            USED_BY_APPS.join(" and ")
        )),
    }
}

/// The first folder of a path.
fn place(file: &str) -> &str {
    file.split('/').next().unwrap_or(file)
}

/// The height of a floor; nothing for what stands beside.
fn floor(place: &str) -> Option<usize> {
    if BESIDE.contains(&place) {
        None
    } else {
        FLOORS.iter().position(|floor| *floor == place)
    }
}

/// Reads what is needed from a manifest as this workspace writes them: one dependency a line, or a table of its own.
fn read<'t>(file: &'t str, text: &'t str) -> Manifest<'t> {
    let mut manifest = Manifest {
        file,
        name: "",
        arrows: Vec::new(),
        inherits_lints: false,
    };
    let mut section = "";
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|header| header.strip_suffix(']'))
        {
            section = header.trim();
            if let (Some(is_dev), Some(to)) = (
                dependencies(section.rsplit_once('.').map_or("", |(table, _)| table)),
                section.rsplit('.').next(),
            ) {
                manifest.arrows.push(Arrow {
                    to,
                    line: index + 1,
                    is_dev,
                });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if section == "package" && key == "name" {
            manifest.name = value.trim_matches('"');
        } else if section == "lints" && key == "workspace" {
            manifest.inherits_lints = value == "true";
        } else if let Some(is_dev) = dependencies(section) {
            let to = renamed(value)
                .unwrap_or_else(|| key.split('.').next().unwrap_or(key).trim_matches('"'));
            manifest.arrows.push(Arrow {
                to,
                line: index + 1,
                is_dev,
            });
        }
    }
    manifest
}

/// Whether a table lists dependencies, and if so whether for tests only.
fn dependencies(section: &str) -> Option<bool> {
    match section.rsplit('.').next().unwrap_or(section) {
        "dependencies" | "build-dependencies" => Some(false),
        "dev-dependencies" => Some(true),
        _ => None,
    }
}

/// The `package = "…"` of an inline table, which is the crate's real name.
fn renamed(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("package")?;
    let rest = rest
        .trim_start()
        .strip_prefix('=')?
        .trim_start()
        .strip_prefix('"')?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(file: &str, dependencies: &str) -> (String, String) {
        let name = file.split('/').rev().nth(1).unwrap();
        (
            file.to_owned(),
            format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{dependencies}"),
        )
    }

    fn workspace(more: &[(&str, &str)]) -> Vec<Finding> {
        let mut all = vec![
            manifest(
                "protocol/sip/Cargo.toml",
                "[dependencies]\nmemchr = \"2\"\n",
            ),
            manifest("engine/shard/Cargo.toml", ""),
        ];
        all.push(manifest(
            "lab/deployment/Cargo.toml",
            "[dependencies]\nsip.workspace = true\n",
        ));
        all.extend(
            more.iter()
                .map(|(file, dependencies)| manifest(file, dependencies)),
        );
        check(&all)
    }

    #[test]
    fn arrows_go_down() {
        let good = "[dependencies]\nsip.workspace = true\nshard = { path = \"../../engine/shard\" }\ntokio = \"1\"\n";
        assert_eq!(workspace(&[("runtime/node/Cargo.toml", good)]), []);
        let found = workspace(&[
            ("runtime/node/Cargo.toml", ""),
            (
                "engine/events/Cargo.toml",
                "[dependencies]\nsip.workspace = true\nnode.workspace = true\n",
            ),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "engine/events/Cargo.toml:7: `events` in engine depends on `node` in runtime; arrows only downwards would be right: protocol ← engine ← runtime ← apps"
        );
    }

    #[test]
    fn tests_may_look_beside_but_not_up() {
        assert_eq!(
            workspace(&[(
                "apps/tidings/Cargo.toml",
                "[dev-dependencies]\ndeployment.workspace = true\n"
            )]),
            []
        );
        assert_eq!(
            workspace(&[(
                "apps/tidings/Cargo.toml",
                "[dependencies]\ndeployment.workspace = true\n"
            )])
            .len(),
            1
        );
        assert_eq!(
            workspace(&[(
                "protocol/xml/Cargo.toml",
                "[dev-dependencies]\nshard.workspace = true\n"
            )])
            .len(),
            1
        );
    }

    #[test]
    fn programs_use_two_libraries_from_beside_and_no_more() {
        let ladder = (
            "lab/ladder/Cargo.toml",
            "[dependencies]\nsip.workspace = true\n",
        );
        let used = "[dependencies]\nladder.workspace = true\n";
        assert_eq!(workspace(&[ladder, ("apps/tidings/Cargo.toml", used)]), []);
        assert_eq!(
            workspace(&[ladder, ("runtime/node/Cargo.toml", used)]).len(),
            1
        );
        let drags_in = (
            "lab/ladder/Cargo.toml",
            "[dependencies]\ndeployment.workspace = true\n",
        );
        assert_eq!(workspace(&[drags_in]).len(), 1);
    }

    #[test]
    fn tables_renames_and_targets_are_read() {
        for up in [
            "[dependencies.shard]\nworkspace = true\n",
            "[dependencies]\nother = { package = \"shard\", path = \"x\" }\n",
            "[target.'cfg(unix)'.dependencies]\nshard = { workspace = true } # why\n",
            "[build-dependencies]\n\"shard\" = \"1\"\n",
        ] {
            assert_eq!(
                workspace(&[("protocol/xml/Cargo.toml", up)]).len(),
                1,
                "{up}"
            );
        }
    }

    #[test]
    fn strangers_meet_in_shard_only() {
        let arrows = [
            ("engine/presence/Cargo.toml", ""),
            (
                "engine/rls/Cargo.toml",
                "[dev-dependencies]\npresence.workspace = true\n",
            ),
        ];
        assert!(workspace(&arrows)[0].what.contains("meet only in `shard`"));
    }

    #[test]
    fn deeds_stay_in_runtime() {
        assert_eq!(
            workspace(&[(
                "engine/events/Cargo.toml",
                "[dependencies]\ntokio = \"1\"\n"
            )])
            .len(),
            1
        );
        assert_eq!(
            workspace(&[("runtime/web/Cargo.toml", "[dependencies]\ntokio = \"1\"\n")]),
            []
        );
    }

    #[test]
    fn lints_are_the_workspaces() {
        let found = check(&[(
            "engine/a/Cargo.toml".to_owned(),
            "[package]\nname = \"a\"\n".to_owned(),
        )]);
        assert_eq!(found.len(), 1);
    }
}
