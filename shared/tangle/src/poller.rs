//! The lossless poller: every milestone in order, its whole cone, proved (`tangle.md`).

use std::collections::HashMap;
use std::sync::Arc;

use tarefa_ledger::cone;
use tarefa_ledger::confirmed::{self, Confirmed, ProofError};
use tarefa_ledger::milestone::{self, Coordinator, MilestoneError};
use tarefa_ledger::{Block, BlockId, MilestoneId, ProtocolParameters, build, network};
use tokio::task::JoinSet;

use crate::{NodeError, Tangle};

/// Blocks fetched at once: hides the latency of a node far away, and is polite to a small one.
const PARALLEL: usize = 16;

/// Blocks of this many milestones are remembered as old: twice what below-max-depth lets a parent reach back.
const REMEMBERED: u32 = 2 * network::BELOW_MAX_DEPTH;

/// Why the next milestone cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The node has pruned what we have not read.
    #[error(
        "the node has pruned milestones up to {pruned}, and {next} is the next one to read: \
         messages in between are lost. Use a node with more history, or go on with --accept-gap"
    )]
    Gap {
        /// Next to read.
        next: u32,
        /// Newest pruned.
        pruned: u32,
    },
    /// The ledger is another one than before.
    #[error(
        "the ledger was reset: the node has {confirmed} milestones, and this store has read {have} of another \
         history. Start with a new data directory"
    )]
    Reset {
        /// Newest read.
        have: u32,
        /// Newest of the node.
        confirmed: u32,
    },
    /// The node did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A milestone must not be believed.
    #[error(transparent)]
    Milestone(#[from] MilestoneError),
    /// A proof failed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A block is not what its id says.
    #[error("the node's bytes for block {0} do not have that id")]
    Block(BlockId),
}

impl PollError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Node(_))
    }
}

/// Where reading stands; stored in the commit of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Next milestone to read.
    pub next: u32,
    /// Id of the one before, if it was read.
    pub previous: Option<MilestoneId>,
}

/// Reads milestones one by one.
pub struct Poller<T> {
    tangle: Arc<T>,
    coordinator: Coordinator,
    params: ProtocolParameters,
    cursor: Cursor,
    confirmed: Option<u32>,
    read_since_start: u32,
    old: HashMap<BlockId, u32>,
}

impl<T: Tangle> Poller<T> {
    /// A poller that goes on at `cursor`.
    pub fn new(tangle: Arc<T>, coordinator: Coordinator, params: ProtocolParameters, cursor: Cursor) -> Self {
        Self { tangle, coordinator, params, cursor, confirmed: None, read_since_start: 0, old: HashMap::new() }
    }

    /// Next milestone to read.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether everything the node had confirmed when last asked is read; not before it was asked once.
    pub fn is_caught_up(&self) -> bool {
        self.confirmed.is_some_and(|confirmed| self.cursor.next > confirmed)
    }

    /// Goes on after a gap that the user accepts.
    pub fn skip_to(&mut self, next: u32) {
        self.cursor = Cursor { next, previous: None };
    }

    /// The next milestone, proved; `None` if there is none yet.
    pub async fn next(&mut self) -> Result<Option<Confirmed>, PollError> {
        if self.confirmed.is_none_or(|confirmed| self.cursor.next > confirmed) {
            let info = self.tangle.info().await?;
            if info.confirmed + 1 < self.cursor.next {
                return Err(PollError::Reset { have: self.cursor.next - 1, confirmed: info.confirmed });
            }
            if self.cursor.next <= info.pruned {
                return Err(PollError::Gap { next: self.cursor.next, pruned: info.pruned });
            }
            self.confirmed = Some(info.confirmed);
            if self.is_caught_up() {
                return Ok(None);
            }
        }
        let index = self.cursor.next;
        let raw = self.tangle.milestone(index).await?;
        let milestone = milestone::parse(&raw, index, &self.params)?;
        match self.coordinator.verify(&milestone, self.cursor.previous.as_ref()) {
            Err(MilestoneError::Chain(_)) => {
                return Err(PollError::Reset { have: index - 1, confirmed: self.confirmed.unwrap_or(0) });
            }
            other => other?,
        }
        let roots: Vec<BlockId> = milestone.essence().parents().iter().copied().collect();
        let blocks = self.fetch_cone(&roots, index).await?;
        let has_transactions = blocks.iter().any(|(_, block)| is_transaction(block));
        let applied =
            if has_transactions { self.tangle.utxo_changes(index).await?.applied() } else { Default::default() };
        let confirmed = confirmed::prove(&milestone, blocks, &applied)?;
        self.remember(&confirmed);
        Ok(Some(confirmed))
    }

