//! From the header field to who wrote it.

use machine::Wall;
use machine::settings::Digest;
use sip::digest::{self, Algorithm, Credentials};

use crate::nonce::{self, nonce};
use crate::replay::Replay;

/// What the credentials are checked against.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// As in the start line.
    pub method: &'a str,
    /// Whether the credentials' `uri` is what is asked for (RFC 7616 §3.4.6, RFC 3261 §22.4 item 5).
    pub is_uri: &'a dyn Fn(&str) -> bool,
}

/// Why nobody is proved to have written a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are no credentials for a realm of ours: challenge.
    Missing,
    /// The password was right, the nonce is over or was used like that before: challenge with `stale`.
    Stale,
    /// Nobody's user name, the wrong password, or an algorithm that isn't offered: challenge.
    Wrong,
    /// 400, with the reason: what a client that works never writes.
    Malformed(&'static str),
}

/// Takes the place of what unknown users would have, so that they take as long as known ones.
const NOBODYS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The canonical address of record of whoever wrote the first credentials for a realm of ours.
///
/// # Errors
/// Nobody is proved.
pub fn verify<'d, 'v>(
    digest: &'d Digest,
    values: impl IntoIterator<Item = &'v str>,
    request: &Request<'_>,
    now: Wall,
    replay: &mut Replay,
) -> Result<&'d str, Refused> {
    for value in values {
        let credentials = match Credentials::read(value) {
            None => continue,
            Some(read) => read.map_err(Refused::Malformed)?,
        };
        if digest.is_realm(&credentials.realm) {
            return prove(digest, &credentials, request, now, replay);
        }
    }
    Err(Refused::Missing)
}

fn prove<'d>(
    digest: &'d Digest,
    credentials: &Credentials<'_>,
    request: &Request<'_>,
    now: Wall,
    replay: &mut Replay,
) -> Result<&'d str, Refused> {
    // RFC 8760 §2.3: `qop` has to be there, for we send it.
    if credentials
        .qop
        .is_none_or(|qop| !qop.eq_ignore_ascii_case("auth"))
    {
        return Err(Refused::Malformed("Authorization is not of qop=auth"));
    }
    let count = credentials.count().filter(|count| *count > 0);
    let count = count.ok_or(Refused::Malformed("Authorization has no good nc"))?;
    if credentials.cnonce.is_empty() {
        return Err(Refused::Malformed("Authorization has no cnonce"));
    }
    if !(request.is_uri)(credentials.uri) {
        return Err(Refused::Malformed("Authorization is for another URI"));
    }
    let offered = |algorithm: &Algorithm| digest.algorithms.contains(algorithm);
    let algorithm = credentials
        .algorithm
        .filter(offered)
        .ok_or(Refused::Wrong)?;
    let user = digest.user(&credentials.realm, &credentials.username);
    let ha1 = user.and_then(|user| user.ha1(algorithm));
    let proved = credentials.prove(algorithm, ha1.unwrap_or(NOBODYS), request.method);
    let (Some(user), Some(_), true) = (user, ha1, proved) else {
        return Err(Refused::Wrong);
    };
    // RFC 7616 §3.3: `stale` only for who knew the password, so the nonce is looked at last.
    let nonce = nonce::read(&digest.nonce_key, now, credentials.nonce).ok_or(Refused::Stale)?;
    if !replay.take(now, nonce, count) {
        return Err(Refused::Stale);
    }
    Ok(&user.aor)
}

/// The values of as many header fields as algorithms are offered, in their order. `unique`: any number that no other client gets.
pub fn challenges(
    digest: &Digest,
    realm: &str,
    now: Wall,
    unique: u64,
    refused: Refused,
) -> Vec<String> {
    let nonce = nonce(&digest.nonce_key, now, unique);
    digest::challenges(realm, &nonce, &digest.algorithms, refused == Refused::Stale)
}
