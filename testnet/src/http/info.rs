//! What the node says of itself.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, SEC_WEBSOCKET_VERSION, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tarefa_ledger::engine::Engine;

use super::answer::{self, Failure};
use super::params;
use crate::node::Node;
use crate::view;

pub fn routes() -> Response {
    answer::json(&json!({ "routes": ["core/v2", "dashboard-metrics/v1", "mqtt/v1", "indexer/v1"] }))
}

pub fn info(engine: &Engine) -> Response {
    let params = engine.params();
    let rent = params.rent_structure();
    let newest = engine.milestone(engine.confirmed()).map(|newest| view::milestone_info(&newest));
    let per_second = engine.pace();
    answer::json(&json!({
        "name": "tarefa-testnet",
        "version": env!("CARGO_PKG_VERSION"),
        "status": {
            "isHealthy": true,
            "latestMilestone": newest,
            "confirmedMilestone": newest,
            "pruningIndex": engine.pruned(),
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
            "blocksPerSecond": per_second, "referencedBlocksPerSecond": per_second, "referencedRate": if per_second > 0.0 { 100.0 } else { 0.0 },
        },
        "features": ["pow"],
    }))
}

pub fn tips(engine: &Engine) -> Response {
    let tips: Vec<String> = engine.tips().iter().map(ToString::to_string).collect();
    answer::json(&json!({ "tips": tips }))
}

/// One process has no peers.
pub fn peers() -> Response {
    answer::json(&json!([]))
}

pub fn treasury() -> Response {
    answer::json(&json!({ "milestoneId": format!("0x{}", "0".repeat(64)), "amount": "0" }))
}

pub fn receipts() -> Response {
    answer::json(&json!({ "receipts": [] }))
}

pub fn receipts_of(index: &str) -> Result<Response, Failure> {
    params::index(index)?;
    Ok(receipts())
}

/// What the node's dashboard shows of the process.
pub fn metrics(node: &Node) -> Response {
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = memory.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    answer::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "latestVersion": "",
        "uptime": node.started.elapsed().as_millis() as u64,
        "nodeId": hex::encode(node.keys.faucet_address()),
        "nodeAlias": "tarefa dev Tangle",
        "memUsage": pages * PAGE,
    }))
}

/// Bytes of a memory page as `/proc` counts them.
const PAGE: u64 = 4_096;

/// A plain request to the event API, which speaks WebSocket only.
pub fn no_upgrade() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (SEC_WEBSOCKET_VERSION, "13"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::BAD_REQUEST, headers, "Bad Request\n").into_response()
}
