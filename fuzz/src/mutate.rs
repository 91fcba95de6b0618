//! Seeded mutations, for runs without a fuzzer: a small walk around what is known.

use machine::Random;

/// Pieces that matter to one of the parsers more often than chance finds them.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"<",
    b">",
    b"\"",
    b"\\",
    b"=",
    b"@",
    b"/",
    b"?",
    b"%",
    b"%00",
    b"%41",
    b"*",
    b"[",
    b"]",
    b"[::1]",
    b"-",
    b"-1",
    b"0",
    b"4294967296",
    b"99999999999999999999",
    b"\xff",
    b"\xc3\xa9",
    b"sip:",
    b"sips:",
    b"tel:+1",
    b"SIP/2.0",
    b"SIP/2.0/UDP ",
    b"\r\nVia: ",
    b"\r\nTo: ",
    b"\r\nl: 0",
    b"\r\nContent-Length: 5",
    b"branch=",
    b"tag=",
    b"rport",
    b"&amp;",
    b"&#x41;",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<a/>",
    b"</a>",
    b" xmlns=''",
    b" xmlns:a='urn:a'",
    b"<?x?>",
];

/// A few mutations of `seed`; `other` is spliced in now and then.
pub fn mutated(random: &mut Random, seed: &[u8], other: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        step(random, &mut bytes, other);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn step(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let place = |random: &mut Random, length: usize| random.below(length as u64 + 1) as usize;
    let at = place(random, bytes.len());
    let span = 1 + random.below(12) as usize;
    let end = (at + span).min(bytes.len());
    match random.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            let to = place(random, bytes.len());
            bytes.splice(to..to, copy);
        }
        4 | 5 => {
            let piece = PIECES[random.below(PIECES.len() as u64) as usize];
            bytes.splice(at..at, piece.iter().copied());
        }
        6 => {
            let piece = PIECES[random.below(PIECES.len() as u64) as usize];
            bytes.splice(at..end, piece.iter().copied());
        }
        7 => {
            let from = place(random, other.len());
            let until = (from + 1 + random.below(60) as usize).min(other.len());
            bytes.splice(at..end, other[from..until].iter().copied());
        }
        _ => bytes.truncate(at.max(bytes.len() / 2)),
    }
}
