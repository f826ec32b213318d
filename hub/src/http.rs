//! The hub over HTTP: JSON, named as the seed names its operations.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tarefa_channel::hub::{Proposal, Refusal};
use tarefa_channel::{Amount, ChannelId, Time, TokenId};

use crate::hub::{Fault, Hub, LONGEST_POLL, Opening, Refused};
use crate::metrics::Metrics;
use crate::rate::Rate;
use crate::relay::Word;
use crate::session::{Login, SESSION};

/// Bytes of one request: a proposal with 64 operations and as many tokens is below 100 kB in JSON.
const BODY: usize = 256 << 10;

/// Bytes of one word of the stream: a voucher with its signature, sealed, is below one kB.
const WORD: usize = 4 << 10;

/// How often the stream shows that it is there, so that no proxy cuts it and its reader notices when the hub is gone.
const BEAT: Duration = Duration::from_secs(5);

/// How much may be asked, each second; none: as much as anybody likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// By one network address, of anything.
    pub per_address: Option<u32>,
    /// In one session.
    pub per_session: Option<u32>,
}

struct Served {
    hub: Arc<Hub>,
    addresses: Rate<IpAddr>,
    sessions: Rate<ChannelId>,
}

type Shared = State<Arc<Served>>;

/// The hub's routes. With limits, it must be served with connection info: `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(hub: Arc<Hub>, limits: Limits) -> Router {
    let addresses = Rate::new(limits.per_address);
    let served = Arc::new(Served { hub, addresses, sessions: Rate::new(limits.per_session) });
    Router::new()
        .route("/offer", post(offer))
        .route("/sendPropose", post(propose))
        .route("/login", post(login))
        .route("/newest", get(newest))
        .route("/invoice", post(invoice))
        .route("/mailbox", get(mailbox))
        .route("/retrievePaymentReceipt/{token}", get(receipt))
        .route("/stream", get(listen))
        .route("/stream/{channel}", post(say).layer(DefaultBodyLimit::max(WORD)))
        .layer(middleware::from_fn_with_state(Arc::clone(&served), limit))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/terms", get(terms))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(served)
}

fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A body in JSON. axum's own keeps track of where in the body it is for its errors, which costs more than the rest of reading.
struct Read<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Read<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let words = format!("the body is not the JSON that is asked for here: {error}");
            (StatusCode::BAD_REQUEST, Json(json!({ "error": words }))).into_response()
        })
    }
}

async fn limit(State(served): Shared, request: Request, next: Next) -> Response {
    let address =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| network(address.ip()));
    if address.is_some_and(|address| !served.addresses.admits(address, Instant::now())) {
        return limited(&served.hub).into_response();
    }
    next.run(request).await
}

/// What one asker has: of IPv6, whoever has one address has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & u128::MAX << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

fn limited(hub: &Hub) -> Fault {
    Metrics::count(&hub.metrics().limited);
    Fault::Limited
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Store(_) | Self::Blind | Self::Key => StatusCode::SERVICE_UNAVAILABLE,
            Self::Login | Self::Session => StatusCode::UNAUTHORIZED,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Open => StatusCode::CONFLICT,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
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

async fn health(State(served): Shared) -> Result<Response, Fault> {
    served.hub.health().await?;
    Ok(Json(json!({ "healthy": true })).into_response())
}

async fn metrics(State(served): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], served.hub.measured()).into_response()
}

async fn terms(State(served): Shared) -> Response {
    Json(served.hub.deployment()).into_response()
}

async fn offer(State(served): Shared, Read(asked): Read<Opening>) -> Result<Response, Fault> {
    let (offer, signature) = served.hub.offer(&asked)?;
    Ok(Json(json!({ "offer": offer, "hub": signature })).into_response())
}

async fn propose(State(served): Shared, Read(proposal): Read<Proposal>) -> Result<Response, Fault> {
    Ok(match served.hub.propose(proposal).await? {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => refused.into_response(),
    })
}

async fn login(State(served): Shared, Read(login): Read<Login>) -> Result<Response, Fault> {
    let session = served.hub.login(&login, now()).await?;
    Ok(Json(json!({ "session": session })).into_response())
}

impl Served {
    /// The channel whose session the request names, if it may ask now.
    fn session(&self, headers: &HeaderMap) -> Result<ChannelId, Fault> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let word = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Fault::Session);
        let channel = word.and_then(|word| self.hub.session(word, now()))?;
        if self.sessions.admits(channel, Instant::now()) { Ok(channel) } else { Err(limited(&self.hub)) }
    }
}

async fn newest(State(served): Shared, headers: HeaderMap) -> Result<Response, Fault> {
    let channel = served.session(&headers)?;
    let found = served.hub.newest(channel).await?;
    Ok(Json(found).into_response())
}

