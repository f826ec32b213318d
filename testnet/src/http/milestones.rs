//! Milestones and what they did to the ledger.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::dto::PayloadDto;
use serde_json::json;
use tarefa_ledger::MilestoneId;
use tarefa_ledger::engine::{Engine, MilestoneRecord};

use super::answer::{self, Failure};
use super::params;

fn find_by_id(engine: &Engine, text: &str) -> Result<Arc<MilestoneRecord>, Failure> {
    let id = params::exact(text, "milestone ID")?;
    let missing = || Failure::missing(format!("milestone not found: 0x{}", hex::encode(id)));
    engine.milestone_by_id(&MilestoneId::new(id)).ok_or_else(missing)
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

pub fn by_index(engine: &Engine, index: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let index = params::index(index)?;
    let missing = || Failure::missing(format!("milestone index not found: {index}"));
    Ok(give(&*engine.milestone(index).ok_or_else(missing)?, headers))
}

pub fn by_id(engine: &Engine, id: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    Ok(give(&*find_by_id(engine, id)?, headers))
}

pub fn changes_by_index(engine: &Engine, index: &str) -> Result<Response, Failure> {
    let index = params::index(index)?;
    let missing = || Failure::missing(format!("can't load milestone diff for index: {index}, error: key not found"));
    Ok(changes(&*engine.milestone(index).ok_or_else(missing)?))
}

pub fn changes_by_id(engine: &Engine, id: &str) -> Result<Response, Failure> {
    Ok(changes(&*find_by_id(engine, id)?))
}
