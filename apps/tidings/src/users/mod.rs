//! Users of the store: what is wanted of them becomes what is kept, what is kept becomes what is in force.

pub(crate) mod command;
pub(crate) mod password;

use std::sync::Arc;

use machine::settings::{DigestUser, Settings};
use serde_json::{Value, json};
use shard::Directory;
use sip::Uri;
use sip::digest::{Algorithm, ha1};
use store::documents::{User, UserCredentials};

/// What is wanted of a user; what isn't named stays as it is.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) password: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) aliases: Option<Vec<String>>,
}

impl Wanted {
    /// Of an object of JSON.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let object: serde_json::Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| format!("not an object of JSON: {error}"))?;
        let mut wanted = Self::default();
        for (name, value) in object {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let taken = match name.as_str() {
                "password" => text(&value).map(|text| wanted.password = Some(text)),
                "username" => text(&value).map(|text| wanted.username = Some(text)),
                "aliases" => {
                    let all = value.as_array().map(|all| all.iter().map(text).collect());
                    all.flatten().map(|all| wanted.aliases = Some(all))
                }
                _ => {
                    return Err(format!(
                        "no such member: {name}; password, username, aliases are meant"
                    ));
                }
            };
            taken.ok_or_else(|| format!("{name} is of the wrong kind"))?;
        }
        Ok(wanted)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), value);
            }
        };
        add("password", self.password.as_deref().map(Into::into));
        add("username", self.username.as_deref().map(Into::into));
        add("aliases", self.aliases.as_ref().map(|all| json!(all)));
        Value::Object(object)
    }

    /// The user that comes of it. `served`: who she may be; without it every domain counts as served.
    pub(crate) fn user(
        &self,
        aor: &str,
        was: Option<&User>,
        served: Option<&Settings>,
    ) -> Result<User, String> {
        let aliases = match &self.aliases {
            Some(wanted) => wanted
                .iter()
                .map(|one| canonical(one, None))
                .collect::<Result<_, _>>()?,
            None => was.map(|was| was.aliases.clone()).unwrap_or_default(),
        };
        let realm = realm(aor, served)?;
        let credentials = match &self.password {
            Some(password) if password.is_empty() => {
                return Err("an empty password is none".to_owned());
            }
            Some(password) => {
                let stay = || {
                    was.map(|was| {
                        was.credentials
                            .iter()
                            .map(|one| one.username.clone())
                            .collect()
                    })
                };
                let names = match &self.username {
                    Some(name) if name.is_empty() || name.chars().any(char::is_control) => {
                        return Err("that is no user name".to_owned());
                    }
                    Some(name) => vec![name.clone()],
                    None => stay()
                        .filter(|names: &Vec<_>| !names.is_empty())
                        .unwrap_or_else(|| configuration::names_of(aor)),
                };
                names
                    .iter()
                    .map(|name| hashed(&realm, name, password))
                    .collect()
            }
            None if self.username.is_some() => {
                return Err("another user name needs the password with it: what is kept is a hash over both".to_owned());
            }
            None => {
                let was = was.ok_or("a new user needs a password")?;
                was.credentials.clone()
            }
        };
        Ok(User {
            aor: aor.to_owned(),
            aliases,
            credentials,
        })
    }
}

/// Of a password nothing is kept but its hashes.
pub(crate) fn hashed(realm: &str, username: &str, password: &str) -> UserCredentials {
    let hash = |algorithm| Some(ha1(algorithm, username, realm, password));
    UserCredentials {
        realm: realm.to_owned(),
        username: username.to_owned(),
        ha1_sha256: hash(Algorithm::Sha256),
        ha1_md5: hash(Algorithm::Md5),
    }
}

/// The canonical address of record that is typed, of a served domain where it is known which are.
pub(crate) fn canonical(typed: &str, served: Option<&Settings>) -> Result<String, String> {
    let uri = crate::client_options::Aor::parse(typed)?.uri;
    let parsed = Uri::parse(&uri).map_err(|_| format!("{uri} is no address"))?;
    let Some(settings) = served else {
        return sip::canonical(&parsed, |_| false).ok_or_else(|| format!("{uri} is no address"));
    };
    let directory = Directory::new(&Settings {
        identity: machine::settings::Identity::default(),
        ..settings.clone()
    });
    let canonical = directory.canonical(&parsed);
    let canonical = canonical.filter(|canonical| directory.domain(canonical).is_some());
    canonical.ok_or_else(|| {
        let domains: Vec<&str> = settings
            .domains
            .iter()
            .map(|domain| domain.name.as_str())
            .collect();
        format!(
            "{uri} is not of a domain that is served; {} is",
            domains.join(" or ")
        )
    })
}

