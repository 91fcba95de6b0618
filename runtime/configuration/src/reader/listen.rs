//! `[listen]` and `roles`: who is spoken to where, in which role, under which public name.

use std::net::SocketAddr;

use machine::settings::{Network, Transport};

use super::{Reader, small};
use crate::address::{self, Scheme};
use crate::configuration::{HttpBind, Role, Secure, Serves, SipBind, Tls};
use crate::document::{Item, Section, quoted};
use crate::problems::Problem;

/// What `[listen]` says.
pub(super) struct Listen {
    pub(super) sip: Vec<SipBind>,
    pub(super) http: Vec<HttpBind>,
    /// Where the first listener beyond loopback is written.
    pub(super) beyond_loopback: Option<(Problem, SocketAddr)>,
}

/// One address to be bound, and where it is written.
struct Bound {
    scheme: Scheme,
    address: SocketAddr,
    role: Option<String>,
    at: Problem,
    line: u32,
}

/// Public name of a listener.
type Advertised = Option<(String, Option<u16>)>;

const SIP_SCHEMES: &[&str] = &["udp", "tcp", "tls", "ws", "wss"];
const HTTP_SCHEMES: &[&str] = &["http", "https"];

impl Reader<'_> {
    /// `roles`, of which those that are built are kept.
    pub(super) fn roles(&mut self, root: &Section<'_>) -> Vec<Role> {
        let Some(item) = root.get("roles") else {
            return vec![Role::PresenceServer, Role::Xdms];
        };
        let elements = item.elements();
        let written: Vec<&str> = elements.iter().filter_map(Item::string).collect();
        if item.array().is_some_and(|list| list.is_empty()) {
            self.say(item.problem("no role; write: roles = [\"presence-server\"]"));
        }
        for (index, element) in elements.iter().enumerate() {
            if let Some(text) = element
                .string()
                .filter(|text| written[..index.min(written.len())].contains(text))
            {
                self.say(element.problem(format!("\"{text}\" stands there twice")));
            }
        }
        let proxy = elements
            .iter()
            .find(|element| matches!(element.string(), Some("p-cscf" | "i-cscf")));
        if let Some(proxy) = proxy.filter(|_| written.len() > 1) {
            let role = proxy.string().unwrap_or_default();
            self.say(proxy.problem(format!(
                "{role} and another role claim the same requests; leave it out here and write a listener: {{ role = \"{role}\", bind = … }}"
            )));
        }
        let server = written.contains(&"presence-server");
        if server && !written.contains(&"xdms") {
            self.say(item.place().warning(
                "roles",
                "presence-server without xdms: rules kept elsewhere are not seen, presence.default_handling decides all",
            ));
        }
        let played = [
            (Role::PresenceServer, server),
            (Role::Xdms, written.contains(&"xdms")),
        ];
        let played = played.into_iter().filter(|(_, plays)| *plays);
        played.map(|(role, _)| role).collect()
    }

    pub(super) fn listen(&mut self, root: &Section<'_>, role: Option<Role>, tls: &Tls) -> Listen {
        let section = root.section("listen");
        let advertised = section
            .as_ref()
            .and_then(|section| self.advertised(section));
        let (sip, mut bound) = self.sip(section.as_ref(), &advertised, role);
        let (http, bound_http) = self.http(section.as_ref(), tls);
        bound.extend(bound_http);
        self.refuse_duplicates(&bound);
        self.refuse_without_token(section.as_ref(), &http, &bound);
        let beyond = bound
            .into_iter()
            .find(|bound| !bound.address.ip().to_canonical().is_loopback());
        Listen {
            sip,
            http,
            beyond_loopback: beyond.map(|bound| (bound.at, bound.address)),
        }
    }

    fn advertised(&mut self, section: &Section<'_>) -> Advertised {
        let item = section.get("advertise")?;
        let text = item.string()?;
        match address::advertised(text) {
            Ok(advertised) => Some(advertised),
            Err(wrong) => {
                self.say(item.problem(format!("{}: {wrong}", quoted(text))));
                // Present, though wrong: nobody needs to be told that it is missing.
                Some((String::new(), None))
            }
        }
    }

    fn sip(
        &mut self,
        section: Option<&Section<'_>>,
        advertised: &Advertised,
        role: Option<Role>,
    ) -> (Vec<SipBind>, Vec<Bound>) {
        let Some(list) = section.and_then(|section| section.get("sip")) else {
            return (self.default_sip(advertised, role), Vec::new());
        };
        if list.array().is_some_and(|array| array.is_empty()) {
            self.say(list.problem(
                "no listener; write: sip = [\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\"]",
            ));
        }
        let (mut binds, mut all) = (Vec::new(), Vec::new());
        let elements = if list.array().is_some() {
            list.elements()
        } else {
            Vec::new()
        };
        for element in elements {
            let table = element.section();
            let own = table.as_ref().and_then(|table| self.advertised(table));
            let like = self.sip_like(table.as_ref(), own.or_else(|| advertised.clone()), role);
            let name = small::word(table.as_ref(), "role").map(str::to_owned);
            for (item, scheme, address) in self.addresses(&element, table.as_ref(), SIP_SCHEMES) {
                let Scheme::Sip(transport) = scheme else {
                    continue;
                };
                if address.ip().is_unspecified() && like.advertise_host.is_none() {
                    self.say(item.problem(format!(
                        "{address} is no address that others could use; write, under [listen] or with this listener: advertise = \"HOST\""
                    )));
                }
                all.push(Bound {
                    scheme,
                    address,
                    role: name.clone(),
                    at: item.problem(""),
                    line: item.place().line,
                });
                binds.push(SipBind {
                    transport,
                    address,
                    ..like.clone()
                });
            }
        }
        if binds.len() > usize::from(u16::MAX) {
            self.say(list.problem("more listeners than 65535"));
        }
        (binds, all)
    }

    /// What all addresses of one listener have in common.
    fn sip_like(
        &mut self,
        table: Option<&Section<'_>>,
        advertised: Advertised,
        role: Option<Role>,
    ) -> SipBind {
        let role = match small::word(table, "role") {
            Some("presence-server") => Some(Role::PresenceServer),
            Some("xdms") => {
                let item = table.and_then(|table| table.get("role"));
                if let Some(item) = item {
                    self.say(item.problem(
                        "xdms is asked by HTTP; leave it out here, and write it into roles",
                    ));
                }
                role
            }
            _ => role,
        };
        let trusted = table.and_then(|table| table.get("trusted_peers"));
        let trusted_peers: Option<Vec<Network>> =
            trusted.map(|item| self.each(Some(item), address::network));
        let aliases = self.each(table.and_then(|table| table.get("aliases")), address::host);
        let (advertise_host, advertise_port) = match advertised {
            Some((host, port)) => (Some(host), port),
            None => (None, None),
        };
        SipBind {
            transport: Transport::Udp,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            role: role.unwrap_or(Role::PresenceServer),
            advertise_host,
            advertise_port,
            aliases,
            trusted_peers,
            nat: small::word(table, "nat") != Some("off"),
        }
    }

    fn default_sip(&mut self, advertised: &Advertised, role: Option<Role>) -> Vec<SipBind> {
        let like = self.sip_like(None, advertised.clone(), role);
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        [Transport::Udp, Transport::Tcp]
            .map(|transport| SipBind {
                transport,
                address,
                ..like.clone()
            })
            .to_vec()
    }

    fn http(&mut self, section: Option<&Section<'_>>, tls: &Tls) -> (Vec<HttpBind>, Vec<Bound>) {
        let Some(list) = section.and_then(|section| section.get("http")) else {
            let address = SocketAddr::from(([127, 0, 0, 1], 8080));
            return (
                vec![HttpBind {
                    address,
                    serves: serves_all(address),
                    secure: None,
                }],
                Vec::new(),
            );
        };
        let (mut binds, mut all) = (Vec::new(), Vec::new());
        // An empty list is a wish: no HTTP at all, `admin.sock` is there besides.
        let elements = if list.array().is_some() {
            list.elements()
        } else {
            Vec::new()
        };
        for element in elements {
            let table = element.section();
            let serves = table.as_ref().and_then(|table| table.get("serves"));
            if let Some(item) = serves
                .as_ref()
                .filter(|item| item.array().is_some_and(|array| array.is_empty()))
            {
                self.say(item.problem("serves nothing; write: serves = [\"health\"]"));
            }
            let served = match &serves {
                None => Vec::new(),
                Some(item) => {
                    let names = item.elements();
                    let named = |name| names.iter().any(|item| item.string() == Some(name));
                    let all = [
                        ("health", Serves::Health),
                        ("xcap", Serves::Xcap),
                        ("api", Serves::Api),
                        ("metrics", Serves::Metrics),
                    ];
                    let named = all.into_iter().filter(|(name, _)| named(name));
                    named.map(|(_, serves)| serves).collect()
                }
            };
            let own = table.as_ref().and_then(|table| table.section("tls"));
            let own = own.map(|own| self.tls(Some(&own)));
            for (item, scheme, address) in self.addresses(&element, table.as_ref(), HTTP_SCHEMES) {
                let secure = (scheme == Scheme::Https).then(|| self.secure(&item, &own, tls));
                all.push(Bound {
                    scheme,
                    address,
                    role: None,
                    at: item.problem(""),
                    line: item.place().line,
                });
                binds.push(HttpBind {
                    address,
                    serves: match serves.is_some() {
                        true => served.clone(),
                        false => serves_all(address),
                    },
                    secure,
                });
            }
        }
        (binds, all)
    }

    /// By which table this listener speaks TLS.
    fn secure(&mut self, item: &Item<'_>, own: &Option<Tls>, general: &Tls) -> Secure {
        if own.as_ref().unwrap_or(general).pair.is_none() {
            self.say(item.problem(
                "https without a certificate; write: [tls], and below it: certificate = \"chain.pem\" and key = \"key.pem\"",
            ));
        }
        let own = own.clone().map(Box::new);
        own.map_or(Secure::General, Secure::Own)
    }

    /// What needs a token is told so where it is asked for; by the short form it isn't.
    fn refuse_without_token(
        &mut self,
        section: Option<&Section<'_>>,
        http: &[HttpBind],
        bound: &[Bound],
    ) {
        let is_beyond = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
        let first_beyond = bound.iter().find(|bound| is_beyond(bound.address));
        let Some(first_beyond) = first_beyond else {
            return;
        };
        let list = section.and_then(|section| section.get("http"));
        let mut addresses = http.iter().map(|bind| bind.address);
        for element in list.iter().flat_map(Item::elements) {
            let table = element.section();
            let binds = table.as_ref().and_then(|table| table.get("bind"));
            let count = binds.map_or(1, |binds| binds.elements().len());
            let own: Vec<SocketAddr> = addresses.by_ref().take(count).collect();
            let is_beyond_itself = own.into_iter().any(is_beyond);
            let serves = table.as_ref().and_then(|table| table.get("serves"));
            for served in serves.iter().flat_map(Item::elements) {
                let why = match served.string() {
                    Some("api") => format!(
                        "api needs a token as soon as any listener is beyond loopback (line {})",
                        first_beyond.line
                    ),
                    Some("metrics") if is_beyond_itself => {
                        "metrics need a token on a listener beyond loopback".to_owned()
                    }
                    _ => continue,
                };
                self.say(served.problem(format!(
                    "{why}, and tokens are {}; admin.sock serves it besides",
                    crate::walk::NOT_BUILT
                )));
            }
        }
    }

    /// The addresses of one listener, short form or long.
    fn addresses<'t>(
        &mut self,
        element: &Item<'t>,
        table: Option<&Section<'t>>,
        schemes: &[&str],
    ) -> Vec<(Item<'t>, Scheme, SocketAddr)> {
        let items = match table {
            None => vec![element.clone()],
            Some(table) => match table.get("bind") {
                Some(bind) => bind.elements(),
                None => {
                    let scheme = schemes[0];
                    self.say(element.problem(format!(
                        "no bind; write: bind = [\"{scheme}://ADDRESS:PORT\"]"
                    )));
                    Vec::new()
                }
            },
        };
        let mut addresses = Vec::new();
        for item in items {
            let Some(text) = item.string() else { continue };
            match address::bind(text, schemes) {
                Ok((scheme, address)) => addresses.push((item, scheme, address)),
                Err(wrong) => self.say(item.problem(format!("{}: {wrong}", quoted(text)))),
            }
        }
        addresses
    }

    fn refuse_duplicates(&mut self, bound: &[Bound]) {
        for (index, second) in bound.iter().enumerate() {
            let same = |first: &&Bound| {
                first.address == second.address
                    && first.scheme.is_datagram() == second.scheme.is_datagram()
                    && first.address.port() != 0
            };
            let Some(first) = bound[..index].iter().find(same) else {
                continue;
            };
            let name = format!("{}://{}", second.scheme.name(), second.address);
            let message = if first.role != second.role
                && matches!(
                    (first.scheme, second.scheme),
                    (Scheme::Sip(_), Scheme::Sip(_))
                ) {
                let role = |bound: &Bound| bound.role.clone().unwrap_or_else(|| "roles".to_owned());
                format!(
                    "{name} plays {} already, by line {}, and {} would claim the same requests; write another port",
                    role(first),
                    first.line,
                    role(second)
                )
            } else {
                format!(
                    "{name} is taken already, by line {} ({}); write another port",
                    first.line,
                    first.scheme.name()
                )
            };
            self.say(Problem {
                message,
                ..second.at.clone()
            });
        }
    }
}

/// The short form: on loopback all that is built, else what is for everybody.
fn serves_all(address: SocketAddr) -> Vec<Serves> {
    let mut all = vec![Serves::Health, Serves::Xcap];
    if address.ip().to_canonical().is_loopback() {
        all.extend([Serves::Api, Serves::Metrics]);
    }
    all
}
