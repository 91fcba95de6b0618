//! The sphere that a presentity is in.

use documents::pidf::Presence;
use documents::rpid;

/// RFC 5025 §3.1.2: defined where all published documents that carry one agree. What is permanent is asked where none does: it is the
/// lowest source here too, and her presence would say so.
pub fn sphere<'p>(
    published: impl IntoIterator<Item = &'p Presence>,
    permanent: Option<&'p Presence>,
) -> Option<String> {
    let published = said(published);
    let spheres = match published.is_empty() {
        true => said(permanent),
        false => published,
    };
    let (first, others) = spheres.split_first()?;
    let agreed = others.iter().all(|other| other == first);
    agreed.then(|| first.clone())
}

fn said<'p>(documents: impl IntoIterator<Item = &'p Presence>) -> Vec<String> {
    let persons = documents.into_iter().flat_map(|presence| &presence.persons);
    let spheres = persons.filter_map(|person| {
        let sphere = person.element(rpid::URI, "sphere")?;
        // RFC 4480 §3.11: an element of its name, or words.
        let word = sphere.elements().next();
        let word = word.map(|word| word.name.local.to_string());
        Some(word.unwrap_or_else(|| sphere.text().trim().to_owned()))
    });
    spheres.collect()
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
        let is = |word: &str| Some(word.to_owned());
        assert_eq!(sphere([], None), None);
        assert_eq!(sphere([&nothing], None), None);
        assert_eq!(sphere([&home, &nothing, &word], None), is("home"));
        assert_eq!(sphere([&home, &work, &home], None), None);
        // What is permanent speaks where nobody else does.
        assert_eq!(sphere([&nothing], Some(&work)), is("work"));
        assert_eq!(sphere([&home], Some(&work)), is("home"));
        assert_eq!(sphere([&home, &work], Some(&work)), None);
    }
}
