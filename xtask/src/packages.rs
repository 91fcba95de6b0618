//! The Debian packages that tests with real peers and the fuzzer need, installed where that is possible.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// A program that tests run, and the packages that bring it, the first that exists.
struct Program {
    name: &'static str,
    packages: &'static [&'static str],
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "sipp",
        packages: &["sip-tester"],
    },
    Program {
        name: "baresip",
        packages: &["baresip-core", "baresip"],
    },
    Program {
        name: "xmllint",
        packages: &["libxml2-utils"],
    },
    Program {
        name: "c++",
        packages: &["g++"],
    },
];

/// `cargo xtask install`.
pub(crate) fn run() -> ExitCode {
    match install() {
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

/// Installs what is missing. `Ok` says what was done or was there; `Err` says why not, with the command for it.
pub(crate) fn install() -> Result<String, String> {
    let missing: Vec<&Program> = PROGRAMS
        .iter()
        .filter(|program| !is_there(program.name))
        .collect();
    if missing.is_empty() {
        return Ok("every program that the tests need is there".to_owned());
    }
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    let names = names.join(", ");
    if !is_there("apt-get") {
        return Err(format!(
            "missing: {names}; no apt-get here: install SIPp, baresip, xmllint and a C++ compiler by hand"
        ));
    }
    if !is_root() {
        return Err(format!(
            "missing: {names}; install with: {}",
            command_line(&missing)
        ));
    }
    // A mirror that does not answer at once often answers the second time.
    let updated = apt_get(&["update"]) || apt_get(&["update"]);
    for program in &missing {
        let installed =
            program.packages.iter().any(|package| install_one(package)) && is_there(program.name);
        if !installed {
            let update = if updated {
                ""
            } else {
                " (apt-get update failed too)"
            };
            return Err(format!(
                "could not install {}{update}; by hand: {}",
                program.name,
                command_line(&missing)
            ));
        }
    }
    Ok(format!("installed: {names}"))
}

fn command_line(programs: &[&Program]) -> String {
    let packages: Vec<&str> = programs
        .iter()
        .filter_map(|program| program.packages.first().copied())
        .collect();
    format!("sudo apt-get install {}", packages.join(" "))
}

fn install_one(package: &str) -> bool {
    let arguments = ["install", "--yes", "--no-install-recommends", package];
    apt_get(&arguments) || apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command
        .arg("-qq")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether a program of that name stands in one of the folders of `PATH`.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_file(&folder.join(program)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_first_package_of_each() {
        let programs: Vec<&Program> = PROGRAMS.iter().collect();
        assert_eq!(
            command_line(&programs),
            "sudo apt-get install sip-tester baresip-core libxml2-utils g++"
        );
    }

    #[test]
    fn a_program_is_found_only_where_it_is() {
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program-anywhere"));
    }
}