#[derive(Deserialize)]
struct Wanted {
    invoice: B256,
    cap: Amount,
    expires: Time,
}

async fn invoice(State(served): Shared, headers: HeaderMap, Read(wanted): Read<Wanted>) -> Result<Response, Fault> {
    let payee = served.session(&headers)?;
    let new = served.hub.register(payee, wanted.invoice, wanted.cap, wanted.expires).await;
    Ok(Json(json!({ "new": new? })).into_response())
}

#[derive(Deserialize)]
struct Poll {
    /// Seconds to wait where there is nothing.
    #[serde(default)]
    wait: u64,
    /// What the last answer said that it was.
    seen: Option<B256>,
    /// One mailbox after the other, a line each, instead of one answer.
    #[serde(default)]
    follow: bool,
}

async fn mailbox(State(served): Shared, headers: HeaderMap, Query(poll): Query<Poll>) -> Result<Response, Fault> {
    let channel = served.session(&headers)?;
    if poll.follow {
        return Ok(lines(follow(Arc::clone(&served.hub), channel)));
    }
    let found = served.hub.mailbox(channel, poll.seen, Duration::from_secs(poll.wait)).await;
    Ok(Json(found?).into_response())
}

/// An answer that goes on, a line at a time: nobody on the way should keep it back.
fn lines(lines: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

fn beat() -> Bytes {
    Bytes::from_static(b"\n")
}

/// The mailbox of a channel whenever it has news, and now and then an empty line. What is left in it is shown again after a while: its
/// reader may not have been able to act on it. Ends when somebody else follows it, with the session, or where the hub cannot say more.
fn follow(hub: Arc<Hub>, channel: ChannelId) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let begun = Instant::now();
    let ends = hub.follow(channel);
    // The first line at once, so that the reader knows that it is heard.
    let first = futures_util::stream::once(async { Ok(beat()) });
    let lines =
        futures_util::stream::unfold((None, None, begun, ends), move |(mut seen, mut looked, mut shown, mut ends)| {
            let hub = Arc::clone(&hub);
            async move {
                if begun.elapsed() > Duration::from_secs(SESSION) {
                    return None;
                }
                if seen.is_some() && shown.elapsed() > LONGEST_POLL {
                    (seen, looked) = (None, None);
                }
                let news = tokio::select! {
                    _ = &mut ends => return None,
                    news = hub.news(channel, seen, &mut looked, BEAT) => news.ok()?,
                };
                let line = match news {
                    Some(found) => {
                        (seen, shown) = (Some(found.at), Instant::now());
                        let mut line = serde_json::to_vec(&found).ok()?;
                        line.push(b'\n');
                        Bytes::from(line)
                    }
                    None => beat(),
                };
                Some((Ok(line), (seen, looked, shown, ends)))
            }
        });
    first.chain(lines)
}

async fn receipt(State(served): Shared, headers: HeaderMap, Path(token): Path<B256>) -> Result<Response, Fault> {
    let payer = served.session(&headers)?;
    let found = served.hub.receipt(payer, TokenId(token)).await?;
    Ok(Json(found).into_response())
}

/// Words for a channel's client, a line of JSON each, for as long as it listens; an empty line now and then.
async fn listen(State(served): Shared, headers: HeaderMap) -> Result<Response, Fault> {
    let channel = served.session(&headers)?;
    let Some(words) = served.hub.relay().listen(channel) else { return Err(limited(&served.hub)) };
    // The first line at once, so that the reader knows that it is heard.
    let said = futures_util::stream::unfold((words, true), |(mut words, first)| async move {
        if first {
            return Some((Ok(beat()), (words, false)));
        }
        let line = match tokio::time::timeout(BEAT, words.recv()).await {
            Err(_) => beat(),
            Ok(Some(line)) => Bytes::from(line),
            // Somebody else listens for this channel now.
            Ok(None) => return None,
        };
        Some((Ok(line), (words, false)))
    });
    Ok(lines(said))
}

/// Says something to another channel's client, if it listens here.
async fn say(
    State(served): Shared,
    headers: HeaderMap,
    Path(to): Path<B256>,
    Read(body): Read<serde_json::Value>,
) -> Result<Response, Fault> {
    let from = served.session(&headers)?;
    if !served.hub.relay().say(ChannelId(to), &Word { from, body }) {
        return Err(Fault::Unknown("listener at present"));
    }
    Metrics::count(&served.hub.metrics().relayed);
    Ok(Json(json!({ "said": true })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_asker_and_each_address_of_ipv4() {
        let of = |address: &str| network(address.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::5"));
        assert_ne!(of("2001:db8:1:2::4"), of("2001:db8:1:3::4"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"), "the same by another name");
    }
}