/// Which password is hers: that of her domain.
pub(crate) fn realm(aor: &str, served: Option<&Settings>) -> Result<String, String> {
    let host = aor.rsplit_once('@').map(|(_, host)| host);
    let first = served.and_then(|settings| settings.domains.first());
    let host = host.or(first.map(|domain| domain.name.as_str()));
    let host = host.ok_or(
        "a number has no domain; name the configuration whose first domain is hers: --config FILE",
    )?;
    let digest = served.and_then(|settings| settings.identity.digest.as_deref());
    Ok(digest.map_or(host, |digest| digest.realm(host)).to_owned())
}

/// What is in force: the settings of the configuration, and the users of the store where it has none of that name.
pub(crate) fn in_force(settings: &Settings, users: &[User], nonce_key: [u8; 32]) -> Settings {
    let mut all = settings.clone();
    let mut digest = all.identity.digest.as_deref().cloned().unwrap_or_default();
    digest.nonce_key = nonce_key;
    let aliases = &mut all.identity.aliases;
    for user in users {
        if let Some(other) = aliases.get(&user.aor) {
            tracing::warn!(
                aor = user.aor,
                is = other,
                "a user of the store is in the configuration too, whose entry wins"
            );
            continue;
        }
        aliases.insert(user.aor.clone(), user.aor.clone());
        for alias in &user.aliases {
            let owner = aliases
                .entry(alias.clone())
                .or_insert_with(|| user.aor.clone());
            if *owner != user.aor {
                tracing::warn!(
                    aor = user.aor,
                    alias,
                    is = owner,
                    "an alias of the store is another user's in the configuration, whose entry wins"
                );
            }
        }
        for name in &user.credentials {
            if !digest.realms.values().any(|realm| *realm == name.realm) {
                tracing::warn!(
                    aor = user.aor,
                    realm = name.realm,
                    "a password of the store is for a realm of no served domain: set it again"
                );
            }
            let known = DigestUser {
                aor: user.aor.clone(),
                ha1_sha256: name.ha1_sha256.clone(),
                ha1_md5: name.ha1_md5.clone(),
            };
            let names = digest.users.entry(name.realm.clone()).or_default();
            let owner = names.entry(name.username.clone()).or_insert(known);
            if owner.aor != user.aor {
                let is = &owner.aor;
                tracing::warn!(
                    aor = user.aor,
                    username = name.username,
                    is,
                    "a user name of the store is another user's in the configuration, whose entry wins"
                );
            }
        }
    }
    all.identity.digest = Some(Arc::new(digest));
    all
}

/// A user as programs read her; nobody reads a secret.
pub(crate) fn shown(user: &User) -> Value {
    let names: Vec<&str> = user
        .credentials
        .iter()
        .map(|name| name.username.as_str())
        .collect();
    let realm = user.credentials.first().map(|name| name.realm.as_str());
    json!({ "aor": user.aor, "aliases": user.aliases, "usernames": names, "realm": realm, "origin": "store" })
}

