//! Search: by number or id of anything, by address, by tag.

use iota_sdk::types::block::address::Bech32Address;
use serde_json::{Value, json};
use tarefa_ledger::{BlockId, MilestoneId, OutputId, TransactionId};

use super::block;
use crate::faucet;
use crate::node::Node;
use crate::view;

/// Newest blocks whose tags are looked at: there is no index of tags, here as in the original.
const TAGS_LOOKED_AT: u64 = 20_000;
/// Blocks looked at under one lock of the ledger.
const CHUNK: usize = 500;
/// Most hits of one search.
const HITS: usize = 50;

/// What a text names: `{ "kind": …, … }`.
pub fn find(node: &Node, text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Err("type a number, an id, an address or a tag".into());
    }
    let found = milestone(node, text).or_else(|| id(node, text)).or_else(|| address(node, text));
    match found {
        Some(found) => Ok(found),
        None => tagged(node, text),
    }
}

fn found_block(node: &Node, id: BlockId) -> Option<Value> {
    node.engine().meta(&id).map(|meta| json!({ "kind": "block", "id": id.to_string(), "number": meta.sequence }))
}

fn milestone(node: &Node, text: &str) -> Option<Value> {
    let index: u32 = text.parse().ok()?;
    let made = node.engine().milestone(index)?;
    found_block(node, made.block)
}

fn id(node: &Node, text: &str) -> Option<Value> {
    if let Some(id) = view::id::<BlockId>(text) {
        let bytes = *id;
        let engine = node.engine();
        let block = match engine.meta(&id) {
            Some(_) => Some(id),
            None => engine
                .included_block(&TransactionId::new(bytes))
                .or_else(|| engine.milestone_by_id(&MilestoneId::new(bytes)).map(|made| made.block)),
        };
        drop(engine);
        return block.and_then(|block| found_block(node, block));
    }
    let id: OutputId = view::id(text)?;
    let engine = node.engine();
    let record = engine.output(&id)?;
    let number = engine.meta(&record.block).map(|meta| meta.sequence);
    let output = block::output(&engine, &id, &record.output);
    Some(json!({ "kind": "output", "number": number, "output": output, "bookedBy": record.booked }))
}

fn address(node: &Node, text: &str) -> Option<Value> {
    let address = Bech32Address::try_from_str(text).ok()?.into_inner();
    let engine = node.engine();
    let outputs: Vec<Value> = engine
        .unspent()
        .naming(&address)
        .take(HITS)
        .filter_map(|(_, id)| engine.output(id).map(|record| block::output(&engine, id, &record.output)))
        .collect();
    let balance = faucet::balance(&engine, &address).to_string();
    Some(json!({ "kind": "address", "address": text, "balance": balance, "outputs": outputs }))
}

fn tagged(node: &Node, text: &str) -> Result<Value, String> {
    let wanted = match text.strip_prefix("0x").map(hex::decode) {
        Some(Ok(bytes)) => bytes,
        _ => text.as_bytes().to_vec(),
    };
    let mut to = node.engine().next_sequence();
    let end = to.saturating_sub(TAGS_LOOKED_AT);
    let mut hits = vec![];
    while to > end && hits.len() < HITS {
        let engine = node.engine();
        let from = to.saturating_sub(CHUNK as u64).max(end);
        for sequence in engine.sequences(from..to, CHUNK).into_iter().rev() {
            let Some((id, record)) = engine.at(sequence) else { continue };
            if view::tag(&record.raw).is_some_and(|tag| tag.starts_with(&wanted)) && hits.len() < HITS {
                hits.push(json!({ "id": id.to_string(), "number": sequence }));
            }
        }
        to = from;
    }
    if hits.is_empty() {
        return Err(format!("nothing here is called `{text}`, and none of the newest blocks has a tag like it"));
    }
    Ok(json!({ "kind": "tag", "tag": text, "blocks": hits }))
}
