//! `[tls]`, a table like it, and a domain's own certificate: which files. Nothing here reads them.

use super::{Reader, beside, small};
use crate::configuration::{Named, Pair, Tls, VerifyClient};
use crate::document::{Item, Section};

impl Reader<'_> {
    pub(super) fn tls(&mut self, section: Option<&Section<'_>>) -> Tls {
        let Some(section) = section else {
            return Tls::default();
        };
        Tls {
            pair: self.pair(section),
            ca: section.get("ca").and_then(|item| self.named(&item)),
            verify_client: match small::word(Some(section), "verify_client") {
                Some("optional") => VerifyClient::Optional,
                Some("required") => VerifyClient::Required,
                _ => VerifyClient::None,
            },
        }
    }

    /// `certificate` and `key`: both, or neither.
    fn pair(&mut self, section: &Section<'_>) -> Option<Pair> {
        let (certificate, key) = (section.get("certificate"), section.get("key"));
        match (&certificate, &key) {
            (Some(item), None) => {
                self.say(item.problem("a certificate without its key; write: key = \"key.pem\""));
            }
            (None, Some(item)) => {
                self.say(
                    item.problem(
                        "a key without its certificate; write: certificate = \"chain.pem\"",
                    ),
                );
            }
            _ => {}
        }
        Some(Pair {
            certificate: self.named(&certificate?)?,
            key: self.named(&key?)?,
        })
    }

    fn named(&mut self, item: &Item<'_>) -> Option<Named> {
        let path = item.string()?;
        if path.is_empty() {
            self.say(item.problem("empty; the name of a file is meant"));
        }
        Some(Named {
            path: beside(self.file, path),
            at: item.problem(""),
        })
    }

    /// `[domain."…"] certificate` and `key`.
    pub(super) fn domain_pairs(&mut self, root: &Section<'_>) -> Vec<(String, Pair)> {
        let mut pairs = Vec::new();
        for (name, _, item) in root.section("domain").iter().flat_map(Section::entries) {
            let Some(pair) = item.section().and_then(|section| self.pair(&section)) else {
                continue;
            };
            pairs.push((name.to_ascii_lowercase(), pair));
        }
        pairs
    }
}
