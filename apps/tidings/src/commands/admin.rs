//! `tidings reload`, `drain`, `status`: asks a server that runs.

use std::time::Duration;

use axum::http::Method;
use serde_json::Value;
use web::{Answer, Call, Target};

use crate::command_line::{Admin, Status};
use crate::commands::environment;
use crate::exit;

/// How long a server may take to answer.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(32);

pub(crate) fn reload(arguments: &Admin) -> u8 {
    let answer = match ask(arguments, Method::POST, "/api/v1/reload") {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let value = read(&answer);
    if answer.status != 200 {
        return refused(&value, answer.status);
    }
    let list = |name: &str| -> Vec<&str> {
        value[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    list("warnings")
        .iter()
        .for_each(|warning| eprintln!("{warning}"));
    let (taken, waiting) = (list("taken"), list("waiting"));
    if taken.is_empty() && waiting.is_empty() {
        println!("nothing changed");
    }
    taken.iter().for_each(|key| println!("{key}: in force"));
    waiting
        .iter()
        .for_each(|key| println!("{key}: waits for a restart"));
    exit::DONE
}

pub(crate) fn drain(arguments: &Admin) -> u8 {
    match ask(arguments, Method::POST, "/api/v1/drain") {
        Ok(answer) if answer.status == 200 => {
            println!(
                "draining: each watcher is told to subscribe elsewhere, then the server stops"
            );
            exit::DONE
        }
        Ok(answer) => refused(&read(&answer), answer.status),
        Err(code) => code,
    }
}

pub(crate) fn status(arguments: &Status) -> u8 {
    let answer = match ask(&arguments.admin, Method::GET, "/api/v1/status") {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let value = read(&answer);
    if answer.status != 200 {
        return refused(&value, answer.status);
    }
    if arguments.json {
        println!("{value}");
    } else {
        print!("{}", in_words(&value));
    }
    // A container's health check asks whether it takes requests.
    if value["state"] == "ready" {
        exit::DONE
    } else {
        exit::FAILED
    }
}

fn in_words(value: &Value) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut out = format!(
        "tidings {}, {}, {}\n  since    {}, process {}\n",
        text(&value["version"]),
        text(&value["node"]),
        text(&value["state"]),
        text(&value["since"]),
        value["process"]
    );
    for listener in value["listeners"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "  sip      {} {}\n",
            text(&listener["transport"]),
            text(&listener["address"])
        ));
    }
    for http in value["http"].as_array().into_iter().flatten() {
        out.push_str(&format!("  http     http://{}\n", text(http)));
    }
    for https in value["https"].as_array().into_iter().flatten() {
        out.push_str(&format!("  http     https://{}\n", text(https)));
    }
    out.push_str(&format!(
        "  data     {}\n  holds    {} publications, {} subscriptions, {} presentities\n",
        text(&value["data"]),
        value["publications"],
        value["subscriptions"],
        value["presentities"]
    ));
    out.push_str(&format!(
        "  did      {} requests accepted, {} refused, {} NOTIFYs sent\n",
        value["requests_accepted"], value["requests_refused"], value["notifies_sent"]
    ));
    let waiting: Vec<&str> = value["configuration"]["waiting"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !waiting.is_empty() {
        out.push_str(&format!(
            "  waiting for a restart: {}\n",
            waiting.join(", ")
        ));
    }
    if value["configuration"]["last_reload_successful"] == false {
        out.push_str("  the last reload failed; what was in force before still is\n");
    }
    out
}

pub(crate) fn read(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

pub(crate) fn refused(value: &Value, status: u16) -> u8 {
    let problems: Vec<&str> = value["problems"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if problems.is_empty() {
        let detail = value["detail"]
            .as_str()
            .or_else(|| value["title"].as_str())
            .unwrap_or("no reason given");
        eprintln!("tidings: refused ({status}): {detail}");
    }
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    if status == 422 {
        exit::USAGE
    } else {
        exit::REFUSED
    }
}

fn ask(arguments: &Admin, method: Method, path: &str) -> Result<Answer, u8> {
    let call = Call {
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    carry_out(arguments, call).map_err(|unreached| match unreached {
        Unreached::Told(code) => code,
        Unreached::Nobody(words) => {
            eprintln!("tidings: {words}");
            exit::NO_ANSWER
        }
    })
}

/// Why there is no answer.
pub(crate) enum Unreached {
    /// No server runs there, in words.
    Nobody(String),
    /// Anything else, which was told; the exit code.
    Told(u8),
}

/// One request to the server that runs.
pub(crate) fn carry_out(arguments: &Admin, call: Call) -> Result<Answer, Unreached> {
    let target = target(arguments).map_err(|wrong| {
        eprintln!("tidings: {wrong}");
        Unreached::Told(exit::USAGE)
    })?;
    let failed = |what: String| {
        eprintln!("tidings: {target}: {what}");
        Unreached::Told(exit::NO_ANSWER)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let answer = runtime.block_on(web::carry_out(&target, call, ANSWER_SECONDS_MAX));
    runtime.shutdown_background();
    answer.map_err(|error| match error {
        web::CallError::NobodyThere(error) => Unreached::Nobody(format!(
            "{target}: no server there ({error}); start one, or name its data folder: --data DIR"
        )),
        error => failed(error.to_string()),
    })
}

fn target(arguments: &Admin) -> Result<Target, String> {
    if let Some(folder) = &arguments.data {
        return Ok(Target::Socket(folder.join(web::SOCKET_NAME)));
    }
    if let Some(named) = environment("TIDINGS_ADMIN") {
        return Target::parse(&named, environment("TIDINGS_ADMIN_TOKEN"))
            .map(|target| target.believing(arguments.ca.clone()))
            .map_err(|wrong| format!("TIDINGS_ADMIN: {wrong}"));
    }
    let file = arguments.config.as_deref();
    let folder = configuration::data_folder(file).ok_or_else(|| {
        let file = file.unwrap_or(std::path::Path::new(""));
        format!(
            "{}: can't be read, so the data folder is not known; name it: --data DIR",
            file.display()
        )
    })?;
    Ok(Target::Socket(folder.join(web::SOCKET_NAME)))
}
