//! The subscriber's side of a dialog (RFC 3261 §12.1.2, §12.2; RFC 6665 §4.4.1), and a publication's constant fields.

use sip::{Message, Uri};

use crate::hop::{self, Hop};

/// A Record-Route longer than this is not believed.
const ROUTES_MAX: usize = 32;

/// What every request of one dialog repeats.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// The subscriber's number of it.
    pub(crate) number: u32,
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    cseq: u32,
    /// Contact of the peer's newest NOTIFY or 2xx.
    target: Option<String>,
    /// In the order in which they become Route; each as written.
    routes: Vec<String>,
    /// They come from a NOTIFY, which decides.
    routes_are_certain: bool,
    /// Where the last message of the peer came from: the next hop when its name needs a look-up.
    heard_from: Option<Hop>,
}

/// Where and how a request of a dialog leaves.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) uri: String,
    pub(crate) routes: Vec<String>,
    pub(crate) hop: Hop,
}

impl Dialog {
    pub(crate) const fn new(number: u32, call_id: String, local_tag: String) -> Self {
        Self {
            number,
            call_id,
            local_tag,
            cseq: 0,
            target: None,
            routes: Vec::new(),
            routes_are_certain: false,
            heard_from: None,
        }
    }

    /// The next number of our own sequence.
    pub(crate) const fn next_cseq(&mut self) -> u32 {
        self.cseq = self.cseq.wrapping_add(1);
        self.cseq
    }

    /// A NOTIFY: it creates the dialog, whatever the 2xx said or will say (RFC 6665 §4.4.1).
    pub(crate) fn heard_notify(&mut self, notify: &Message<'_>, from: Hop) {
        if !self.routes_are_certain {
            self.routes = record_routes(notify);
            self.routes_are_certain = true;
        }
        self.heard(notify, from);
    }

    /// A 2xx to SUBSCRIBE.
    pub(crate) fn heard_success(&mut self, response: &Message<'_>, from: Hop) {
        if !self.routes_are_certain {
            // RFC 3261 §12.1.2: reversed at the side that asked.
            self.routes = record_routes(response);
            self.routes.reverse();
        }
        self.heard(response, from);
    }

    fn heard(&mut self, message: &Message<'_>, from: Hop) {
        if let Ok(Some(contact)) = message.contact()
            && contact.parsed().is_ok()
        {
            self.target = Some(contact.uri.to_owned());
        }
        self.heard_from = Some(from);
    }

    /// RFC 3261 §12.2.1.1: Request-URI, Route and next hop. `resource` and `server` before there is a dialog.
    pub(crate) fn route(&self, resource: &str, server: Hop) -> Route {
        let Some(target) = &self.target else {
            return Route {
                uri: resource.to_owned(),
                routes: Vec::new(),
                hop: server,
            };
        };
        let first = self.routes.first().and_then(|route| uri_of(route));
        let Some(first) = first else {
            return Route {
                uri: target.clone(),
                routes: Vec::new(),
                hop: self.hop(target, server),
            };
        };
        let hop = self.hop(first, server);
        if Uri::parse(first).is_ok_and(|uri| uri.has_param("lr")) {
            return Route {
                uri: target.clone(),
                routes: self.routes.clone(),
                hop,
            };
        }
        // A strict router: it gets itself as Request-URI, the target comes last.
        let mut routes = self.routes.get(1..).unwrap_or_default().to_vec();
        routes.push(format!("<{target}>"));
        Route {
            uri: first.to_owned(),
            routes,
            hop,
        }
    }

    fn hop(&self, uri: &str, server: Hop) -> Hop {
        let named = Uri::parse(uri)
            .ok()
            .and_then(|uri| hop::of_uri(&uri, server));
        // A name: the peer that is to be found behind it has just spoken to us.
        named
            .or(self.heard_from.filter(|from| !from.transport.is_reliable()))
            .unwrap_or(server)
    }
}

fn record_routes(message: &Message<'_>) -> Vec<String> {
    message
        .record_routes()
        .filter_map(Result::ok)
        .take(ROUTES_MAX)
        .map(|route| route.text().to_owned())
        .collect()
}

fn uri_of(route: &str) -> Option<&str> {
    sip::NameAddr::parse(route, sip::Name::Route)
        .ok()
        .map(|address| address.uri)
}
