//! Forgetting old milestones, and going back to one.

use super::{Engine, Gone, MilestoneRecord};
use crate::BlockId;
use crate::network::BELOW_MAX_DEPTH;

/// Milestones that pruning always keeps, as in the original.
pub const KEPT: u32 = 20;

/// Blocks looked at in one step: bounds what is held in memory at once.
const STEP: usize = 10_000;

/// A place in the history of a ledger to which it can go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Newest milestone.
    pub confirmed: u32,
    /// Number of the next block.
    pub next: u64,
}

/// It is not possible to go back to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RewindError {
    /// Pruned, too near to what was pruned, or never reached.
    #[error("milestone {0} is not kept, or what rests on it is not")]
    Unknown(u32),
    /// Younger than the ledger.
    #[error("the ledger has gone back behind milestone {0} since")]
    Ahead(u32),
}

impl Engine {
    /// Where the ledger stands.
    pub fn here(&self) -> Mark {
        Mark { confirmed: self.confirmed, next: self.next }
    }

    /// Goes back: later milestones and blocks are undone, blocks that waited then wait again.
    pub fn rewind(&mut self, mark: Mark) -> Result<(), RewindError> {
        if mark.confirmed > self.confirmed || mark.next > self.next {
            return Err(RewindError::Ahead(mark.confirmed));
        }
        // What waits again may rest on milestones as old as the below-max-depth limit: they must be there.
        if self.pruned > 0 && mark.confirmed <= self.pruned + BELOW_MAX_DEPTH {
            return Err(RewindError::Unknown(mark.confirmed));
        }
        let target = self.milestone(mark.confirmed).ok_or(RewindError::Unknown(mark.confirmed))?;
        for index in (mark.confirmed + 1..=self.confirmed).rev() {
            let record = self.milestone(index).ok_or(RewindError::Unknown(index))?;
            self.undo(index, &record, mark.next);
        }
        self.confirmed = mark.confirmed;
        self.milestones.insert(mark.confirmed, target.clone());
        self.tips.clear();
        self.tips.add(target.block, &[]);
        let mut at = target.sequence + 1;
        loop {
            let found = self.sequences(at..self.next, STEP);
            let Some(last) = found.last() else { break };
            at = *last + 1;
            for sequence in found {
                self.after_target(sequence, mark.next);
            }
        }
        self.next = mark.next;
        self.pace.clear();
        self.forget_gone();
        Ok(())
    }

    /// A block younger than the milestone gone back to: it waits again, or is gone.
    fn after_target(&mut self, sequence: u64, kept_below: u64) {
        let Some((id, mut record)) = self.at(sequence) else { return };
        self.drop_block(&id, sequence);
        if sequence >= kept_below {
            self.ledger.gone.blocks.push((sequence, id));
            return;
        }
        record.meta.inclusion = None;
        if !record.meta.orphan {
            self.tips.add(id, &record.parents);
        }
        self.hold(id, record);
    }

    fn undo(&mut self, index: u32, record: &MilestoneRecord, kept_below: u64) {
        for id in &record.order {
            // The others go altogether.
            if self.meta(id).is_some_and(|meta| meta.sequence < kept_below) {
                self.mark(*id, None);
            }
        }
        // Backwards: of a chain that moved twice within the milestone, its first state comes last.
        for id in record.consumed.iter().rev() {
            if let Some(mut output) = self.output(id) {
                output.spent = None;
                self.create(*id, output);
            }
        }
        for id in &record.created {
            if let Some(output) = self.output(id) {
                self.unspent.remove(&(output.booked_at, *id), &output.output);
            }
            self.outputs.remove(id);
            self.ledger.gone.outputs.push(*id);
        }
        self.milestones.remove(&index);
        self.milestone_ids.remove(&record.id);
        self.ledger.gone.milestones.push((index, record.id));
    }

    /// Forgets milestones up to `target`, what they referenced and spent, and what nobody can reference any more.
    /// At least the milestones that young blocks may rest on are kept; the newest one forgotten is returned.
    pub fn prune(&mut self, target: u32) -> u32 {
        let target = target.min(self.confirmed.saturating_sub(KEPT));
        let Some(last) = self.milestone(target).filter(|_| target > self.pruned) else { return self.pruned };
        for index in self.pruned + 1..=target {
            let Some(record) = self.milestone(index) else { continue };
            for id in &record.consumed {
                self.outputs.remove(id);
                self.ledger.gone.outputs.push(*id);
            }
            self.milestones.remove(&index);
            self.milestone_ids.remove(&record.id);
            self.ledger.gone.milestones.push((index, record.id));
        }
        self.pruned = target;
        // What is older was looked at by the pruning before.
        let mut at = std::mem::replace(&mut self.floor, last.sequence);
        loop {
            let found = self.sequences(at..last.sequence, STEP);
            let Some(last) = found.last() else { break };
            at = *last + 1;
            for sequence in found {
                let Some((id, record)) = self.at(sequence) else { continue };
                let referenced = record.meta.inclusion.is_some_and(|inclusion| inclusion.milestone <= target);
                let lost =
                    record.meta.inclusion.is_none() && record.meta.oldest_root + BELOW_MAX_DEPTH < self.confirmed;
                if referenced || lost {
                    self.drop_block(&id, sequence);
                    self.ledger.gone.blocks.push((sequence, id));
                } else {
                    self.floor = self.floor.min(sequence);
                }
            }
        }
        self.forget_gone();
        target
    }

    fn drop_block(&mut self, id: &BlockId, sequence: u64) {
        self.blocks.remove(id);
        for round in &mut self.recent {
            round.remove(id);
        }
        self.by_sequence.remove(&sequence);
    }

    /// Without an archive there is nobody to tell.
    fn forget_gone(&mut self) {
        if self.archive.is_none() {
            self.ledger.gone = Gone::default();
        }
    }
}
