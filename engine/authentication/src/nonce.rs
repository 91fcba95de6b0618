//! Nonces that nobody has to remember: the time, a number, and a keyed hash of both.
//!
//! The key is kept with the users, so every shard and every life of the server takes the nonces of all others: a restart
//! asks nobody for a password again.

use std::fmt::Write as _;

use machine::Wall;
use sip::digest;

/// How long a nonce is taken: as long as a publication or a subscription usually lives, so that most refreshes need no
/// challenge. After a restart, when what was used is forgotten, a request that somebody copied can be played again for so long.
pub const NONCE_SECONDS_MAX: u64 = 3600;

/// Hexadecimal digits of seconds, number and hash.
const DIGITS: (usize, usize, usize) = (10, 16, 32);

/// When a nonce was made, and its number: the order in which nonces lapse.
pub(crate) type Made = (u64, u64);

/// A nonce made now. No two clients should get the same `unique`: they would use up each other's counts.
pub fn nonce(key: &[u8; 32], now: Wall, unique: u64) -> String {
    write(key, (now.as_millis() / 1000, unique))
}

fn write(key: &[u8; 32], (seconds, unique): Made) -> String {
    let mut text = format!("{seconds:010x}{unique:016x}");
    let hash = digest::keyed(key, &[b"nonce", text.as_bytes()]);
    for byte in &hash[..DIGITS.2 / 2] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// When it was made, if we made it and it is neither over nor from the future.
pub(crate) fn read(key: &[u8; 32], now: Wall, nonce: &str) -> Option<Made> {
    if nonce.len() != DIGITS.0 + DIGITS.1 + DIGITS.2 || !nonce.is_ascii() {
        return None;
    }
    let (seconds, rest) = nonce.split_at(DIGITS.0);
    let (unique, _) = rest.split_at(DIGITS.1);
    let made = (
        u64::from_str_radix(seconds, 16).ok()?,
        u64::from_str_radix(unique, 16).ok()?,
    );
    if !digest::same(write(key, made).as_bytes(), nonce.as_bytes()) {
        return None;
    }
    let age = (now.as_millis() / 1000).checked_sub(made.0)?;
    (age <= NONCE_SECONDS_MAX).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [3; 32];

    #[test]
    fn a_nonce_is_taken_by_who_has_the_key_until_it_is_over() {
        let made = Wall::from_millis(1_700_000_000_000);
        let text = nonce(&KEY, made, 42);
        let after = |seconds: u64| Wall::from_millis(made.as_millis() + seconds * 1000);
        assert_eq!(read(&KEY, made, &text), Some((1_700_000_000, 42)));
        assert!(read(&KEY, after(NONCE_SECONDS_MAX), &text).is_some());
        assert_eq!(read(&KEY, after(NONCE_SECONDS_MAX + 1), &text), None);
        assert_eq!(
            read(&KEY, Wall::from_millis(made.as_millis() - 1000), &text),
            None
        );
        assert_eq!(read(&[4; 32], made, &text), None);
    }

    #[test]
    fn no_letter_of_it_can_be_another() {
        let made = Wall::from_millis(1_700_000_000_000);
        let text = nonce(&KEY, made, 42);
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'1' { b'2' } else { b'1' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(read(&KEY, made, &other), None, "{other}");
        }
        for other in [
            "",
            "0",
            &text[1..],
            &text.to_ascii_uppercase(),
            &"é".repeat(29),
        ] {
            assert_eq!(read(&KEY, made, other), None, "{other}");
        }
    }
}
