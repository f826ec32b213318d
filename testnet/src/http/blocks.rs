//! Blocks: taking them, giving them back, and what became of them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use iota_sdk::packable::PackableExt;
use iota_sdk::types::TryFromDto;
use iota_sdk::types::block::{Block, BlockDto};
use serde_json::{Value, json};
use tarefa_ledger::engine::{Engine, InclusionState, Refusal};
use tarefa_ledger::{BlockId, ProtocolParameters, TransactionId};

use super::answer::{self, Failure};
use super::params;
use crate::node::Node;

/// Where the number of parents stands in a block's bytes.
const PARENT_COUNT_AT: usize = 1;
/// Bytes of the nonce at the end of a block.
const NONCE_LEN: usize = 8;

pub async fn submit(State(node): State<Arc<Node>>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    let raw = if kind.starts_with(answer::RAW.as_bytes()) {
        with_tips(&body, &node.engine()).map_err(Failure::bad)?
    } else if kind.starts_with(b"application/json") {
        from_json(&body, &node.engine()).map_err(Failure::bad)?
    } else {
        return Err(Failure::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    };
    let (id, kept) = node.submit(&raw).map_err(refused)?;
    // Nothing is answered before it would survive a crash of this process.
    kept.await.map_err(|_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be written"))?;
    let body = json!({ "blockId": id.to_string() });
    let mut response = (StatusCode::CREATED, answer::json(&body)).into_response();
    if let Ok(location) = id.to_string().parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Malformed(text) | Refusal::Unsupported(text) => {
            Failure::bad(format!("failed to attach block: failed to deserialize block: {text}"))
        }
        Refusal::NotSolid => Failure::bad("failed to attach block: block is not solid"),
        Refusal::BelowMaxDepth => Failure::bad("failed to attach block: block is below max depth"),
    }
}

/// A block without parents gets the node's tips; its nonce must be 0 then.
fn with_tips(raw: &[u8], engine: &Engine) -> Result<Vec<u8>, String> {
    if raw.get(PARENT_COUNT_AT) != Some(&0) || raw.len() < PARENT_COUNT_AT + 1 + NONCE_LEN {
        return Ok(raw.to_vec());
    }
    if raw[raw.len() - NONCE_LEN..] != [0; NONCE_LEN] {
        return Err("no parents were given but nonce was != 0".into());
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

/// The SDK's form of a block is lenient: an unknown payload would become an empty one. What does not survive
/// being read and written again is refused.
fn from_json(body: &[u8], engine: &Engine) -> Result<Vec<u8>, String> {
    // Text after the object is ignored, as the original does.
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let mut value = match values.next() {
        Some(value) => value.map_err(|error| error.to_string())?,
        None => Value::Null,
    };
    let params = engine.params();
    let Some(fields) = value.as_object_mut() else { return Err("protocolVersion invalid: 0".into()) };
    if fields.get("nonce").is_none_or(|nonce| nonce.as_str() == Some("")) {
        fields.insert("nonce".into(), "0".into());
    }
    if fields.get("parents").is_none_or(|parents| parents.as_array().is_some_and(Vec::is_empty)) {
        if fields.get("nonce").and_then(Value::as_str) != Some("0") {
            return Err("no parents were given but nonce was != 0".into());
        }
        let tips: Vec<Value> = sorted_tips(engine).iter().map(|tip| tip.to_string().into()).collect();
        fields.insert("parents".into(), tips.into());
    }
    if let Some(payload) = fields.get_mut("payload").and_then(Value::as_object_mut) {
        payload.retain(|key, value| !(matches!(key.as_str(), "tag" | "data") && value.as_str() == Some("")));
    }
    lower_hex(&mut value);
    let dto: BlockDto = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if dto.protocol_version != params.protocol_version() {
        return Err(format!("protocolVersion invalid: {}", dto.protocol_version));
    }
    let block = Block::try_from_dto_with_params(dto.clone(), params).map_err(|error| error.to_string())?;
    if BlockDto::from(&block) != dto {
        return Err("the block is not the same after being read: unknown kinds or unsorted parents".into());
    }
    Ok(block.pack_to_vec())
}

fn lower_hex(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("0x") || text.starts_with("0X") => text.make_ascii_lowercase(),
        Value::Array(items) => items.iter_mut().for_each(lower_hex),
        Value::Object(fields) => fields.values_mut().for_each(lower_hex),
        _ => {}
    }
}

pub async fn block(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = BlockId::new(params::padded(&id, "block ID")?);
    give(&node.engine(), id, &headers)
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

pub async fn metadata(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = BlockId::new(params::padded(&id, "block ID")?);
    give_metadata(&node.engine(), id)
}

fn give_metadata(engine: &Engine, id: BlockId) -> Result<Response, Failure> {
    let record = engine.block(&id).ok_or_else(|| not_found(id))?;
    let parents: Vec<String> = record.parents.iter().map(ToString::to_string).collect();
    let mut body = json!({ "blockId": id.to_string(), "parents": parents, "isSolid": true });
    if let Some(inclusion) = record.inclusion {
        body["referencedByMilestoneIndex"] = inclusion.milestone.into();
        if let Some(index) = record.milestone_index {
            body["milestoneIndex"] = index.into();
        }
        body["ledgerInclusionState"] = match inclusion.state {
            InclusionState::NoTransaction => "noTransaction".into(),
            InclusionState::Included => "included".into(),
            InclusionState::Conflicting(reason) => {
                body["conflictReason"] = reason.into();
                "conflicting".into()
            }
        };
        body["whiteFlagIndex"] = inclusion.position.into();
    } else {
        if let Some(index) = record.milestone_index {
            body["milestoneIndex"] = index.into();
        }
        let (promote, reattach) = engine.hints(record);
        body["shouldPromote"] = promote.into();
        body["shouldReattach"] = reattach.into();
    }
    Ok(answer::json(&body))
}

fn included_id(engine: &Engine, text: &str) -> Result<BlockId, Failure> {
    let transaction = TransactionId::new(params::exact(text, "transaction ID")?);
    engine
        .included_block(&transaction)
        .ok_or_else(|| Failure::missing(format!("output for transaction not found: {transaction}")))
}

pub async fn included(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let engine = node.engine();
    let id = included_id(&engine, &id)?;
    give(&engine, id, &headers)
}

pub async fn included_metadata(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Response, Failure> {
    let engine = node.engine();
    let id = included_id(&engine, &id)?;
    give_metadata(&engine, id)
}
