//! The explorer: a page that shows the ledger as it grows, served by the node itself. Everything is in the binary.

mod block;
mod message;
mod recent;
mod search;

use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::node::Node;

pub use message::Offers;

/// Where it lives; the original answers 403 there.
const ROOT: &str = "/explorer";
/// Nothing but the node itself: no other site, no inline script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("../explorer/index.html");
const STYLE: &str = include_str!("../explorer/style.css");
const APP: &str = include_str!("../explorer/app.js");
const DAG: &str = include_str!("../explorer/dag.js");

/// Whether a path belongs to the explorer.
pub fn owns(path: &str) -> bool {
    path == ROOT || path.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'))
}

/// Answers a GET below the explorer's root.
pub async fn answer(node: Arc<Node>, path: String, query: String) -> Response {
    let rest = path.strip_prefix(ROOT).unwrap_or_default();
    match rest {
        "" | "/" => file("text/html; charset=utf-8", PAGE),
        "/style.css" => file("text/css; charset=utf-8", STYLE),
        "/app.js" => file("text/javascript; charset=utf-8", APP),
        "/dag.js" => file("text/javascript; charset=utf-8", DAG),
        "/api/recent" | "/api/block" | "/api/search" => {
            let rest = rest.to_owned();
            // Reading many blocks takes time: not on a thread that answers others.
            let work = move || data(&node, &rest, &Query::parse(&query));
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(value)) => headed("application/json", value.to_string()),
                Ok(Err(why)) => {
                    let body = json!({ "error": why }).to_string();
                    (StatusCode::NOT_FOUND, headed("application/json", body)).into_response()
                }
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn data(node: &Node, path: &str, query: &Query) -> Result<Value, String> {
    match path {
        "/api/recent" => Ok(recent::blocks(node, query)),
        "/api/block" => block::one(node, query.get("q").unwrap_or_default()),
        _ => search::find(node, query.get("q").unwrap_or_default().trim()),
    }
}

fn file(kind: &'static str, body: &'static str) -> Response {
    headed(kind, body.to_owned())
}

fn headed(kind: &'static str, body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Query parameters; the first of a name counts.
struct Query(Vec<(String, String)>);

/// Parameters looked at: the page sends two.
const PAIRS_MAX: usize = 8;

impl Query {
    fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).take(PAIRS_MAX).map(|(k, v)| (k.into(), v.into())).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}
