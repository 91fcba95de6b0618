//! `[presence]` and what differs for one domain.

use std::collections::BTreeMap;

use machine::settings::{Domain, Expires, Handling, Presence, Profile, PublishByOther};

use super::{Reader, small};
use crate::address;
use crate::document::{Item, Section, quoted};

impl Reader<'_> {
    pub(super) fn domains_served(
        &mut self,
        root: &Section<'_>,
        aliases: &BTreeMap<String, Vec<String>>,
    ) -> Vec<Domain> {
        let general = self.presence(
            root.section("presence").as_ref(),
            Presence::default(),
            false,
        );
        let mut domains = Vec::new();
        for name in self.domains.clone() {
            let own = root.section("domain").and_then(|domains| {
                let entries = domains.entries();
                entries
                    .into_iter()
                    .find(|(key, ..)| key.eq_ignore_ascii_case(&name))
                    .and_then(|(_, _, item)| item.section())
            });
            let own = own.and_then(|own| own.section("presence"));
            let pending_said = root
                .section("presence")
                .is_some_and(|section| section.get("pending_body").is_some());
            let presence = match &own {
                Some(own) => self.presence(Some(own), general.clone(), pending_said),
                None => general.clone(),
            };
            domains.push(Domain {
                aliases: aliases.get(&name).cloned().unwrap_or_default(),
                name,
                presence,
            });
        }
        domains
    }

    /// `base` with what a table says instead. `pending_said`: `pending_body` was written where `base` comes from.
    fn presence(
        &mut self,
        section: Option<&Section<'_>>,
        base: Presence,
        pending_said: bool,
    ) -> Presence {
        let word = |key: &str| small::word(section, key);
        let profile = match word("profile") {
            Some("oma-1.0") => Profile::Oma10,
            Some("rfc6665") => Profile::Rfc6665,
            _ => base.profile,
        };
        let default_handling = match word("default_handling") {
            Some("allow") => Handling::Allow,
            Some("confirm") => Handling::Confirm,
            Some("polite-block") => Handling::PoliteBlock,
            Some("block") => Handling::Block,
            _ => base.default_handling,
        };
        let publish_by_others = match section.and_then(|section| section.get("publish_by_others")) {
            Some(list) => self.publish_by_others(&list),
            None => base.publish_by_others,
        };
        Presence {
            profile,
            default_handling,
            publish_expires_seconds: self.expires(
                section,
                "publish_expires_seconds",
                base.publish_expires_seconds,
            ),
            subscribe_expires_seconds: self.expires(
                section,
                "subscribe_expires_seconds",
                base.subscribe_expires_seconds,
            ),
            notify_interval_ms_min: small::number(
                section,
                "notify_interval_ms_min",
                base.notify_interval_ms_min,
            ),
            presentities_listed_only: word("presentities")
                .map_or(base.presentities_listed_only, |word| word == "listed"),
            unknown_presentity_is_404: word("unknown_presentity")
                .map_or(base.unknown_presentity_is_404, |word| word == "404"),
            pending_body_is_empty: match word("pending_body") {
                Some(word) => word == "empty",
                None if pending_said => base.pending_body_is_empty,
                // The default goes with the profile.
                None => profile == Profile::Rfc6665,
            },
            publish_by_others,
        }
    }

    fn expires(&mut self, section: Option<&Section<'_>>, key: &str, base: Expires) -> Expires {
        let Some(item) = section.and_then(|section| section.get(key)) else {
            return base;
        };
        let table = item.section();
        let number = |key: &str, default: u32| small::number(table.as_ref(), key, default);
        let expires = Expires {
            min: number("min", base.min),
            default: number("default", base.default),
            max: number("max", base.max),
        };
        let Expires { min, default, max } = expires;
        if min > default || default > max {
            let (least, most) = (min.min(max), max.max(min));
            self.say(item.problem(format!(
                "min {min}, default {default}, max {max} are not in order; write: {key} = {{ min = {least}, default = {}, max = {most} }}",
                default.clamp(least, most)
            )));
        }
        expires
    }

    fn publish_by_others(&mut self, list: &Item<'_>) -> Vec<PublishByOther> {
        let mut entries = Vec::new();
        for element in if list.array().is_some() {
            list.elements()
        } else {
            Vec::new()
        } {
            let Some(table) = element.section() else {
                continue;
            };
            let (source, presentities) = (table.get("source"), table.get("presentities"));
            for (key, item, example) in [
                ("source", &source, "sip:as@example.com"),
                ("presentities", &presentities, "@example.com"),
            ] {
                if item.is_none() {
                    self.say(element.problem(format!("no {key}; write: {key} = \"{example}\"")));
                }
            }
            let (Some(source), Some(presentities)) = (source, presentities) else {
                continue;
            };
            let (source, presentities) = (self.aor(&source), self.presentities(&presentities));
            if let (Some(source), Some(presentities)) = (source, presentities) {
                entries.push(PublishByOther {
                    source,
                    presentities,
                });
            }
        }
        entries
    }

    fn aor(&mut self, item: &Item<'_>) -> Option<String> {
        let text = item.string()?;
        let read = address::address_of_record(text, &self.domains);
        read.map_err(|wrong| self.say(item.problem(format!("{}: {wrong}", quoted(text)))))
            .ok()
    }

    /// `@domain`, or one user.
    fn presentities(&mut self, item: &Item<'_>) -> Option<String> {
        let text = item.string()?;
        let (presentities, host) = match text.strip_prefix('@') {
            Some(host) => match address::host(host) {
                Ok(host) => (format!("@{host}"), Some(host)),
                Err(wrong) => {
                    self.say(item.problem(format!("{}: {wrong}", quoted(text))));
                    return None;
                }
            },
            None => {
                let aor = self.aor(item)?;
                let host = address::host_of(&aor).map(str::to_owned);
                (aor, host)
            }
        };
        if let Some(host) =
            host.filter(|host| !self.domains.is_empty() && !self.domains.contains(host))
        {
            let domains: Vec<String> = self
                .domains
                .iter()
                .map(|domain| format!("\"@{domain}\""))
                .collect();
            self.say(item.problem(format!("{host} is not served; {} is", domains.join(" or "))));
        }
        Some(presentities)
    }
}
