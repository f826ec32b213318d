//! Where an engine keeps what it need not hold in memory, and what it hands over to be kept.

use std::ops::Range;
use std::sync::Arc;

use super::{BlockMeta, MilestoneRecord, OutputRecord};
use crate::{BlockId, MilestoneId, OutputId};

/// Reads what was handed over in [`Changes`] and what was posted since. An implementation that cannot read says so
/// elsewhere and answers `None`: the engine takes that as unknown.
pub trait Archive: Send {
    /// What became of a block.
    fn meta(&self, id: &BlockId) -> Option<BlockMeta>;
    /// The bytes of the block with this number.
    fn raw(&self, sequence: u64) -> Option<Arc<[u8]>>;
    /// An output, spent or not.
    fn output(&self, id: &OutputId) -> Option<OutputRecord>;
    /// A milestone by its index.
    fn milestone(&self, index: u32) -> Option<MilestoneRecord>;
    /// The index of a milestone.
    fn milestone_index(&self, id: &MilestoneId) -> Option<u32>;
    /// Numbers of the blocks kept in a range, rising, `most` at a time.
    fn sequences(&self, range: Range<u64>, most: usize) -> Vec<u64>;
}

/// Where a ledger stands between two runs: everything below is in the archive, everything above is posted again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Newest milestone.
    pub confirmed: u32,
    /// Newest milestone that was pruned.
    pub pruned: u32,
    /// Number of the next block.
    pub next: u64,
}

/// What changed between two milestones, to be written at once.
#[derive(Debug, Default)]
pub struct Changes {
    /// Where the ledger stands with them.
    pub checkpoint: Checkpoint,
    /// Blocks that arrived or were referenced.
    pub blocks: Vec<(BlockId, BlockMeta)>,
    /// Outputs created or spent.
    pub outputs: Vec<(OutputId, OutputRecord)>,
    /// Milestones made.
    pub milestones: Vec<Arc<MilestoneRecord>>,
    /// What is no more.
    pub gone: Gone,
    pub(super) epoch: u64,
}

/// What pruning or a step back in time removes.
#[derive(Debug, Default)]
pub struct Gone {
    /// Blocks whose bytes go, by number, with their ids.
    pub blocks: Vec<(u64, BlockId)>,
    /// Outputs.
    pub outputs: Vec<OutputId>,
    /// Milestones.
    pub milestones: Vec<(u32, MilestoneId)>,
}

/// What the engine has to hand over next.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub blocks: Vec<BlockId>,
    pub outputs: Vec<OutputId>,
    pub milestones: Vec<u32>,
    pub gone: Gone,
    pub epoch: u64,
}
