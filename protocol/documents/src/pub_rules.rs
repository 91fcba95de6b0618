//! Publication rules (OMA Presence XDM 2.0): who may publish for somebody, and what. Of the specification only the schema was at hand.

use crate::common_policy::Rule;
use crate::pres_rules::{Attribute, Part, Permission};
use crate::schema::usages::PUB_RULES as URI;

/// Whether a rule lets somebody publish.
pub fn allows(rule: &Rule) -> bool {
    let mut said = rule.actions.iter();
    said.any(|action| action.is(URI, "pub-handling") && action.text().trim() == "allow")
}

/// What somebody whom a rule lets publish may say; `None`: it says nothing of that, and so restricts nothing.
pub fn content(rule: &Rule) -> Option<Vec<Permission>> {
    let mut said = None;
    for transformation in &rule.transformations {
        let local = &*transformation.name.local;
        let Some(what) = local.strip_prefix("allow-") else {
            continue;
        };
        if !transformation.is(URI, local) {
            continue;
        }
        let granted = said.get_or_insert_with(Vec::new);
        let text = transformation.text();
        let is_true = matches!(text.trim(), "true" | "1");
        match what {
            "all-attributes" => granted.push(Permission::AllAttributes),
            _ if !is_true => {}
            "services" => granted.push(Permission::Services(Part::All)),
            "persons" => granted.push(Permission::Persons(Part::All)),
            "devices" => granted.push(Permission::Devices(Part::All)),
            "unknown-attribute" => {
                let named = |local: &str| transformation.attribute(local).map(str::to_owned);
                let named = named("ns").zip(named("name"));
                granted
                    .extend(named.map(|(namespace, name)| Permission::Unknown { namespace, name }));
            }
            what => {
                let is_it = |name: &str| name.strip_prefix("provide-") == Some(what);
                let known = Attribute::ALL.iter().find(|(_, name)| is_it(name));
                granted.extend(known.map(|(attribute, _)| Permission::Attribute(*attribute)));
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common_policy::Ruleset;

    fn rule(transformations: &str) -> Rule {
        let text = format!(
            "<cp:ruleset xmlns:cp=\"{}\" xmlns=\"{URI}\"><cp:rule id=\"a\"><cp:actions><pub-handling>allow</pub-handling>\
             </cp:actions><cp:transformations>{transformations}</cp:transformations></cp:rule></cp:ruleset>",
            crate::common_policy::URI
        );
        Ruleset::read(text.as_bytes(), &xml::Bounds::TRUSTED)
            .unwrap()
            .rules
            .remove(0)
    }

    #[test]
    fn what_a_rule_lets_say_is_read() {
        assert!(allows(&rule("")));
        assert_eq!(content(&rule("")), None);
        assert_eq!(content(&rule("<x xmlns='urn:x'/>")), None);
        assert_eq!(
            content(&rule("<allow-note>false</allow-note>")),
            Some(vec![])
        );
        let all = "<allow-services>true</allow-services><allow-mood>1</allow-mood><allow-geopriv>true</allow-geopriv>\
            <allow-willingness>true</allow-willingness><allow-all-attributes/>\
            <allow-unknown-attribute ns='urn:x' name='y'>true</allow-unknown-attribute>";
        assert_eq!(
            content(&rule(all)),
            Some(vec![
                Permission::Services(Part::All),
                Permission::Attribute(Attribute::Mood),
                Permission::Attribute(Attribute::Geopriv),
                Permission::Attribute(Attribute::Willingness),
                Permission::AllAttributes,
                Permission::Unknown {
                    namespace: "urn:x".to_owned(),
                    name: "y".to_owned()
                },
            ])
        );
    }
}
