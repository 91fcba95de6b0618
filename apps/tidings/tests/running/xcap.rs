//! A served process with documents, and what asks for them.

use std::fs;

use super::Server;
use super::http::{Answer, ask};

const CONFIGURATION: &str = "domains = [\"a.net\"]\ndata = \"data\"\n\
    [listen]\nsip = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\nhttp = [\"http://127.0.0.1:0\"]\n\
    [identity]\nfrom_is_identity = true\ntrusted_peers = [\"127.0.0.1\"]\n\
    users = [{ aor = \"sip:alice@a.net\", aliases = [\"tel:+15550100\"] }]\n\
    [limits]\ndocument_bytes_max = 8192\ndocuments_per_user_max = 4\nxml_depth_max = 16\nxml_nodes_max = 128\nlist_entries_max = 20\n";

pub(crate) const LISTS: &str = "application/resource-lists+xml";
pub(crate) const RULES: &str = "application/auth-policy+xml";
pub(crate) const ELEMENT: &str = "application/xcap-el+xml";
pub(crate) const ATTRIBUTE: &str = "application/xcap-att+xml";
pub(crate) const BINDINGS: &str = "application/xcap-ns+xml";
pub(crate) const ALICE: &str = "resource-lists/users/sip:alice@a.net/index";
/// Binds `x`, in which nothing here is meant by the usage itself.
pub(crate) const X: &str = "xmlns(x=urn:example:x)";

/// Comments, white space, both quotes, references, a namespace by prefix, another inside: whatever is not changed has to stay.
pub(crate) const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- before -->\n\
<rl:resource-lists xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"\n    xmlns:x=\"urn:example:x\">\n\
\u{20}\u{20}<rl:list name=\"friends\"   x:mood = 'good'>\n\
\u{20}\u{20}\u{20}\u{20}<rl:display-name xml:lang=\"en\">Friends &amp; c\u{f6}</rl:display-name>\n\
\u{20}\u{20}\u{20}\u{20}<!-- one --><?keep this?>\n\
\u{20}\u{20}\u{20}\u{20}<rl:entry uri=\"sip:bob@a.net\"><rl:display-name>Bob</rl:display-name></rl:entry>\n\
\u{20}\u{20}\u{20}\u{20}<rl:entry uri='sip:carol@a.net'/>\n\
\u{20}\u{20}\u{20}\u{20}<rl:list name=\"close\"><rl:entry uri=\"sip:dave@a.net\"/></rl:list>\n\
\u{20}\u{20}\u{20}\u{20}<x:colour x:k=\"1\"><![CDATA[<red>]]></x:colour>\n\
\u{20}\u{20}</rl:list>\n\
\u{20}\u{20}<rl:list name=\"family\"/>\n\
</rl:resource-lists>\n<!-- after -->\n";

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) server: Server,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), CONFIGURATION).unwrap();
        let server = Server::start(folder.path());
        Self {
            _folder: folder,
            server,
        }
    }

    /// With alice's lists.
    pub(crate) fn with_lists() -> Self {
        let world = Self::new();
        assert_eq!(world.put(ALICE, LISTS, DOCUMENT).status, 201);
        world
    }

    #[track_caller]
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let target = format!("/xcap-root/{path}");
        ask(&self.server.http, method, &target, fields, body)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, kind: &str, body: &str) -> Answer {
        self.ask("PUT", path, &[("Content-Type", kind)], body.as_bytes())
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], b"")
    }

    /// The lists are as at the beginning.
    #[track_caller]
    pub(crate) fn reset(&self) -> String {
        let answer = self.put(ALICE, LISTS, DOCUMENT);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.tag().to_owned()
    }

    /// The lists are this, and their entity-tag.
    #[track_caller]
    pub(crate) fn is(&self, expected: &str, why: &str) -> String {
        let answer = self.get(ALICE);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, expected),
            "{why}"
        );
        assert_eq!(answer.field("Content-Type"), LISTS);
        answer.tag().to_owned()
    }
}

/// A node of the lists, where brackets and quotes are escaped as RFC 4825 §6.4 has it.
pub(crate) fn node(selector: &str) -> String {
    let escaped = selector
        .replace('[', "%5b")
        .replace(']', "%5D")
        .replace('"', "%22");
    format!("{ALICE}/~~/{escaped}")
}
