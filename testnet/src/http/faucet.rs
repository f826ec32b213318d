//! The faucet's endpoints.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use iota_sdk::types::block::address::{Address, Bech32Address, Ed25519Address, Hrp, ToBech32Ext};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Failure};
use crate::faucet;
use crate::node::Node;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    address: String,
}

/// The Ed25519 address in a bech32 text of this network.
pub fn ed25519_address(text: &str, hrp: &Hrp) -> Option<[u8; 32]> {
    let parsed = Bech32Address::try_from_str(text).ok()?;
    // The SDK's parser also takes other networks, bech32m and trailing bytes.
    if parsed.hrp() != hrp || parsed != *text.to_lowercase() {
        return None;
    }
    match parsed.into_inner() {
        Address::Ed25519(address) => Some(*address),
        _ => None,
    }
}

pub async fn enqueue(State(node): State<Arc<Node>>, body: Bytes) -> Result<Response, Failure> {
    let bad = |text: &str| Failure::bare(StatusCode::BAD_REQUEST, text);
    let request: Request =
        serde_json::from_slice(&body).map_err(|error| bad(&format!("Invalid Request! Error: {error}")))?;
    let engine = node.engine();
    let address = ed25519_address(&request.address, engine.params().bech32_hrp())
        .ok_or_else(|| bad("Invalid bech32 address provided!"))?;
    let waiting = node.faucet().enqueue(address, &engine).map_err(bad)?;
    let body = json!({ "address": request.address, "waitingRequests": waiting });
    Ok((StatusCode::ACCEPTED, answer::json(&body)).into_response())
}

pub async fn info(State(node): State<Arc<Node>>) -> Response {
    let engine = node.engine();
    let address = node.faucet().address();
    let balance = faucet::balance(&engine, &address);
    let text = Ed25519Address::new(address).to_bech32(*engine.params().bech32_hrp()).to_string();
    answer::json(&json!({
        "isHealthy": true, "address": text, "balance": balance, "tokenName": "TestCoin", "bech32Hrp": engine.params().bech32_hrp().to_string(),
    }))
}
