//! The chain over HTTP.

use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::rpc::Served;

/// Bytes of one request: a deployment in hex, with room for a batch.
const BODY: usize = 4 << 20;

/// A chain that several connections ask.
pub type Shared = Arc<Mutex<Served>>;

/// The chain's only route.
pub fn router(chain: Shared) -> Router {
    Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(BODY)).with_state(chain)
}

/// Serves a chain until `until` is done.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    chain: Shared,
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(chain)).with_graceful_shutdown(until).await
}

async fn answer(State(chain): State<Shared>, body: Bytes) -> Response {
    // A call runs for milliseconds, and what another request sees must not depend on which thread came first.
    let answered = tokio::task::spawn_blocking(move || {
        let mut chain = chain.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        chain.answer(&body)
    });
    match answered.await {
        Ok(Some(answer)) => Json(answer).into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let words = format!("the chain failed: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], words).into_response()
        }
    }
}
