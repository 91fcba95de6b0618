//! `[routing]`: where a host is, before DNS is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use machine::settings::Transport;

use super::Reader;
use crate::address::{self, Scheme};
use crate::document::{Section, quoted};

impl Reader<'_> {
    pub(super) fn hosts(
        &mut self,
        root: &Section<'_>,
    ) -> BTreeMap<String, Vec<(Transport, SocketAddr)>> {
        let mut hosts = BTreeMap::new();
        let table = root
            .section("routing")
            .and_then(|routing| routing.section("hosts"));
        for (name, span, item) in table.iter().flat_map(Section::entries) {
            let host = match address::host(name) {
                Ok(host) => host,
                Err(wrong) => {
                    self.say(
                        root.text
                            .place(span.start)
                            .problem(&item.path, format!("{}: {wrong}", quoted(name))),
                    );
                    continue;
                }
            };
            let read = |text: &str| match address::bind(text, &["udp", "tcp", "tls", "ws", "wss"])?
            {
                (Scheme::Sip(_), address)
                    if address.ip().is_unspecified() || address.port() == 0 =>
                {
                    Err("nothing can be sent there".to_owned())
                }
                (Scheme::Sip(transport), address) => Ok((transport, address)),
                (Scheme::Http | Scheme::Https, _) => Err("not SIP".to_owned()),
            };
            if item.array().is_some_and(|array| array.is_empty()) {
                self.say(item.problem("no address; write: [\"udp://ADDRESS:PORT\"]"));
            }
            let places = self.each(Some(item.clone()), read);
            if hosts.insert(host, places).is_some() {
                self.say(root.text.place(span.start).problem(
                    &item.path,
                    "stands there twice; upper and lower case are the same",
                ));
            }
        }
        hosts
    }
}
