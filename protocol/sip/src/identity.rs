//! One canonical form of a user's identity, so that every spelling of an address finds the same user.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::lexical::{self, USER};
use crate::{Scheme, Uri};

/// `sip:alice@example.com` or `tel:+15551234`; none for schemes that name no user of ours and for local numbers without context.
///
/// The user part keeps its case, the host loses it, port, password and parameters go, sips is sip. Escapes are
/// undone, then what cannot stand raw is escaped. A global number with `user=phone` at a host for which
/// `number_domain` says yes is the tel URI of that number; separators are dropped (RFC 3966 §5).
pub fn canonical(uri: &Uri<'_>, number_domain: impl Fn(&str) -> bool) -> Option<String> {
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => Some(sip(uri, number_domain)),
        Scheme::Tel => tel(uri),
        Scheme::Other => None,
    }
}

fn sip(uri: &Uri<'_>, number_domain: impl Fn(&str) -> bool) -> String {
    let host = canonical_host(uri.host);
    let mut text = String::with_capacity(uri.text().len());
    let Some(user) = uri.user else {
        text.push_str("sip:");
        text.push_str(&host);
        return text;
    };
    let is_phone = uri
        .param("user")
        .is_some_and(|value| value.eq_ignore_ascii_case("phone"));
    if is_phone
        && let Some(number) = global_number(user)
        && number_domain(&host)
    {
        return number;
    }
    text.push_str("sip:");
    if user.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        text.push_str(user);
    } else {
        for byte in lexical::unescaped(user.as_bytes()) {
            if byte != b'%' && lexical::is(byte, USER) {
                text.push(char::from(byte));
            } else {
                escape(&mut text, byte);
            }
        }
    }
    text.push('@');
    text.push_str(&host);
    text
}

fn escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Lower case, without a root dot; addresses in their one textual form.
fn canonical_host(host: &str) -> Cow<'_, str> {
    if host.starts_with('[')
        && let Some(IpAddr::V6(address)) = crate::uri::address(host)
    {
        return Cow::Owned(format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// `tel:+N` for a telephone-subscriber that is a global number; its parameters are ignored.
fn global_number(user: &str) -> Option<String> {
    let mut bytes = lexical::unescaped(user.as_bytes()).take_while(|byte| *byte != b';');
    if bytes.next() != Some(b'+') {
        return None;
    }
    let mut number = String::from("tel:+");
    for byte in bytes {
        match byte {
            b'0'..=b'9' => number.push(char::from(byte)),
            b'-' | b'.' | b'(' | b')' => {}
            _ => return None,
        }
    }
    (number.len() > "tel:+".len()).then_some(number)
}

fn tel(uri: &Uri<'_>) -> Option<String> {
    if uri.opaque.starts_with('+') {
        return global_number(uri.opaque);
    }
    // RFC 3966 §5.1.5: a local number means something only within its context.
    let context = uri.param("phone-context")?;
    let mut text = String::from("tel:");
    for byte in uri.opaque.bytes() {
        if !matches!(byte, b'-' | b'.' | b'(' | b')') {
            text.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    if text.len() == "tel:".len() || context.is_empty() {
        return None;
    }
    text.push_str(";phone-context=");
    if context.starts_with('+') {
        let number = global_number(context)?;
        text.push_str(number.strip_prefix("tel:")?);
    } else {
        text.push_str(&context.to_ascii_lowercase());
    }
    Some(text)
}
