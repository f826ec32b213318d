//! Blocks in the order in which they were taken, as few bytes as a drawing needs.

use std::ops::Range;

use serde_json::{Value, json};
use tarefa_ledger::engine::{BlockRecord, Carries, Engine, InclusionState};

use super::{Query, message};
use crate::node::Node;

/// Most blocks of one answer.
const MOST: usize = 5_000;
/// Blocks read under one lock of the ledger: posts go on in between.
const CHUNK: usize = 500;

/// `?after=N`: the blocks after number N, or without it the newest; `?before=N`: those before it. `&most=N`.
///
/// A block is `[number, kind, milestone that references it or 0, state, [numbers of its parents], name?]`; kinds are
/// 0 nothing, 1 data, 2 transaction, 3 milestone, 4 message of the market; states 0 waiting, 1 referenced, 2 applied,
/// 3 conflicting.
pub fn blocks(node: &Node, query: &Query) -> Value {
    let most = query.number("most").and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST).min(MOST);
    let next = node.engine().next_sequence();
    let (from, to) = match (query.number("after"), query.number("before")) {
        (Some(after), _) => (after.saturating_add(1), next),
        (None, Some(before)) => (before.saturating_sub(most as u64), before.min(next)),
        (None, None) => (next.saturating_sub(most as u64), next),
    };
    let mut blocks: Vec<Value> = vec![];
    let mut offers = node.offers();
    let mut at = from;
    while blocks.len() < most && at < to {
        let found = read(&node.engine(), at..to, CHUNK.min(most - blocks.len()));
        let Some((last, _)) = found.last() else { break };
        at = last.meta.sequence + 1;
        // Signatures are checked after the lock is gone.
        blocks.extend(found.into_iter().map(|(record, parents)| short(&record, &parents, &mut offers)));
    }
    node.learn(offers);
    let engine = node.engine();
    json!({ "confirmed": engine.confirmed(), "pruned": engine.pruned(), "next": next, "blocks": blocks })
}

/// Blocks with the numbers of their parents.
fn read(engine: &Engine, range: Range<u64>, most: usize) -> Vec<(BlockRecord, Vec<u64>)> {
    let numbers = |record: &BlockRecord| {
        record.parents.iter().filter_map(|id| engine.meta(id)).map(|meta| meta.sequence).collect()
    };
    let found = engine.sequences(range, most).into_iter().filter_map(|sequence| engine.at(sequence));
    found.map(|(_, record)| (numbers(&record), record)).map(|(parents, record)| (record, parents)).collect()
}

fn short(record: &BlockRecord, parents: &[u64], offers: &mut message::Offers) -> Value {
    let meta = &record.meta;
    let name = match meta.carries {
        Carries::Data => message::of(record).map(|found| {
            offers.extend(found.offers());
            found.name(offers)
        }),
        _ => None,
    };
    let kind = match meta.carries {
        Carries::Nothing => 0,
        Carries::Data if name.is_some() => 4,
        Carries::Data => 1,
        Carries::Transaction => 2,
        Carries::Milestone(_) => 3,
    };
    let state = match meta.inclusion.map(|inclusion| inclusion.state) {
        None => 0,
        Some(InclusionState::NoTransaction) => 1,
        Some(InclusionState::Included) => 2,
        Some(InclusionState::Conflicting(_)) => 3,
    };
    let by = meta.inclusion.map_or(0, |inclusion| inclusion.milestone);
    match name {
        Some(name) => json!([meta.sequence, kind, by, state, parents, name]),
        None => json!([meta.sequence, kind, by, state, parents]),
    }
}
