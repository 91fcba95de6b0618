//! `[identity]`: whose word is believed, and who is known here.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use machine::settings::{Digest, Identity, Network};

use super::listen::Listen;
use super::{Reader, beside};
use crate::document::{Item, Section, Text, quoted};
use crate::problems::Place;
use crate::{address, keys, walk};

/// What `[identity]` says.
pub(super) struct Known {
    pub(super) settings: Identity,
    /// Users of the file itself and of the `users_file` in one text each, to see whether a reload changes them.
    pub(super) content: [String; 2],
}

/// Every user and alias so far, and where it was written.
#[derive(Default)]
pub(super) struct Users {
    aliases: BTreeMap<String, String>,
    places: BTreeMap<String, Place>,
    pub(super) digest: Digest,
}

impl Users {
    /// What a reload compares, an item a user's name or alias; never shown.
    fn content(&self) -> BTreeSet<String> {
        let aliases = self.aliases.iter().map(|both| format!("{both:?}"));
        let names = self.digest.users.values().flatten().map(|(name, user)| {
            let secrets = (&user.ha1_sha256, &user.ha1_md5);
            format!("{name:?} {} {secrets:?}", user.aor)
        });
        aliases.chain(names).collect()
    }
}

impl Reader<'_> {
    pub(super) fn identity(&mut self, root: &Section<'_>, listen: &Listen) -> Known {
        let section = root.section("identity");
        let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
        let trusted_peers: Vec<Network> = self.each(get("trusted_peers"), address::network);
        let from = get("from_is_identity");
        let from_is_identity = from.as_ref().and_then(Item::flag).unwrap_or(false);
        if let (Some(item), true, Some((at, address))) =
            (&from, from_is_identity, &listen.beyond_loopback)
        {
            self.say(item.problem(format!(
                "anybody could be anyone, for {} is beyond loopback (line {}); write: from_is_identity = false",
                address, at.line
            )));
        }
        let mut users = Users::default();
        users.digest.algorithms = self.algorithms(get("digest_algorithms"));
        users.digest.realms = self.realms(root);
        self.users(root.text, get("users"), &mut users);
        let own = users.content();
        if let Some(item) = get("users_file") {
            self.users_file(&item, &mut users);
        }
        let from_file: BTreeSet<String> = &users.content() - &own;
        let content = [own, from_file].map(|users| Vec::from_iter(users).join("\n"));
        let trusts = !trusted_peers.is_empty()
            || listen.sip.iter().any(|bind| {
                bind.trusted_peers
                    .as_ref()
                    .is_some_and(|peers| !peers.is_empty())
            });
        if let (Some((at, address)), false, true) =
            (&listen.beyond_loopback, trusts, users.aliases.is_empty())
        {
            let place = Place {
                file: at.file.clone(),
                line: at.line,
                column: at.column,
            };
            self.say(place.warning(
                &at.key,
                format!(
                    "{address} is beyond loopback, and there are neither users nor trusted peers: every request will get 401 until there are; \
                     run: tidings user add sip:alice@example.com, or write, under [identity]: trusted_peers = [\"10.0.0.0/24\"]"
                ),
            ));
        }
        Known {
            settings: Identity {
                trusted_peers,
                from_is_identity,
                aliases: users.aliases,
                digest: Some(Arc::new(users.digest)),
            },
            content,
        }
    }

    fn users(&mut self, text: &Text, list: Option<Item<'_>>, users: &mut Users) {
        let Some(list) = list.filter(|list| list.array().is_some()) else {
            return;
        };
        for element in list.elements() {
            let Some(user) = element.section() else {
                continue;
            };
            let secret = ["password", "ha1_sha256", "ha1_md5"]
                .into_iter()
                .find_map(|key| user.get(key));
            if let Some(secret) = secret.filter(|_| text.readable_by_others) {
                self.say(secret.problem(format!(
                    "a secret that everybody on this machine may read; run: chmod 600 {}",
                    text.name
                )));
            }
            let Some(item) = user.get("aor") else {
                self.say(element.problem("no aor; write: aor = \"sip:alice@example.com\""));
                continue;
            };
            let Some(aor) = self.user(&item) else {
                continue;
            };
            if let Some(host) = address::host_of(&aor).filter(|host| !self.serves(host)) {
                let wrong = format!(
                    "{host} is not served; write, at the top: domains = [{}]",
                    with_domain(&self.domains, host)
                );
                self.say(item.problem(wrong));
            }
            self.add(&item, aor.clone(), &aor, users);
            self.secrets(&element, &user, &aor, users);
            for alias in user.get("aliases").iter().flat_map(Item::elements) {
                if let Some(known) = self.user(&alias) {
                    self.add(&alias, known, &aor, users);
                }
            }
        }
    }

    fn user(&mut self, item: &Item<'_>) -> Option<String> {
        let text = item.string()?;
        match address::address_of_record(text, &self.domains) {
            Ok(aor) => Some(aor),
            Err(wrong) => {
                self.say(item.problem(format!("{}: {wrong}", quoted(text))));
                None
            }
        }
    }

    fn add(&mut self, item: &Item<'_>, alias: String, aor: &str, users: &mut Users) {
        let Some(owner) = users.aliases.get(&alias) else {
            users.places.insert(alias.clone(), item.place());
            users.aliases.insert(alias, aor.to_owned());
            return;
        };
        let place = users
            .places
            .get(&alias)
            .cloned()
            .unwrap_or_else(Place::none);
        let whose = if *owner == alias {
            "is a user".to_owned()
        } else {
            format!("is {owner}")
        };
        self.say(item.problem(format!(
            "{alias} {whose} already, by {}:{}; once is enough",
            place.file, place.line
        )));
    }

    fn serves(&self, host: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|domain| domain == host)
    }

    fn users_file(&mut self, item: &Item<'_>, users: &mut Users) {
        let Some(name) = item.string() else { return };
        let path = beside(self.file, name);
        let text = match Text::read(&path) {
            Ok(text) => text,
            Err(problem) => {
                let reason = problem
                    .message
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                return self.say(item.problem(format!(
                    "{}: {reason}; a file with [[users]] belongs there",
                    path.display()
                )));
            }
        };
        match text.parse() {
            Ok(table) => {
                let root = Section {
                    text: &text,
                    path: String::new(),
                    table: &table,
                };
                walk::table(&root, keys::USERS_FILE, &mut self.problems);
                self.users(&text, root.get("users"), users);
            }
            Err(problems) => problems.into_iter().for_each(|problem| self.say(problem)),
        }
    }

    /// Names of the served domains and of their aliases, by domain.
    pub(super) fn domain_names(
        &mut self,
        root: &Section<'_>,
    ) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
        let example = "write: domains = [\"example.com\"]";
        let Some(item) = root.get("domains") else {
            self.say(
                root.text
                    .place(0)
                    .problem("domains", format!("missing; {example}")),
            );
            return (Vec::new(), BTreeMap::new());
        };
        if item.array().is_some_and(|array| array.is_empty()) {
            self.say(item.problem(format!("empty; {example}")));
        }
        let mut names: Vec<String> = Vec::new();
        for element in if item.array().is_some() {
            item.elements()
        } else {
            Vec::new()
        } {
            let one: Vec<String> = self.each(Some(element.clone()), address::host);
            for name in one {
                if names.contains(&name) {
                    self.say(element.problem(format!("{name} stands there twice")));
                } else {
                    names.push(name);
                }
            }
        }
        let aliases = self.domain_aliases(root, &names);
        (names, aliases)
    }

    /// `[domain."…"] aliases`, by domain.
    fn domain_aliases(
        &mut self,
        root: &Section<'_>,
        names: &[String],
    ) -> BTreeMap<String, Vec<String>> {
        let mut aliases = BTreeMap::new();
        let mut taken: BTreeMap<String, String> = names
            .iter()
            .map(|name| (name.clone(), name.clone()))
            .collect();
        for (name, span, item) in root.section("domain").iter().flat_map(Section::entries) {
            let served = address::host(name).ok().filter(|host| names.contains(host));
            let Some(served) = served else {
                let near = crate::nearest::nearest(name, names.iter().map(String::as_str));
                let advice = near.map_or_else(
                    || {
                        format!(
                            "write, at the top: domains = [{}]",
                            with_domain(names, name)
                        )
                    },
                    |(near, _)| format!("{near} is meant?"),
                );
                self.say(
                    root.text
                        .place(span.start)
                        .problem(&item.path, format!("not one of `domains`; {advice}")),
                );
                continue;
            };
            let list = item.section().and_then(|section| section.get("aliases"));
            let mut own: Vec<String> = Vec::new();
            for element in list.iter().flat_map(Item::elements) {
                for alias in self.each(Some(element.clone()), address::host) {
                    match taken.insert(alias.clone(), served.clone()) {
                        None => own.push(alias),
                        Some(other) => {
                            self.say(element.problem(format!("{alias} means {other} already")))
                        }
                    }
                }
            }
            aliases.insert(served, own);
        }
        aliases
    }
}

/// `domains` with one more, as it would be written.
fn with_domain(domains: &[String], host: &str) -> String {
    let names: Vec<String> = domains
        .iter()
        .map(String::as_str)
        .chain([host])
        .map(quoted)
        .collect();
    names.join(", ")
}
