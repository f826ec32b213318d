//! The failing twin: any node, with faults drawn from a seed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tarefa_ledger::BlockId;

use crate::memory::Memory;
use crate::{NodeError, NodeInfo, Tangle, UtxoChanges};

/// Chance of each fault, in per mille.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// A call fails without effect.
    pub error: u16,
    /// A posted block is answered and lost.
    pub lost: u16,
    /// A posted block arrives later, after others.
    pub delayed: u16,
    /// A posted block arrives twice.
    pub duplicated: u16,
    /// A posted block is kept but never picked as a tip.
    pub orphaned: u16,
    /// A block arrives and its sender is told it failed.
    pub unanswered: u16,
}

impl Faults {
    /// No faults at all.
    pub const NONE: Self = Self { error: 0, lost: 0, delayed: 0, duplicated: 0, orphaned: 0, unanswered: 0 };
}

/// A node that fails as its seed says.
pub struct Failing {
    node: Arc<Memory>,
    state: Mutex<State>,
}

struct State {
    rng: ChaCha20Rng,
    faults: Faults,
    delayed: VecDeque<Vec<u8>>,
}

impl Failing {
    /// `node`, failing by `faults` as `seed` decides.
    pub fn new(node: Arc<Memory>, seed: u64, faults: Faults) -> Self {
        let state = State { rng: ChaCha20Rng::seed_from_u64(seed), faults, delayed: VecDeque::new() };
        Self { node, state: Mutex::new(state) }
    }

    /// Changes the chances, for instance to none.
    pub fn set(&self, faults: Faults) {
        self.with(|state| state.faults = faults);
    }

    /// Lets delayed blocks arrive, newest first: later than and out of order with those posted after them.
    pub fn release_delayed(&self) {
        let delayed = self.with(|state| std::mem::take(&mut state.delayed));
        for block in delayed.into_iter().rev() {
            // What has become too old meanwhile is lost, as on a real network.
            let _ = self.node.engine().submit(&block);
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn chance(&self, of: impl FnOnce(&Faults) -> u16) -> bool {
        self.with(|state| {
            let per_mille = of(&state.faults);
            per_mille > 0 && state.rng.next_u32() % 1_000 < u32::from(per_mille)
        })
    }

    fn may_fail(&self) -> Result<(), NodeError> {
        if self.chance(|faults| faults.error) {
            return Err(NodeError::Unreachable { url: "memory".into(), reason: "a fault of the simulation".into() });
        }
        Ok(())
    }
}

impl Tangle for Failing {
    async fn info(&self) -> Result<NodeInfo, NodeError> {
        self.may_fail()?;
        self.node.info().await
    }

    async fn milestone(&self, index: u32) -> Result<Vec<u8>, NodeError> {
        self.may_fail()?;
        self.node.milestone(index).await
    }

    async fn block(&self, id: BlockId) -> Result<Vec<u8>, NodeError> {
        self.node.block(id).await
    }

    async fn referenced_by(&self, id: BlockId) -> Result<Option<u32>, NodeError> {
        self.node.referenced_by(id).await
    }

    async fn utxo_changes(&self, index: u32) -> Result<UtxoChanges, NodeError> {
        self.may_fail()?;
        self.node.utxo_changes(index).await
    }

    async fn tips(&self) -> Result<Vec<BlockId>, NodeError> {
        self.may_fail()?;
        self.node.tips().await
    }

    async fn post(&self, block: Vec<u8>) -> Result<BlockId, NodeError> {
        self.may_fail()?;
        let id = BlockId::new(tarefa_ledger::blake2b(&block));
        if self.chance(|faults| faults.lost) {
            return Ok(id);
        }
        if self.chance(|faults| faults.delayed) {
            self.with(|state| state.delayed.push_back(block));
            return Ok(id);
        }
        if self.chance(|faults| faults.orphaned) {
            let posted = self.node.engine().submit_orphan(&block);
            return posted.map(|taken| taken.id).map_err(|refusal| NodeError::Refused(refusal.to_string()));
        }
        if self.chance(|faults| faults.duplicated) {
            self.node.post(block.clone()).await?;
        }
        self.node.post(block).await?;
        if self.chance(|faults| faults.unanswered) {
            return Err(NodeError::Unreachable { url: "memory".into(), reason: "the answer was lost".into() });
        }
        Ok(id)
    }
}
