//! A Stardust ledger: blocks, milestones, outputs. No clock, no keys of its own, no I/O; what is old may be left to
//! an [`Archive`].
//!
//! The dev Tangle puts REST and a disk around it; the in-memory twin of the Tangle port and the simulator use
//! it as it is. It may live here because everything in it follows from the ledger's rules.

mod apply;
mod archive;
mod record;
mod rewind;
mod tips;
mod unspent;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::address::{Address, Ed25519Address};
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::MilestonePayload;

pub use apply::ApplyError;
pub use archive::{Archive, Changes, Checkpoint, Gone};
pub use record::{BlockMeta, BlockRecord, Carries, Inclusion, InclusionState, MilestoneRecord, OutputRecord, Spent};
pub use rewind::{KEPT, Mark, RewindError};

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

/// A block that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: BlockId,
    /// Its number, unless it was known already.
    pub new: Option<u64>,
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
pub struct Engine {
    params: ProtocolParameters,
    /// Blocks that are not in the archive yet, with the round of changes in which they last changed.
    blocks: HashMap<BlockId, (BlockRecord, u64)>,
    /// What became of the blocks archived last: new blocks have them as parents.
    recent: VecDeque<HashMap<BlockId, BlockMeta>>,
    /// The blocks held, by their numbers.
    by_sequence: BTreeMap<u64, BlockId>,
    /// Milestones that are not in the archive yet, and the newest.
    milestones: BTreeMap<u32, Arc<MilestoneRecord>>,
    milestone_ids: HashMap<MilestoneId, u32>,
    /// Unspent outputs, and spent ones that are not in the archive yet.
    outputs: HashMap<OutputId, OutputRecord>,
    unspent: Unspent,
    tips: tips::Tips,
    confirmed: u32,
    pruned: u32,
    /// Timestamp and number of blocks of the last milestones.
    pace: VecDeque<(u32, usize)>,
    /// No block with a smaller number can be pruned any more.
    floor: u64,
    next: u64,
    archive: Option<Box<dyn Archive>>,
    ledger: archive::Ledger,
}