/// The users of the configuration, likewise.
pub(crate) fn shown_of_configuration(settings: &Settings) -> Vec<Value> {
    let known = &settings.identity.aliases;
    let users = known.iter().filter(|(alias, aor)| alias == aor);
    let named = settings.identity.digest.iter().flat_map(|digest| {
        let realms = digest.users.iter();
        realms.flat_map(|(realm, names)| names.iter().map(move |(name, user)| (realm, name, user)))
    });
    let named: Vec<_> = named.collect();
    users
        .map(|(aor, _)| {
            let aliases: Vec<&String> = known.iter().filter(|(alias, of)| *of == aor && *alias != aor).map(|(alias, _)| alias).collect();
            let hers = || named.iter().filter(|(_, _, user)| user.aor == *aor);
            let names: Vec<&String> = hers().map(|(_, name, _)| *name).collect();
            let realm = hers().next().map(|(realm, ..)| *realm);
            json!({ "aor": aor, "aliases": aliases, "usernames": names, "realm": realm, "origin": "configuration" })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let text = "domains = [\"a.net\", \"b.net\"]\n[identity]\nusers = [{ aor = \"sip:ann@a.net\", password = \"x\", aliases = [\"tel:+1\"] }]\n\
            [domain.\"b.net\"]\nrealm = \"B\"\naliases = [\"bee.net\"]\n";
        let reading = configuration::read_text(
            "t.toml".as_ref(),
            text,
            &configuration::Overrides::default(),
        );
        reading.unwrap().configuration.settings
    }

    fn wanted(text: &str) -> Wanted {
        Wanted::read(text).unwrap()
    }

    #[test]
    fn of_a_password_only_hashes_over_realm_and_name_are_kept() {
        let settings = settings();
        let bob = canonical("bob@BEE.net", Some(&settings)).unwrap();
        assert_eq!(bob, "sip:bob@b.net");
        let user = wanted(r#"{"password":"secret","aliases":["+1-555"]}"#);
        let user = user.user(&bob, None, Some(&settings)).unwrap();
        assert_eq!(user.aliases, ["tel:+1555"]);
        assert_eq!(user.credentials[0], hashed("B", "bob", "secret"));
        assert!(!format!("{user:?} {}", shown(&user)).contains("secret"));
        // A new password for the same names; nothing else changes.
        let again = wanted(r#"{"password":"other"}"#)
            .user(&bob, Some(&user), Some(&settings))
            .unwrap();
        assert_eq!(
            (again.aliases, again.credentials.len()),
            (user.aliases.clone(), user.credentials.len())
        );
        let named = wanted(r#"{"password":"other","username":"bob@ims"}"#)
            .user(&bob, Some(&user), None)
            .unwrap();
        assert_eq!(named.credentials, [hashed("b.net", "bob@ims", "other")]);
    }

    #[test]
    fn what_makes_no_user_is_refused() {
        for bad in [
            "",
            "[]",
            "{\"password\":1}",
            "{\"pasword\":\"x\"}",
            "{\"aliases\":[1]}",
        ] {
            assert!(Wanted::read(bad).is_err(), "{bad}");
        }
        let settings = settings();
        for bad in [
            r#"{}"#,
            r#"{"password":""}"#,
            r#"{"username":"x"}"#,
            r#"{"password":"x","username":""}"#,
            r#"{"password":"x","aliases":["?"]}"#,
        ] {
            assert!(
                wanted(bad)
                    .user("sip:bob@b.net", None, Some(&settings))
                    .is_err(),
                "{bad}"
            );
        }
        assert!(
            canonical("bob@c.net", Some(&settings))
                .unwrap_err()
                .contains("a.net or b.net is")
        );
        assert!(canonical("bob", None).is_err());
        assert!(realm("tel:+1", None).is_err());
        assert_eq!(realm("tel:+1", Some(&settings)).unwrap(), "a.net");
    }

    #[test]
    fn the_entry_of_the_configuration_wins() {
        let settings = settings();
        let user = |aor: &str, name: &str, alias: &str| User {
            aor: aor.to_owned(),
            aliases: vec![alias.to_owned()],
            credentials: vec![hashed("a.net", name, "store")],
        };
        let users = [
            user("sip:ann@a.net", "ann", "tel:+2"),
            user("sip:bob@a.net", "bob", "tel:+1"),
            user("sip:eve@a.net", "ann", "tel:+3"),
        ];
        let all = in_force(&settings, &users, [7; 32]);
        let digest = all.identity.digest.unwrap();
        assert_eq!(digest.nonce_key, [7; 32]);
        let hash = ha1(Algorithm::Sha256, "ann", "a.net", "x");
        let ann = digest.user("a.net", "ann").unwrap();
        assert_eq!(
            (ann.aor.as_str(), ann.ha1(Algorithm::Sha256)),
            ("sip:ann@a.net", Some(&*hash))
        );
        assert_eq!(digest.user("a.net", "bob").unwrap().aor, "sip:bob@a.net");
        assert_eq!(all.identity.aliases["tel:+1"], "sip:ann@a.net");
        assert_eq!(all.identity.aliases.get("tel:+2"), None);
        assert_eq!(all.identity.aliases["tel:+3"], "sip:eve@a.net");
    }
}
