//! What the node says of itself.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tarefa_ledger::engine::{Engine, MilestoneRecord};

use super::answer::{self, Failure};
use super::params;
use crate::node::Node;

pub async fn health() -> StatusCode {
    StatusCode::OK
}

pub async fn routes() -> Response {
    answer::json(&json!({ "routes": ["core/v2", "indexer/v1"] }))
}

pub async fn info(State(node): State<Arc<Node>>) -> Response {
    let engine = node.engine();
    let params = engine.params();
    let rent = params.rent_structure();
    let newest = engine.milestone(engine.confirmed()).map(milestone);
    let (per_second, rate) = pace(&engine);
    answer::json(&json!({
        "name": "tarefa-testnet",
        "version": env!("CARGO_PKG_VERSION"),
        "status": {
            "isHealthy": true,
            "latestMilestone": newest,
            "confirmedMilestone": newest,
            "pruningIndex": 0,
        },
        "supportedProtocolVersions": [2],
        "protocol": {
            "version": params.protocol_version(),
            "networkName": params.network_name(),
            "bech32Hrp": params.bech32_hrp().to_string(),
            "minPowScore": params.min_pow_score(),
            "belowMaxDepth": params.below_max_depth(),
            "rentStructure": {
                "vByteCost": rent.byte_cost(),
                "vByteFactorData": rent.byte_factor_data(),
                "vByteFactorKey": rent.byte_factor_key(),
            },
            "tokenSupply": params.token_supply().to_string(),
        },
        "pendingProtocolParameters": [],
        "baseToken": {
            "name": "TestCoin", "tickerSymbol": "TEST", "unit": "TEST", "subunit": "testies",
            "decimals": 6, "useMetricPrefix": false,
        },
        "metrics": {
            "blocksPerSecond": per_second, "referencedBlocksPerSecond": per_second, "referencedRate": rate,
        },
        "features": [],
    }))
}

fn milestone(record: &MilestoneRecord) -> Value {
    json!({
        "index": record.payload.essence().index().0,
        "timestamp": record.timestamp,
        "milestoneId": record.id.to_string(),
    })
}

/// Blocks per second over the last milestones, and the share referenced: all of them, here.
fn pace(engine: &Engine) -> (f64, f64) {
    let newest = engine.confirmed();
    let oldest = newest.saturating_sub(10).max(1);
    let (Some(first), Some(last)) = (engine.milestone(oldest), engine.milestone(newest)) else { return (0.0, 0.0) };
    let blocks: usize = (oldest..=newest).filter_map(|i| engine.milestone(i)).map(|m| m.order.len()).sum();
    let seconds = f64::from((last.timestamp - first.timestamp).max(1));
    (blocks as f64 / seconds, 100.0)
}

pub async fn tips(State(node): State<Arc<Node>>) -> Response {
    let tips: Vec<String> = node.engine().tips().iter().map(ToString::to_string).collect();
    answer::json(&json!({ "tips": tips }))
}

pub async fn peers() -> Response {
    answer::json(&json!([]))
}

pub async fn treasury() -> Response {
    answer::json(&json!({ "milestoneId": format!("0x{}", "0".repeat(64)), "amount": "0" }))
}

pub async fn receipts() -> Response {
    answer::json(&json!({ "receipts": [] }))
}

pub async fn receipts_by_index(Path(index): Path<String>) -> Result<Response, Failure> {
    params::index(&index)?;
    Ok(receipts().await)
}
