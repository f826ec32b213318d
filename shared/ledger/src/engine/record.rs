//! What the ledger keeps of a block, an output and a milestone.

use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::MilestonePayload;

use crate::semantics::Conflict;
use crate::{Block, BlockId, MilestoneId, OutputId, TransactionId};

/// A block and what became of it.
#[derive(Debug, Clone)]
pub struct BlockRecord {
    /// Its bytes.
    pub raw: Box<[u8]>,
    /// Its parents, in order.
    pub parents: Box<[BlockId]>,
    /// Set for a block that carries a milestone.
    pub milestone_index: Option<u32>,
    /// Set once a milestone references it.
    pub inclusion: Option<Inclusion>,
    /// Newest milestone when it arrived.
    pub arrived: u32,
    oldest_root: u32,
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

impl BlockRecord {
    pub(super) fn new(raw: &[u8], parents: &[BlockId], oldest_root: u32, arrived: u32, block: &Block) -> Self {
        let milestone_index = match block.payload() {
            Some(Payload::Milestone(milestone)) => Some(milestone.essence().index().0),
            _ => None,
        };
        let (raw, parents) = (raw.into(), parents.into());
        Self { raw, parents, milestone_index, inclusion: None, arrived, oldest_root }
    }

    /// The oldest milestone that the cone of this block rests on.
    pub fn cone_index(&self) -> u32 {
        self.inclusion.map_or(self.oldest_root, |inclusion| inclusion.milestone)
    }
}

/// An output.
#[derive(Debug, Clone)]
pub struct OutputRecord {
    /// The output itself.
    pub output: Output,
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
        Self { output, block: BlockId::null(), booked: 0, booked_at: 0, spent: None }
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
    /// Blocks it references, in white-flag order.
    pub order: Vec<BlockId>,
    /// Outputs created.
    pub created: Vec<OutputId>,
    /// Outputs spent.
    pub consumed: Vec<OutputId>,
}
