//! The messages that we send, with gaps for what differs.

use sip::{Name, Writer};

use crate::template::Template;
use crate::wire::Carrier;

/// Stands in each document before the number of its presentity and of its state.
pub(crate) const MARK: &[u8] = b"bench-state-";

/// So many tuples has a document whose rules change: by turns the rules show one of them, so that what is shown says by which rules.
pub(crate) const VIEWS: u32 = 8;

/// One of each.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) publish_initial: Template,
    pub(crate) publish_refresh: Template,
    pub(crate) publish_modify: Template,
    pub(crate) subscribe: Template,
    pub(crate) subscribe_refresh: Template,
    pub(crate) fetch: Template,
    /// The first PUBLISH of who has rules.
    pub(crate) publish_views: Template,
    /// Her rules.
    pub(crate) rules: Template,
}

/// What all messages of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    pub(crate) carrier: Carrier,
    pub(crate) domain: &'a str,
    /// Tells this run's users from those of another against the same server.
    pub(crate) run: &'a str,
    pub(crate) body_bytes: usize,
    /// Where rules are put: HOST:PORT and the path of the root.
    pub(crate) documents: (&'a str, &'a str),
}

const EXPIRES: u64 = 3600;

impl Messages {
    pub(crate) fn new(style: Style<'_>) -> Self {
        let Style { domain, run, .. } = style;
        let presentity = format!("sip:p{run}{{presentity}}@{domain}");
        let watcher = format!("sip:w{run}{{watcher}}@{domain}");
        let document = style.document(&presentity);
        let publish = |if_match: bool, body: Option<&str>| {
            let mut out = Vec::new();
            let mut writer = style.head(&mut out, "PUBLISH", &presentity, &presentity, &presentity);
            writer.header(Name::Event, "presence");
            writer.number(Name::Expires, EXPIRES);
            if if_match {
                writer.header(Name::SipIfMatch, "{etag}");
            }
            finish(writer, body);
            out.extend_from_slice(body.unwrap_or_default().as_bytes());
            Template::new(&out)
        };
        let subscribe = |target: &str, in_dialog: bool, expires: u64| {
            let mut out = Vec::new();
            let to = if in_dialog {
                format!("<{presentity}>;tag={{tag}}")
            } else {
                format!("<{presentity}>")
            };
            let mut writer = style.head_to(&mut out, "SUBSCRIBE", target, &watcher, &to);
            writer.header(
                Name::Contact,
                format!("<sip:s{{subscription}}@{{here}}{}>", style.parameter()),
            );
            writer.header(Name::Event, "presence");
            writer.header(Name::Accept, "application/pidf+xml");
            writer.number(Name::Expires, expires);
            finish(writer, None);
            Template::new(&out)
        };
        Self {
            publish_initial: publish(false, Some(&document)),
            publish_refresh: publish(true, None),
            publish_modify: publish(true, Some(&document)),
            subscribe: subscribe(&presentity, false, EXPIRES),
            subscribe_refresh: subscribe("{target}", true, EXPIRES),
            fetch: subscribe(&presentity, false, 0),
            publish_views: publish(false, Some(&views(&presentity))),
            rules: rules(style.documents, &presentity),
        }
    }
}

/// A document of which rules show one tuple, by its class.
fn views(presentity: &str) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{presentity}\">\n"
    );
    let mark = String::from_utf8_lossy(MARK);
    for view in 0..VIEWS {
        out.push_str(&format!(
            "<tuple id=\"v{view}\"><status><basic>open</basic></status><r:class>v{view:08x}</r:class><note>{mark}{{presentity}}-{view:08x}</note></tuple>\n"
        ));
    }
    out.push_str("</presence>\n");
    out
}

