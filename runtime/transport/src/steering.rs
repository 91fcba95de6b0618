//! Which socket of a port group takes a datagram: answers to our requests go home by themselves, the rest is spread.
//!
//! Our branch is always the first parameter of our Via, and the three hexadecimal digits of the owner's partition
//! follow the magic cookie (RFC 3261 §8.1.1.7). In a 200 whose first header field is that Via, the digits stand at a
//! place that only the length of our sent-by decides. Where a peer writes it otherwise the datagram is spread, and the
//! thread that gets it hands it over: steering saves work, nothing depends on it.

use machine::PARTITIONS;

use crate::socket::Instruction;

/// Every common way that a peer writes what stands before our sent-by in a 200.
const BEFORE_SENT_BY: [&str; 3] = [
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP ",
    "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP ",
    "SIP/2.0 200 OK\r\nVia:SIP/2.0/UDP ",
];
const AFTER_SENT_BY: &str = ";branch=z9hG4bK";

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_LENGTH: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_LEN) as u16;
const LOAD_X_MEMORY: u16 = (libc::BPF_LDX | libc::BPF_MEM) as u16;
const STORE: u16 = libc::BPF_ST as u16;
const TO_X: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const FROM_X: u16 = (libc::BPF_MISC | libc::BPF_TXA) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const ADD_X: u16 = (libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X) as u16;
const MULTIPLY: u16 = (libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K) as u16;
const MODULO: u16 = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
const SHIFT_RIGHT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_A) as u16;

/// The program for a group of `shards` sockets; `sent_by` are the forms in which our Via may name this port.
pub fn program(sent_by: &[&str], shards: u16) -> Vec<Instruction> {
    let shards = u32::from(shards.max(1));
    let mut places: Vec<usize> = sent_by
        .iter()
        .flat_map(|name| {
            BEFORE_SENT_BY.map(|before| before.len() + name.len() + AFTER_SENT_BY.len())
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    let mut program = Vec::new();
    for place in places {
        append_answer(&mut program, place as u32, shards);
    }
    program.push(plain(
        LOAD_WORD,
        (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32,
    ));
    program.push(plain(MODULO, shards));
    program.push(plain(RETURN, 0));
    program
}

/// Returns the owner's index when this is an answer with our digits at `place`, else goes on behind.
fn append_answer(program: &mut Vec<Instruction>, place: u32, shards: u32) {
    let mut block = vec![plain(LOAD_LENGTH, 0), plain(JUMP_AT_LEAST, place + 3)];
    for (offset, word) in [(0, b"SIP/"), (place - 8, b"=z9h"), (place - 4, b"G4bK")] {
        block.push(plain(LOAD_WORD, offset));
        block.push(plain(JUMP_EQUAL, u32::from_be_bytes(*word)));
    }
    for digit in 0..3 {
        // One digit's value without a branch: (c & 15) + 9 × (c >> 6), right for 0-9, a-f, A-F.
        block.push(plain(LOAD_BYTE, place + digit));
        block.push(plain(TO_X, 0));
        block.push(plain(SHIFT_RIGHT, 6));
        block.push(plain(MULTIPLY, 9));
        block.push(plain(STORE, 0));
        block.push(plain(FROM_X, 0));
        block.push(plain(AND, 15));
        block.push(plain(LOAD_X_MEMORY, 0));
        block.push(plain(ADD_X, 0));
        if digit > 0 {
            // What was read before moves up by four bits.
            block.push(plain(LOAD_X_MEMORY, 1));
            block.push(plain(ADD_X, 0));
        }
        if digit < 2 {
            block.push(plain(MULTIPLY, 16));
            block.push(plain(STORE, 1));
        }
    }
    // Foreign characters may make a number beyond the last partition.
    block.push(plain(AND, u32::from(PARTITIONS) - 1));
    block.push(plain(MULTIPLY, shards));
    block.push(plain(SHIFT_RIGHT, u32::from(PARTITIONS).trailing_zeros()));
    block.push(plain(RETURN, 0));
    let length = block.len();
    for (index, instruction) in block.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP_EQUAL | JUMP_AT_LEAST) {
            instruction.jump_false = u8::try_from(length - index - 1).unwrap_or(u8::MAX);
        }
    }
    program.extend(block);
}

const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        jump_true: 0,
        jump_false: 0,
        operand,
    }
}
