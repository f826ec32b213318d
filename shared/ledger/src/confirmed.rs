//! A milestone with its cone, proved: nothing missing, right order, true money.

use std::collections::HashSet;

use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::MilestonePayload;

use crate::{Block, BlockId, MilestoneId, OutputId, TransactionId, merkle, semantics};

/// One confirmed milestone and all that it brought.
#[derive(Debug, Clone)]
pub struct Confirmed {
    /// Its index.
    pub index: u32,
    /// Its id.
    pub id: MilestoneId,
    /// Ledger time, seconds since 1970.
    pub timestamp: u32,
    /// Blocks of its cone in white-flag order.
    pub blocks: Vec<(BlockId, Block)>,
    /// Transactions applied, in order.
    pub included: Vec<TransactionId>,
    /// Outputs created, also those spent again within this milestone.
    pub created: Vec<(OutputId, Output)>,
    /// Outputs consumed, each by which transaction.
    pub consumed: Vec<(OutputId, TransactionId)>,
}

/// The node's data does not fit the signed roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The cone is not the signed one.
    #[error("milestone {0}: the blocks do not match its inclusion root; the node hides or invents blocks")]
    Inclusion(u32),
    /// The applied transactions are not the signed ones.
    #[error("milestone {0}: the ledger changes do not match its applied root; the node lies about money")]
    Applied(u32),
}

/// Proves `blocks` (in white-flag order) and `applied` (the ids the node claims) against the signed roots.
pub fn prove(
    milestone: &MilestonePayload,
    blocks: Vec<(BlockId, Block)>,
    applied: &HashSet<TransactionId>,
) -> Result<Confirmed, ProofError> {
    let essence = milestone.essence();
    let index = essence.index().0;
    let ids: Vec<[u8; 32]> = blocks.iter().map(|(id, _)| **id).collect();
    if merkle::root(&ids) != **essence.inclusion_merkle_root() {
        return Err(ProofError::Inclusion(index));
    }
    let mut confirmed = Confirmed {
        index,
        id: MilestoneId::from(*milestone.id()),
        timestamp: essence.timestamp(),
        blocks: vec![],
        included: vec![],
        created: vec![],
        consumed: vec![],
    };
    let mut applied_blocks = vec![];
    let mut done = HashSet::new();
    let mut here = HashSet::new();
    for (id, block) in &blocks {
        let Some(Payload::Transaction(transaction)) = block.payload() else { continue };
        let transaction_id = transaction.id();
        let inputs = semantics::inputs(transaction);
        // A transaction may stand in several blocks of a cone; it was applied at the first place at which all
        // its inputs existed.
        let ready = inputs.iter().all(|input| here.contains(input) || !applied.contains(input.transaction_id()));
        if !applied.contains(&transaction_id) || !ready || !done.insert(transaction_id) {
            continue;
        }
        applied_blocks.push(**id);
        confirmed.included.push(transaction_id);
        confirmed.consumed.extend(inputs.into_iter().map(|input| (input, transaction_id)));
        for (output_id, output) in semantics::outputs(transaction) {
            here.insert(output_id);
            confirmed.created.push((output_id, output));
        }
    }
    if merkle::root(&applied_blocks) != **essence.applied_merkle_root() || done.len() != applied.len() {
        return Err(ProofError::Applied(index));
    }
    confirmed.blocks = blocks;
    Ok(confirmed)
}
