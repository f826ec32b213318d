//! The local private RPC: JSON-RPC 2.0 over HTTP on a loopback address, for programs of this machine that can read the client's directory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::hex;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tarefa_chain::http_client;
use tokio::net::TcpListener;

use crate::daemon::{Door, Request};
use crate::fault::ClientFault;
use crate::settings::write_secret;

/// The file that says where the RPC is and what word lets in.
const FILE: &str = "rpc.json";

/// Bytes of one request: a proof that is handed over is a few kB.
const BODY: usize = 64 << 10;

/// Where an RPC is, and its word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// `http://127.0.0.1:…`
    pub url: String,
    /// The bearer token.
    pub token: String,
}

impl Address {
    /// Reads it from a client's directory.
    ///
    /// # Errors
    /// Where no daemon has written it.
    pub fn read(dir: &Path) -> Result<Self, ClientFault> {
        let path = dir.join(FILE);
        let absent =
            || ClientFault::asked(format!("no daemon runs on {}: start `tarefa channel run` there", dir.display()));
        let bytes = std::fs::read(&path).map_err(|_| absent())?;
        serde_json::from_slice(&bytes).map_err(|_| absent())
    }

    /// Asks for something.
    ///
    /// # Errors
    /// Why not.
    pub async fn ask(&self, request: &Request) -> Result<Value, ClientFault> {
        let gone = |error: reqwest::Error| {
            ClientFault::asked(format!("the channel's daemon does not answer at {}: {}", self.url, error.without_url()))
        };
        let mut body = serde_json::to_value(request).map_err(|error| ClientFault::asked(error.to_string()))?;
        body["jsonrpc"] = json!("2.0");
        body["id"] = json!(1);
        let answer = http_client([])
            .build()
            .map_err(gone)?
            .post(&self.url)
            .bearer_auth(&self.token)
            .json(&body)
            .send()
            .await
            .map_err(gone)?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientFault::asked("another daemon has taken this one's port: start it again"));
        }
        let mut said: Value = answer.json().await.map_err(gone)?;
        match said["error"]["message"].as_str() {
            Some(words) => Err(ClientFault::asked(words)),
            None => Ok(said["result"].take()),
        }
    }
}

struct Served {
    door: Door,
    /// Hash of the word: comparing hashes tells nothing of the word by its time.
    word: [u8; 32],
}

/// Serves the RPC and writes where it is, until `stop` is done.
///
/// # Errors
/// Where the address is not of this machine alone, or taken.
pub async fn serve(
    dir: &Path,
    listen: SocketAddr,
    door: Door,
) -> Result<(Address, impl Future<Output = std::io::Result<()>> + use<>), ClientFault> {
    if !listen.ip().is_loopback() {
        return Err(ClientFault::asked(format!(
            "{listen} is not a loopback address: the RPC moves money for whoever reaches it"
        )));
    }
    let taken = |error: std::io::Error| ClientFault::asked(format!("the RPC cannot listen on {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(taken)?;
    let local = listener.local_addr().map_err(taken)?;
    let mut word = [0; 32];
    getrandom::fill(&mut word).map_err(|error| ClientFault::asked(error.to_string()))?;
    let address = Address { url: format!("http://{local}"), token: hex::encode(word) };
    let text = serde_json::to_vec(&address).map_err(|error| ClientFault::asked(error.to_string()))?;
    write_secret(&dir.join(FILE), &text)?;
    let served = Arc::new(Served { door, word: Sha256::digest(address.token.as_bytes()).into() });
    let router = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(BODY)).with_state(served);
    Ok((address, async move { axum::serve(listener, router).await }))
}

/// Nobody serves it any more: whoever took the port next would be sent the word, and believed.
pub fn forget(dir: &Path) {
    std::fs::remove_file(dir.join(FILE)).ok();
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    id: Value,
    #[serde(flatten)]
    request: Value,
}

async fn answer(State(served): State<Arc<Served>>, headers: HeaderMap, Json(asked): Json<Asked>) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let word = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if <[u8; 32]>::from(Sha256::digest(word.as_bytes())) != served.word {
        return (StatusCode::UNAUTHORIZED, "no bearer token, or not the daemon's: see rpc.json").into_response();
    }
    let said = match serde_json::from_value::<Request>(asked.request) {
        Err(error) => Err((-32602, format!("no such request: {error}"))),
        Ok(request) => served.door.ask(request).await.map_err(|fault| (-32000, fault.to_string())),
    };
    Json(match said {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": asked.id, "result": result }),
        Err((code, message)) => {
            json!({ "jsonrpc": "2.0", "id": asked.id, "error": { "code": code, "message": message } })
        }
    })
    .into_response()
}
