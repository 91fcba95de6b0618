//! `tidings check`: everything that is wrong, before anything runs.

use std::path::Path;

use configuration::{Overrides, Problems, Reading, Severity};
use serde_json::json;

use crate::command_line::Check;
use crate::{certificates, commands, exit};

pub(crate) fn run(arguments: &Check) -> u8 {
    if arguments.ifc {
        return commands::not_built("check --ifc");
    }
    if let Some(folder) = &arguments.data {
        return data(folder, arguments.json);
    }
    let overrides = Overrides {
        log: commands::environment("TIDINGS_LOG"),
        ..Overrides::default()
    };
    match configuration::read(arguments.config.as_deref(), &overrides) {
        Ok(mut reading) => {
            let now = node::Clock::new().now().wall;
            let found = certificates::examine(&reading.configuration, now);
            let is_bad = found.has_errors();
            reading.warnings.0.extend(found.0);
            if is_bad {
                show(&reading.warnings, arguments.json, None);
                return exit::USAGE;
            }
            good(arguments, &reading)
        }
        Err(problems) => {
            show(&problems, arguments.json, None);
            exit::USAGE
        }
    }
}

fn good(arguments: &Check, reading: &Reading) -> u8 {
    let entries = arguments
        .print
        .then_some(reading.configuration.entries.as_slice());
    show(&reading.warnings, arguments.json, entries);
    if arguments.print && !arguments.json {
        print!("{}", reading.configuration.print());
    } else if !arguments.json && reading.warnings.is_empty() {
        match &arguments.config {
            Some(file) => println!("{}: good", file.display()),
            None => println!("the demo's configuration: good (no file named: --config FILE)"),
        }
    }
    if arguments.strict && !reading.warnings.is_empty() {
        exit::USAGE
    } else {
        exit::DONE
    }
}

fn show(problems: &Problems, as_json: bool, entries: Option<&[configuration::Entry]>) {
    if !as_json {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        return;
    }
    let of = |severity| {
        problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .collect::<Vec<_>>()
    };
    let mut object = json!({
        "good": !problems.has_errors(),
        "errors": of(Severity::Error),
        "warnings": of(Severity::Warning),
    });
    if let Some(entries) = entries {
        object["keys"] = json!(entries);
    }
    println!("{object}");
}

/// `--data DIR`: how a store is. Changes nothing.
fn data(folder: &Path, as_json: bool) -> u8 {
    if !folder.is_dir() {
        let wrong = format!(
            "{}: no such folder; --data names a server's data folder",
            folder.display()
        );
        if as_json {
            println!("{}", json!({ "good": false, "error": wrong }));
        } else {
            eprintln!("tidings: {wrong}");
        }
        return exit::USAGE;
    }
    let report = match store::examine(folder) {
        Ok(report) => report,
        Err(error) => {
            if as_json {
                println!("{}", json!({ "good": false, "error": error.to_string() }));
            } else {
                eprintln!("tidings: {error}");
            }
            return if error.needs_a_person() {
                exit::STORE
            } else {
                exit::FAILED
            };
        }
    };
    if as_json {
        let damage: Vec<_> = report
            .damage
            .iter()
            .map(|damage| json!({ "file": damage.file, "offset": damage.offset, "bytes": damage.bytes, "sequences": damage.sequences, "what": damage.what }))
            .collect();
        let torn = report.torn.as_ref().map(|torn| json!({ "file": torn.file, "offset": torn.offset, "sequence": torn.sequence, "frames": torn.frames }));
        let object = json!({
            "good": report.is_sound(),
            "folder": report.folder,
            "starts": report.identity.map(|identity| identity.starts),
            "segments": report.segments,
            "frames": report.frames,
            "objects": report.objects,
            "live_bytes": report.live_bytes,
            "sequence": report.sequence,
            "promised": report.promised,
            "torn": torn,
            "damage": damage,
            "damage_count": report.damage_count,
            "dropped_count": report.dropped_count,
            "unreadable_records": report.unreadable_records,
        });
        println!("{object}");
    } else {
        print!("{report}");
    }
    if report.is_sound() {
        exit::DONE
    } else {
        exit::STORE
    }
}
