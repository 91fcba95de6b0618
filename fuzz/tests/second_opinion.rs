//! Our SIP parser and another one on mutated messages: where they disagree it is decided who is right.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "../../lab/peers/src/skipped.rs"]
mod skipped;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fuzz::mutate::mutated;
use machine::Random;
use sip::{Flaw, Message, Name};
use sipx_sip::headers::{
    ContactValue, ContentType, Expires, MaxForwards, PAssertedIdentity, RecordRoute, Route,
};
use sipx_sip::message::TypedHeader;
use sipx_sip::{CSeq, CallId, Finding, HeaderName, Limits, Via};

const MUTATIONS: u32 = 60_000;

/// What the other one makes of a message.
fn theirs(bytes: &[u8]) -> Result<sipx_sip::Message, String> {
    let limits = Limits {
        max_headers: 1000,
        max_folding_lines: 1000,
        ..Limits::datagram()
    };
    let message = sipx_sip::parse_datagram(Bytes::copy_from_slice(bytes), &limits)
        .map_err(|error| format!("{error:?}"))?;
    let findings = sipx_sip::validate(&message);
    // Peers of RFC 2543 send none, and RFC 3261 §16.3 takes that (step 3).
    let missing_hops = Finding::MissingRequiredHeader("Max-Forwards");
    if let Some(finding) = findings.iter().find(|finding| **finding != missing_hops) {
        return Err(format!("{finding:?}"));
    }
    let headers = message.headers();
    all::<Via>(headers)?;
    if message.as_request().is_some() {
        all::<ContactValue>(headers)?;
        all::<Route>(headers)?;
        all::<RecordRoute>(headers)?;
        all::<PAssertedIdentity>(headers)?;
        all::<Expires>(headers)?;
        all::<ContentType>(headers)?;
    }
    Ok(message)
}

fn all<H: TypedHeader>(headers: &sipx_sip::Headers) -> Result<(), String> {
    for value in headers.typed_all::<H>() {
        value.map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

fn ours(bytes: &[u8]) -> Result<Message<'_>, String> {
    let message = Message::parse(bytes).map_err(|error| format!("{error:?}"))?;
    match message.check() {
        Ok(()) => Ok(message),
        Err(Flaw { status, reason, .. }) => Err(format!("{status} {reason}")),
    }
}

/// The kind of a disagreement; none when the two agree.
fn disagreement(bytes: &[u8]) -> Option<String> {
    match (ours(bytes), theirs(bytes)) {
        (Ok(one), Ok(two)) => {
            difference(&one, &two).map(|what| format!("read differently: {what}"))
        }
        (Ok(one), Err(why)) => {
            let why = explained(&one, bytes).map_or_else(|| without_numbers(&why), str::to_owned);
            Some(format!("only they refuse: {why}"))
        }
        (Err(why), Ok(two)) => Some(format!("only we refuse: {why}{}", which_via(&why, &two))),
        (Err(_), Err(_)) => None,
    }
}

/// What their refusal is about, when it is one of the things that we bear.
fn explained(one: &Message<'_>, bytes: &[u8]) -> Option<&'static str> {
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Some("line ends before the message");
    }
    let first = bytes.split(|byte| *byte == b'\n').next();
    if first.is_some_and(|line| !line.ends_with(b"\r")) {
        return Some("LF alone ends the lines");
    }
    let token = |text: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
        !text.is_empty() && text.bytes().all(letter)
    };
    let odd = |params: sip::Params<'_>| {
        let unquoted = |value: &&str| !value.starts_with('"') && !token(value);
        params
            .iter()
            .any(|(_, value)| value.as_ref().is_some_and(unquoted))
    };
    let named = |name| one.addresses(name).flatten();
    let addresses = named(Name::From)
        .chain(named(Name::To))
        .chain(one.contacts().flatten());
    let media = one.content_type().ok().flatten();
    if one.vias().flatten().any(|via| odd(via.params))
        || addresses.map(|address| address.params).any(odd)
        || media.is_some_and(|media| odd(media.params))
    {
        return Some("an unquoted value that is no token");
    }
    let lists = [Name::Via, Name::Contact, Name::Route, Name::RecordRoute];
    let empty = |line: &[u8]| {
        let compact: Vec<u8> = line
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        compact.starts_with(b",")
            || compact.ends_with(b",")
            || compact.windows(2).any(|pair| pair == b",,")
    };
    if lists.iter().flat_map(|name| one.headers(*name)).any(empty) {
        return Some("an empty value in a list");
    }
    if one
        .vias()
        .flatten()
        .any(|via| via.sent_by().contains([' ', '\t', '\r']))
    {
        return Some("whitespace around the colon of sent-by");
    }
    None
}

