//! The indexer's basic outputs by address. Other filters come with the conformance work and are refused by name.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::json;

use super::answer::{self, Failure};
use super::faucet::ed25519_address;
use crate::node::Node;

/// Most results of one answer, and what a `pageSize` outside 1 to 1000 means.
const PAGE_MAX: usize = 1_000;

/// What plain outputs do not have: asked for, nothing matches; asked to be absent, nothing changes.
const ABSENT: [&str; 4] = ["hasStorageDepositReturn", "hasExpiration", "hasTimelock", "hasNativeTokens"];

/// Filters by what plain outputs do not have: nothing matches, whatever the value.
const FOREIGN: [&str; 8] = [
    "expirationReturnAddress",
    "expiresBefore",
    "expiresAfter",
    "storageDepositReturnAddress",
    "timelockedBefore",
    "timelockedAfter",
    "sender",
    "tag",
];

pub async fn basic(State(node): State<Arc<Node>>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let engine = node.engine();
    let (mut address, mut page, mut after, mut nothing) = (None, PAGE_MAX, None::<String>, false);
    for (key, value) in pairs(query.as_deref().unwrap_or_default()) {
        match key {
            _ if value.is_empty() => {}
            "address" | "unlockableByAddress" => {
                let hrp = engine.params().bech32_hrp();
                let parsed = ed25519_address(value, hrp)
                    .ok_or_else(|| Failure::bad(format!("invalid address: {value}, not a valid bech32 address")))?;
                address = address.or(Some(parsed));
            }
            "pageSize" => page = value.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n)).unwrap_or(PAGE_MAX),
            "cursor" => after = Some(value.to_owned()),
            absent if ABSENT.contains(&absent) => nothing |= matches!(value, "true" | "1" | "TRUE"),
            foreign if FOREIGN.contains(&foreign) => nothing = true,
            other => return Err(Failure::bad(format!("this dev node does not know the filter `{other}` yet"))),
        }
    }
    let mut ids: Vec<String> = match (nothing, address) {
        (true, _) => vec![],
        (false, Some(address)) => engine.plain_of(&address).map(ToString::to_string).collect(),
        (false, None) => return Err(Failure::bad("this dev node lists outputs by `address` only, for now")),
    };
    if let Some(cursor) = after {
        let (last, size) = cursor.split_once('.').unwrap_or((cursor.as_str(), ""));
        page = size.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n)).unwrap_or(page);
        ids.retain(|id| id.trim_start_matches("0x") > last);
    }
    let more = ids.len() > page;
    ids.truncate(page);
    let mut body = json!({ "ledgerIndex": engine.confirmed(), "pageSize": page, "items": ids });
    if more && let Some(last) = ids.last() {
        body["cursor"] = format!("{}.{page}", last.trim_start_matches("0x")).into();
    }
    Ok(answer::json(&body))
}

/// `key=value` pairs; of a repeated key the first counts.
fn pairs(query: &str) -> Vec<(&str, &str)> {
    let mut seen: Vec<(&str, &str)> = vec![];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.iter().all(|(known, _)| *known != key) {
            seen.push((key, value));
        }
    }
    seen
}
