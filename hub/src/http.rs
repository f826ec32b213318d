//! The hub over HTTP: JSON, named as the seed names its operations.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tarefa_channel::hub::{Proposal, Refusal};
use tarefa_channel::{Amount, ChannelId, Time, TokenId};

use crate::hub::{Fault, Hub, Opening, Refused};
use crate::session::Login;

/// Bytes of one request: a proposal with 64 operations and as many tokens is below 100 kB in JSON.
const BODY: usize = 256 << 10;

type Shared = State<Arc<Hub>>;

/// The hub's routes.
pub fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/terms", get(terms))
        .route("/offer", post(offer))
        .route("/sendPropose", post(propose))
        .route("/login", post(login))
        .route("/newest", get(newest))
        .route("/invoice", post(invoice))
        .route("/mailbox", get(mailbox))
        .route("/retrievePaymentReceipt/{token}", get(receipt))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(hub)
}

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Store(_) | Self::Blind => StatusCode::SERVICE_UNAVAILABLE,
            Self::Login | Self::Session => StatusCode::UNAUTHORIZED,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Open => StatusCode::CONFLICT,
        };
        if let Self::Store(fault) = &self {
            tracing::error!(%fault, "nothing was signed");
        }
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self.refusal {
            Refusal::Blind => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::UnknownChannel => StatusCode::NOT_FOUND,
            Refusal::Signature => StatusCode::UNAUTHORIZED,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        (status, Json(json!({ "error": self.refusal.to_string(), "newest": self.newest }))).into_response()
    }
}

async fn health(State(hub): Shared) -> Result<Response, Fault> {
    hub.health().await?;
    Ok(Json(json!({ "healthy": true })).into_response())
}

async fn terms(State(hub): Shared) -> Response {
    Json(hub.deployment()).into_response()
}

async fn offer(State(hub): Shared, Json(asked): Json<Opening>) -> Result<Response, Fault> {
    let (offer, signature) = hub.offer(&asked)?;
    Ok(Json(json!({ "offer": offer, "hub": signature })).into_response())
}

async fn propose(State(hub): Shared, Json(proposal): Json<Proposal>) -> Result<Response, Fault> {
    Ok(match hub.propose(proposal).await? {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => refused.into_response(),
    })
}

async fn login(State(hub): Shared, Json(login): Json<Login>) -> Result<Response, Fault> {
    let session = hub.login(&login, now()).await?;
    Ok(Json(json!({ "session": session })).into_response())
}

/// The channel whose session the request names.
fn session(hub: &Hub, headers: &HeaderMap) -> Result<ChannelId, Fault> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let word = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Fault::Session)?;
    hub.session(word, now())
}

async fn newest(State(hub): Shared, headers: HeaderMap) -> Result<Response, Fault> {
    let channel = session(&hub, &headers)?;
    Ok(Json(json!({ "newest": hub.newest(channel).await? })).into_response())
}

#[derive(Deserialize)]
struct Wanted {
    invoice: B256,
    cap: Amount,
    expires: Time,
}

async fn invoice(State(hub): Shared, headers: HeaderMap, Json(wanted): Json<Wanted>) -> Result<Response, Fault> {
    let payee = session(&hub, &headers)?;
    let new = hub.register(payee, wanted.invoice, wanted.cap, wanted.expires).await?;
    Ok(Json(json!({ "new": new })).into_response())
}

#[derive(Deserialize)]
struct Poll {
    /// Seconds to wait where there is nothing.
    #[serde(default)]
    wait: u64,
    /// What the last answer said that it was.
    seen: Option<B256>,
}

async fn mailbox(State(hub): Shared, headers: HeaderMap, Query(poll): Query<Poll>) -> Result<Response, Fault> {
    let channel = session(&hub, &headers)?;
    let found = hub.mailbox(channel, poll.seen, Duration::from_secs(poll.wait)).await?;
    Ok(Json(found).into_response())
}

async fn receipt(State(hub): Shared, headers: HeaderMap, Path(token): Path<B256>) -> Result<Response, Fault> {
    let payer = session(&hub, &headers)?;
    Ok(Json(hub.receipt(payer, TokenId(token)).await?).into_response())
}
