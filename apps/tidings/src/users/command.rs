//! `tidings user`: users of the store, of a server that runs or of a folder in which none does.

use std::path::PathBuf;

use axum::http::{HeaderName, Method};
use clap::{Args, Subcommand};
use configuration::{Configuration, Overrides};
use serde_json::{Value, json};
use store::documents::{self, RecoveredDocuments as _, UserError};

use super::{Wanted, canonical, hashed, password, realm, shown};
use crate::command_line::Admin;
use crate::commands::admin::{self, Unreached};
use crate::commands::environment;
use crate::exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Add a user, with a password
    Add(Named),
    /// Give a user another password
    Passwd(Named),
    /// Remove a user; her documents stay
    Remove {
        /// Whom
        aor: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Everybody who is known
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Print an entry for a `users_file`
    Hash(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// Whom
    aor: String,
    /// The user name that her client is set to; without it: her user part, or her whole address
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Another address that means her; may stand several times
    #[arg(long = "alias", value_name = "AOR")]
    aliases: Vec<String>,
    /// File whose first line is the password, `-` for standard input; without it: asked for
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    admin: Admin,
}

impl Named {
    fn password(&self, twice: bool) -> Result<String, u8> {
        let password = match (&self.password_file, environment("TIDINGS_PASSWORD")) {
            (Some(file), _) => password::from_file(file),
            (None, Some(password)) => Ok(password),
            (None, None) => password::asked(&format!("Password of {}", self.aor), twice),
        };
        password.map_err(usage)
    }

    fn wanted(&self) -> Result<Wanted, u8> {
        Ok(Wanted {
            password: Some(self.password(true)?),
            username: self.username.clone(),
            aliases: (!self.aliases.is_empty()).then(|| self.aliases.clone()),
        })
    }
}

pub(crate) fn run(arguments: &Arguments) -> u8 {
    let done = match &arguments.deed {
        Deed::Add(named) => put(named, true),
        Deed::Passwd(named) => put(named, false),
        Deed::Remove { aor, admin } => remove(aor, admin),
        Deed::List { json, admin } => list(*json, admin),
        Deed::Hash(named) => hash(named),
    };
    done.err().unwrap_or(exit::DONE)
}

fn usage(wrong: String) -> u8 {
    eprintln!("tidings: {wrong}");
    exit::USAGE
}

/// What a configuration says of domains and realms, where one is named.
fn configured(admin: &Admin) -> Result<Option<Configuration>, u8> {
    let Some(file) = admin.config.as_deref() else {
        return Ok(None);
    };
    let reading = configuration::read(Some(file), &Overrides::default());
    let reading = reading.map_err(|problems| {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        exit::USAGE
    })?;
    Ok(Some(reading.configuration))
}

fn put(named: &Named, is_new: bool) -> Result<(), u8> {
    // A server knows which domains are served; what isn't even an address is refused before anybody is asked for a password.
    let typed = canonical(&named.aor, None).map_err(usage)?;
    let wanted = named.wanted()?;
    let header = match is_new {
        true => (HeaderName::from_static("if-none-match"), "*".to_owned()),
        false => (HeaderName::from_static("if-match"), "*".to_owned()),
    };
    let body = wanted.to_json().to_string().into_bytes();
    let asked = ask(&named.admin, Method::PUT, Some(&typed), vec![header], body)?;
    if asked.is_none() {
        let configuration = configured(&named.admin)?;
        let served = configuration.as_ref().map(|all| &all.settings);
        let aor = canonical(&named.aor, served).map_err(usage)?;
        let mut store = open(&named.admin)?;
        let users = store.users().map_err(store_failed)?;
        let was = users.iter().find(|user| user.aor == aor);
        match (was, is_new) {
            (Some(_), true) => {
                return Err(refused(&format!(
                    "{aor} is a user already; another password: tidings user passwd"
                )));
            }
            (None, false) => return Err(refused(&format!("{aor} is no user of the store"))),
            _ => {}
        }
        let user = wanted.user(&aor, was, served).map_err(usage)?;
        store.put_user(&user).map_err(|error| match error {
            UserError::Taken(what) => refused(&what),
            UserError::Store(error) => store_failed(error),
        })?;
    }
    println!(
        "{typed}: {}",
        if is_new {
            "added"
        } else {
            "has another password"
        }
    );
    Ok(())
}

fn remove(typed: &str, admin: &Admin) -> Result<(), u8> {
    let aor = canonical(typed, None).map_err(usage)?;
    let asked = ask(admin, Method::DELETE, Some(&aor), Vec::new(), Vec::new())?;
    if asked.is_none() && !open(admin)?.remove_user(&aor).map_err(store_failed)? {
        return Err(refused(&format!("{aor} is no user of the store")));
    }
    println!("{aor}: removed");
    Ok(())
}

fn list(as_json: bool, admin: &Admin) -> Result<(), u8> {
    let users = match all_of(admin)? {
        Some(users) => Value::Array(users),
        None => {
            let users = open(admin)?.users().map_err(store_failed)?;
            users.iter().map(shown).collect()
        }
    };
    if as_json {
        println!("{}", json!({ "users": users }));
        return Ok(());
    }
    for user in users.as_array().into_iter().flatten() {
        let words = |name: &str| -> String {
            let all = user[name].as_array().into_iter().flatten();
            all.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        };
        let text = |name: &str| user[name].as_str().unwrap_or("");
        println!(
            "{}\t{}\t{}\t{}",
            text("aor"),
            words("usernames"),
            words("aliases"),
            text("origin")
        );
    }
    Ok(())
}

/// Page after page of those of the server that runs; nothing where none does.
fn all_of(admin: &Admin) -> Result<Option<Vec<Value>>, u8> {
    let (mut all, mut query) = (Vec::new(), String::new());
    loop {
        let path = format!("{USERS}{query}");
        let Some(mut page) = ask_at(admin, Method::GET, path, Vec::new(), Vec::new())? else {
            return Ok(None);
        };
        if let Value::Array(users) = page["users"].take() {
            all.extend(users);
        }
        match page["next"].as_str() {
            Some(next) => query = format!("?after={}", escaped(next)),
            None => return Ok(Some(all)),
        }
    }
}

fn hash(named: &Named) -> Result<(), u8> {
    let configuration = configured(&named.admin)?;
    let served = configuration.as_ref().map(|all| &all.settings);
    let aor = canonical(&named.aor, served).map_err(usage)?;
    let realm = realm(&aor, served).map_err(usage)?;
    let default = configuration::names_of(&aor).into_iter().next();
    let username = named.username.clone().or(default).unwrap_or_default();
    let hashed = hashed(&realm, &username, &named.password(true)?);
    let text = |text: &str| Value::from(text).to_string();
    println!(
        "[[users]]\naor = {}\nusername = {}",
        text(&aor),
        text(&username)
    );
    if !named.aliases.is_empty() {
        println!("aliases = {}", json!(named.aliases));
    }
    let hash = |hash: &Option<String>| text(hash.as_deref().unwrap_or_default());
    println!(
        "ha1_sha256 = {}\nha1_md5 = {}",
        hash(&hashed.ha1_sha256),
        hash(&hashed.ha1_md5)
    );
    Ok(())
}

/// Asks the server that runs; nothing where none does and a folder is named, which then is ours.
fn ask(
    admin: &Admin,
    method: Method,
    aor: Option<&str>,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
) -> Result<Option<Value>, u8> {
    let path = match aor {
        Some(aor) => format!("{USERS}/{}", escaped(aor)),
        None => USERS.to_owned(),
    };
    ask_at(admin, method, path, headers, body)
}

const USERS: &str = "/api/v1/users";

/// As it may stand in a path or a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn ask_at(
    admin: &Admin,
    method: Method,
    path: String,
    headers: Vec<(HeaderName, String)>,
    body: Vec<u8>,
) -> Result<Option<Value>, u8> {
    let call = web::Call {
        method,
        path,
        headers,
        body,
    };
    match admin::carry_out(admin, call) {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(Some(admin::read(&answer))),
        Ok(answer) => Err(admin::refused(&admin::read(&answer), answer.status)),
        Err(Unreached::Nobody(_)) if admin.data.is_some() => Ok(None),
        Err(Unreached::Nobody(words)) => {
            eprintln!("tidings: {words}");
            Err(exit::NO_ANSWER)
        }
        Err(Unreached::Told(code)) => Err(code),
    }
}

fn open(admin: &Admin) -> Result<documents::Sqlite, u8> {
    let folder = admin.data.clone().unwrap_or_default();
    documents::open_alone(&folder).map_err(store_failed)
}

fn store_failed(error: store::StoreError) -> u8 {
    eprintln!("tidings: {error}");
    if error.needs_a_person() {
        exit::STORE
    } else {
        exit::FAILED
    }
}

fn refused(why: &str) -> u8 {
    eprintln!("tidings: refused: {why}");
    exit::REFUSED
}
