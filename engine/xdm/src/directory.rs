//! What a user has: `org.openmobilealliance.xcap-directory` (OMA XDM Core 6.7).

use std::fmt::Write as _;

/// The namespace's name.
const URI: &str = "urn:oma:xml:xdm:xcap-directory";

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.oma.xcap-directory+xml";

/// A document of hers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The usage.
    pub auid: &'a str,
    /// Its address below the root: `AUID/users/XUI/DOCUMENT`.
    pub uri: &'a str,
    /// Its entity-tag, without quotes.
    pub tag: &'a str,
    /// When it was last changed, as `xs:dateTime`.
    pub last_modified: &'a str,
    /// Bytes.
    pub size: usize,
}

/// The document that lists them, a folder for each usage; `entries` are sorted by usage. `auid`: of this usage only.
pub fn directory(entries: &[Entry<'_>], auid: Option<&str>) -> String {
    let mut out =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-directory xmlns=\"{URI}\">");
    let mut folder = None;
    for entry in entries
        .iter()
        .filter(|entry| auid.is_none_or(|auid| auid == entry.auid))
    {
        if folder != Some(entry.auid) {
            if folder.is_some() {
                out.push_str("</folder>");
            }
            let _ = write!(out, "<folder auid=\"{}\">", escaped(entry.auid));
            folder = Some(entry.auid);
        }
        let _ = write!(
            out,
            "<entry uri=\"{}\" etag=\"{}\" last-modified=\"{}\" size=\"{}\"/>",
            escaped(entry.uri),
            escaped(entry.tag),
            escaped(entry.last_modified),
            entry.size
        );
    }
    if folder.is_some() {
        out.push_str("</folder>");
    }
    out.push_str("</xcap-directory>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
