//! The control API for tests: `/control/v1/…`, on loopback addresses only.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Failure};
use crate::controls::{self, ControlError, Faults};
use crate::node::Node;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    interval_ms: Option<u64>,
    paused: Option<bool>,
    time_offset: Option<i64>,
    faults: Option<Faults>,
    milestones: u32,
    snapshot: bool,
    revert: Option<usize>,
    prune: Option<u32>,
}

/// Milestones at one request: more is a loop that belongs into the test.
const MILESTONES_MAX: u32 = 1_000;

/// `GET` says how the node is set, `POST` changes what the body names and says the same. Everything is checked first.
///
/// JSON is demanded so that a page in a browser cannot send it without asking, and asking (OPTIONS) is refused.
pub fn control(node: &Arc<Node>, method: &Method, headers: &HeaderMap, body: &[u8]) -> Result<Response, Failure> {
    if method == Method::POST {
        let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if !is_json {
            return Err(Failure::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let wish: Wish = serde_json::from_slice(body).map_err(Failure::bad)?;
        apply(node, &wish)?;
    } else if method != Method::GET {
        return Err(Failure::plain(StatusCode::FORBIDDEN));
    }
    Ok(answer::json(&settings(node)))
}

fn apply(node: &Arc<Node>, wish: &Wish) -> Result<(), Failure> {
    if wish.milestones > MILESTONES_MAX {
        return Err(Failure::bad(format!("at most {MILESTONES_MAX} milestones at one request")));
    }
    let settings = &node.controls;
    let bad = |error: ControlError| Failure::bad(error);
    wish.interval_ms.map(Duration::from_millis).map(controls::check_interval).transpose().map_err(bad)?;
    wish.time_offset.map(controls::check_offset).transpose().map_err(bad)?;
    wish.faults.clone().map(controls::check_faults).transpose().map_err(bad)?;
    let back = wish.revert.map(|number| settings.snapshot(number)).transpose().map_err(bad)?;
    if let Some(interval) = wish.interval_ms {
        settings.set_interval(Duration::from_millis(interval)).map_err(bad)?;
    }
    if let Some(paused) = wish.paused {
        settings.set_paused(paused);
    }
    if let Some(offset) = wish.time_offset {
        settings.set_offset(offset).map_err(bad)?;
        if offset != 0 {
            tracing::warn!(offset, "the ledger's clock differs from the system's: clients may refuse this node");
        }
    }
    if let Some(faults) = wish.faults.clone() {
        settings.set_faults(faults).map_err(bad)?;
    }
    if let (Some(number), Some(mark)) = (wish.revert, back) {
        node.rewind(mark).map_err(Failure::bad)?;
        settings.forget_after(number);
    }
    if let Some(target) = wish.prune {
        node.prune(target).map_err(Failure::internal)?;
    }
    for _ in 0..wish.milestones {
        crate::coordinator::step(node).map_err(Failure::internal)?;
    }
    if wish.snapshot {
        // Not between a payment of the faucet's and its milestone.
        let _turn = node.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let here = node.engine().here();
        settings.remember(here).map_err(bad)?;
    }
    Ok(())
}

fn settings(node: &Arc<Node>) -> Value {
    let pace = *node.controls.pace().borrow();
    let engine = node.engine();
    json!({
        "intervalMs": pace.interval.as_millis() as u64,
        "paused": pace.paused,
        "timeOffset": node.controls.offset(),
        "faults": node.controls.faults(),
        "snapshots": node.controls.snapshots(),
        "confirmed": engine.confirmed(),
        "pruned": engine.pruned(),
    })
}
