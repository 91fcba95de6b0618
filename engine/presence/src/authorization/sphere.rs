//! The sphere that a presentity is in.

use documents::pidf::Presence;
use documents::rpid;

/// RFC 5025 §3.1.2: defined where all published documents that carry one agree.
pub fn sphere<'p>(published: impl IntoIterator<Item = &'p Presence>) -> Option<String> {
    let persons = published.into_iter().flat_map(|presence| &presence.persons);
    let mut spheres = persons.filter_map(|person| {
        let sphere = person.element(rpid::URI, "sphere")?;
        // RFC 4480 §3.11: an element of its name, or words.
        let word = sphere.elements().next();
        let word = word.map(|word| word.name.local.to_string());
        Some(word.unwrap_or_else(|| sphere.text().trim().to_owned()))
    });
    let first = spheres.next()?;
    spheres.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::Bounds;

    fn published(sphere: &str) -> Presence {
        let text = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:r=\"{}\" entity=\"sip:a@b\"><dm:person id=\"p\">{sphere}</dm:person></presence>",
            rpid::URI
        );
        Presence::read(text.as_bytes(), &Bounds::TRUSTED).unwrap()
    }

    #[test]
    fn a_sphere_is_defined_where_all_who_say_one_agree() {
        let (home, nothing) = (published("<r:sphere><r:home/></r:sphere>"), published(""));
        let (word, work) = (
            published("<r:sphere>home</r:sphere>"),
            published("<r:sphere><r:work/></r:sphere>"),
        );
        assert_eq!(sphere([]), None);
        assert_eq!(sphere([&nothing]), None);
        assert_eq!(sphere([&home, &nothing, &word]), Some("home".to_owned()));
        assert_eq!(sphere([&home, &work, &home]), None);
    }
}
