//! A user agent that follows a flow: builds its requests, keeps its dialogs, answers what comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sip::{Message, Name};

use crate::document;
use crate::driver::{Driver, Place, Transport};
use crate::flow::{Asks, Body, Request};
use crate::http::Asked;
use crate::matching::{Kept, filled, parameter_of, value};
use crate::rules;
use crate::watchers::{self, WatcherInfo};

/// One actor.
pub(crate) struct Agent {
    /// Its place in the flow.
    pub(crate) index: usize,
    user: String,
    identity: String,
    place: Place,
    dialogs: BTreeMap<String, Dialog>,
    /// Call-ID, tag and number of its PUBLISHs.
    publishing: (String, String, u32),
    entity_tags: BTreeSet<String>,
    /// Requests that no step has taken yet, and when they came.
    pub(crate) inbox: VecDeque<(u64, Vec<u8>)>,
    /// Responses likewise.
    pub(crate) responses: VecDeque<(u64, Vec<u8>)>,
    /// What it was asked and what it answered, by branch: the same again.
    answered: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    /// Its last request.
    pub(crate) last: Option<Exchange>,
}

/// A request, what kind of thing it was, and what came back.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) dialog: String,
    pub(crate) response: Option<Vec<u8>>,
}

/// One subscription, as the subscriber knows it.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    pub(crate) remote_tag: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) cseq: u32,
    pub(crate) remote_cseq: Option<u32>,
    pub(crate) event: String,
    pub(crate) accept: String,
    /// Seconds of the newest 2xx; before one came, what was asked for.
    pub(crate) granted: u32,
    /// The expires of the NOTIFY before, unless a SUBSCRIBE was granted since.
    pub(crate) left: Option<u32>,
    pub(crate) is_over: bool,
    /// What a `.winfo` told of watchers.
    pub(crate) told: watchers::Told,
}

impl Agent {
    pub(crate) fn new(index: usize, user: &str, driver: &mut dyn Driver) -> Self {
        let publishing = (driver.token(), driver.token(), 0);
        Self {
            index,
            user: user.to_owned(),
            identity: driver.identity(user),
            place: driver.place(index),
            dialogs: BTreeMap::new(),
            publishing,
            entity_tags: BTreeSet::new(),
            inbox: VecDeque::new(),
            responses: VecDeque::new(),
            answered: BTreeMap::new(),
            last: None,
        }
    }

    /// Whether it has to repeat what is not answered.
    pub(crate) fn repeats(&self) -> bool {
        self.place.transport == Transport::Udp
    }

    /// Its own HOST:PORT.
    pub(crate) fn address(&self) -> String {
        self.place.address.to_string()
    }

    /// The bytes of a request, with what everybody writes into it unless the flow says otherwise.
    pub(crate) fn request(
        &mut self,
        what: &Request,
        kept: &Kept,
        driver: &mut dyn Driver,
    ) -> Result<Exchange, String> {
        let Request::New {
            method,
            to,
            dialog,
            with,
            body,
        } = what
        else {
            let last = self.last.clone();
            return last.ok_or_else(|| "it has sent nothing that could be sent again".to_owned());
        };
        let (uri, mut fields) = self.usual(method, &driver.identity(to), dialog, driver);
        let is_winfo = |(name, value): &(String, Option<String>)| {
            name == "Event"
                && value
                    .as_deref()
                    .is_some_and(|event| event.ends_with(".winfo"))
        };
        if with.iter().any(is_winfo) && method == "SUBSCRIBE" {
            lay_over(&mut fields, "Accept", Some(watchers::MEDIA_TYPE.to_owned()));
        }
        let (kind, body) = content(body, &uri, kept);
        fields.extend(kind.map(|kind| ("Content-Type".to_owned(), kind)));
        for (name, value) in with {
            lay_over(
                &mut fields,
                name,
                value.as_deref().map(|value| filled(value, kept)),
            );
        }
        let mut text = format!("{method} {uri} SIP/2.0\r\n");
        fields
            .iter()
            .for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let request = text.into_bytes();
        if let Some(known) = self
            .dialogs
            .get_mut(dialog)
            .filter(|_| method == "SUBSCRIBE")
        {
            known.asked(&request);
        }
        Ok(Exchange {
            request,
            dialog: dialog.clone(),
            response: None,
        })
    }