    fn remember(&mut self, confirmed: &Confirmed) {
        let index = confirmed.index;
        self.old.extend(confirmed.blocks.iter().map(|(id, _)| (*id, index)));
        self.old.retain(|_, referenced| *referenced + REMEMBERED >= index);
        self.read_since_start += 1;
        self.cursor = Cursor { next: index + 1, previous: Some(confirmed.id) };
    }

    /// Fetches the cone wave by wave, then orders it.
    async fn fetch_cone(&mut self, roots: &[BlockId], index: u32) -> Result<Vec<(BlockId, Block)>, PollError> {
        let mut blocks: HashMap<BlockId, Block> = HashMap::new();
        let mut wave: Vec<BlockId> = roots.to_vec();
        while !wave.is_empty() {
            wave.sort_unstable();
            wave.dedup();
            wave.retain(|id| !id.is_null() && !self.old.contains_key(id) && !blocks.contains_key(id));
            // Until enough milestones are read, a parent may have been referenced before our start.
            let cold = self.read_since_start < REMEMBERED;
            let mut next = vec![];
            for (id, block) in self.fetch_wave(std::mem::take(&mut wave), index, cold).await? {
                match block {
                    None => {
                        self.old.insert(id, index.saturating_sub(1));
                    }
                    Some(block) => {
                        next.extend(block.parents().iter().copied());
                        blocks.insert(id, block);
                    }
                }
            }
            wave = next;
        }
        let parents = |id: &BlockId| blocks.get(id).map(|b| b.parents().iter().copied().collect::<Vec<_>>());
        let order = cone::order(roots, |id| self.old.contains_key(id), parents)
            .map_err(|missing| PollError::Block(missing.0))?;
        Ok(order.into_iter().filter_map(|id| blocks.remove(&id).map(|block| (id, block))).collect())
    }

    /// Fetches blocks in parallel; `None` for one that an earlier milestone references.
    async fn fetch_wave(
        &self,
        mut ids: Vec<BlockId>,
        index: u32,
        cold: bool,
    ) -> Result<Vec<(BlockId, Option<Block>)>, PollError> {
        let mut running = JoinSet::new();
        let mut fetched = vec![];
        loop {
            while running.len() < PARALLEL
                && let Some(id) = ids.pop()
            {
                let tangle = self.tangle.clone();
                let params = self.params.clone();
                running.spawn(async move { (id, fetch(&*tangle, id, index, cold, &params).await) });
            }
            let Some(joined) = running.join_next().await else { return Ok(fetched) };
            let (id, block) = joined.map_err(|error| NodeError::Nonsense {
                what: "a block".into(),
                reason: format!("fetching it panicked: {error}"),
            })?;
            fetched.push((id, block?));
        }
    }
}

async fn fetch<T: Tangle>(
    tangle: &T,
    id: BlockId,
    index: u32,
    cold: bool,
    params: &ProtocolParameters,
) -> Result<Option<Block>, PollError> {
    if cold && tangle.referenced_by(id).await?.is_some_and(|by| by < index) {
        return Ok(None);
    }
    let raw = tangle.block(id).await?;
    match build::parse_block(&raw, params) {
        Some(block) if block.id() == id => Ok(Some(block)),
        _ => Err(PollError::Block(id)),
    }
}

fn is_transaction(block: &Block) -> bool {
    matches!(block.payload(), Some(iota_sdk::types::block::payload::Payload::Transaction(_)))
}

/// What a client learns of a network when it meets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Parameters.
    pub params: ProtocolParameters,
    /// The keys that signed milestone 1, and its id, which name the ledger; `None` where the node has pruned it.
    pub origin: Option<(Coordinator, MilestoneId)>,
    /// Newest confirmed milestone at that moment.
    pub confirmed: u32,
    /// Newest pruned one.
    pub pruned: u32,
}

/// Meets a network: its parameters, and its origin if the node still has it.
pub async fn meet<T: Tangle>(tangle: &T) -> Result<Network, PollError> {
    let info = tangle.info().await?;
    let origin = match tangle.milestone(1).await {
        Err(NodeError::NotFound(_)) if info.pruned > 0 => None,
        raw => {
            let first = milestone::parse(&raw?, 1, &info.params)?;
            let coordinator = Coordinator::of(&first);
            coordinator.verify(&first, Some(&MilestoneId::null()))?;
            Some((coordinator, MilestoneId::from(*first.id())))
        }
    };
    Ok(Network { params: info.params, origin, confirmed: info.confirmed, pruned: info.pruned })
}
