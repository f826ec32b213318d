//! What the ledger keeps of a block, an output and a milestone.

use std::sync::Arc;

use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::MilestonePayload;

use crate::semantics::Conflict;
use crate::{Block, BlockId, MilestoneId, OutputId, TransactionId};

/// A block and what became of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlockRecord {
    /// Its bytes.
    pub raw: Arc<[u8]>,
    /// Its parents, in order.
    pub parents: Arc<[BlockId]>,
    /// What became of it.
    pub meta: BlockMeta,
}

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMeta {
    /// Its number: blocks count from 1 in the order in which they were taken.
    pub sequence: u64,
    /// What it carries.
    pub carries: Carries,
    /// Set once a milestone references it.
    pub inclusion: Option<Inclusion>,
    /// Newest milestone when it arrived.
    pub arrived: u32,
    /// The oldest milestone below its parents when it arrived.
    pub oldest_root: u32,
    /// Whether tip selection was told never to pick it.
    pub orphan: bool,
}

impl BlockMeta {
    /// The oldest milestone that the cone of this block rests on.
    pub fn cone_index(&self) -> u32 {
        self.inclusion.map_or(self.oldest_root, |inclusion| inclusion.milestone)
    }

    /// Set for a block that carries a milestone.
    pub fn milestone_index(&self) -> Option<u32> {
        match self.carries {
            Carries::Milestone(index) => Some(index),
            _ => None,
        }
    }
}

/// What a block carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// No payload.
    Nothing,
    /// Tagged data.
    Data,
    /// A transaction.
    Transaction,
    /// The milestone with this index.
    Milestone(u32),
}

impl Carries {
    /// What this block carries.
    pub fn of(block: &Block) -> Self {
        match block.payload() {
            Some(Payload::Transaction(_)) => Self::Transaction,
            Some(Payload::Milestone(milestone)) => Self::Milestone(milestone.essence().index().0),
            Some(Payload::TaggedData(_)) => Self::Data,
            _ => Self::Nothing,
        }
    }
}

/// How a milestone references a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inclusion {
    /// Which milestone.
    pub milestone: u32,
    /// Position in white-flag order.
    pub position: u32,
    /// What it did to the ledger.
    pub state: InclusionState,
}

/// What a referenced block did to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InclusionState {
    /// Carries no transaction.
    NoTransaction,
    /// Its transaction was applied.
    Included,
    /// Its transaction was not applied through this block; the number is the node's conflict reason.
    Conflicting(u8),
}

impl From<Result<(), Conflict>> for InclusionState {
    fn from(result: Result<(), Conflict>) -> Self {
        match result {
            Ok(()) => Self::Included,
            Err(conflict) => Self::Conflicting(conflict as u8),
        }
    }
}

/// An output.
#[derive(Debug, Clone)]
pub struct OutputRecord {
    /// The output itself.
    pub output: Arc<Output>,
    /// Block whose transaction created it.
    pub block: BlockId,
    /// Milestone that applied it.
    pub booked: u32,
    /// Timestamp of that milestone.
    pub booked_at: u32,
    /// Set once it is spent.
    pub spent: Option<Spent>,
}

/// How an output was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// By which transaction.
    pub transaction: TransactionId,
    /// In which milestone.
    pub milestone: u32,
    /// Timestamp of that milestone.
    pub at: u32,
}

impl OutputRecord {
    pub(super) fn genesis(output: Output) -> Self {
        Self { output: Arc::new(output), block: BlockId::null(), booked: 0, booked_at: 0, spent: None }
    }
}

/// A milestone and what it did.
#[derive(Debug, Clone)]
pub struct MilestoneRecord {
    /// Its id.
    pub id: MilestoneId,
    /// Seconds since 1970.
    pub timestamp: u32,
    /// The payload.
    pub payload: MilestonePayload,
    /// The block that carries it.
    pub block: BlockId,
    /// Number of that block.
    pub sequence: u64,
    /// Blocks it references, in white-flag order.
    pub order: Vec<BlockId>,
    /// Outputs created.
    pub created: Vec<OutputId>,
    /// Outputs spent.
    pub consumed: Vec<OutputId>,
}
