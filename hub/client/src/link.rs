//! The hub over HTTP, by any of its replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tarefa_chain::{causes, http_client};
use tarefa_channel::contract::Signed;
use tarefa_channel::hub::{Answer, Proposal};
use tarefa_channel::message::ChannelOffer;
use tarefa_channel::sign::HubSignature;
use tarefa_channel::{Amount, ChannelId, Time, TokenId};
use tarefa_hub::{Deployment, Login, Opening, Receipt, Standing};

/// How long a hub may take to answer: above a slow disk and a wide sea, below any patience.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the longest answer: a mailbox full of tokens and receipts of 64 operations each. A hub that sends more has no good reason.
const ANSWER: usize = 4 << 20;

/// The longest line of the stream: the hub takes words of four kB.
const WORD: usize = 16 << 10;

/// Where lines are said, one comes at least so often (the hub's beat is shorter): after that it is begun again.
const SILENCE: Duration = Duration::from_secs(12);

/// Why a hub has not answered, or what it refuses.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// No address.
    #[error("{0:?} is not an http address of a hub")]
    Url(String),
    /// It refuses.
    #[error("the hub refuses: {words}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        words: String,
        /// The newest doubly-signed state, where the proposal does not follow it.
        newest: Option<Box<Signed>>,
    },
    /// No answer, or one that means: later.
    #[error("the hub does not answer: {0}")]
    Silent(String),
}

/// What a refusal says.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    error: String,
    newest: Option<Box<Signed>>,
}

/// A hub.
#[derive(Clone, Debug)]
pub struct Link {
    client: reqwest::Client,
    hubs: Arc<[String]>,
    /// The replica that answered last.
    at: Arc<AtomicUsize>,
    /// How long each message takes besides: for measuring.
    delay: Duration,
}

/// Words for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session(String);

impl Link {
    /// A hub, by its replicas' addresses.
    ///
    /// # Errors
    /// Where one is none.
    pub fn new(hubs: &[String]) -> Result<Self, LinkFault> {
        let mut all = vec![];
        for hub in hubs {
            let url = reqwest::Url::parse(hub).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            all.push(url.ok_or_else(|| LinkFault::Url(hub.clone()))?.as_str().trim_end_matches('/').to_owned());
        }
        if all.is_empty() {
            return Err(LinkFault::Url(String::new()));
        }
        let client = http_client(all.iter().map(String::as_str)).connect_timeout(TIMEOUT).build();
        let client = client.map_err(|error| LinkFault::Silent(causes(&error)))?;
        Ok(Self { client, hubs: all.into(), at: Arc::default(), delay: Duration::ZERO })
    }

