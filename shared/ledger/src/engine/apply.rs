//! Applying a milestone: walk its cone, decide each transaction, book the outputs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::Payload;
use iota_sdk::types::block::payload::milestone::MilestonePayload;

use super::{Carries, Engine, Inclusion, InclusionState, MilestoneRecord, OutputRecord, Refusal, Spent};
use crate::cone::{self, MissingBlock};
use crate::semantics::{self, InputState};
use crate::{Block, BlockId, MilestoneId, OutputId, TransactionId, build, merkle};

/// A milestone that cannot be made or applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Its cone has a hole.
    #[error(transparent)]
    Missing(#[from] MissingBlock),
    /// It is not the next one.
    #[error("milestone {got} cannot follow milestone {have}")]
    Order {
        /// Newest applied.
        have: u32,
        /// Offered.
        got: u32,
    },
    /// Its roots are not those of its cone.
    #[error("milestone {0} has other roots than its cone")]
    Roots(u32),
    /// A block of its own making was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The wire format has no place for it.
    #[error("cannot be encoded: {0}")]
    Encode(String),
}

impl From<iota_sdk::types::block::Error> for ApplyError {
    fn from(error: iota_sdk::types::block::Error) -> Self {
        Self::Encode(error.to_string())
    }
}

/// What a milestone over some parents would do.
pub(super) struct Plan {
    order: Vec<(BlockId, InclusionState)>,
    created: Vec<(OutputId, Output, BlockId)>,
    consumed: Vec<(OutputId, TransactionId)>,
    included: Vec<BlockId>,
}

impl Plan {
    pub(super) fn inclusion_root(&self) -> [u8; 32] {
        let ids: Vec<[u8; 32]> = self.order.iter().map(|(id, _)| **id).collect();
        merkle::root(&ids)
    }

    pub(super) fn applied_root(&self) -> [u8; 32] {
        let ids: Vec<[u8; 32]> = self.included.iter().map(|block| **block).collect();
        merkle::root(&ids)
    }
}

impl Engine {
    /// Decides everything a milestone with these parents at this time would do, and changes nothing.
    pub(super) fn plan(&self, roots: &[BlockId], timestamp: u32) -> Result<Plan, ApplyError> {
        let is_old = |id: &BlockId| self.meta(id).is_some_and(|meta| meta.inclusion.is_some());
        let order = cone::order(roots, is_old, |id| self.block(id).map(|block| block.parents))?;
        let mut plan =
            Plan { order: Vec::with_capacity(order.len()), created: vec![], consumed: vec![], included: vec![] };
        let mut fresh: HashMap<OutputId, Output> = HashMap::new();
        let mut spent: HashSet<OutputId> = HashSet::new();
        for id in order {
            if self.meta(&id).is_some_and(|meta| meta.carries != Carries::Transaction) {
                plan.order.push((id, InclusionState::NoTransaction));
                continue;
            }
            let record = self.block(&id).ok_or(MissingBlock(id))?;
            let block =
                Block::unpack_unverified(&record.raw[..]).map_err(|error| ApplyError::Encode(error.to_string()))?;
            let Some(Payload::Transaction(transaction)) = block.payload() else {
                return Err(ApplyError::Encode(format!("block {id} carries no transaction")));
            };
            let state = |input: &OutputId| self.input_state(input, &fresh, &spent);
            let verdict = semantics::check(transaction, timestamp, state).into();
            plan.order.push((id, verdict));
            if verdict != InclusionState::Included {
                continue;
            }
            let transaction_id = transaction.id();
            plan.included.push(id);
            for input in semantics::inputs(transaction) {
                spent.insert(input);
                plan.consumed.push((input, transaction_id));
            }
            for (output_id, output) in semantics::outputs(transaction) {
                fresh.insert(output_id, output.clone());
                plan.created.push((output_id, output, id));
            }
        }
        Ok(plan)
    }