    /// A request for a document: who asks is asserted, as an aggregation proxy does (TS 24.109 §5.2.3).
    pub(crate) fn asked(&self, asks: &Asks, kept: &Kept) -> Asked {
        let asserted = format!("\"{}\"", self.identity);
        let mut fields = vec![("X-3GPP-Asserted-Identity".to_owned(), asserted)];
        let (kind, body) = content(&asks.body, &self.identity, kept);
        fields.extend(kind.map(|kind| ("Content-Type".to_owned(), kind)));
        for (name, value) in &asks.with {
            let value = value.as_deref().map(|value| filled(value, kept));
            lay_over(&mut fields, name, value);
        }
        Asked {
            method: asks.method.clone(),
            target: filled(&asks.target, kept),
            fields,
            body: body.into_bytes(),
        }
    }

    /// Request-URI, and the fields that every request of this method has.
    fn usual(
        &mut self,
        method: &str,
        to: &str,
        dialog: &str,
        driver: &mut dyn Driver,
    ) -> (String, Vec<(String, String)>) {
        let (uri, to, (call_id, tag, cseq)) = self.identifiers(method, to, dialog, driver);
        let via = format!(
            "SIP/2.0/{} {};branch=z9hG4bK{};rport",
            self.place.transport.name(),
            self.place.address,
            driver.token()
        );
        let from = format!("<{}>;tag={tag}", self.identity);
        let mut fields = vec![
            ("Via", via),
            ("Max-Forwards", "70".to_owned()),
            ("From", from),
            ("To", to),
            ("Call-ID", call_id),
        ];
        fields.push(("CSeq", format!("{cseq} {method}")));
        if method == "SUBSCRIBE" {
            fields.push(("Contact", format!("<{}>", self.contact())));
            fields.push(("Accept", "application/pidf+xml".to_owned()));
        }
        fields.push(("Event", "presence".to_owned()));
        (
            uri,
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Request-URI, To, and (Call-ID, From tag, CSeq).
    fn identifiers(
        &mut self,
        method: &str,
        to: &str,
        name: &str,
        driver: &mut dyn Driver,
    ) -> (String, String, (String, String, u32)) {
        if method != "SUBSCRIBE" {
            let (call_id, tag, cseq) = &mut self.publishing;
            *cseq += 1;
            return (
                to.to_owned(),
                format!("<{to}>"),
                (call_id.clone(), tag.clone(), *cseq),
            );
        }
        let dialog = self
            .dialogs
            .entry(name.to_owned())
            .or_insert_with(|| Dialog::new(driver.token(), driver.token()));
        dialog.cseq += 1;
        let tag = dialog
            .remote_tag
            .as_ref()
            .map_or_else(String::new, |tag| format!(";tag={tag}"));
        let uri = dialog.target.clone().unwrap_or_else(|| to.to_owned());
        (
            uri,
            format!("<{to}>{tag}"),
            (
                dialog.call_id.clone(),
                dialog.local_tag.clone(),
                dialog.cseq,
            ),
        )
    }

    fn contact(&self) -> String {
        let parameter = if self.place.transport == Transport::Tcp {
            ";transport=tcp"
        } else {
            ""
        };
        format!("sip:{}@{}{parameter}", self.user, self.place.address)
    }

    /// Takes a final response into account, after the rules that hold for every one.
    pub(crate) fn accept(&mut self, exchange: &Exchange, response: &[u8]) -> Result<(), String> {
        let sent = parse(&exchange.request)?;
        let came = well_formed(response)?;
        rules::response(&sent, &came, self.place)?;
        if !came
            .status()
            .is_some_and(|status| (200..300).contains(&status))
        {
            return rules::refusal(&came);
        }
        let granted = rules::granted(&sent, &came)?;
        match sent.method().name() {
            "PUBLISH" => {
                let tag = rules::publication(&came)?;
                // RFC 3903 §4.1: every 200 has a tag that was never used before; the same answer again is no other 200.
                if self.entity_tags.insert(tag.clone()) || exchange.response.is_some() {
                    Ok(())
                } else {
                    Err(format!("SIP-ETag {tag} was used before (RFC 3903 §4.1)"))
                }
            }
            "SUBSCRIBE" => {
                rules::subscription(&sent, &came)?;
                let dialog = self.dialogs.get_mut(&exchange.dialog);
                dialog.map_or(Ok(()), |dialog| dialog.accepted(&came, granted))
            }
            _ => Ok(()),
        }
    }

    /// A request came: judged by the rules that hold for every one, and answered. Gives the answer; a repeated request is kept only once.
    pub(crate) fn handle_request(&mut self, at: u64, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let request = well_formed(bytes)?;
        let branch = rules::request(&request)?;
        match self.answered.get(&branch) {
            Some((before, answer)) if before == bytes => return Ok(answer.clone()),
            Some(_) => {
                return Err(format!(
                    "the branch {branch} was another request's (RFC 3261 §8.1.1.7)"
                ));
            }
            None => {}
        }
        if request.method().name() == "NOTIFY" {
            let contact = self.contact();
            let dialog = self
                .dialogs
                .values_mut()
                .find(|dialog| dialog.is_of(&request));
            let dialog = dialog.ok_or("a NOTIFY that belongs to none of its dialogs (RFC 6665 §4.4.1: Call-ID, To tag, From tag, Event)")?;
            rules::notify(&request, dialog, &contact)?;
            dialog.hears_of_watchers(&request)?;
            dialog.notified(&request);
        }
        let answer = rules::answer(&request, 200, "OK");
        self.answered
            .insert(branch, (bytes.to_vec(), answer.clone()));
        self.inbox.push_back((at, bytes.to_vec()));
        Ok(answer)
    }
}

impl Dialog {
    pub(crate) fn new(call_id: String, local_tag: String) -> Self {
        Self {
            call_id,
            local_tag,
            remote_tag: None,
            target: None,
            cseq: 0,
            remote_cseq: None,
            event: String::new(),
            accept: String::new(),
            granted: 0,
            left: None,
            is_over: false,
            told: watchers::Told::default(),
        }
    }

    /// A SUBSCRIBE of this dialog is about to leave: its NOTIFY may come before its 2xx (RFC 6665 §4.4.1).
    fn asked(&mut self, request: &[u8]) {
        let Ok(request) = Message::parse(request) else {
            return;
        };
        let text = |name| value(&request, name).unwrap_or_default();
        self.event = text("Event");
        // RFC 3856 §6.7, RFC 3857 §4.4: without Accept it is this.
        let otherwise = match self.event.ends_with(".winfo") {
            true => watchers::MEDIA_TYPE,
            false => "application/pidf+xml",
        };
        self.accept = value(&request, "Accept").unwrap_or_else(|| otherwise.to_owned());
        self.told.is_owed_all = true;
        self.granted = self
            .granted
            .max(text("Expires").parse().unwrap_or(u32::MAX));
        self.left = None;
    }

    fn accepted(&mut self, response: &Message<'_>, granted: u32) -> Result<(), String> {
        let tag = response
            .to()
            .ok()
            .and_then(|to| to.tag())
            .map(str::to_owned);
        if self.remote_tag.is_some() && self.remote_tag != tag {
            return Err("the tag of To is another than before (RFC 3261 §12.2.1.2)".to_owned());
        }
        self.remote_tag = tag;
        let contact = response.contact().ok().flatten();
        self.target = contact
            .map(|contact| contact.uri.to_owned())
            .or(self.target.take());
        self.granted = granted;
        self.left = None;
        Ok(())
    }

    /// RFC 6665 §4.4.1: by Call-ID, the tag of To, the tag of From (once known), and Event.
    fn is_of(&self, notify: &Message<'_>) -> bool {
        let tag = |name| {
            value(notify, name)
                .as_deref()
                .and_then(|value| parameter_of(value, "tag").map(str::to_owned))
        };
        notify
            .call_id()
            .is_ok_and(|call_id| call_id == self.call_id)
            && tag("To").as_ref() == Some(&self.local_tag)
            && (self.remote_tag.is_none() || tag("From") == self.remote_tag)
            && value(notify, "Event").as_ref() == Some(&self.event)
    }

    /// A document about watchers follows those that came before it.
    fn hears_of_watchers(&mut self, notify: &Message<'_>) -> Result<(), String> {
        let Some(package) = self.event.strip_suffix(".winfo") else {
            return Ok(());
        };
        if notify.body().is_empty() {
            return Ok(());
        }
        let from = value(notify, "From").unwrap_or_default();
        let whose = from
            .split_once('<')
            .and_then(|(_, rest)| rest.split('>').next());
        WatcherInfo::read(notify.body())?.follows(
            &mut self.told,
            whose.unwrap_or_default(),
            package,
        )
    }

    fn notified(&mut self, notify: &Message<'_>) {
        self.remote_cseq = notify.cseq().ok().map(|cseq| cseq.number);
        self.remote_tag = notify
            .from()
            .ok()
            .and_then(|from| from.tag())
            .map(str::to_owned);
        self.left = value(notify, "Subscription-State;expires").and_then(|left| left.parse().ok());
        self.is_over |= value(notify, "Subscription-State").as_deref() == Some("terminated");
    }
}

/// What a request carries: its type and its text. A document is about whom the request goes to.
fn content(body: &Body, entity: &str, kept: &Kept) -> (Option<String>, String) {
    match body {
        Body::Nothing => (None, String::new()),
        Body::Service {
            id,
            basic,
            note,
            contact,
        } => {
            let contact = contact
                .clone()
                .unwrap_or_else(|| format!("sip:{id}@192.0.2.1"));
            let document = document::write(entity, (id, &contact), basic, note);
            (Some("application/pidf+xml".to_owned()), document)
        }
        Body::Rules(rules) => {
            let rules: Vec<(&str, &str)> = rules
                .iter()
                .map(|(user, handling)| {
                    let address = kept.get(user).map_or(user.as_str(), String::as_str);
                    (address, handling.as_str())
                })
                .collect();
            (
                Some("application/auth-policy+xml".to_owned()),
                document::rules(&rules),
            )
        }
        Body::Raw { content_type, text } => (Some(content_type.clone()), filled(text, kept)),
    }
}

/// Replaces a field where it stands, adds it, or takes it away. Of Record-Route there may be several.
fn lay_over(fields: &mut Vec<(String, String)>, name: &str, value: Option<String>) {
    let is_it = |field: &(String, String)| field.0.eq_ignore_ascii_case(name);
    match (fields.iter().position(is_it), value) {
        (Some(at), Some(value)) => fields[at].1 = value,
        (None, Some(value)) => fields.push((name.to_owned(), value)),
        (_, None) => fields.retain(|field| !is_it(field)),
    }
}

/// A message as it is; a flow may send what no server should take.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message<'_>, String> {
    Message::parse(bytes).map_err(|why| format!("{why} in\n{}", String::from_utf8_lossy(bytes)))
}

/// A message that came: every field that we know is well-formed, and it ends where it says.
pub(crate) fn well_formed(bytes: &[u8]) -> Result<Message<'_>, String> {
    let message = parse(bytes)?;
    message
        .essentials()
        .map_err(|flaw| format!("{flaw} in\n{}", String::from_utf8_lossy(bytes)))?;
    message
        .check()
        .map_err(|flaw| format!("{flaw} in\n{}", String::from_utf8_lossy(bytes)))?;
    let length = message
        .header_text(Name::ContentLength)
        .map(str::trim)
        .map(str::parse::<usize>);
    match length {
        Some(Ok(length)) if length != message.body().len() => Err(format!(
            "Content-Length {length}, but {} bytes of body",
            message.body().len()
        )),
        _ => Ok(message),
    }
}
