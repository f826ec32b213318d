//! Blocks: taking them, giving them back, and what became of them.

mod json;

use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::{Block, BlockDto};
use serde_json::json;
use tarefa_ledger::engine::{Engine, Refusal};
use tarefa_ledger::{BlockId, OutputId, ProtocolParameters, TransactionId};

use super::answer::{self, Failure};
use super::params;
use crate::node::{Node, PostError};
use crate::view;
use json::JsonError;

/// Where the number of parents stands in a block's bytes.
const PARENT_COUNT_AT: usize = 1;
/// Bytes of the nonce at the end of a block.
const NONCE_LEN: usize = 8;

pub fn submit(node: &Arc<Node>, headers: &HeaderMap, body: &[u8]) -> Result<Response, Failure> {
    let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    let raw = if kind.starts_with(answer::RAW.as_bytes()) {
        body.to_vec()
    } else if kind.starts_with(b"application/json") {
        json::encode(body).map_err(not_json)?
    } else {
        return Err(Failure::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    };
    let raw = with_tips(raw, &node.engine()).map_err(Failure::bad)?;
    let id = node.post(&raw).map_err(|error| match error {
        PostError::Refused(refusal) => refused(refusal, &kind),
        PostError::Unkept => Failure::new(StatusCode::SERVICE_UNAVAILABLE, error),
    })?;
    let body = json!({ "blockId": id.to_string() });
    let mut response = (StatusCode::CREATED, answer::json(&body)).into_response();
    if let Ok(location) = id.to_string().parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn not_json(error: JsonError) -> Failure {
    match error {
        JsonError::Decode(why) => {
            Failure::bad(format!("invalid block, error: code=400, message={why}, internal={why}"))
        }
        JsonError::Attach(why) => Failure::bad(format!("failed to attach block: {why}: invalid block")),
        JsonError::Crash => Failure::internal("runtime error: invalid memory address or nil pointer dereference"),
    }
}

/// What came as JSON was readable; that its bytes are not is found when it is attached.
fn refused(refusal: Refusal, kind: &[u8]) -> Failure {
    match refusal {
        Refusal::Unreadable(cause) if kind.starts_with(b"application/json") => Failure::bad(Refusal::Invalid(cause)),
        other => Failure::bad(other),
    }
}

/// A block without parents gets the node's tips; its nonce must be 0 then.
fn with_tips(raw: Vec<u8>, engine: &Engine) -> Result<Vec<u8>, Refusal> {
    if raw.get(PARENT_COUNT_AT) != Some(&0) || raw.len() < PARENT_COUNT_AT + 1 + NONCE_LEN {
        return Ok(raw);
    }
    // An unknown version is the first thing that is wrong.
    if raw[0] != engine.params().protocol_version() {
        return Err(Refusal::Invalid(format!("protocolVersion invalid: {}", raw[0])));
    }
    if raw[raw.len() - NONCE_LEN..] != [0; NONCE_LEN] {
        return Err(Refusal::Invalid("no parents were given but nonce was != 0".into()));
    }
    let tips = sorted_tips(engine);
    let mut whole = vec![raw[0], tips.len() as u8];
    for tip in tips {
        whole.extend_from_slice(tip.as_ref());
    }
    whole.extend_from_slice(&raw[PARENT_COUNT_AT + 1..]);
    Ok(whole)
}

fn sorted_tips(engine: &Engine) -> Vec<BlockId> {
    let mut tips = engine.tips();
    tips.sort_unstable();
    tips.dedup();
    tips
}

pub fn block(engine: &Engine, id: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    give(engine, BlockId::new(params::padded(id, "block ID")?), headers)
}

fn give(engine: &Engine, id: BlockId, headers: &HeaderMap) -> Result<Response, Failure> {
    let record = engine.block(&id).ok_or_else(|| not_found(id))?;
    if answer::wants_raw(headers) {
        return Ok(answer::raw(record.raw.to_vec()));
    }
    let block = parse(&record.raw, engine.params())?;
    Ok(answer::json(&BlockDto::from(&block)))
}

fn parse(raw: &[u8], params: &ProtocolParameters) -> Result<Block, Failure> {
    let lost = |error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a stored block: {error:?}"));
    Block::unpack_verified(raw, params).map_err(lost)
}

fn not_found(id: BlockId) -> Failure {
    Failure::missing(format!("block not found: {id}"))
}

pub fn metadata(engine: &Engine, id: &str) -> Result<Response, Failure> {
    give_metadata(engine, BlockId::new(params::padded(id, "block ID")?))
}

fn give_metadata(engine: &Engine, id: BlockId) -> Result<Response, Failure> {
    let record = engine.block(&id).ok_or_else(|| not_found(id))?;
    Ok(answer::json(&view::block_metadata(engine, id, &record, "parents")))
}

fn included_id(engine: &Engine, text: &str) -> Result<BlockId, Failure> {
    let transaction = TransactionId::new(params::exact(text, "transaction ID")?);
    if let Some(block) = engine.included_block(&transaction) {
        return Ok(block);
    }
    // A genesis output was made by no block; the original looks for the zero one.
    match OutputId::new(transaction, 0).ok().and_then(|id| engine.output(&id)) {
        Some(_) => Err(not_found(BlockId::null())),
        None => Err(Failure::missing(format!("output for transaction not found: {transaction}"))),
    }
}

pub fn included(engine: &Engine, id: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    give(engine, included_id(engine, id)?, headers)
}

pub fn included_metadata(engine: &Engine, id: &str) -> Result<Response, Failure> {
    give_metadata(engine, included_id(engine, id)?)
}