    fn input_state(&self, id: &OutputId, fresh: &HashMap<OutputId, Output>, spent: &HashSet<OutputId>) -> InputState {
        if spent.contains(id) {
            return InputState::SpentInThisMilestone;
        }
        if let Some(output) = fresh.get(id) {
            return InputState::Unspent(output.clone());
        }
        match self.output(id) {
            None => InputState::Unknown,
            Some(record) if record.spent.is_some() => InputState::Spent,
            Some(record) => InputState::Unspent(record.output.as_ref().clone()),
        }
    }

    /// Applies a milestone that was stored or recorded. Nothing changes on an error.
    pub fn apply(&mut self, payload: &MilestonePayload) -> Result<(), ApplyError> {
        let essence = payload.essence();
        let index = essence.index().0;
        if index != self.confirmed() + 1 {
            return Err(ApplyError::Order { have: self.confirmed(), got: index });
        }
        let parents: Vec<BlockId> = essence.parents().iter().copied().collect();
        let plan = self.plan(&parents, essence.timestamp())?;
        if plan.inclusion_root() != **essence.inclusion_merkle_root()
            || plan.applied_root() != **essence.applied_merkle_root()
        {
            return Err(ApplyError::Roots(index));
        }
        self.apply_plan(payload, plan)
    }

    /// Applies a milestone whose plan this is.
    pub(super) fn apply_plan(&mut self, payload: &MilestonePayload, plan: Plan) -> Result<(), ApplyError> {
        let essence = payload.essence();
        let index = essence.index().0;
        let parents: Vec<BlockId> = essence.parents().iter().copied().collect();
        let own_block = build::block(parents, Some(Payload::from(payload.clone())))?;
        let record = MilestoneRecord {
            id: MilestoneId::from(*payload.id()),
            timestamp: essence.timestamp(),
            payload: payload.clone(),
            block: own_block.id(),
            sequence: self.next,
            order: plan.order.iter().map(|(id, _)| *id).collect(),
            created: plan.created.iter().map(|(id, ..)| *id).collect(),
            consumed: plan.consumed.iter().map(|(id, _)| *id).collect(),
        };
        self.pace.push_back((record.timestamp, record.order.len()));
        if self.pace.len() > super::PACE {
            self.pace.pop_front();
        }
        self.book(index, essence.timestamp(), plan);
        self.confirmed = index;
        self.milestone_ids.insert(record.id, index);
        self.milestones.insert(index, Arc::new(record));
        if self.archive.is_some() {
            self.ledger.milestones.push(index);
        }
        // Its parents are known and referenced by now, at least by itself.
        let oldest = self.oldest_root(own_block.parents()).unwrap_or(index);
        self.keep(own_block.id(), &own_block.pack_to_vec(), &own_block, oldest, false);
        Ok(())
    }

    fn book(&mut self, index: u32, timestamp: u32, plan: Plan) {
        for (position, (id, state)) in plan.order.into_iter().enumerate() {
            self.mark(id, Some(Inclusion { milestone: index, position: position as u32, state }));
        }
        for (id, output, block) in plan.created {
            let output = Arc::new(output);
            self.create(id, OutputRecord { output, block, booked: index, booked_at: timestamp, spent: None });
        }
        for (id, transaction) in plan.consumed {
            self.spend(id, Spent { transaction, milestone: index, at: timestamp });
        }
    }

    /// Books an output as unspent.
    pub(super) fn create(&mut self, id: OutputId, record: OutputRecord) {
        if self.archive.is_some() {
            self.ledger.outputs.push(id);
        }
        self.unspent.add((record.booked_at, id), &record.output);
        self.outputs.insert(id, record);
    }

    fn spend(&mut self, id: OutputId, spent: Spent) {
        let Some(record) = self.outputs.get_mut(&id) else { return };
        record.spent = Some(spent);
        self.unspent.remove(&(record.booked_at, id), &record.output);
        if self.archive.is_some() {
            self.ledger.outputs.push(id);
        }
    }
}
