//! One chain over JSON-RPC.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::{Provider as _, RootProvider};
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::{Block, BlockNumberOrTag, Filter, TransactionInput, TransactionReceipt, TransactionRequest};
use alloy_sol_types::SolCall;
use alloy_transport::{RpcError, TransportErrorKind};
use alloy_transport_http::Http;
use tarefa_channel::Time;

use crate::event::{Event, decode};
use crate::revert::{Failure, failure};
use crate::view::Head;

/// How long one request may take: a node that is slower cannot be decided by.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Blocks whose events are asked for at once: what public nodes answer.
pub const LOG_RANGE: u64 = 2000;

/// Why a chain did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcFault {
    /// The address is none.
    #[error("{url:?} is not an http address: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The call would revert.
    #[error(transparent)]
    Reverts(#[from] Failure),
    /// The node refuses the request.
    #[error("the chain's node refuses: {0}")]
    Refused(String),
    /// No answer, or none that makes sense.
    #[error("no answer from the chain's node: {0}")]
    Silent(String),
}

/// What a client of these addresses is built with. The system's certificates are read only where one of them is behind TLS: a machine that has none
/// reaches the others.
pub fn http_client<'a>(addresses: impl IntoIterator<Item = &'a str>) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder();
    let mut addresses = addresses.into_iter();
    if addresses.any(|address| address.starts_with("https:")) { builder } else { builder.tls_certs_only([]) }
}

/// What went wrong, and why, as far down as it is known: a library's own words often name only the last step.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        // Some repeat what is below them.
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        next = cause.source();
    }
    words
}

/// What went wrong, without the node's address: many have a key in it.
fn why(error: &RpcError<TransportErrorKind>) -> String {
    let words = causes(error);
    match words.split_once("for url (") {
        Some((before, rest)) => {
            let after = rest.split_once(')').map_or("", |(_, after)| after);
            format!("{}{after}", before.trim_end())
        }
        None => words,
    }
}

impl From<RpcError<TransportErrorKind>> for RpcFault {
    fn from(error: RpcError<TransportErrorKind>) -> Self {
        let Some(said) = error.as_error_resp() else { return Self::Silent(why(&error)) };
        match said.as_revert_data() {
            Some(data) => Self::Reverts(failure(&data)),
            None => Self::Refused(said.message.to_string()),
        }
    }
}

/// Prices of gas, wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// The most for each unit.
    pub most: u128,
    /// Of it, for whoever makes the block.
    pub tip: u128,
}

/// A node of a chain.
#[derive(Clone, Debug)]
pub struct Rpc {
    provider: RootProvider,
    chain_id: u64,
}

fn head(block: &Block) -> Head {
    Head { number: block.header.number, hash: block.header.hash, time: Time(block.header.timestamp) }
}

impl Rpc {
    /// Connects, which asks the chain's id.
    ///
    /// # Errors
    /// Where the address is none, or nothing answers there.
    pub async fn connect(url: &str) -> Result<Self, RpcFault> {
        let fault = |why: String| RpcFault::Url { url: url.to_owned(), why };
        let parsed = reqwest::Url::parse(url).map_err(|error| fault(error.to_string()))?;
        let client = http_client([parsed.as_str()]).timeout(TIMEOUT).build().map_err(|error| fault(causes(&error)))?;
        let client = RpcClient::new(Http::with_client(client, parsed), false);
        let provider = RootProvider::new(client);
        let chain_id = provider.get_chain_id().await?;
        Ok(Self { provider, chain_id })
    }

