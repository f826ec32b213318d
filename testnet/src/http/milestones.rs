//! Milestones and what they did to the ledger.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::dto::PayloadDto;
use serde_json::json;
use tarefa_ledger::engine::{Engine, MilestoneRecord};

use super::answer::{self, Failure};
use super::params;
use crate::node::Node;

fn find_by_index<'a>(engine: &'a Engine, text: &str) -> Result<&'a MilestoneRecord, Failure> {
    let index = params::index(text)?;
    engine.milestone(index).ok_or_else(|| Failure::missing(format!("milestone index not found: {index}")))
}

fn find_by_id<'a>(engine: &'a Engine, text: &str) -> Result<&'a MilestoneRecord, Failure> {
    let id = params::exact(text, "milestone ID")?;
    let missing = || Failure::missing(format!("milestone not found: 0x{}", hex::encode(id)));
    // Asked for by people, not by programs: a look at all of them is quick enough.
    (1..=engine.confirmed()).rev().filter_map(|i| engine.milestone(i)).find(|m| *m.id == id).ok_or_else(missing)
}

fn give(record: &MilestoneRecord, headers: &HeaderMap) -> Response {
    let payload = Payload::from(record.payload.clone());
    if answer::wants_raw(headers) {
        answer::raw(payload.pack_to_vec())
    } else {
        answer::json(&PayloadDto::from(&payload))
    }
}

fn changes(record: &MilestoneRecord) -> Response {
    // By id, as the original lists them.
    let texts = |ids: &[tarefa_ledger::OutputId]| {
        let mut texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts
    };
    answer::json(&json!({
        "index": record.payload.essence().index().0,
        "createdOutputs": texts(&record.created),
        "consumedOutputs": texts(&record.consumed),
    }))
}

pub async fn by_index(
    State(node): State<Arc<Node>>,
    Path(index): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    Ok(give(find_by_index(&node.engine(), &index)?, &headers))
}

pub async fn by_id(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    Ok(give(find_by_id(&node.engine(), &id)?, &headers))
}

pub async fn changes_by_index(State(node): State<Arc<Node>>, Path(index): Path<String>) -> Result<Response, Failure> {
    Ok(changes(find_by_index(&node.engine(), &index)?))
}

pub async fn changes_by_id(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Response, Failure> {
    Ok(changes(find_by_id(&node.engine(), &id)?))
}
