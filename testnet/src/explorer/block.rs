//! Everything about one block.

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::Block;
use iota_sdk::types::block::address::ToBech32Ext;
use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::{Payload, TransactionPayload};
use serde_json::{Value, json};
use tarefa_ledger::engine::{BlockRecord, Engine};
use tarefa_ledger::{BlockId, OutputId, semantics};

use super::message;
use crate::node::Node;
use crate::view;

/// By its number or its id.
pub fn one(node: &Node, which: &str) -> Result<Value, String> {
    let engine = node.engine();
    let found = match which.parse::<u64>() {
        Ok(number) => engine.at(number),
        Err(_) => view::id::<BlockId>(which).and_then(|id| engine.block(&id).map(|record| (id, record))),
    };
    let (id, record) = found.ok_or_else(|| format!("no block `{which}` is kept here"))?;
    Ok(facts(node, &engine, id, &record))
}

fn facts(node: &Node, engine: &Engine, id: BlockId, record: &BlockRecord) -> Value {
    let mut facts = view::block_metadata(engine, id, record, "parents");
    let number = |id: &BlockId| engine.meta(id).map(|meta| meta.sequence);
    facts["number"] = record.meta.sequence.into();
    facts["size"] = record.raw.len().into();
    facts["parents"] = record.parents.iter().map(|id| json!({ "id": id.to_string(), "number": number(id) })).collect();
    let block = Block::unpack_unverified(&record.raw[..]).ok();
    match block.as_ref().and_then(Block::payload) {
        None => facts["kind"] = "no payload".into(),
        Some(Payload::TaggedData(data)) => {
            facts["kind"] = "tagged data".into();
            facts["tag"] = text(data.tag()).into();
            facts["dataBytes"] = data.data().len().into();
            if let Some(found) = message::of(record) {
                facts["kind"] = "message".into();
                facts["message"] = found.facts(&node.offers());
            }
        }
        Some(Payload::Milestone(milestone)) => {
            facts["kind"] = "milestone".into();
            facts["timestamp"] = milestone.essence().timestamp().into();
            let made = engine.milestone(milestone.essence().index().0);
            facts["references"] = made.map(|made| made.order.len()).into();
        }
        Some(Payload::Transaction(transaction)) => {
            facts["kind"] = "transaction".into();
            facts["transaction"] = transfer(engine, transaction);
        }
        Some(_) => facts["kind"] = "other".into(),
    }
    facts
}

fn transfer(engine: &Engine, transaction: &TransactionPayload) -> Value {
    let input = |id: OutputId| match engine.output(&id) {
        Some(record) => output(engine, &id, &record.output),
        None => json!({ "id": id.to_string() }),
    };
    let inputs: Vec<Value> = semantics::inputs(transaction).into_iter().map(input).collect();
    let outputs: Vec<Value> =
        semantics::outputs(transaction).iter().map(|(id, created)| output(engine, id, created)).collect();
    json!({ "id": transaction.id().to_string(), "inputs": inputs, "outputs": outputs })
}

/// An output in a line.
pub fn output(engine: &Engine, id: &OutputId, output: &Output) -> Value {
    let address = output.unlock_conditions().and_then(|all| all.address()).map(|condition| *condition.address());
    let spent = engine.output(id).is_some_and(|record| record.spent.is_some());
    let kind = match output {
        Output::Treasury(_) => "treasury",
        Output::Basic(_) => "basic",
        Output::Alias(_) => "alias",
        Output::Foundry(_) => "foundry",
        Output::Nft(_) => "NFT",
    };
    json!({
        "id": id.to_string(),
        "kind": kind,
        "amount": output.amount().to_string(),
        "address": address.map(|address| address.to_bech32(*engine.params().bech32_hrp()).to_string()),
        "spent": spent,
    })
}

/// A tag for people: as text where it is printable, else as hex.
pub fn text(tag: &[u8]) -> String {
    match std::str::from_utf8(tag) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex::encode(tag)),
    }
}
