//! Tip selection: blocks without children, oldest first, so that nothing waits for ever.

use std::collections::{BTreeMap, HashMap};

use crate::BlockId;

/// Most parents of a block (TIP-24).
pub const PARENTS_MAX: usize = 8;
/// Tips given to a client, as HORNET does; more would only lengthen its blocks.
const SELECTED: usize = 4;

/// Blocks that no block approves yet, in order of arrival.
#[derive(Debug, Default)]
pub struct Tips {
    by_age: BTreeMap<u64, BlockId>,
    age_of: HashMap<BlockId, u64>,
    next: u64,
}

impl Tips {
    pub fn add(&mut self, id: BlockId, parents: &[BlockId]) {
        self.approve(parents);
        self.by_age.insert(self.next, id);
        self.age_of.insert(id, self.next);
        self.next += 1;
    }

    pub fn approve(&mut self, parents: &[BlockId]) {
        for parent in parents {
            if let Some(age) = self.age_of.remove(parent) {
                self.by_age.remove(&age);
            }
        }
    }

    pub fn matching(&self, is_wanted: impl Fn(&BlockId) -> bool) -> Vec<BlockId> {
        self.by_age.values().filter(|id| is_wanted(id)).copied().collect()
    }

    pub fn clear(&mut self) {
        self.by_age.clear();
        self.age_of.clear();
    }

    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    pub fn oldest(&self, count: usize) -> Vec<BlockId> {
        self.by_age.values().take(count).copied().collect()
    }

    /// Up to four parents: the newest milestone's block and the oldest tips.
    pub fn select(&self, milestone: BlockId) -> Vec<BlockId> {
        let mut parents = vec![milestone];
        parents.extend(self.by_age.values().filter(|tip| **tip != milestone).take(SELECTED - 1));
        parents
    }

    /// All tips and the newest milestone's block; the caller has tied them below the limit.
    pub fn all_with(&self, milestone: BlockId) -> Vec<BlockId> {
        let mut parents = vec![milestone];
        parents.extend(self.by_age.values().filter(|tip| **tip != milestone).take(PARENTS_MAX - 1));
        parents
    }
}
