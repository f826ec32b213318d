//! A Stardust ledger in memory: blocks, milestones, outputs. No clock, no keys of its own, no I/O.
//!
//! The dev Tangle puts REST and a disk around it; the in-memory twin of the Tangle port and the simulator use
//! it as it is. It may live here because everything in it follows from the ledger's rules.

mod apply;
mod record;
mod tips;
mod unspent;

use std::collections::HashMap;

use ed25519_dalek::SigningKey;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::address::{Address, Ed25519Address};
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::MilestonePayload;

pub use apply::ApplyError;
pub use record::{BlockRecord, Inclusion, InclusionState, MilestoneRecord, OutputRecord, Spent};

pub use unspent::{Position, Unspent};

use crate::network::BELOW_MAX_DEPTH;
use crate::{Block, BlockId, MilestoneId, OutputId, ProtocolParameters, TransactionId, build, wire};

/// A block the ledger does not take; the text is the node's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its bytes cannot be read as a block.
    #[error("invalid block, error: {0}")]
    Unreadable(String),
    /// It breaks a rule of blocks or transactions.
    #[error("failed to attach block: {0}: invalid block")]
    Invalid(String),
    /// A parent is unknown.
    #[error("failed to attach block: block is not solid: invalid block")]
    NotSolid,
    /// The parents are older than the below-max-depth limit.
    #[error("failed to attach block: block is below max depth: invalid block")]
    BelowMaxDepth,
}

/// An output that exists before the first milestone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genesis {
    /// Owner.
    pub address: [u8; 32],
    /// Base units.
    pub amount: u64,
}

/// The ledger.
#[derive(Debug)]
pub struct Engine {
    params: ProtocolParameters,
    blocks: HashMap<BlockId, BlockRecord>,
    milestones: Vec<MilestoneRecord>,
    milestone_ids: HashMap<MilestoneId, u32>,
    outputs: HashMap<OutputId, OutputRecord>,
    included: HashMap<TransactionId, BlockId>,
    unspent: Unspent,
    tips: tips::Tips,
}

impl Engine {
    /// A ledger before its first milestone. Genesis output n has the transaction id n‖00…00.
    pub fn new(params: ProtocolParameters, genesis: &[Genesis]) -> Self {
        let mut engine = Self {
            params,
            blocks: HashMap::new(),
            milestones: vec![],
            milestone_ids: HashMap::new(),
            outputs: HashMap::new(),
            included: HashMap::new(),
            unspent: Unspent::default(),
            tips: tips::Tips::default(),
        };
        for (number, output) in genesis.iter().enumerate() {
            let mut id = [0u8; 32];
            id[0] = number as u8;
            let id = OutputId::new(TransactionId::new(id), 0).expect("index 0 is valid");
            let plain = build::plain_output(output.address, output.amount, &engine.params)
                .expect("genesis amounts are below the supply");
            engine.create(id, OutputRecord::genesis(plain));
        }
        engine
    }

    /// Parameters of the network.
    pub fn params(&self) -> &ProtocolParameters {
        &self.params
    }

    /// Index of the newest milestone, 0 before the first.
    pub fn confirmed(&self) -> u32 {
        self.milestones.len() as u32
    }

    /// Takes a block. One that is known already is taken again without effect.
    pub fn submit(&mut self, raw: &[u8]) -> Result<BlockId, Refusal> {
        self.take(raw, false)
    }

    /// As [`Self::submit`], but no tip selection ever picks the block: it stays unreferenced unless a later
    /// block names it as a parent. A fault for tests.
    pub fn submit_orphan(&mut self, raw: &[u8]) -> Result<BlockId, Refusal> {
        self.take(raw, true)
    }

    /// Takes a block of a recorded ledger, also when it carries a milestone.
    pub fn replay(&mut self, raw: &[u8]) -> Result<BlockId, Refusal> {
        let id = BlockId::new(crate::blake2b(raw));
        if self.blocks.contains_key(&id) {
            return Ok(id);
        }
        let block = self.parse(raw)?;
        self.insert(id, raw, &block)
    }

    fn take(&mut self, raw: &[u8], orphan: bool) -> Result<BlockId, Refusal> {
        let id = BlockId::new(crate::blake2b(raw));
        if let Some(known) = self.blocks.get(&id) {
            // One that comes again too late is refused, as if it were new.
            return self.oldest_root(&known.parents).map(|_| id);
        }
        let block = self.parse(raw)?;
        let oldest = self.oldest_root(block.parents())?;
        if matches!(block.payload(), Some(Payload::Milestone(_))) {
            return Err(Refusal::Invalid("milestones are issued by this node's coordinator only".into()));
        }
        Ok(self.keep(id, raw, &block, oldest, orphan))
    }

    /// The cause of a refusal is found by [`wire`]; that nothing malformed gets further is the SDK's word.
    fn parse(&self, raw: &[u8]) -> Result<Block, Refusal> {
        let loose = wire::read(raw).map_err(Refusal::Unreadable)?;
        wire::check(&loose, &self.params).map_err(Refusal::Invalid)?;
        Block::unpack_strict(raw, &self.params).map_err(|error| Refusal::Invalid(error.to_string()))
    }

    /// The oldest milestone below a block whose parents are all known and young enough.
    fn oldest_root(&self, parents: &[BlockId]) -> Result<u32, Refusal> {
        let mut oldest = u32::MAX;
        for parent in parents {
            let index = match self.blocks.get(parent) {
                Some(record) => record.cone_index(),
                // The zero id is the solid entry point of a new network.
                None if parent.is_null() => 0,
                None => return Err(Refusal::NotSolid),
            };
            oldest = oldest.min(index);
        }
        if oldest + BELOW_MAX_DEPTH < self.confirmed() { Err(Refusal::BelowMaxDepth) } else { Ok(oldest) }
    }

