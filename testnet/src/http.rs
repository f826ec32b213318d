//! REST: core API v2, the indexer's basic outputs, and the faucet, all on one address.

mod answer;
mod blocks;
mod faucet;
mod indexer;
mod info;
mod milestones;
mod outputs;
mod params;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::node::Node;
use answer::Failure;

/// Largest body accepted, the default of HORNET: a JSON block is about twice its 32 KiB.
const BODY_MAX: usize = 1 << 20;

/// Serves until stopped.
pub async fn serve(listener: TcpListener, node: Arc<Node>, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        // An error means that the node is gone, which is the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router(node)).with_graceful_shutdown(shutdown).await {
        tracing::error!(%error, "the REST server ended");
    }
}

fn router(node: Arc<Node>) -> Router {
    let core = Router::new()
        .route("/info", get(info::info))
        .route("/tips", get(info::tips))
        .route("/peers", get(info::peers))
        .route("/treasury", get(info::treasury))
        .route("/receipts", get(info::receipts))
        .route("/receipts/{index}", get(info::receipts_by_index))
        .route("/blocks", post(blocks::submit))
        .route("/blocks/{id}", get(blocks::block))
        .route("/blocks/{id}/metadata", get(blocks::metadata))
        .route("/transactions/{id}/included-block", get(blocks::included))
        .route("/transactions/{id}/included-block/metadata", get(blocks::included_metadata))
        .route("/outputs/{id}", get(outputs::output))
        .route("/outputs/{id}/metadata", get(outputs::metadata))
        .route("/milestones/{id}", get(milestones::by_id))
        .route("/milestones/{id}/utxo-changes", get(milestones::changes_by_id))
        .route("/milestones/by-index/{index}", get(milestones::by_index))
        .route("/milestones/by-index/{index}/utxo-changes", get(milestones::changes_by_index));
    Router::new()
        .route("/health", get(info::health))
        .route("/api/routes", get(info::routes))
        .nest("/api/core/v2", core)
        .route("/api/indexer/v1/outputs/basic", get(indexer::basic))
        .route("/api/enqueue", post(faucet::enqueue))
        .route("/api/info", get(faucet::info))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(answer::allow_origin))
        .with_state(node)
}

async fn unknown(uri: Uri) -> Failure {
    if uri.path().to_ascii_lowercase().starts_with("/api/") {
        Failure::plain(StatusCode::NOT_FOUND)
    } else {
        Failure::plain(StatusCode::FORBIDDEN)
    }
}

async fn wrong_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Failure::plain(StatusCode::METHOD_NOT_ALLOWED).into_response()
}