/// PUT of rules that show everybody the tuples of one class.
fn rules((host, root): (&str, &str), presentity: &str) -> Template {
    let body = concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\"><rule id=\"a\">",
        "<conditions><identity><many/></identity></conditions><actions><pr:sub-handling>allow</pr:sub-handling></actions>",
        "<transformations><pr:provide-services><pr:class>v{version}</pr:class></pr:provide-services>",
        "<pr:provide-note>true</pr:provide-note></transformations></rule></ruleset>\n"
    );
    let mut finished = Vec::new();
    Template::new(body.as_bytes()).write(&mut finished, &crate::template::Values::NONE);
    let length = finished.len();
    Template::new(
        format!(
            "PUT {root}/pres-rules/users/{presentity}/index HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/auth-policy+xml\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )
}

/// The body's length is that of the finished document, not of the one with gaps.
fn finish(mut writer: Writer<'_>, body: Option<&str>) {
    let Some(body) = body else {
        return writer.end(0);
    };
    writer.header(Name::ContentType, "application/pidf+xml");
    let mut finished = Vec::new();
    Template::new(body.as_bytes()).write(&mut finished, &crate::template::Values::NONE);
    writer.end(finished.len());
}

impl Style<'_> {
    const fn parameter(&self) -> &'static str {
        match self.carrier {
            Carrier::Udp => "",
            Carrier::Tcp => ";transport=tcp",
        }
    }

    fn head<'o>(
        &self,
        out: &'o mut Vec<u8>,
        method: &str,
        target: &str,
        from: &str,
        to: &str,
    ) -> Writer<'o> {
        self.head_to(out, method, target, from, &format!("<{to}>"))
    }

    fn head_to<'o>(
        &self,
        out: &'o mut Vec<u8>,
        method: &str,
        target: &str,
        from: &str,
        to: &str,
    ) -> Writer<'o> {
        let mut writer = Writer::request(out, method, target);
        let transport = self.carrier.name();
        writer.header(
            Name::Via,
            format!("SIP/2.0/{transport} {{here}};branch=z9hG4bK{{branch}};rport"),
        );
        writer.number(Name::MaxForwards, 70);
        writer.header(Name::From, format!("<{from}>;tag={}-{{call}}", self.run));
        writer.header(Name::To, to);
        writer.header(Name::CallId, format!("{}-{{call}}", self.run));
        writer.header(Name::CSeq, format!("{{cseq}} {method}"));
        writer
    }

    /// A PIDF document that says which presentity and which state it is, filled up to its length.
    fn document(&self, presentity: &str) -> String {
        let make = |fill: usize| {
            format!(
                concat!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
                    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{}\">\n",
                    "<tuple id=\"bench\"><status><basic>open</basic></status>\n",
                    "<contact priority=\"0.8\">{}</contact>\n",
                    "<note>{}{{presentity}}-{{version}}</note></tuple>\n",
                    "<note>{}</note>\n</presence>\n"
                ),
                presentity,
                presentity,
                String::from_utf8_lossy(MARK),
                "Nothing but length. "
                    .repeat(fill / 20 + 1)
                    .get(..fill)
                    .unwrap_or_default()
            )
        };
        let mut bare = Vec::new();
        Template::new(make(0).as_bytes()).write(&mut bare, &crate::template::Values::NONE);
        make(self.body_bytes.saturating_sub(bare.len()))
    }
}

#[cfg(test)]
mod tests {
    use sip::Message;

    use super::*;
    use crate::template::Values;

    #[test]
    fn each_is_a_message_that_a_strict_server_takes() {
        for carrier in [Carrier::Udp, Carrier::Tcp] {
            let messages = Messages::new(Style {
                carrier,
                domain: "bench.example",
                run: "ab12",
                body_bytes: 620,
                documents: ("127.0.0.1:80", "/xcap-root"),
            });
            let values = Values {
                here: b"127.0.0.1:40000",
                etag: b"some.tag",
                tag: b"theirs",
                target: b"sip:127.0.0.1:5060",
                ..Values::NONE
            };
            let all = [
                (&messages.publish_initial, 620),
                (&messages.publish_refresh, 0),
                (&messages.publish_modify, 620),
                (&messages.subscribe, 0),
                (&messages.subscribe_refresh, 0),
                (&messages.fetch, 0),
            ];
            for (template, body_bytes) in all {
                let mut out = Vec::new();
                template.write(&mut out, &values);
                let message = Message::parse(&out).unwrap();
                message.essentials().unwrap();
                message.check().unwrap();
                assert_eq!(message.body().len(), body_bytes);
                assert_eq!(message.content_length(), Ok(Some(body_bytes as u32)));
                assert!(!out.contains(&b'{'), "{}", String::from_utf8_lossy(&out));
            }
        }
    }
}
