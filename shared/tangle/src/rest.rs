//! The Stardust REST adapter (core API v2).

use std::time::Duration;

use iota_sdk::types::api::core::response::{InfoResponse, TipsResponse, UtxoChangesResponse};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tarefa_ledger::BlockId;

use crate::{NodeError, NodeInfo, Tangle, UtxoChanges};

const RAW: &str = "application/vnd.iota.serializer-v1";

/// No answer takes longer on a healthy node; a cone walk over a slow link still fits.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A node that does not take a connection within this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// No answer is larger: a block has 32 KiB, the changes of a full milestone some MiB.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// A node behind a URL.
#[derive(Debug, Clone)]
pub struct Rest {
    http: reqwest::Client,
    url: String,
}

#[derive(Deserialize)]
struct ErrorEnvelope {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    block_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    referenced_by_milestone_index: Option<u32>,
}

impl Rest {
    /// An adapter for the node at `url`, for instance `http://127.0.0.1:14265`.
    pub fn new(url: &str) -> Result<Self, NodeError> {
        let url = url.trim_end_matches('/').to_owned();
        let builder = || reqwest::Client::builder().timeout(REQUEST_TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
        // A machine without certificates reaches whatever is not behind TLS.
        let http = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|error| NodeError::Unreachable { url: url.clone(), reason: error.to_string() })?;
        Ok(Self { http, url })
    }

    /// Base URL of the node.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks a faucet for funds. `url` is the faucet's base; the node's own serves for a dev Tangle.
    pub async fn ask_faucet(&self, url: &str, address: &str) -> Result<(), NodeError> {
        let endpoint = format!("{}/api/enqueue", url.trim_end_matches('/'));
        let body = serde_json::json!({ "address": address });
        self.send(self.http.post(endpoint).json(&body), "the faucet").await.map(drop)
    }

    /// Reads, or with a `wish` changes, the controls of a dev Tangle (`docs/testnet.md`). Other nodes refuse.
    pub async fn control(&self, wish: Option<&serde_json::Value>) -> Result<serde_json::Value, NodeError> {
        let endpoint = format!("{}/control/v1", self.url);
        let request = match wish {
            Some(wish) => self.http.post(endpoint).json(wish),
            None => self.http.get(endpoint),
        };
        let what = "the controls";
        let bytes = self.read(self.send(request, what).await?, what).await?;
        serde_json::from_slice(&bytes).map_err(|error| nonsense(what, &error.to_string()))
    }

    /// The interfaces that the node lists, like `indexer/v1`.
    pub async fn routes(&self) -> Result<Vec<String>, NodeError> {
        #[derive(serde::Deserialize)]
        struct Routes {
            routes: Vec<String>,
        }
        Ok(self.json::<Routes>("/api/routes").await?.routes)
    }

    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response, NodeError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let message = serde_json::from_str::<ErrorEnvelope>(&text).map_or(text, |envelope| envelope.error.message);
        Err(match status {
            StatusCode::NOT_FOUND => NodeError::NotFound(what.to_owned()),
            status if status.is_client_error() => NodeError::Refused(message),
            status => NodeError::Unreachable { url: self.url.clone(), reason: format!("{status}: {message}") },
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> NodeError {
        use std::error::Error;
        // The outermost error only repeats the URL; the innermost says what happened.
        let mut cause: &dyn Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        NodeError::Unreachable { url: self.url.clone(), reason: cause.to_string() }
    }

    /// The whole answer, if it is not larger than any honest one.
    async fn read(&self, mut response: Response, what: &str) -> Result<Vec<u8>, NodeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_MAX {
                return Err(nonsense(what, &format!("more than {ANSWER_MAX} bytes")));
            }
        }
        Ok(bytes)
    }

    async fn bytes(&self, path: &str) -> Result<Vec<u8>, NodeError> {
        let request = self.http.get(format!("{}{path}", self.url)).header(ACCEPT, RAW);
        let response = self.send(request, path).await?;
        self.read(response, path).await
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        let response = self.send(self.http.get(format!("{}{path}", self.url)), path).await?;
        let bytes = self.read(response, path).await?;
        serde_json::from_slice(&bytes).map_err(|error| nonsense(path, &error.to_string()))
    }
}

fn nonsense(what: &str, reason: &str) -> NodeError {
    NodeError::Nonsense { what: what.to_owned(), reason: reason.to_owned() }
}

impl Tangle for Rest {
    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let info: InfoResponse = self.json("/api/core/v2/info").await?;
        let params = info.protocol;
        if params.min_pow_score() != 0 {
            let text = format!(
                "the network asks for proof of work (score {}), which this program does not do",
                params.min_pow_score()
            );
            return Err(NodeError::Refused(text));
        }
        Ok(NodeInfo { confirmed: info.status.confirmed_milestone.index, pruned: info.status.pruning_index, params })
    }

    async fn milestone(&self, index: u32) -> Result<Vec<u8>, NodeError> {
        self.bytes(&format!("/api/core/v2/milestones/by-index/{index}")).await
    }

    async fn block(&self, id: BlockId) -> Result<Vec<u8>, NodeError> {
        self.bytes(&format!("/api/core/v2/blocks/{id}")).await
    }

    async fn referenced_by(&self, id: BlockId) -> Result<Option<u32>, NodeError> {
        let metadata: Metadata = self.json(&format!("/api/core/v2/blocks/{id}/metadata")).await?;
        Ok(metadata.referenced_by_milestone_index)
    }

    async fn utxo_changes(&self, index: u32) -> Result<UtxoChanges, NodeError> {
        let path = format!("/api/core/v2/milestones/by-index/{index}/utxo-changes");
        let changes: UtxoChangesResponse = self.json(&path).await?;
        Ok(UtxoChanges { created: changes.created_outputs, consumed: changes.consumed_outputs })
    }

    async fn tips(&self) -> Result<Vec<BlockId>, NodeError> {
        let answer: TipsResponse = self.json("/api/core/v2/tips").await?;
        Ok(answer.tips)
    }

    async fn post(&self, block: Vec<u8>) -> Result<BlockId, NodeError> {
        let url = format!("{}/api/core/v2/blocks", self.url);
        let response = self.send(self.http.post(url).header(CONTENT_TYPE, RAW).body(block), "the block").await?;
        let bytes = self.read(response, "the posted block").await?;
        let posted: Posted =
            serde_json::from_slice(&bytes).map_err(|error| nonsense("the posted block", &error.to_string()))?;
        posted.block_id.parse().map_err(|_| nonsense("the posted block", "no block id"))
    }
}
