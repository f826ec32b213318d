//! The node's own controls: whitening a set of parents, pruning, snapshots, peers.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tarefa_ledger::engine::KEPT;
use tarefa_ledger::{BlockId, MilestoneId};

use super::answer::{self, Failure};
use super::params;
use crate::node::Node;

/// A body in JSON; an empty one counts as an empty object, as in the original.
pub fn body<T: DeserializeOwned + Default>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, String> {
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if bytes.is_empty() {
        return Ok(T::default());
    }
    if !is_json {
        return Err("code=415, message=Unsupported Media Type".into());
    }
    // Text after the object is ignored.
    match serde_json::Deserializer::from_slice(bytes).into_iter::<T>().next() {
        None => Ok(T::default()),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err("code=400, message=unexpected EOF, internal=unexpected EOF".into()),
        Some(Err(error)) if error.is_data() => {
            Err(format!("code=400, message=Unmarshal type error: {error}, internal={error}"))
        }
        Some(Err(error)) => Err(format!("code=400, message={error}, internal={error}")),
    }
}

fn request<T: DeserializeOwned + Default>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Failure> {
    body(headers, bytes).map_err(|why| Failure::bad(format!("invalid request, error: {why}")))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WhiteFlag {
    index: u32,
    timestamp: u32,
    parents: Vec<String>,
    previous_milestone_id: String,
}

/// The roots that the next milestone would have over these parents.
pub fn white_flag(node: &Arc<Node>, headers: &HeaderMap, bytes: &[u8]) -> Result<Response, Failure> {
    let asked: WhiteFlag = request(headers, bytes)?;
    let failed = |what: String| format!("failed to compute white flag mutations: {what}");
    let broken = |what: String| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, failed(what));
    let parents = asked
        .parents
        .iter()
        .map(|text| Ok(BlockId::new(params::fit(&params::hex(text)?))))
        .collect::<Result<Vec<BlockId>, &str>>()
        .map_err(|why| Failure::bad(format!("invalid parents, error: {why}")))?;
    let previous = match asked.previous_milestone_id.as_str() {
        "" => None,
        text => {
            let bytes =
                params::hex(text).map_err(|why| Failure::bad(format!("invalid previousMilestoneID, error: {why}")))?;
            let bytes: [u8; 32] =
                bytes.try_into().map_err(|_| Failure::bad("invalid previousMilestoneID, length should be 32 bytes"))?;
            Some(MilestoneId::new(bytes))
        }
    };
    let engine = node.engine();
    if asked.index != engine.confirmed() + 1 {
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, failed("node is not synchronized".into())));
    }
    let first = *parents.first().ok_or_else(|| Failure::bad(failed("no parents given".into())))?;
    let newest = engine.milestone(engine.confirmed());
    if let Some(newest) = &newest
        && asked.timestamp <= newest.timestamp
    {
        let (old, new) = (newest.timestamp, asked.timestamp);
        return Err(broken(format!(
            "ComputeWhiteFlagMutations: milestone timestamp is smaller or equal to previous milestone timestamp \
             (old: {old}, new: {new}): {first}"
        )));
    }
    let previous =
        previous.ok_or_else(|| broken(format!("missing previousMilestoneID for milestone: {}", asked.index)))?;
    if newest.is_none_or(|newest| newest.id != previous) {
        return Err(broken(format!("previousMilestoneID {previous} not referenced in past cone")));
    }
    let (inclusion, applied) = engine.roots(&parents, asked.timestamp).map_err(|error| broken(error.to_string()))?;
    let text = |root: [u8; 32]| format!("0x{}", hex::encode(root));
    Ok(answer::json(&json!({ "inclusionMerkleRoot": text(inclusion), "appliedMerkleRoot": text(applied) })))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Prune {
    index: Option<u32>,
    depth: Option<u32>,
    target_database_size: Option<String>,
}

/// Pruning, as far as asked and allowed. The answer is the newest milestone that is gone.
pub async fn prune(node: &Arc<Node>, headers: &HeaderMap, bytes: &[u8]) -> Result<Response, Failure> {
    let asked: Prune = request(headers, bytes)?;
    let target = match (asked.index, asked.depth, asked.target_database_size) {
        (Some(index), None, None) => index,
        (None, Some(depth), None) => node.engine().confirmed().saturating_sub(depth),
        (None, None, Some(_)) => {
            let why = "pruning database failed: this node does not prune by size, give an index or a depth";
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, why));
        }
        _ => return Err(Failure::bad("either index, depth or size has to be specified")),
    };
    let node = node.clone();
    let pruned = tokio::task::spawn_blocking(move || node.prune(target)).await.map_err(Failure::internal)?;
    let failed = |error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("pruning database failed: {error}"));
    Ok(answer::json(&json!({ "index": pruned.map_err(failed)? })))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Snapshot {
    index: Option<u32>,
}

/// Snapshots are made of a stopped node's data directory here; the endpoint refuses as the original does.
pub fn snapshot(node: &Arc<Node>, headers: &HeaderMap, bytes: &[u8]) -> Result<Response, Failure> {
    let asked: Snapshot = request(headers, bytes)?;
    let index = asked.index.filter(|index| *index > 0).ok_or_else(|| Failure::bad("index needs to be specified"))?;
    let maximum = node.engine().confirmed().saturating_sub(KEPT);
    let what = if index > maximum {
        format!("creating snapshot failed: maximum: {maximum}, actual: {index}: snapshot target is too new")
    } else {
        "creating snapshot failed: this node keeps its ledger in its data directory, which can be copied".into()
    };
    Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, what))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AddPeer {
    multi_address: String,
}

/// Peers cannot be added to a network of one process; malformed addresses are refused first.
pub fn add_peer(headers: &HeaderMap, bytes: &[u8]) -> Result<Response, Failure> {
    let asked: AddPeer =
        body(headers, bytes).map_err(|why| Failure::bad(format!("invalid addPeerRequest, error: {why}")))?;
    let text = asked.multi_address;
    let why = match text.strip_prefix('/') {
        _ if text.is_empty() => "empty multiaddr",
        None => "must begin with /",
        Some(_) => return Err(Failure::bad("this node is a network of its own and has no peers")),
    };
    Err(Failure::bad(format!("invalid multiAddress, error: failed to parse multiaddr \"{text}\": {why}")))
}

/// Length of the id of a peer with an Ed25519 key, in base58 with its prefix.
const PEER_ID_LEN: usize = 52;

/// One peer: there is none, whether asked for or to be removed.
pub fn peer(id: &str) -> Result<Response, Failure> {
    if id.len() != PEER_ID_LEN || !id.starts_with("12D3KooW") {
        let why = "failed to parse peer ID: invalid cid: selected encoding not supported";
        return Err(Failure::bad(format!("invalid peerID, error: {why}")));
    }
    Err(Failure::missing(format!("peer not found, peerID: {id}")))
}