impl Engine {
    /// A ledger before its first milestone. Genesis output n has the transaction id n‖00…00.
    pub fn new(params: ProtocolParameters, genesis: &[Genesis]) -> Self {
        let mut engine = Self {
            params,
            blocks: HashMap::new(),
            recent: VecDeque::new(),
            by_sequence: BTreeMap::new(),
            milestones: BTreeMap::new(),
            milestone_ids: HashMap::new(),
            outputs: HashMap::new(),
            unspent: Unspent::default(),
            tips: tips::Tips::default(),
            confirmed: 0,
            pruned: 0,
            pace: VecDeque::new(),
            floor: 0,
            next: 1,
            archive: None,
            ledger: archive::Ledger::default(),
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

    /// The same ledger, which leaves what is old to this archive from now on.
    pub fn with_archive(mut self, archive: Box<dyn Archive>) -> Self {
        self.archive = Some(archive);
        self.ledger.outputs = self.outputs.keys().copied().collect();
        self
    }

    /// A ledger as an archive has it. What was posted after the checkpoint is to be [replayed](Self::replay).
    pub fn restored(
        params: ProtocolParameters,
        archive: Box<dyn Archive>,
        checkpoint: Checkpoint,
        unspent: impl Iterator<Item = (OutputId, OutputRecord)>,
    ) -> Self {
        let mut engine = Self::new(params, &[]);
        for (id, record) in unspent {
            engine.unspent.add((record.booked_at, id), &record.output);
            engine.outputs.insert(id, record);
        }
        engine.archive = Some(archive);
        engine.confirmed = checkpoint.confirmed;
        engine.pruned = checkpoint.pruned;
        engine.next = checkpoint.next;
        if let Some(newest) = engine.milestone(checkpoint.confirmed) {
            engine.tips.add(newest.block, &[]);
            engine.milestones.insert(checkpoint.confirmed, newest);
        }
        engine
    }

    /// Parameters of the network.
    pub fn params(&self) -> &ProtocolParameters {
        &self.params
    }

    /// Index of the newest milestone, 0 before the first.
    pub fn confirmed(&self) -> u32 {
        self.confirmed
    }

    /// Takes a block. One that is known already is taken again without effect.
    pub fn submit(&mut self, raw: &[u8]) -> Result<Taken, Refusal> {
        self.take(raw, false)
    }

    /// As [`Self::submit`], but no tip selection ever picks the block: it stays unreferenced unless a later
    /// block names it as a parent. A fault for tests.
    pub fn submit_orphan(&mut self, raw: &[u8]) -> Result<Taken, Refusal> {
        self.take(raw, true)
    }

    /// Takes a block of a recorded ledger, also when it carries a milestone, which is then not applied.
    pub fn replay(&mut self, raw: &[u8], orphan: bool) -> Result<BlockId, Refusal> {
        let id = BlockId::new(crate::blake2b(raw));
        if self.blocks.contains_key(&id) {
            return Ok(id);
        }
        let block = self.parse(raw)?;
        let oldest = self.oldest_root(block.parents())?;
        Ok(self.keep(id, raw, &block, oldest, orphan))
    }

    fn take(&mut self, raw: &[u8], orphan: bool) -> Result<Taken, Refusal> {
        let id = BlockId::new(crate::blake2b(raw));
        if self.meta(&id).is_some() {
            // One that comes again too late is refused, as if it were new.
            let known = self.block(&id).ok_or(Refusal::NotSolid)?;
            return self.oldest_root(&known.parents).map(|_| Taken { id, new: None });
        }
        let block = self.parse(raw)?;
        let oldest = self.oldest_root(block.parents())?;
        if matches!(block.payload(), Some(Payload::Milestone(_))) {
            return Err(Refusal::Invalid("milestones are issued by this node's coordinator only".into()));
        }
        let sequence = self.next;
        self.keep(id, raw, &block, oldest, orphan);
        Ok(Taken { id, new: Some(sequence) })
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
            let index = match self.meta(parent) {
                Some(meta) => meta.cone_index(),
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
        let parents: Arc<[BlockId]> = block.parents().iter().copied().collect();
        // An orphan's parents stay tips: it must not take them along.
        if !orphan {
            self.tips.add(id, &parents);
        }
        let meta = BlockMeta {
            sequence: self.next,
            carries: Carries::of(block),
            inclusion: None,
            arrived: self.confirmed,
            oldest_root: oldest,
            orphan,
        };
        self.next += 1;
        self.hold(id, BlockRecord { raw: raw.into(), parents, meta });
        id
    }

    /// Holds a new or changed block until it is handed over.
    fn hold(&mut self, id: BlockId, record: BlockRecord) {
        let epoch = self.ledger.epoch;
        self.by_sequence.insert(record.meta.sequence, id);
        let before = self.blocks.insert(id, (record, epoch)).map(|(_, epoch)| epoch);
        if self.archive.is_some() && before != Some(epoch) {
            self.ledger.blocks.push(id);
        }
    }

    /// Notes which milestone references a block, or that none does any more.
    fn mark(&mut self, id: BlockId, inclusion: Option<Inclusion>) {
        let Some(mut record) = self.block(&id) else { return };
        record.meta.inclusion = inclusion;
        self.hold(id, record);
    }

    /// Parents for a new block: recent blocks nobody has approved yet, and the newest milestone's.
    pub fn tips(&self) -> Vec<BlockId> {
        self.tips.select(self.newest_milestone_block())
    }

    fn newest_milestone_block(&self) -> BlockId {
        self.newest().map_or(BlockId::null(), |milestone| milestone.block)
    }

    /// Makes the next milestone over everything that is waiting, and applies it. Where more tips wait than a
    /// block has parents, blocks without payload tie them together first; they are returned to be stored.
    pub fn issue(&mut self, now: u32, keys: &[SigningKey]) -> Result<Vec<BlockId>, ApplyError> {
        self.drop_old_tips();
        let ties = self.tie_tips()?;
        let (payload, plan) = self.next_milestone(now, keys)?;
        self.apply_plan(&payload, plan)?;
        Ok(ties)
    }

    /// Tips below max depth can have no children any more.
    fn drop_old_tips(&mut self) {
        let confirmed = self.confirmed();
        let is_old = |id: &BlockId| self.meta(id).is_none_or(|meta| meta.cone_index() + BELOW_MAX_DEPTH < confirmed);
        let old = self.tips.matching(is_old);
        self.tips.approve(&old);
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
    pub fn block(&self, id: &BlockId) -> Option<BlockRecord> {
        if let Some((record, _)) = self.blocks.get(id) {
            return Some(record.clone());
        }
        let archive = self.archive.as_ref()?;
        let meta = self.meta(id)?;
        Some(record_of(archive.raw(meta.sequence)?, meta))
    }

    /// What became of a block.
    pub fn meta(&self, id: &BlockId) -> Option<BlockMeta> {
        match self.blocks.get(id) {
            Some((record, _)) => Some(record.meta),
            None => match self.recent.iter().find_map(|round| round.get(id)) {
                Some(meta) => Some(*meta),
                None => self.archive.as_ref()?.meta(id),
            },
        }
    }

    /// A block by its number.
    pub fn at(&self, sequence: u64) -> Option<(BlockId, BlockRecord)> {
        if let Some(id) = self.by_sequence.get(&sequence) {
            return self.block(id).map(|record| (*id, record));
        }
        let raw = self.archive.as_ref()?.raw(sequence)?;
        let id = BlockId::new(crate::blake2b(&raw));
        self.meta(&id).map(|meta| (id, record_of(raw, meta)))
    }

    /// Numbers of the blocks kept in a range, rising, `most` at a time.
    pub fn sequences(&self, range: Range<u64>, most: usize) -> Vec<u64> {
        match &self.archive {
            Some(archive) => archive.sequences(range, most),
            None => self.by_sequence.range(range).map(|(sequence, _)| *sequence).take(most).collect(),
        }
    }

    /// Number that the next block will have.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// A milestone by its index.
    pub fn milestone(&self, index: u32) -> Option<Arc<MilestoneRecord>> {
        match self.milestones.get(&index) {
            Some(record) => Some(record.clone()),
            None if index > self.confirmed || index <= self.pruned => None,
            None => self.archive.as_ref()?.milestone(index).map(Arc::new),
        }
    }

    fn newest(&self) -> Option<&Arc<MilestoneRecord>> {
        self.milestones.get(&self.confirmed)
    }

    /// A milestone by its id.
    pub fn milestone_by_id(&self, id: &MilestoneId) -> Option<Arc<MilestoneRecord>> {
        let index = match self.milestone_ids.get(id) {
            Some(index) => *index,
            None => self.archive.as_ref()?.milestone_index(id)?,
        };
        self.milestone(index)
    }

    /// An output by its id, spent or not.
    pub fn output(&self, id: &OutputId) -> Option<OutputRecord> {
        match self.outputs.get(id) {
            Some(record) => Some(record.clone()),
            None => self.archive.as_ref()?.output(id),
        }
    }

    /// The block through which a transaction was applied.
    pub fn included_block(&self, id: &TransactionId) -> Option<BlockId> {
        let first = OutputId::new(*id, 0).ok()?;
        self.output(&first).map(|record| record.block).filter(|block| !block.is_null())
    }

    /// What changed since the last call, to be archived; until [`Self::archived`] it stays in memory as well.
    pub fn take_changes(&mut self) -> Changes {
        let ledger = std::mem::take(&mut self.ledger);
        self.ledger.epoch = ledger.epoch + 1;
        let next = self.newest().map_or(self.next, |milestone| milestone.sequence + 1);
        let held = |id| self.blocks.get(&id).map(|(record, _)| (id, record.meta));
        let output = |id| self.outputs.get(&id).map(|record| (id, record.clone()));
        Changes {
            checkpoint: Checkpoint { confirmed: self.confirmed, pruned: self.pruned, next },
            blocks: ledger.blocks.into_iter().filter_map(held).collect(),
            outputs: ledger.outputs.into_iter().filter_map(output).collect(),
            milestones: ledger.milestones.into_iter().filter_map(|i| self.milestones.get(&i).cloned()).collect(),
            gone: ledger.gone,
            epoch: ledger.epoch,
        }
    }

    /// These changes are in the archive: what they hold need not stay in memory.
    pub fn archived(&mut self, changes: &Changes) {
        let mut round = HashMap::with_capacity(changes.blocks.len());
        let sequences = &mut self.by_sequence;
        self.blocks.retain(|id, (record, epoch)| {
            let stays = *epoch > changes.epoch;
            if !stays {
                sequences.remove(&record.meta.sequence);
                round.insert(*id, record.meta);
            }
            stays
        });
        self.blocks.shrink_to(ROOM * self.blocks.len());
        self.recent.push_front(round);
        self.recent.truncate(ROUNDS);
        for (id, record) in &changes.outputs {
            if record.spent.is_some() {
                self.outputs.remove(id);
            }
        }
        let confirmed = self.confirmed;
        self.milestones.retain(|index, _| *index == confirmed || *index > changes.checkpoint.confirmed);
        self.milestone_ids.retain(|_, index| *index > changes.checkpoint.confirmed);
    }

    /// Unspent outputs.
    pub fn unspent(&self) -> &Unspent {
        &self.unspent
    }

    /// Unspent plain outputs of an Ed25519 address, oldest first.
    pub fn plain_of(&self, address: &[u8; 32]) -> impl Iterator<Item = &OutputId> {
        let owner = Address::from(Ed25519Address::new(*address));
        let is_plain =
            |id: &&OutputId| self.outputs.get(id).is_some_and(|record| build::plain(&record.output).is_some());
        self.unspent.naming(&owner).map(|(_, id)| id).filter(is_plain)
    }

    /// Whether a block that no milestone references should be promoted or posted again: (promote, reattach),
    /// by the distances observed on HORNET.
    pub fn hints(&self, meta: &BlockMeta) -> (bool, bool) {
        let age = self.confirmed().saturating_sub(meta.cone_index());
        let reattach = age > BELOW_MAX_DEPTH - 2;
        (age >= PROMOTE_AFTER && !reattach, reattach)
    }

    /// The roots that a milestone over these parents would have now: (inclusion, applied).
    pub fn roots(&self, parents: &[BlockId], timestamp: u32) -> Result<([u8; 32], [u8; 32]), ApplyError> {
        let plan = self.plan(parents, timestamp)?;
        Ok((plan.inclusion_root(), plan.applied_root()))
    }

    /// Blocks per second over the last milestones since this engine began.
    pub fn pace(&self) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.pace.front(), self.pace.back()) else { return 0.0 };
        let blocks: usize = self.pace.iter().skip(1).map(|(_, count)| count).sum();
        blocks as f64 / f64::from((last - first).max(1))
    }

    /// Newest milestone that is gone, 0 while everything is kept.
    pub fn pruned(&self) -> u32 {
        self.pruned
    }

    /// Number of blocks held in memory.
    pub fn held(&self) -> usize {
        self.blocks.len()
    }

    fn next_milestone(&self, now: u32, keys: &[SigningKey]) -> Result<(MilestonePayload, apply::Plan), ApplyError> {
        let parents = self.tips.all_with(self.newest_milestone_block());
        let parents = iota_sdk::types::block::parent::Parents::from_vec(parents)?;
        let previous = self.newest();
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
        Ok((milestone.sign(keys)?, plan))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("confirmed", &self.confirmed).field("next", &self.next).finish_non_exhaustive()
    }
}

/// A block from its bytes, which were checked when it was taken.
fn record_of(raw: Arc<[u8]>, meta: BlockMeta) -> BlockRecord {
    let count = usize::from(raw.get(1).copied().unwrap_or(0));
    let parents = raw.get(2..).unwrap_or_default().chunks_exact(BlockId::LENGTH).take(count);
    let parents = parents.map(|bytes| BlockId::new(bytes.try_into().expect("chunks have this length"))).collect();
    BlockRecord { raw, parents, meta }
}

/// Milestones over which the pace is an average.
const PACE: usize = 11;
/// Rounds of archived blocks of which the fate stays in memory: tips are as old as a milestone or two.
const ROUNDS: usize = 2;
/// Room that stays for blocks to come, as a multiple of those that are held.
const ROOM: usize = 4;

/// `shouldPromote` turns true this many milestones after the oldest cone root.
const PROMOTE_AFTER: u32 = 9;

#[cfg(test)]
mod tests;
