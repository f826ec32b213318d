//! REST: core API v2, the indexer and the faucet on one address; the faucet also on one of its own, where wanted.

mod answer;
mod blocks;
mod control;
mod faucet;
mod indexer;
mod info;
mod milestones;
mod outputs;
mod params;
mod route;
mod test_controls;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::explorer;
use crate::mqtt;
use crate::node::Node;
use answer::Failure;
use route::Route;

/// Largest body accepted, the default of HORNET: a JSON block is about twice its 32 KiB.
const BODY_MAX: usize = 1 << 20;

/// Path of the control API for tests.
const CONTROL: &str = "/control/v1";

/// Which of the original's servers an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The node, with the faucet's two endpoints beside it.
    Node,
    /// The faucet alone, which answers every other path with its page.
    Faucet,
}

/// Serves until stopped.
pub async fn serve(listener: TcpListener, node: Arc<Node>, server: Server, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        // An error means that the node is gone, which is the same.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let router = match server {
        Server::Node => Router::new().fallback(node_answer).layer(middleware::from_fn(answer::node_headers)),
        Server::Faucet => Router::new().fallback(faucet::answer).layer(middleware::from_fn(answer::faucet_headers)),
    };
    if let Err(error) = axum::serve(listener, router.with_state(node)).with_graceful_shutdown(shutdown).await {
        tracing::error!(%error, "the REST server ended");
    }
}

/// Answers one request without a connection: how embedded users and the fuzz targets ask.
pub async fn respond(node: Arc<Node>, request: Request, server: Server) -> Response {
    match server {
        Server::Node => node_answer(State(node), request).await,
        Server::Faucet => faucet::answer(State(node), request).await,
    }
}

async fn node_answer(State(node): State<Arc<Node>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path == CONTROL && node.controllable {
        let (parts, body) = request.into_parts();
        return match body_of(body).await {
            Ok(body) => controlled(node, parts, body).await,
            Err(failure) => failure.into_response(),
        };
    }
    if explorer::owns(&path) && request.method() == Method::GET {
        let query = request.uri().query().unwrap_or_default().to_owned();
        return explorer::answer(node, path, query).await;
    }
    let Some(route) = Route::of(&path) else {
        return match request.method() {
            &Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
            _ => Failure::unknown(&path).into_response(),
        };
    };
    let method = request.method().clone();
    if !route.takes(method.as_str()) {
        if method == Method::OPTIONS && route.is_proxied() {
            return StatusCode::NO_CONTENT.into_response();
        }
        return answer::not_allowed(&method, route.methods());
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let (parts, body) = request.into_parts();
    if route == Route::Mqtt {
        return mqtt::serve_web(parts, node).await.unwrap_or_else(info::no_upgrade);
    }
    let body = match body_of(body).await {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    let call = Call { node: &node, method, query: &query, headers: &headers, body: &body };
    call.answer(route).await.unwrap_or_else(IntoResponse::into_response)
}

/// Making milestones takes time: not on a thread that answers others.
async fn controlled(node: Arc<Node>, parts: Parts, body: Bytes) -> Response {
    let work = move || test_controls::control(&node, &parts.method, &parts.headers, &body);
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(error) => Failure::internal(error).into_response(),
    }
}

async fn body_of(body: Body) -> Result<Bytes, Failure> {
    // The one failure that a client causes is a body above the limit.
    axum::body::to_bytes(body, BODY_MAX).await.map_err(|_| Failure::too_large())
}

/// A request with its body read.
struct Call<'a> {
    node: &'a Arc<Node>,
    method: Method,
    query: &'a str,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

impl Call<'_> {
    async fn answer(&self, route: Route<'_>) -> Result<Response, Failure> {
        let Self { node, headers, body, .. } = *self;
        match route {
            Route::Blocks => return blocks::submit(node, headers, body),
            Route::Enqueue => return faucet::enqueue(node, headers, body),
            Route::Prune => return control::prune(node, headers, body).await,
            Route::Snapshot => return control::snapshot(node, headers, body),
            Route::WhiteFlag => return control::white_flag(node, headers, body),
            Route::Peers if self.method == Method::POST => return control::add_peer(headers, body),
            Route::Peer(id) => return control::peer(id),
            _ => {}
        }
        let engine = node.engine();
        Ok(match route {
            Route::Health => StatusCode::OK.into_response(),
            Route::Routes => info::routes(),
            Route::Info => info::info(&engine),
            Route::Tips => info::tips(&engine),
            Route::Treasury => info::treasury(),
            Route::Receipts => info::receipts(),
            Route::ReceiptsOf(index) => info::receipts_of(index)?,
            Route::Peers => info::peers(),
            Route::NodeMetrics => info::metrics(node),
            Route::FaucetInfo => faucet::info(node, &engine),
            Route::Block(id) => blocks::block(&engine, id, headers)?,
            Route::BlockMetadata(id) => blocks::metadata(&engine, id)?,
            Route::Included(id) => blocks::included(&engine, id, headers)?,
            Route::IncludedMetadata(id) => blocks::included_metadata(&engine, id)?,
            Route::Output(id) => outputs::output(&engine, id, headers)?,
            Route::OutputMetadata(id) => outputs::metadata(&engine, id)?,
            Route::Milestone(id) => milestones::by_id(&engine, id, headers)?,
            Route::MilestoneChanges(id) => milestones::changes_by_id(&engine, id)?,
            Route::ByIndex(index) => milestones::by_index(&engine, index, headers)?,
            Route::ByIndexChanges(index) => milestones::changes_by_index(&engine, index)?,
            Route::Indexed(listing) => answer::json(&indexer::list(&engine, listing, self.query)?),
            Route::IndexedById(listing, id) => answer::json(&indexer::by_id(&engine, listing, id)?),
            Route::Mqtt
            | Route::Blocks
            | Route::Enqueue
            | Route::Prune
            | Route::Snapshot
            | Route::WhiteFlag
            | Route::Peer(_) => {
                return Err(Failure::unknown(""));
            }
        })
    }
}
