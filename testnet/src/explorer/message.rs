//! The messages of the market, as far as an observer can tell: who to whom and which part; what they say is sealed.

use std::collections::HashSet;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use serde_json::{Value, json};
use tarefa_ledger::Block;
use tarefa_ledger::engine::BlockRecord;
use tarefa_protocol::parts::{self, Part};
use tarefa_protocol::{PartyId, codec};

/// Bytes of the signature before a part.
const SIGNATURE: usize = 64;

/// Who has offered to run tasks. That tells which way a message goes.
pub type Offers = HashSet<PartyId>;

/// A part of a message.
pub struct Message(Part);

/// The part in a block, if it carries one whose signature holds.
pub fn of(record: &BlockRecord) -> Option<Message> {
    let block = Block::unpack_unverified(&record.raw[..]).ok()?;
    let Some(Payload::TaggedData(data)) = block.payload() else { return None };
    let part: Part = codec::decode(data.data().get(SIGNATURE..)?).ok()?;
    // As of its own last moment: the explorer also shows what has expired.
    parts::read(data.data(), &part.header.ledger, part.header.not_after).ok().map(Message)
}

impl Message {
    /// Who offers with it, if it is an offer: nothing else is for everyone.
    pub fn offers(&self) -> Option<PartyId> {
        self.0.header.recipient.is_none().then_some(self.0.header.sender)
    }

    fn kind(&self, offers: &Offers) -> &'static str {
        match self.0.header.recipient {
            None => "offer",
            // Two kinds go this way, and a cancellation is rare.
            Some(recipient) if offers.contains(&recipient) => "submit",
            Some(_) if offers.contains(&self.0.header.sender) => "answer",
            Some(_) => "message",
        }
    }

    /// What it is called: `submit part 3/17`.
    pub fn name(&self, offers: &Offers) -> String {
        match self.0.total {
            1 => self.kind(offers).to_owned(),
            total => format!("{} part {}/{total}", self.kind(offers), self.0.index + 1),
        }
    }

    /// All that can be seen of it.
    pub fn facts(&self, offers: &Offers) -> Value {
        let header = &self.0.header;
        let note = match self.kind(offers) {
            "offer" => "open to everyone",
            "submit" => "sealed to the executor: a task, or a cancellation",
            "answer" => "sealed to the submitter: accept, result, quote, release or reject",
            _ => "sealed",
        };
        json!({
            "name": self.name(offers),
            "note": note,
            "message": header.message.to_string(),
            "from": header.sender.to_string(),
            "to": header.recipient.map(|party| party.to_string()),
            "validUntil": header.not_after.0,
            "bytes": self.0.chunk.0.len(),
        })
    }
}
