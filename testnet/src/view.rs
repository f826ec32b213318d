//! What the node shows of blocks, outputs and milestones, as JSON: the same facts over REST and over the event API.

use std::str::FromStr;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::Block;
use iota_sdk::types::block::output::dto::OutputDto;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::transaction::TransactionEssence;
use serde_json::{Value, json};
use tarefa_ledger::engine::{BlockRecord, Engine, InclusionState, MilestoneRecord, OutputRecord};
use tarefa_ledger::{BlockId, OutputId};

/// Metadata of a block. The two interfaces name its parents differently.
pub fn block_metadata(engine: &Engine, id: BlockId, record: &BlockRecord, parents_key: &str) -> Value {
    let parents: Vec<String> = record.parents.iter().map(ToString::to_string).collect();
    let mut body = json!({ "blockId": id.to_string(), parents_key: parents, "isSolid": true });
    if let Some(index) = record.meta.milestone_index() {
        body["milestoneIndex"] = index.into();
    }
    let Some(inclusion) = record.meta.inclusion else {
        let (promote, reattach) = engine.hints(&record.meta);
        body["shouldPromote"] = promote.into();
        body["shouldReattach"] = reattach.into();
        return body;
    };
    body["referencedByMilestoneIndex"] = inclusion.milestone.into();
    body["ledgerInclusionState"] = match inclusion.state {
        InclusionState::NoTransaction => "noTransaction".into(),
        InclusionState::Included => "included".into(),
        InclusionState::Conflicting(reason) => {
            body["conflictReason"] = reason.into();
            "conflicting".into()
        }
    };
    body["whiteFlagIndex"] = inclusion.position.into();
    body
}

/// Where an output came from and went.
pub fn output_metadata(engine: &Engine, id: &OutputId, record: &OutputRecord) -> Value {
    let mut body = json!({
        "blockId": record.block.to_string(),
        "transactionId": id.transaction_id().to_string(),
        "outputIndex": id.index(),
        "isSpent": record.spent.is_some(),
        "milestoneIndexBooked": record.booked,
        "milestoneTimestampBooked": record.booked_at,
        "ledgerIndex": engine.confirmed(),
    });
    if let Some(spent) = record.spent {
        body["milestoneIndexSpent"] = spent.milestone.into();
        body["milestoneTimestampSpent"] = spent.at.into();
        body["transactionIdSpent"] = spent.transaction.to_string().into();
    }
    body
}

/// An output with its metadata.
pub fn output(engine: &Engine, id: &OutputId, record: &OutputRecord) -> Value {
    json!({ "metadata": output_metadata(engine, id, record), "output": OutputDto::from(record.output.as_ref()) })
}

/// A milestone in short.
pub fn milestone_info(record: &MilestoneRecord) -> Value {
    json!({
        "index": record.payload.essence().index().0,
        "timestamp": record.timestamp,
        "milestoneId": record.id.to_string(),
    })
}

/// The tag in a block's bytes: of its own data, or of that in its transaction.
pub fn tag(raw: &[u8]) -> Option<Vec<u8>> {
    let block = Block::unpack_unverified(raw).ok()?;
    match block.payload()? {
        Payload::TaggedData(data) => Some(data.tag().to_vec()),
        Payload::Transaction(transaction) => {
            let TransactionEssence::Regular(essence) = transaction.essence();
            match essence.payload()? {
                Payload::TaggedData(data) => Some(data.tag().to_vec()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// An id of the SDK from its text. Its parser panics on a text with other than ASCII characters.
pub fn id<T: FromStr>(text: &str) -> Option<T> {
    if text.is_ascii() && text.starts_with("0x") { text.parse().ok() } else { None }
}
