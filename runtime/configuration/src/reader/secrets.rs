//! What users prove by Digest who they are with: passwords or hashes of them, user names, realms.

use std::collections::BTreeMap;

use machine::settings::{Digest, DigestUser};
use sip::digest::{Algorithm, ha1};

use super::Reader;
use super::identity::Users;
use crate::address;
use crate::document::{Item, Section, quoted};

/// The names that a user has by herself: her user part, and her address with and without its scheme.
pub fn names_of(aor: &str) -> Vec<String> {
    let bare = aor.split_once(':').map_or(aor, |(_, bare)| bare);
    let mut names = vec![bare.to_owned(), aor.to_owned()];
    if let Some((user, _)) = bare.rsplit_once('@') {
        names.insert(0, user.to_owned());
    }
    names
}

/// The realm of a user: her domain's, or the first one's for a number.
fn realm_of(digest: &Digest, domains: &[String], aor: &str) -> String {
    let host = address::host_of(aor).or(domains.first().map(String::as_str));
    digest.realm(host.unwrap_or_default()).to_owned()
}

impl Reader<'_> {
    /// `digest_algorithms`, in its order.
    pub(super) fn algorithms(&mut self, item: Option<Item<'_>>) -> Vec<Algorithm> {
        let Some(item) = item.filter(|item| item.array().is_some()) else {
            return Algorithm::ALL.to_vec();
        };
        let mut algorithms = Vec::new();
        for element in item.elements() {
            let Some(algorithm) = element.string().and_then(Algorithm::read) else {
                continue;
            };
            if algorithms.contains(&algorithm) {
                // RFC 8760 §2.3: no two challenges with the same algorithm.
                self.say(element.problem(format!("{} stands there twice", algorithm.name())));
            } else {
                algorithms.push(algorithm);
            }
        }
        if item.elements().is_empty() {
            self.say(item.problem("empty; write: digest_algorithms = [\"SHA-256\", \"MD5\"]"));
        }
        algorithms
    }

    /// The realm of each served domain: its name, or `[domain."…"] realm`.
    pub(super) fn realms(&mut self, root: &Section<'_>) -> BTreeMap<String, String> {
        let own = self.domains.iter().map(|name| (name.clone(), name.clone()));
        let mut realms: BTreeMap<String, String> = own.collect();
        for (name, _, item) in root.section("domain").iter().flat_map(Section::entries) {
            let realm = item.section().and_then(|section| section.get("realm"));
            let Some((item, realm)) = realm.as_ref().and_then(|item| Some((item, item.string()?)))
            else {
                continue;
            };
            if realm.is_empty() || realm.chars().any(char::is_control) {
                self.say(item.problem(format!("not a realm; write: realm = {}", quoted(name))));
            }
            let served = address::host(name)
                .ok()
                .and_then(|host| realms.get_mut(&host));
            if let Some(served) = served {
                realm.clone_into(served);
            }
        }
        realms
    }

    /// The names and hashes of one user, where she has any.
    pub(super) fn secrets(
        &mut self,
        element: &Item<'_>,
        user: &Section<'_>,
        aor: &str,
        users: &mut Users,
    ) {
        let get = |key: &str| user.get(key).filter(|item| item.string().is_some());
        let (password, sha256, md5) = (get("password"), get("ha1_sha256"), get("ha1_md5"));
        let username = get("username");
        if let (Some(password), true) = (&password, sha256.is_some() || md5.is_some()) {
            self.say(password.problem(
                "beside a hash of one; write either the password, or ha1_sha256 and ha1_md5",
            ));
        }
        for (item, algorithm) in [(&sha256, Algorithm::Sha256), (&md5, Algorithm::Md5)] {
            if let Some(item) = item.as_ref().filter(|item| !is_hash(item, algorithm)) {
                let digits = algorithm.digits();
                self.say(item.problem(format!(
                    "not {digits} hexadecimal digits; make them by: tidings user hash {aor}"
                )));
            }
        }
        if let Some(password) = password.as_ref().filter(|item| item.string() == Some("")) {
            self.say(password.problem("empty: anybody would know it"));
        }
        if let Some(name) = username.as_ref().filter(|item| item.string() == Some("")) {
            self.say(
                name.problem("empty; leave it out, or write the name that her client is set to"),
            );
        }
        if password.is_none() && sha256.is_none() && md5.is_none() {
            if let Some(username) = username {
                self.say(username.problem("a user name without a secret; write: password = \"…\""));
            }
            return;
        }
        let lacks = users.digest.algorithms.first().filter(|algorithm| {
            let hash = if **algorithm == Algorithm::Md5 {
                &md5
            } else {
                &sha256
            };
            password.is_none() && hash.is_none()
        });
        if let Some(algorithm) = lacks {
            let key = if *algorithm == Algorithm::Md5 {
                "ha1_md5"
            } else {
                "ha1_sha256"
            };
            let place = element.place();
            self.say(place.warning(
                &element.path,
                format!("no {key}, but {} is offered first and most clients choose it; make it by: tidings user hash {aor}", algorithm.name()),
            ));
        }
        let realm = realm_of(&users.digest, &self.domains, aor);
        // A hash was made over one name; a password fits whichever her client is set to.
        let names = match (username.as_ref().and_then(Item::string), &password) {
            (Some(name), _) => vec![name.to_owned()],
            (None, Some(_)) => names_of(aor),
            (None, None) => names_of(aor).into_iter().take(1).collect(),
        };
        for name in names {
            let hash = |algorithm, given: &Option<Item<'_>>| match &password {
                Some(password) => Some(ha1(algorithm, &name, &realm, password.string()?)),
                None => Some(given.as_ref()?.string()?.to_ascii_lowercase()),
            };
            let known = DigestUser {
                aor: aor.to_owned(),
                ha1_sha256: hash(Algorithm::Sha256, &sha256),
                ha1_md5: hash(Algorithm::Md5, &md5),
            };
            let names = users.digest.users.entry(realm.clone()).or_default();
            if let Some(other) = names.get(&name).filter(|other| other.aor != aor) {
                let other = &other.aor;
                let item = username.as_ref().unwrap_or(element);
                self.say(item.problem(format!(
                    "{} is {other}'s user name already; write another: username = \"…\"",
                    quoted(&name)
                )));
                continue;
            }
            names.insert(name, known);
        }
    }
}

fn is_hash(item: &Item<'_>, algorithm: Algorithm) -> bool {
    let text = item.string().unwrap_or_default();
    text.len() == algorithm.digits() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