    fn insert(&mut self, id: BlockId, raw: &[u8], block: &Block) -> Result<BlockId, Refusal> {
        let oldest = self.oldest_root(block.parents())?;
        Ok(self.keep(id, raw, block, oldest, false))
    }

    fn keep(&mut self, id: BlockId, raw: &[u8], block: &Block, oldest: u32, orphan: bool) -> BlockId {
        let parents: Vec<BlockId> = block.parents().iter().copied().collect();
        self.blocks.insert(id, BlockRecord::new(raw, &parents, oldest, self.confirmed(), block));
        if orphan {
            self.tips.approve(&parents);
        } else {
            self.tips.add(id, &parents);
        }
        id
    }

    /// Parents for a new block: recent blocks nobody has approved yet, and the newest milestone's.
    pub fn tips(&self) -> Vec<BlockId> {
        self.tips.select(self.newest_milestone_block())
    }

    fn newest_milestone_block(&self) -> BlockId {
        self.milestones.last().map_or(BlockId::null(), |milestone| milestone.block)
    }

    /// Makes the next milestone over everything that is waiting, and applies it. Where more tips wait than a
    /// block has parents, blocks without payload tie them together first; they are returned to be stored.
    pub fn issue(&mut self, now: u32, keys: &[SigningKey]) -> Result<Vec<BlockId>, ApplyError> {
        self.drop_old_tips();
        let ties = self.tie_tips()?;
        let payload = self.next_milestone(now, keys)?;
        self.apply(&payload)?;
        Ok(ties)
    }

    /// Tips below max depth can have no children any more.
    fn drop_old_tips(&mut self) {
        let confirmed = self.confirmed();
        let blocks = &self.blocks;
        let is_old = |id: &BlockId| blocks.get(id).is_none_or(|block| block.cone_index() + BELOW_MAX_DEPTH < confirmed);
        self.tips.remove_where(is_old);
    }

    fn tie_tips(&mut self) -> Result<Vec<BlockId>, ApplyError> {
        let mut ties = vec![];
        while self.tips.len() >= tips::PARENTS_MAX {
            let parents = self.tips.oldest(tips::PARENTS_MAX);
            let block = build::block(parents, None)?;
            ties.push(self.insert(block.id(), &block.pack_to_vec(), &block)?);
        }
        Ok(ties)
    }

    /// A block by its id.
    pub fn block(&self, id: &BlockId) -> Option<&BlockRecord> {
        self.blocks.get(id)
    }

    /// A milestone by its index.
    pub fn milestone(&self, index: u32) -> Option<&MilestoneRecord> {
        self.milestones.get(index.checked_sub(1)? as usize)
    }

    /// A milestone by its id.
    pub fn milestone_by_id(&self, id: &MilestoneId) -> Option<&MilestoneRecord> {
        self.milestone(*self.milestone_ids.get(id)?)
    }

    /// An output by its id, spent or not.
    pub fn output(&self, id: &OutputId) -> Option<&OutputRecord> {
        self.outputs.get(id)
    }

    /// The block through which a transaction was applied.
    pub fn included_block(&self, id: &TransactionId) -> Option<BlockId> {
        self.included.get(id).copied()
    }

    /// Unspent outputs.
    pub fn unspent(&self) -> &Unspent {
        &self.unspent
    }

    /// Unspent plain outputs of an Ed25519 address, oldest first.
    pub fn plain_of(&self, address: &[u8; 32]) -> impl Iterator<Item = &OutputId> {
        let owner = Address::from(Ed25519Address::new(*address));
        let is_plain = |id: &&OutputId| self.output(id).is_some_and(|record| build::plain(&record.output).is_some());
        self.unspent.naming(&owner).map(|(_, id)| id).filter(is_plain)
    }

    /// Whether a block that no milestone references should be promoted or posted again: (promote, reattach),
    /// by the distances observed on HORNET.
    pub fn hints(&self, record: &BlockRecord) -> (bool, bool) {
        let age = self.confirmed().saturating_sub(record.cone_index());
        let reattach = age > BELOW_MAX_DEPTH - 2;
        (age >= PROMOTE_AFTER && !reattach, reattach)
    }

    /// The roots that a milestone over these parents would have now: (inclusion, applied).
    pub fn roots(&self, parents: &[BlockId], timestamp: u32) -> Result<([u8; 32], [u8; 32]), ApplyError> {
        let plan = self.plan(parents, timestamp)?;
        Ok((plan.inclusion_root(), plan.applied_root()))
    }

    /// Newest milestone that is gone, 0 while everything is kept.
    pub fn pruned(&self) -> u32 {
        0
    }

    /// Number of blocks kept.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    fn next_milestone(&self, now: u32, keys: &[SigningKey]) -> Result<MilestonePayload, ApplyError> {
        let parents = self.tips.all_with(self.newest_milestone_block());
        let parents = iota_sdk::types::block::parent::Parents::from_vec(parents)?;
        let previous = self.milestones.last();
        let timestamp = now.max(previous.map_or(0, |m| m.timestamp));
        let plan = self.plan(&parents.iter().copied().collect::<Vec<_>>(), timestamp)?;
        let milestone = crate::milestone::NewMilestone {
            index: self.confirmed() + 1,
            timestamp,
            previous: previous.map_or(crate::MilestoneId::null(), |m| m.id),
            parents,
            inclusion_root: plan.inclusion_root(),
            applied_root: plan.applied_root(),
        };
        Ok(milestone.sign(keys)?)
    }
}

/// `shouldPromote` turns true this many milestones after the oldest cone root.
const PROMOTE_AFTER: u32 = 9;

#[cfg(test)]
mod tests;