/// Which part of a Via our refusal is about.
fn which_via(why: &str, two: &sipx_sip::Message) -> &'static str {
    if why != "400 Bad Via" {
        return "";
    }
    let vias: Vec<Via> = two.headers().typed_all::<Via>().flatten().collect();
    let foreign = |via: &Via| !via.protocol.eq_ignore_ascii_case(b"SIP") || via.version != b"2.0";
    let branches = |via: &Via| via.params.iter().filter(|param| param.is("branch")).count();
    if vias.iter().any(foreign) {
        ": not SIP/2.0"
    } else if vias.iter().any(|via| branches(via) > 1) {
        ": two branches"
    } else {
        ": host"
    }
}

fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if !letter.is_ascii_digit() {
            out.push(letter);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

/// A fold and the whitespace around it as one space.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if matches!(first, b'\r' | b'\n') {
            while matches!(out.last(), Some(b' ' | b'\t')) {
                out.pop();
            }
            rest = rest.trim_ascii_start();
            out.push(b' ');
        } else {
            out.push(*first);
        }
    }
    out
}

fn difference(one: &Message<'_>, two: &sipx_sip::Message) -> Option<&'static str> {
    let headers = two.headers();
    if let Some(request) = two.as_request() {
        if !one.is_request() || one.method().name().as_bytes() != request.method.as_bytes() {
            return Some("method");
        }
        if request.uri.to_bytes() != one.request_uri().as_bytes() {
            return Some("Request-URI");
        }
    } else if let Some(response) = two.as_response()
        && one.status() != Some(response.status.code())
    {
        return Some("status");
    }
    if one.body() != &two.body()[..] {
        return Some("body");
    }
    let fields: Vec<_> = one.fields().collect();
    if fields.len() != headers.len() {
        return Some("number of fields");
    }
    for ((name, value), header) in fields.iter().zip(headers.iter()) {
        let theirs = HeaderName::parse(&Bytes::copy_from_slice(name));
        if theirs != *header.name() {
            return Some("name of a field");
        }
        if unfolded(value) != unfolded(&header.value())
            && unfolded(value) != unfolded(header.raw_value().trim_ascii())
        {
            return Some("value of a field");
        }
    }
    typed(one, headers)
}

fn typed(one: &Message<'_>, headers: &sipx_sip::Headers) -> Option<&'static str> {
    let vias: Vec<_> = headers.typed_all::<Via>().flatten().collect();
    let our_vias: Vec<_> = one.vias().flatten().collect();
    if vias.len() != our_vias.len() {
        return Some("number of Via");
    }
    for (our, their) in our_vias.iter().zip(&vias) {
        if our.port != their.port || our.transport.as_bytes() != their.transport {
            return Some("Via transport or port");
        }
        let theirs = String::from_utf8_lossy(&their.host.to_bytes()).into_owned();
        let address = |host: &str| {
            host.trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .ok()
        };
        let same_address = address(our.host).is_some() && address(our.host) == address(&theirs);
        if !same_address && !our.host.eq_ignore_ascii_case(&theirs) {
            return Some("Via host");
        }
        if our.branch.map(str::as_bytes) != their.branch() {
            return Some("Via branch");
        }
    }
    let cseq = headers.typed::<CSeq>().and_then(Result::ok);
    let same = |cseq: CSeq| {
        one.cseq().is_ok_and(|ours| {
            ours.number == cseq.sequence && ours.method.name().as_bytes() == cseq.method.as_bytes()
        })
    };
    if !cseq.is_some_and(same) {
        return Some("CSeq");
    }
    let call_id = headers.typed::<CallId>().and_then(Result::ok);
    if call_id.map(|call_id| call_id.0).as_deref() != one.call_id().ok().map(str::as_bytes) {
        return Some("Call-ID");
    }
    addresses(one, headers).or_else(|| numbers(one, headers))
}

fn addresses(one: &Message<'_>, headers: &sipx_sip::Headers) -> Option<&'static str> {
    let from = headers
        .typed::<sipx_sip::headers::From>()
        .and_then(Result::ok)?;
    let to = headers
        .typed::<sipx_sip::headers::To>()
        .and_then(Result::ok)?;
    for (ours, theirs) in [(one.from(), &from.0), (one.to(), &to.0)] {
        let Ok(ours) = ours else {
            return Some("From or To");
        };
        if ours.uri.as_bytes() != &theirs.uri.to_bytes()[..] {
            return Some("URI of From or To");
        }
        if ours.tag().map(str::as_bytes) != theirs.tag() {
            return Some("tag of From or To");
        }
    }
    let contacts = headers.typed_all::<ContactValue>().count();
    if one.is_request() && contacts != one.contacts().count() {
        return Some("number of Contact");
    }
    None
}

fn numbers(one: &Message<'_>, headers: &sipx_sip::Headers) -> Option<&'static str> {
    let hops = headers.typed::<MaxForwards>().and_then(Result::ok);
    if one.is_request() && one.max_forwards().ok().flatten() != hops.map(|hops| u32::from(hops.0)) {
        return Some("Max-Forwards");
    }
    let expires = headers.typed::<Expires>().and_then(Result::ok);
    if one.is_request() && one.expires().ok().flatten() != expires.map(|expires| expires.0) {
        return Some("Expires");
    }
    None
}

/// Who is right, by which clause. `docs/fuzzing.md` says the same to people.
const DECIDED: &[(&str, &str)] = &[
    // Bears what harms nobody: RFC 3261 §16.3 and §20 ask no more than that we know what is meant.
    (
        "only they refuse: line ends before the message",
        "we: RFC 3261 §7.5, they are skipped",
    ),
    (
        "only they refuse: LF alone ends the lines",
        "they, by §7; we bear it in datagrams where the first line ends so: saved messages",
    ),
    (
        "only they refuse: an unquoted value that is no token",
        "they, by §25.1 gen-value; peers send base64 and URIs unquoted",
    ),
    (
        "only they refuse: an empty value in a list",
        "they, by §25.1 COMMA; it says nothing, so nothing is misread",
    ),
    (
        "only they refuse: whitespace around the colon of sent-by",
        "we: RFC 3261 §25.1, COLON has SWS on both sides",
    ),
    (
        "only they refuse: OutOfRange { header: \"Expires\" }",
        "they, by RFC 3261 §20.19; it is shortened like any long wish (RFC 6665 §4.2.1.1, RFC 3903 §6)",
    ),
    (
        "only they refuse: Syntax { header: \"P-Asserted-Identity\" }",
        "both: RFC 3325 §5, we read it only where a trusted peer asserts it, and refuse it there",
    ),
    (
        "only we refuse: 400 Bad Call-ID",
        "we: RFC 3261 §25.1 callid, one or two words of ASCII",
    ),
    (
        "only we refuse: 400 Bad Date",
        "we: RFC 3261 §20.17; theirs is not asked, it overflows on `two_digits`",
    ),
    (
        "only we refuse: 400 Bad Min-Expires",
        "we: RFC 3261 §25.1 delta-seconds; theirs does not read it",
    ),
    (
        "only we refuse: 400 Bad Event",
        "we: RFC 6665 §8.4; theirs does not read it",
    ),
    (
        "only we refuse: 400 Bad Subscription-State",
        "we: RFC 6665 §8.4; theirs does not read it",
    ),
    (
        "only we refuse: 400 One entity-tag in SIP-If-Match",
        "we: RFC 3903 §11.3.2; theirs does not read it",
    ),
    (
        "only we refuse: 400 Bad SIP-ETag",
        "we: RFC 3903 §11.3.1; theirs does not read it",
    ),
    (
        "only we refuse: 400 Header field repeated",
        "we: RFC 3261 §7.3.1; theirs asks it of five fields only",
    ),
    (
        "only we refuse: 400 Bad header parameters",
        "we: RFC 3261 §25.1, a tag has a value, and one",
    ),
    (
        "only we refuse: 400 Bad Via: not SIP/2.0",
        "we: RFC 3261 §8.1.1.7, name and version MUST be SIP and 2.0",
    ),
    (
        "only we refuse: 400 Bad Via: two branches",
        "we: which of the two names the transaction?",
    ),
    (
        "only we refuse: 400 Bad Via: host",
        "we: RFC 3261 §25.1 hostname, no empty label",
    ),
    (
        "only we refuse: 400 Bad URI: no usable host",
        "we: RFC 3261 §25.1 hostname, no empty label",
    ),
    (
        "only we refuse: 400 Bad URI: no scheme",
        "we: RFC 3261 §25.1 scheme, it begins with a letter",
    ),
    (
        "only we refuse: 400 Bad URI: user part",
        "we: RFC 3261 §25.1 password, no colon in it",
    ),
    (
        "only we refuse: 400 Bad URI",
        "we: RFC 3261 §25.1 paramchar, hname and hvalue leave letters out that theirs takes",
    ),
    ("only we refuse: 400 Bad tel URI", "we: RFC 3966 §3"),
    (
        "only we refuse: 400 No usable URI in angle brackets",
        "we: RFC 3261 §25.1, a URI has no such letter",
    ),
    (
        "only we refuse: 400 No usable URI without angle brackets",
        "we: RFC 3261 §20, comma and question mark need them",
    ),
    (
        "only we refuse: 400 Route without angle brackets",
        "we: RFC 3261 §20.34, §20.30",
    ),
    (
        "only we refuse: 400 Not UTF-8",
        "we: RFC 3261 §7, text is UTF-8",
    ),
    (
        "only we refuse: 400 Line without header name",
        "we: RFC 3261 §7.3.1, only a header field is folded",
    ),
    (
        "only we refuse: 416 Unsupported URI Scheme",
        "both: RFC 4475 §3.3.2 leaves it to the server, theirs has none here",
    ),
];

fn seeds() -> Vec<(String, Vec<u8>)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = files(&package.join("corpus/sip_message"));
    assert!(seeds.len() > 50, "our own torture messages are missing");
    let mut missing = Vec::new();
    for name in ["rfc4475", "rfc5118"] {
        let folder = package.join("../../shared/standards/examples").join(name);
        if folder.is_dir() {
            seeds.extend(files(&folder));
        } else {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        let why = format!("{} are not at hand", missing.join(" and "));
        skipped::skipped("a second opinion on the examples of RFCs", &why);
    }
    seeds
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (named(path), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn every_disagreement_with_the_other_parser_is_decided() {
    let seeds = seeds();
    let mut random = Random::new(4475);
    let mut kinds: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for number in 0..MUTATIONS {
        let (name, seed) = &seeds[random.below(seeds.len() as u64) as usize];
        let (_, other) = &seeds[random.below(seeds.len() as u64) as usize];
        let bytes = match number as usize {
            number if number < seeds.len() => seeds[number].1.clone(),
            _ => mutated(&mut random, seed, other, 4096),
        };
        let Some(kind) = disagreement(&bytes) else {
            continue;
        };
        let example = || format!("{name}: {}", String::from_utf8_lossy(&bytes));
        let (count, shortest) = kinds.entry(kind).or_insert_with(|| (0, example()));
        *count += 1;
        if bytes.len() < shortest.len() - name.len() - 2 {
            *shortest = example();
        }
    }
    let open: Vec<_> = kinds
        .iter()
        .filter(|(kind, _)| !DECIDED.iter().any(|(decided, _)| decided == kind))
        .collect();
    for (kind, (count, example)) in &open {
        println!("{count} × {kind}\n    {example:?}");
    }
    assert!(
        open.is_empty(),
        "{} kinds of disagreement are not decided",
        open.len()
    );
}
