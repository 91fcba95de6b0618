//! Users of the store: what is wanted of them becomes what is kept, what is kept becomes what is in force.

pub(crate) mod command;
pub(crate) mod password;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machine::settings::{DigestUser, Settings};
use serde_json::{Value, json};
use shard::Directory;
use sip::Uri;
use sip::digest::{Algorithm, ha1};
use store::documents::{User, UserCredentials};
use web::Page;

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
fn shown_of_configuration(settings: &Settings, asked: &BTreeSet<&str>) -> Vec<Value> {
    let known = &settings.identity.aliases;
    let mut entries: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    for (alias, aor) in known.iter().filter(|(_, aor)| asked.contains(aor.as_str())) {
        let entry = entries.entry(aor).or_default();
        match alias == aor {
            true => entry.is_user = true,
            false => entry.aliases.push(alias),
        }
    }
    let realms = settings
        .identity
        .digest
        .iter()
        .flat_map(|digest| digest.users.iter());
    for (realm, names) in realms {
        for (name, user) in names {
            if let Some(entry) = entries.get_mut(user.aor.as_str()) {
                entry.usernames.push(name);
                entry.realm.get_or_insert(realm);
            }
        }
    }
    let users = entries.into_iter().filter(|(_, entry)| entry.is_user);
    let shown = |(aor, entry): (&str, Entry<'_>)| json!({ "aor": aor, "aliases": entry.aliases, "usernames": entry.usernames, "realm": entry.realm, "origin": "configuration" });
    users.map(shown).collect()
}

/// What a configuration says of one user.
#[derive(Default)]
struct Entry<'c> {
    is_user: bool,
    aliases: Vec<&'c str>,
    usernames: Vec<&'c str>,
    realm: Option<&'c str>,
}

/// Users of the configuration and of the store by their addresses, as many as a page holds. The configuration's entry comes first
/// where both have one.
pub(crate) fn page(settings: &Settings, kept: &[User], page: &Page) -> Value {
    let after = page.after.as_deref();
    let configured = settings.identity.aliases.iter();
    let configured =
        configured.filter_map(|(alias, aor)| (alias == aor).then_some((aor.as_str(), None)));
    let kept = kept.iter().map(|user| (user.aor.as_str(), Some(user)));
    let mut all: Vec<(&str, Option<&User>)> = configured.chain(kept).collect();
    all.retain(|(aor, _)| after.is_none_or(|after| *aor > after));
    all.sort_by_key(|(aor, user)| (*aor, user.is_some()));
    let mut end = page.limit.min(all.len());
    // Two entries of one address stay together: what comes next is asked for by the address.
    while end > 0 && end < all.len() && all[end - 1].0 == all[end].0 {
        end += 1;
    }
    let next = (end < all.len()).then(|| all[end - 1].0.to_owned());
    all.truncate(end);
    let asked: BTreeSet<&str> = all
        .iter()
        .filter(|(_, user)| user.is_none())
        .map(|(aor, _)| *aor)
        .collect();
    let mut configured = shown_of_configuration(settings, &asked).into_iter();
    let users = all
        .iter()
        .filter_map(|(_, user)| user.map(shown).or_else(|| configured.next()));
    let mut object = json!({ "users": users.collect::<Vec<Value>>() });
    if let Some(next) = next {
        object["next"] = next.into();
    }
    object
}

/// One of them.
pub(crate) fn one(settings: &Settings, kept: &[User], aor: &str) -> Option<Value> {
    let configured = shown_of_configuration(settings, &BTreeSet::from([aor])).pop();
    let mut kept = kept.iter().filter(|user| user.aor == aor);
    configured.or_else(|| kept.next().map(shown))
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
    fn pages_join_and_leave_nobody_out() {
        let mut settings = settings();
        for name in ["carl", "dora"] {
            let aor = format!("sip:{name}@a.net");
            settings.identity.aliases.insert(aor.clone(), aor);
        }
        let user = |aor: &str| {
            let aor = canonical(aor, Some(&settings)).unwrap();
            wanted("{\"password\":\"x\"}")
                .user(&aor, None, Some(&settings))
                .unwrap()
        };
        let kept = [user("bob@a.net"), user("carl@a.net"), user("eve@a.net")];
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let asked = Page {
                after: after.clone(),
                limit: 2,
            };
            let mut page = page(&settings, &kept, &asked);
            let users: Vec<Value> = page["users"].as_array_mut().map(std::mem::take).unwrap();
            assert!((1..=3).contains(&users.len()), "{users:?}");
            seen.extend(users);
            let Some(next) = page["next"].as_str() else {
                break;
            };
            after = Some(next.to_owned());
        }
        let seen: Vec<(&str, &str)> = seen
            .iter()
            .map(|user| {
                (
                    user["aor"].as_str().unwrap(),
                    user["origin"].as_str().unwrap(),
                )
            })
            .collect();
        let (file, store) = ("configuration", "store");
        let all = [
            ("ann", file),
            ("bob", store),
            ("carl", file),
            ("carl", store),
            ("dora", file),
            ("eve", store),
        ];
        let all = all.map(|(name, origin)| (format!("sip:{name}@a.net"), origin));
        assert!(
            seen.iter()
                .copied()
                .eq(all.iter().map(|(aor, origin)| (aor.as_str(), *origin))),
            "{seen:?}"
        );
        let ann = one(&settings, &kept, "sip:ann@a.net").unwrap();
        assert_eq!(ann["aliases"], json!(["tel:+1"]));
        assert_eq!(
            one(&settings, &kept, "sip:carl@a.net").unwrap()["origin"],
            file
        );
        assert_eq!(one(&settings, &kept, "tel:+1"), None, "an alias is no user");
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
