//! The faucet's endpoints, beside the node's and on an address of their own.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use iota_sdk::types::block::address::{Ed25519Address, ToBech32Ext};
use serde::Deserialize;
use serde_json::json;
use tarefa_ledger::engine::Engine;

use super::answer::{self, Failure};
use super::{control, params};
use crate::faucet;
use crate::node::Node;

/// What a browser sees that looks at the faucet's address.
const PAGE: &str = "<!doctype html><title>tarefa faucet</title>\
    <p>POST /api/enqueue {\"address\": \"tst1…\"} pays test tokens with the next milestone.</p>\n";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Enqueue {
    address: String,
}

/// The faucet on its own address: two endpoints, and a page for everything else.
pub async fn answer(State(node): State<Arc<Node>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path.split('/').any(|segment| segment == "..") {
        let kind = [(CONTENT_TYPE, "text/plain; charset=UTF-8")];
        return (StatusCode::FORBIDDEN, kind, "path not allowed").into_response();
    }
    let method = request.method().clone();
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    match (method, path.as_str()) {
        (Method::POST, "/api/enqueue") => {
            let headers = request.headers().clone();
            match super::body_of(request.into_body()).await {
                Ok(body) => enqueue(&node, &headers, &body).unwrap_or_else(IntoResponse::into_response),
                Err(failure) => failure.into_response(),
            }
        }
        (Method::GET, "/api/info") => info(&node, &node.engine()),
        (Method::GET, "/health") => StatusCode::OK.into_response(),
        _ => {
            let mut page = Html(PAGE).into_response();
            page.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("text/html; charset=UTF-8"));
            page
        }
    }
}

/// Takes a request for tokens.
pub fn enqueue(node: &Arc<Node>, headers: &HeaderMap, body: &[u8]) -> Result<Response, Failure> {
    let bad = |text: &str| Failure::bare(StatusCode::BAD_REQUEST, text);
    // A form has no address that the original would read, and is not refused for being one.
    let is_form = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form"));
    let request: Enqueue = match is_form {
        true => Enqueue::default(),
        false => control::body(headers, body).map_err(|why| bad(&format!("Invalid Request! Error: {why}")))?,
    };
    let engine = node.engine();
    let hrp = *engine.params().bech32_hrp();
    let address = params::address(&request.address, &hrp).map_err(|error| match error {
        params::AddressError::Hrp => {
            bad(&format!("Invalid bech32 address provided! Address does not start with \"{hrp}\"."))
        }
        params::AddressError::Encoding(_) => bad("Invalid bech32 address provided!"),
    })?;
    let waiting = node.faucet().enqueue(address, &engine).map_err(bad)?;
    let body = json!({ "address": request.address, "waitingRequests": waiting });
    Ok((StatusCode::ACCEPTED, answer::json(&body)).into_response())
}

/// What the faucet says of itself.
pub fn info(node: &Node, engine: &Engine) -> Response {
    let address = node.faucet().address();
    let hrp = *engine.params().bech32_hrp();
    let owner = Ed25519Address::new(address);
    answer::json(&json!({
        "isHealthy": true,
        "address": owner.to_bech32(hrp).to_string(),
        "balance": faucet::balance(engine, &owner.into()),
        "tokenName": "TestCoin",
        "bech32Hrp": hrp.to_string(),
    }))
}
