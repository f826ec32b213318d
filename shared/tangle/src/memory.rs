//! The in-memory twin: the ledger engine behind the port, for tests and the simulator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::engine::{Engine, Refusal};
use tarefa_ledger::{BlockId, OutputId};

use crate::{NodeError, NodeInfo, Tangle, UtxoChanges};

/// A node without a network or a disk.
#[derive(Debug)]
pub struct Memory {
    engine: Mutex<Engine>,
}

impl Memory {
    /// A node over this ledger.
    pub fn new(engine: Engine) -> Self {
        Self { engine: Mutex::new(engine) }
    }

    /// The ledger behind it. No await may happen while the guard lives.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tangle for Memory {
    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let engine = self.engine();
        Ok(NodeInfo { confirmed: engine.confirmed(), pruned: 0, params: engine.params().clone() })
    }

    async fn milestone(&self, index: u32) -> Result<Vec<u8>, NodeError> {
        match self.engine().milestone(index) {
            Some(milestone) => Ok(Payload::from(milestone.payload.clone()).pack_to_vec()),
            None => Err(NodeError::NotFound(format!("milestone {index}"))),
        }
    }

    async fn block(&self, id: BlockId) -> Result<Vec<u8>, NodeError> {
        match self.engine().block(&id) {
            Some(block) => Ok(block.raw.to_vec()),
            None => Err(NodeError::NotFound(format!("block {id}"))),
        }
    }

    async fn referenced_by(&self, id: BlockId) -> Result<Option<u32>, NodeError> {
        match self.engine().block(&id) {
            Some(block) => Ok(block.meta.inclusion.map(|inclusion| inclusion.milestone)),
            None => Err(NodeError::NotFound(format!("block {id}"))),
        }
    }

    async fn utxo_changes(&self, index: u32) -> Result<UtxoChanges, NodeError> {
        let engine = self.engine();
        let milestone = engine.milestone(index).ok_or_else(|| NodeError::NotFound(format!("milestone {index}")))?;
        let ids = |ids: &[OutputId]| ids.to_vec();
        Ok(UtxoChanges { created: ids(&milestone.created), consumed: ids(&milestone.consumed) })
    }

    async fn tips(&self) -> Result<Vec<BlockId>, NodeError> {
        Ok(self.engine().tips())
    }

    async fn post(&self, block: Vec<u8>) -> Result<BlockId, NodeError> {
        self.engine()
            .submit(&block)
            .map(|taken| taken.id)
            .map_err(|refusal: Refusal| NodeError::Refused(refusal.to_string()))
    }
}
