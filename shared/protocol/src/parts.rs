//! Messages in parts: one part fits one block, carries its own signature, and may come in any order, twice.

use std::collections::BTreeSet;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::codec::{self, Bytes, CodecError};
use crate::envelope::Header;
use crate::ids::{Digest, LedgerId};
use crate::limits::{
    NOT_AFTER_MAX_S, PART_CHUNK_MAX, PARTIAL_PER_SENDER_MAX, PARTIAL_RESERVE_PERCENT, PARTIAL_TOTAL_MAX, PARTS_MAX,
};
use crate::time::LedgerSeconds;

const DOMAIN: &str = "tarefa/part/1";
const SIGNATURE_LEN: usize = 64;

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The same in all parts of a message.
    pub header: Header,
    /// Position, from 0.
    pub index: u32,
    /// Number of parts, at least 1.
    pub total: u32,
    /// The bytes of this part.
    pub chunk: Bytes,
}

/// Bytes that are no acceptable part. The block that carries them is foreign, not an error of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Not the encoding of a part.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Shorter than a signature.
    #[error("too short for a part")]
    Short,
    /// Signature does not verify under the sender it names.
    #[error("the part is not signed by the sender it names")]
    Signature,
    /// Index, total or size outside the limits.
    #[error("part {index} of {total} with {len} bytes is outside the limits")]
    Shape {
        /// Claimed position.
        index: u32,
        /// Claimed number of parts.
        total: u32,
        /// Bytes in it.
        len: usize,
    },
    /// Made for another ledger.
    #[error("made for ledger {0}, not this one")]
    Ledger(LedgerId),
    /// Its time has passed.
    #[error("expired at ledger time {0}")]
    Expired(LedgerSeconds),
    /// It claims to live longer than any honest message.
    #[error("claims to live until ledger time {0}")]
    TooLong(LedgerSeconds),
}

/// Cuts a packed message into signed parts, once: a re-post carries the identical bytes.
pub fn cut(header: &Header, message: &[u8], sender: &SigningKey) -> Vec<Vec<u8>> {
    let total = message.len().div_ceil(PART_CHUNK_MAX).max(1);
    (0..total)
        .map(|index| {
            let end = message.len().min((index + 1) * PART_CHUNK_MAX);
            let part = Part {
                header: header.clone(),
                index: index as u32,
                total: total as u32,
                chunk: Bytes(message[index * PART_CHUNK_MAX..end].to_vec()),
            };
            let signed = codec::encode(&part);
            let signature = sender.sign(&Digest::of(DOMAIN, &[&signed]).0);
            [signature.to_bytes().as_slice(), &signed].concat()
        })
        .collect()
}

/// Reads and checks one part as of `now` on `ledger`.
pub fn read(wire: &[u8], ledger: &LedgerId, now: LedgerSeconds) -> Result<Part, PartError> {
    let (signature, signed) = wire.split_at_checked(SIGNATURE_LEN).ok_or(PartError::Short)?;
    let part: Part = codec::decode(signed)?;
    let len = part.chunk.0.len();
    let inside = part.index < part.total && part.total <= PARTS_MAX && len <= PART_CHUNK_MAX && len > 0;
    // Only the last part may be shorter than the others.
    if !inside || (part.index + 1 < part.total && len < PART_CHUNK_MAX) {
        return Err(PartError::Shape { index: part.index, total: part.total, len });
    }
    if part.header.ledger != *ledger {
        return Err(PartError::Ledger(part.header.ledger));
    }
    if part.header.not_after < now {
        return Err(PartError::Expired(part.header.not_after));
    }
    if part.header.not_after > now.plus(NOT_AFTER_MAX_S) {
        return Err(PartError::TooLong(part.header.not_after));
    }
    let key = VerifyingKey::from_bytes(&part.header.sender.0).map_err(|_| PartError::Signature)?;
    let signature = Signature::from_slice(signature).map_err(|_| PartError::Signature)?;
    key.verify_strict(&Digest::of(DOMAIN, &[signed]).0, &signature).map_err(|_| PartError::Signature)?;
    Ok(part)
}

/// Which parts of a message are still missing, given those present.
pub fn missing(total: u32, present: &BTreeSet<u32>) -> Vec<u32> {
    (0..total).filter(|index| !present.contains(index)).collect()
}

/// Room for unfinished messages as the store counts it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Held for this sender already.
    pub of_sender: u64,
    /// Held for everybody.
    pub total: u64,
    /// Whether this sender has paid us, or been paid by us, before.
    pub known: bool,
}

/// What to do with a valid part of an unfinished message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Keep it.
    Keep,
    /// Evict the unfinished messages of the sender that holds most, then ask again.
    Evict,
    /// This sender holds too much itself: drop the part (the sender posts it again).
    Drop,
}

/// Decides on a part of `len` bytes. Strangers never take the reserve kept for known parties.
pub fn admit(len: usize, room: Room) -> Admission {
    let len = len as u64;
    if room.of_sender.saturating_add(len) > PARTIAL_PER_SENDER_MAX {
        return Admission::Drop;
    }
    let ceiling =
        if room.known { PARTIAL_TOTAL_MAX } else { PARTIAL_TOTAL_MAX / 100 * (100 - PARTIAL_RESERVE_PERCENT) };
    if room.total.saturating_add(len) > ceiling { Admission::Evict } else { Admission::Keep }
}

#[cfg(test)]
mod tests;
