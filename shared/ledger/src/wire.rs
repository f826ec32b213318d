//! Blocks as strangers post them: read for their structure first, then checked rule by rule, with the causes that
//! HORNET gives.
//!
//! The SDK's parser says yes or no in its own words; clients of a node see the node's. A block that passes here is
//! parsed by the SDK all the same, so that nothing malformed gets further.

mod check;
mod output;
mod reader;
mod transaction;

pub use check::check;

use reader::Reader;
use transaction::Transaction;

/// Largest block (TIP-24).
pub const BLOCK_MAX: usize = 32_768;

/// Kinds of payloads.
const TAGGED_DATA: u32 = 5;
const TRANSACTION: u32 = 6;
const MILESTONE: u32 = 7;

/// Bytes of a payload's kind.
const KIND_LEN: usize = 4;

/// Bytes of a tag (TIP-23).
const TAG_MAX: usize = 64;

/// A block read without judging it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseBlock {
    /// Version byte.
    pub version: u8,
    /// Parents, in whatever order.
    pub parents: Vec<[u8; 32]>,
    payload: Payload,
    /// Nonce.
    pub nonce: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Payload {
    None,
    TaggedData,
    Transaction(Box<Transaction>),
    Milestone,
}

/// Reads a block's structure. The error is the cause, without what every refusal begins with.
pub fn read(raw: &[u8]) -> Result<LooseBlock, String> {
    if raw.len() > BLOCK_MAX {
        return Err(format!("block exceeds max size: size {} bytes", raw.len()));
    }
    let mut reader = Reader::new(raw);
    let version = reader.u8().map_err(|e| format!("unable to deserialize block protocol version: {e}"))?;
    let parents = parents(&mut reader).map_err(|e| format!("unable to deserialize block parents: {e}"))?;
    let payload = payload(&mut reader).map_err(|e| format!("unable to deserialize block's inner payload: {e}"))?;
    let nonce = reader.u64().map_err(|e| format!("unable to deserialize block nonce: {e}"))?;
    match reader.left() {
        0 => Ok(LooseBlock { version, parents, payload, nonce }),
        left => Err(format!(
            "not all data has been consumed but should have been: unable to deserialize block: {left} bytes are \
             still available"
        )),
    }
}

fn parents(reader: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, String> {
    let count = reader.u8()?;
    (0..count).map(|_| reader.array()).collect()
}

fn payload(reader: &mut Reader<'_>) -> Result<Payload, String> {
    let denoted = reader.u32()? as usize;
    if denoted == 0 {
        return Ok(Payload::None);
    }
    if denoted > reader.left() {
        let cause = reader::SHORT;
        return Err(format!("{cause}: payload length denotes more bytes than are available"));
    }
    let before = reader.left();
    let payload = match reader.u32()? {
        TAGGED_DATA => {
            tagged_data(reader)?;
            Payload::TaggedData
        }
        TRANSACTION => Payload::Transaction(Box::new(Transaction::read(reader)?)),
        MILESTONE => {
            // Only the coordinator makes these: its structure is left to the SDK.
            reader.take(denoted.saturating_sub(KIND_LEN))?;
            Payload::Milestone
        }
        kind => {
            return Err(format!(
                "a block can only contain a transaction/tagged data/milestone but got type ID {kind}: unsupported \
                 payload type"
            ));
        }
    };
    // What was read may be longer than what was denoted: the length is checked afterwards.
    match before - reader.left() {
        size if size == denoted => Ok(payload),
        size => Err(format!(
            "invalid bytes: denoted payload length ({denoted}) doesn't equal the size of deserialized payload ({size})"
        )),
    }
}

/// Tag and data of a tagged-data payload, after its type.
fn tagged_data(reader: &mut Reader<'_>) -> Result<(), String> {
    reader.bytes8(0, TAG_MAX).map_err(|e| format!("unable to deserialize tagged data tag: {e}"))?;
    let length = reader.u32().map_err(|e| format!("unable to deserialize tagged data data: {e}"))?;
    reader.take(length as usize).map_err(|e| format!("unable to deserialize tagged data data: {e}"))?;
    Ok(())
}

#[cfg(test)]
mod tests;