    /// EIP-155 chain id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The newest block.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn head(&self) -> Result<Head, RpcFault> {
        let found = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await?;
        found.as_ref().map(head).ok_or_else(|| RpcFault::Silent("it has no blocks".to_owned()))
    }

    /// The block with a number, if there is one.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn block(&self, number: u64) -> Result<Option<Head>, RpcFault> {
        let found = self.provider.get_block_by_number(BlockNumberOrTag::Number(number)).await?;
        Ok(found.as_ref().map(head))
    }

    /// Events of a contract in at most [`LOG_RANGE`] blocks, by block, oldest first.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn events(&self, contract: Address, from: u64, to: u64) -> Result<Vec<(Head, Vec<Event>)>, RpcFault> {
        let filter = Filter::new().address(contract).from_block(from).to_block(to);
        let mut blocks: Vec<(Head, Vec<Event>)> = vec![];
        for log in self.provider.get_logs(&filter).await? {
            let (Some(number), Some(hash)) = (log.block_number, log.block_hash) else {
                return Err(RpcFault::Silent("it shows an event of no block".to_owned()));
            };
            let Some(event) = decode(&log.inner).map_err(|error| RpcFault::Silent(error.to_string()))? else {
                continue;
            };
            match blocks.last_mut() {
                Some((head, events)) if head.hash == hash => events.push(event),
                Some(_) | None => {
                    let time = match log.block_timestamp {
                        Some(time) => time,
                        None => self.time_of(number).await?,
                    };
                    blocks.push((Head { number, hash, time: Time(time) }, vec![event]));
                }
            }
        }
        Ok(blocks)
    }

    async fn time_of(&self, number: u64) -> Result<u64, RpcFault> {
        let block = self.block(number).await?;
        let block = block.ok_or_else(|| RpcFault::Silent(format!("it shows events of block {number} and no block")))?;
        Ok(block.time.0)
    }

    /// Asks a contract something.
    ///
    /// # Errors
    /// Where it reverts, answers something else, or the node does not answer.
    pub async fn read<C: SolCall>(&self, contract: Address, call: &C) -> Result<C::Return, RpcFault> {
        let asked = TransactionRequest {
            to: Some(TxKind::Call(contract)),
            input: TransactionInput::new(call.abi_encode().into()),
            ..TransactionRequest::default()
        };
        let output = self.provider.call(asked).block(BlockNumberOrTag::Latest.into()).await?;
        C::abi_decode_returns(&output).map_err(|error| {
            RpcFault::Silent(format!("{contract} does not answer as a FulgurHub contract does: {error}"))
        })
    }

    /// The code of a contract.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn code(&self, contract: Address) -> Result<Bytes, RpcFault> {
        Ok(self.provider.get_code_at(contract).await?)
    }

    /// Native money of an account, wei.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn balance(&self, account: Address) -> Result<U256, RpcFault> {
        Ok(self.provider.get_balance(account).await?)
    }

    /// The number of an account's next transaction; `mined`: only those in blocks count.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn nonce(&self, account: Address, mined: bool) -> Result<u64, RpcFault> {
        let tag = if mined { BlockNumberOrTag::Latest } else { BlockNumberOrTag::Pending };
        Ok(self.provider.get_transaction_count(account).block_id(tag.into()).await?)
    }

    /// Gas that a transaction would use.
    ///
    /// # Errors
    /// Where it would revert, or the node does not answer.
    pub async fn estimate(&self, from: Address, to: TxKind, value: U256, input: Bytes) -> Result<u64, RpcFault> {
        let asked = TransactionRequest {
            from: Some(from),
            to: Some(to),
            value: Some(value),
            input: TransactionInput::new(input),
            ..TransactionRequest::default()
        };
        Ok(self.provider.estimate_gas(asked).block(BlockNumberOrTag::Latest.into()).await?)
    }

    /// What gas costs now.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn fees(&self) -> Result<Fees, RpcFault> {
        let found = self.provider.estimate_eip1559_fees().await?;
        Ok(Fees { most: found.max_fee_per_gas, tip: found.max_priority_fee_per_gas })
    }

    /// Sends signed bytes.
    ///
    /// # Errors
    /// Where the node refuses them or does not answer.
    pub async fn send(&self, raw: &[u8]) -> Result<B256, RpcFault> {
        Ok(*self.provider.send_raw_transaction(raw).await?.tx_hash())
    }

    /// Whether the node has a transaction, in a block or waiting for one.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn knows(&self, hash: B256) -> Result<bool, RpcFault> {
        Ok(self.provider.get_transaction_by_hash(hash).await?.is_some())
    }

    /// What came of a transaction; none while it is in no block.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, RpcFault> {
        Ok(self.provider.get_transaction_receipt(hash).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_does_not_tell_the_key_in_the_nodes_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let fault = Rpc::connect(&format!("http://{address}/v2/secret-key")).await.expect_err("nobody is there");
        assert!(!fault.to_string().contains("secret-key"), "{fault}");
        assert!(fault.to_string().contains("no answer"), "{fault}");
    }
}
