//! The tables, and what is read from and written to them.

use std::sync::Arc;

use machine::{DocumentName, DocumentWrite, StoredDocument, Wall};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{User, UserCredentials};

/// "Tdgs" in the file's header, so that `file` and we know whose it is.
pub(super) const APPLICATION_ID: i32 = 0x5464_6773;

/// The newest format of the tables that this program reads and writes.
pub(super) const FORMAT: u32 = 1;

/// The owner of the global tree is the empty text: NULL would be no part of a key.
const TABLES: &str = "
    CREATE TABLE documents (
        owner TEXT NOT NULL, auid TEXT NOT NULL, path TEXT NOT NULL,
        text TEXT NOT NULL, tag TEXT NOT NULL, modified INTEGER NOT NULL,
        PRIMARY KEY (owner, auid, path)
    );
    CREATE TABLE users (aor TEXT NOT NULL PRIMARY KEY);
    CREATE TABLE aliases (alias TEXT NOT NULL PRIMARY KEY, aor TEXT NOT NULL);
    CREATE TABLE credentials (
        realm TEXT NOT NULL, username TEXT NOT NULL, aor TEXT NOT NULL,
        ha1_sha256 TEXT, ha1_md5 TEXT,
        PRIMARY KEY (realm, username)
    );
    CREATE TABLE keys (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL);
";

/// The two numbers in the file's header.
pub(super) fn header(connection: &Connection) -> rusqlite::Result<(i32, u32)> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((
        number("application_id")?,
        u32::try_from(version).unwrap_or(u32::MAX),
    ))
}

/// Whether nothing was ever written to it.
pub(super) fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    let count = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(count, [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

/// Makes the tables, and the key with them.
pub(super) fn create(connection: &mut Connection, nonce_key: &[u8; 32]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    let insert = "INSERT INTO keys VALUES ('nonce', ?1)";
    transaction.execute(insert, params![nonce_key.as_slice()])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

pub(super) fn nonce_key(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    let select = "SELECT value FROM keys WHERE name = 'nonce'";
    let read = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
    let value = connection.query_row(select, [], read).optional()?;
    Ok(value.and_then(|value| value.try_into().ok()))
}

pub(super) fn documents(
    connection: &Connection,
) -> rusqlite::Result<Vec<(DocumentName, StoredDocument)>> {
    let select =
        "SELECT owner, auid, path, text, tag, modified FROM documents ORDER BY owner, auid, path";
    let mut statement = connection.prepare(select)?;
    let text = |row: &rusqlite::Row<'_>, at| row.get::<_, Arc<str>>(at);
    let rows = statement.query_map([], |row| {
        let owner = text(row, 0)?;
        let name = DocumentName {
            owner: (!owner.is_empty()).then_some(owner),
            auid: text(row, 1)?,
            path: text(row, 2)?,
        };
        let millis = u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0);
        let document = StoredDocument {
            text: text(row, 3)?,
            tag: text(row, 4)?,
            modified: Wall::from_millis(millis),
        };
        Ok((name, document))
    })?;
    rows.collect()
}

pub(super) fn write(connection: &Connection, write: &DocumentWrite) -> rusqlite::Result<()> {
    let owner = write.name.owner.as_deref().unwrap_or_default();
    let (auid, path) = (&*write.name.auid, &*write.name.path);
    match &write.content {
        Some(document) => {
            let put = "INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let modified = i64::try_from(document.modified.as_millis()).unwrap_or(i64::MAX);
            let (text, tag) = (&*document.text, &*document.tag);
            let row = params![owner, auid, path, text, tag, modified];
            connection.execute(put, row)?;
        }
        None => {
            let delete = "DELETE FROM documents WHERE owner = ?1 AND auid = ?2 AND path = ?3";
            connection.execute(delete, params![owner, auid, path])?;
        }
    }
    Ok(())
}

pub(super) fn users(connection: &Connection) -> rusqlite::Result<Vec<User>> {
    let mut statement = connection.prepare("SELECT aor FROM users ORDER BY aor")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut aliases =
        connection.prepare("SELECT alias FROM aliases WHERE aor = ?1 ORDER BY alias")?;
    let mut credentials = connection.prepare(
        "SELECT realm, username, ha1_sha256, ha1_md5 FROM credentials WHERE aor = ?1 ORDER BY realm, username",
    )?;
    let mut users = Vec::new();
    for aor in rows {
        let aor = aor?;
        let of_her = aliases
            .query_map([&aor], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let names = credentials.query_map([&aor], |row| {
            Ok(UserCredentials {
                realm: row.get(0)?,
                username: row.get(1)?,
                ha1_sha256: row.get(2)?,
                ha1_md5: row.get(3)?,
            })
        })?;
        let names = names.collect::<Result<_, _>>()?;
        users.push(User {
            aor,
            aliases: of_her,
            credentials: names,
        });
    }
    Ok(users)
}

/// What of a user belongs to somebody else already, in words.
pub(super) fn taken(connection: &Connection, user: &User) -> rusqlite::Result<Option<String>> {
    let owner = |sql: &str, values: &[&str]| {
        let row = rusqlite::params_from_iter(values);
        connection
            .query_row(sql, row, |row| row.get::<_, String>(0))
            .optional()
    };
    let by_alias =
        "SELECT aor FROM aliases WHERE alias = ?1 UNION SELECT aor FROM users WHERE aor = ?1";
    for address in user.aliases.iter().chain([&user.aor]) {
        if let Some(other) = owner(by_alias, &[address])?.filter(|other| *other != user.aor) {
            return Ok(Some(format!("{address} is {other} already")));
        }
    }
    let by_name = "SELECT aor FROM credentials WHERE realm = ?1 AND username = ?2";
    for name in &user.credentials {
        let other = owner(by_name, &[&name.realm, &name.username])?;
        if let Some(other) = other.filter(|other| *other != user.aor) {
            let (username, realm) = (&name.username, &name.realm);
            return Ok(Some(format!(
                "the user name {username} in {realm} is {other}'s already"
            )));
        }
    }
    Ok(None)
}

pub(super) fn put_user(connection: &Connection, user: &User) -> rusqlite::Result<()> {
    remove_user(connection, &user.aor)?;
    connection.execute("INSERT INTO users VALUES (?1)", [&user.aor])?;
    for alias in &user.aliases {
        let insert = "INSERT OR REPLACE INTO aliases VALUES (?1, ?2)";
        connection.execute(insert, params![alias, user.aor])?;
    }
    for name in &user.credentials {
        let insert = "INSERT OR REPLACE INTO credentials VALUES (?1, ?2, ?3, ?4, ?5)";
        let UserCredentials {
            realm,
            username,
            ha1_sha256,
            ha1_md5,
        } = name;
        let row = params![realm, username, user.aor, ha1_sha256, ha1_md5];
        connection.execute(insert, row)?;
    }
    Ok(())
}

/// Whether there was one.
pub(super) fn remove_user(connection: &Connection, aor: &str) -> rusqlite::Result<bool> {
    connection.execute("DELETE FROM credentials WHERE aor = ?1", [aor])?;
    connection.execute("DELETE FROM aliases WHERE aor = ?1", [aor])?;
    Ok(connection.execute("DELETE FROM users WHERE aor = ?1", [aor])? > 0)
}