    /// The same hub, as far away that each message takes so much longer: to measure what distance costs.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// How many replicas there are.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.hubs.len()
    }

    /// Asks another replica from now on.
    pub fn turn(&self) {
        self.at.fetch_add(1, Ordering::Relaxed);
    }

    fn request(&self, method: Method, path: &str, session: Option<&Session>) -> reqwest::RequestBuilder {
        let hub = &self.hubs[self.at.load(Ordering::Relaxed) % self.hubs.len()];
        let request = self.client.request(method, format!("{hub}{path}"));
        match session {
            Some(session) => request.bearer_auth(&session.0),
            None => request,
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, LinkFault> {
        let silent = |error: reqwest::Error| LinkFault::Silent(causes(&error.without_url()));
        self.travel().await;
        let answer = request.timeout(TIMEOUT).send().await.map_err(silent)?;
        let body = bounded(checked(answer).await?).await?;
        self.travel().await;
        serde_json::from_slice(&body).map_err(|error| LinkFault::Silent(format!("its answer does not read: {error}")))
    }

    async fn travel(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, session: Option<&Session>) -> Result<T, LinkFault> {
        self.read(self.request(Method::GET, path, session)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        session: Option<&Session>,
        body: &impl Serialize,
    ) -> Result<T, LinkFault> {
        self.read(self.request(Method::POST, path, session).json(body)).await
    }

    /// Contract and terms.
    ///
    /// # Errors
    /// Where the hub does not answer.
    pub async fn terms(&self) -> Result<Deployment, LinkFault> {
        self.get("/terms", None).await
    }

    /// An offer to open a channel.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn offer(
        &self,
        client: Address,
        asset: Address,
        collateral: Amount,
    ) -> Result<(ChannelOffer, HubSignature), LinkFault> {
        #[derive(Deserialize)]
        struct Offered {
            offer: ChannelOffer,
            hub: HubSignature,
        }
        let found: Offered = self.post("/offer", None, &Opening { client, asset, collateral }).await?;
        Ok((found.offer, found.hub))
    }

    /// Proposes a state.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn propose(&self, proposal: &Proposal) -> Result<Answer, LinkFault> {
        self.post("/sendPropose", None, proposal).await
    }

    /// Begins a session.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn login(&self, login: &Login) -> Result<Session, LinkFault> {
        let said: Value = self.post("/login", None, login).await?;
        let word = said["session"].as_str().ok_or_else(|| LinkFault::Silent("it gives no session".to_owned()))?;
        Ok(Session(word.to_owned()))
    }

    /// The mailbox whenever it has news, a line of JSON each.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn follow(&self, session: &Session) -> Result<Lines, LinkFault> {
        self.lines("/mailbox?follow=true", session, ANSWER).await
    }

    /// Where the channel stands.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn newest(&self, session: &Session) -> Result<Standing, LinkFault> {
        self.get("/newest", Some(session)).await
    }

    /// Registers an invoice; whether it is new.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn invoice(
        &self,
        session: &Session,
        invoice: B256,
        cap: Amount,
        expires: Time,
    ) -> Result<bool, LinkFault> {
        let wanted = json!({ "invoice": invoice, "cap": cap, "expires": expires });
        let said: Value = self.post("/invoice", Some(session), &wanted).await?;
        Ok(said["new"] == true)
    }

    /// The receipt of a token.
    ///
    /// # Errors
    /// Where there is none yet, or no answer.
    pub async fn receipt(&self, session: &Session, token: TokenId) -> Result<Receipt, LinkFault> {
        self.get(&format!("/retrievePaymentReceipt/{token}"), Some(session)).await
    }

    /// Words of the stream, a line of JSON each.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn listen(&self, session: &Session) -> Result<Lines, LinkFault> {
        self.lines("/stream", session, WORD).await
    }

    async fn lines(&self, path: &str, session: &Session, longest: usize) -> Result<Lines, LinkFault> {
        self.travel().await;
        let request = self.request(Method::GET, path, Some(session));
        let asked = async {
            let answer = request.send().await;
            checked(answer.map_err(|error| LinkFault::Silent(causes(&error.without_url())))?).await
        };
        let answer = tokio::time::timeout(TIMEOUT, asked).await;
        let answer = answer.map_err(|_| LinkFault::Silent("no answer in time".to_owned()))??;
        Ok(Lines { answer, rest: vec![], longest, delay: self.delay })
    }

    /// Says something to another channel's client, at whichever replica it listens.
    ///
    /// # Errors
    /// Where it listens at none, or none answers.
    pub async fn say(&self, session: &Session, to: ChannelId, body: &Value) -> Result<(), LinkFault> {
        let mut last = None;
        for _ in 0..self.hubs.len() {
            match self.post::<Value>(&format!("/stream/{to}"), Some(session), body).await {
                Ok(_) => return Ok(()),
                Err(fault) => last = Some(fault),
            }
            self.turn();
        }
        Err(last.unwrap_or_else(|| LinkFault::Silent("no replica".to_owned())))
    }
}

/// What a hub says line by line, for as long as it does.
pub struct Lines {
    answer: Response,
    /// Bytes that no line has ended yet.
    rest: Vec<u8>,
    longest: usize,
    delay: Duration,
}

impl Lines {
    /// The next line that says something; none once it has ended, has been silent for too long, or says too much.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(said) => {
                        if !self.delay.is_zero() {
                            tokio::time::sleep(self.delay).await;
                        }
                        return Some(said);
                    }
                    Err(_) if line.trim_ascii().is_empty() => {}
                    Err(error) => tracing::warn!(%error, "the hub said something that this client does not know"),
                }
            } else if self.rest.len() > self.longest {
                return None;
            } else {
                let chunk = tokio::time::timeout(SILENCE, self.answer.chunk()).await.ok()?.ok()??;
                self.rest.extend_from_slice(&chunk);
            }
        }
    }
}

/// The body of an answer, up to a size.
async fn bounded(mut answer: Response) -> Result<Vec<u8>, LinkFault> {
    let mut body = vec![];
    while let Some(chunk) = answer.chunk().await.map_err(|error| LinkFault::Silent(causes(&error.without_url())))? {
        if body.len() + chunk.len() > ANSWER {
            return Err(LinkFault::Silent(format!("its answer is longer than {ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn checked(answer: Response) -> Result<Response, LinkFault> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = String::from_utf8_lossy(&bounded(answer).await?).into_owned();
    let said = serde_json::from_str(&text).unwrap_or(Said { error: text, newest: None });
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(LinkFault::Silent(said.error));
    }
    Err(LinkFault::Refused { status: status.as_u16(), words: said.error, newest: said.newest })
}
