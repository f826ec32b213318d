//! The Tangle port: what a daemon needs of a node, its Stardust REST adapter, and its in-memory and failing twins.
//!
//! Transport and proof only: nothing here knows what a message means or whose money it is.

pub mod backoff;
pub mod failing;
pub mod memory;
pub mod poller;
pub mod poster;
pub mod rest;

use std::future::Future;

use tarefa_ledger::{BlockId, OutputId, ProtocolParameters, TransactionId};

/// A node did not give what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Cannot be reached, or broke off; worth another try.
    #[error("the node at {url} cannot be reached: {reason}. Is it running? `tarefa testnet up` starts one")]
    Unreachable {
        /// Base URL.
        url: String,
        /// What the transport says.
        reason: String,
    },
    /// It does not have it (HTTP 404).
    #[error("the node does not know {0}")]
    NotFound(String),
    /// It refuses (HTTP 4xx), with its own words.
    #[error("the node refuses: {0}")]
    Refused(String),
    /// Its answer makes no sense.
    #[error("the node's answer to {what} makes no sense: {reason}")]
    Nonsense {
        /// What was asked.
        what: String,
        /// Why.
        reason: String,
    },
}

/// A node as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfo {
    /// Newest confirmed milestone.
    pub confirmed: u32,
    /// Milestones up to this one are gone.
    pub pruned: u32,
    /// Parameters of its network.
    pub params: ProtocolParameters,
}

/// What one milestone did to the ledger, as the node claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UtxoChanges {
    /// Outputs created.
    pub created: Vec<OutputId>,
    /// Outputs spent.
    pub consumed: Vec<OutputId>,
}

impl UtxoChanges {
    /// Ids of the transactions applied: each creates at least one output.
    pub fn applied(&self) -> std::collections::HashSet<TransactionId> {
        self.created.iter().map(|id| *id.transaction_id()).collect()
    }
}

/// A node of a Tangle. Every call has a bounded duration.
pub trait Tangle: Send + Sync + 'static {
    /// Its state.
    fn info(&self) -> impl Future<Output = Result<NodeInfo, NodeError>> + Send;
    /// Payload bytes of a milestone.
    fn milestone(&self, index: u32) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;
    /// Bytes of a block.
    fn block(&self, id: BlockId) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;
    /// The milestone that references a block, if one does.
    fn referenced_by(&self, id: BlockId) -> impl Future<Output = Result<Option<u32>, NodeError>> + Send;
    /// Ledger changes of a milestone.
    fn utxo_changes(&self, index: u32) -> impl Future<Output = Result<UtxoChanges, NodeError>> + Send;
    /// Parents for a new block.
    fn tips(&self) -> impl Future<Output = Result<Vec<BlockId>, NodeError>> + Send;
    /// Hands a block over.
    fn post(&self, block: Vec<u8>) -> impl Future<Output = Result<BlockId, NodeError>> + Send;
}
