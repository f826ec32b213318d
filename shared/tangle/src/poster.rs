//! Posting payloads as a chain: each block's parents are our previous block and fresh tips.
//!
//! A burst on the same tips leaves one block in ten unreferenced on a HORNET network; a chain leaves none.

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::{BlockId, build};

use crate::{NodeError, Tangle};

/// Parents of a block of ours besides the one before it.
const TIPS_MAX: usize = 3;

/// Tips are asked for again after this many blocks of one chain.
const TIPS_EVERY: usize = 16;

/// A chain of blocks under way.
#[derive(Debug, Default)]
pub struct Chain {
    previous: Option<BlockId>,
    tips: Vec<BlockId>,
    since_tips: usize,
}

impl Chain {
    /// Posts one payload as the next block of the chain.
    pub async fn post<T: Tangle>(&mut self, tangle: &T, payload: Payload) -> Result<BlockId, NodeError> {
        if self.tips.is_empty() || self.since_tips >= TIPS_EVERY {
            self.tips = tangle.tips().await?;
            self.since_tips = 0;
        }
        let mut parents: Vec<BlockId> = self.previous.into_iter().collect();
        parents.extend(self.tips.iter().take(TIPS_MAX));
        let block = build::block(parents, Some(payload))
            .map_err(|error| NodeError::Refused(format!("the block cannot be built: {error}")))?;
        match tangle.post(block.pack_to_vec()).await {
            Ok(id) => {
                self.previous = Some(id);
                self.since_tips += 1;
                Ok(id)
            }
            Err(error) => {
                // Old tips are the usual reason: start a new chain with the next payload.
                *self = Self::default();
                Err(error)
            }
        }
    }
}
