//! Follows a contract: fetches what is new, notices what was replaced, and never leaves a gap.

use alloy_primitives::Address;
use tarefa_channel::Time;

use crate::event::Event;
use crate::rpc::{LOG_RANGE, Rpc, RpcFault};
use crate::view::{Head, OwnClock, View, ViewError};

/// Why nothing new is known.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The node.
    #[error(transparent)]
    Rpc(#[from] RpcFault),
    /// What it says does not fit.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Blocks were replaced while they were read.
    #[error("the chain was reorganised while it was read: ask again")]
    Moved,
    /// It shows fewer blocks than it did.
    #[error("the chain's node is behind: it shows block {shown}, and {known} was known: ask again")]
    Behind {
        /// Its newest block.
        shown: u64,
        /// The newest known one.
        known: u64,
    },
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Blocks that were known are not there any more, from this number on.
    pub replaced: Option<u64>,
    /// Blocks with events that were not known.
    pub blocks: Vec<(Head, Vec<Event>)>,
    /// Blocks with events that are final now and were not before.
    pub settled: Vec<(Head, Vec<Event>)>,
    /// There is more to read: look again.
    pub more: bool,
}

/// Ranges of blocks in one look: at four blocks a second still two hours, far above any reorg margin, so that what is read always reaches
/// beyond what is not final.
const RANGES: u64 = 16;

/// Parts of the reorg margin after which a block without events is remembered, so that the final one moves on.
const MARKS: u64 = 8;

/// A contract on a chain, as one party follows it.
#[derive(Clone, Debug)]
pub struct Watcher {
    rpc: Rpc,
    contract: Address,
    margin: u64,
    /// What is known so far.
    pub view: View,
}

/// Of blocks in order, the one with a number.
fn at(blocks: &[(Head, Vec<Event>)], number: u64) -> Option<&(Head, Vec<Event>)> {
    blocks.binary_search_by_key(&number, |(block, _)| block.number).ok().map(|place| &blocks[place])
}

impl Watcher {
    /// Follows a contract from the block before its deployment (or any before). `margin`: seconds after which a block is final.
    #[must_use]
    pub fn new(rpc: Rpc, contract: Address, from: Head, margin: u64, clock: OwnClock) -> Self {
        Self { rpc, contract, margin, view: View::new(margin, from, clock) }
    }

    /// The chain's node.
    #[must_use]
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Reads everything after the newest final block, a bounded number of blocks of it: what is not final is read again each time, so
    /// that what one node of several did not show at first is not missed.
    ///
    /// # Errors
    /// The view is as it was before, and nothing is decided by it once it is not fresh.
    pub async fn look(&mut self) -> Result<News, WatchError> {
        let newest = self.rpc.head().await?;
        let (settled, known) = (self.view.settled_head(), self.view.head());
        if newest.number < known.number {
            return Err(WatchError::Behind { shown: newest.number, known: known.number });
        }
        if self.rpc.block(settled.number).await? != Some(settled) {
            return Err(ViewError::Deep { margin: self.margin }.into());
        }
        if newest == settled {
            return Ok(News::default());
        }
        let last = newest.number.min(settled.number + LOG_RANGE * RANGES);
        let head = self.rpc.block(last).await?.ok_or(WatchError::Moved)?;
        let (mut blocks, mut steps) = (vec![], vec![]);
        let mut from = settled.number + 1;
        while from <= last {
            let to = last.min(from + LOG_RANGE - 1);
            blocks.extend(self.events(from, to).await?);
            if last < newest.number && to < last {
                // Where nothing happens for long, the final block moves on all the same: else the next look would read just this again.
                steps.push(self.rpc.block(to).await?.ok_or(WatchError::Moved)?);
            }
            from = to + 1;
        }
        let known = |block: &Head| at(self.view.recent(), block.number).is_some_and(|(other, _)| other == block);
        // One that was there at the last look and is still in its place has been asked about then.
        for (block, _) in blocks.iter().filter(|(block, _)| !known(block)) {
            if self.rpc.block(block.number).await? != Some(*block) {
                return Err(WatchError::Moved);
            }
        }
        self.mark(head, steps, &mut blocks).await?;
        // Whoever answered the questions between, answered them about this chain.
        if self.rpc.block(last).await? != Some(head) {
            return Err(WatchError::Moved);
        }
        let view = self.view.with(blocks.clone())?;
        let kept = |(block, events): &(Head, Vec<Event>)| {
            events.is_empty() || at(&blocks, block.number).is_some_and(|(one, _)| one == block)
        };
        let replaced = self.view.recent().iter().find(|block| !kept(block)).map(|(block, _)| block.number);
        let new = |block: &(Head, Vec<Event>)| {
            !block.1.is_empty() && at(self.view.recent(), block.0.number).is_none_or(|other| other != block)
        };
        let news = blocks.iter().filter(|block| new(block)).cloned().collect();
        let until = view.settled_head().number;
        let settled =
            blocks.into_iter().filter(|(block, events)| block.number <= until && !events.is_empty()).collect();
        self.view = view;
        Ok(News { replaced, blocks: news, settled, more: last < newest.number })
    }

    /// Events of some blocks, in smaller portions where the node refuses so many at once: whoever fills blocks with events blinds nobody.
    async fn events(&self, mut from: u64, to: u64) -> Result<Vec<(Head, Vec<Event>)>, RpcFault> {
        let (mut all, mut size) = (vec![], LOG_RANGE);
        while from <= to {
            let until = to.min(from.saturating_add(size - 1));
            match self.rpc.events(self.contract, from, until).await {
                Ok(found) => {
                    all.extend(found);
                    from = until + 1;
                }
                Err(RpcFault::Refused(words)) if until > from => {
                    size = (until - from).div_ceil(2);
                    tracing::debug!(words, size, "the node refuses so many blocks at once");
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(all)
    }

    /// Adds the newest block and those between, and blocks without events that are known and still there.
    async fn mark(
        &self,
        head: Head,
        mut marks: Vec<Head>,
        blocks: &mut Vec<(Head, Vec<Event>)>,
    ) -> Result<(), WatchError> {
        let spaced = |last: Time, block: &Head| last.until(block.time) >= self.margin.div_ceil(MARKS);
        let mut last = self.view.settled_head().time;
        for (block, _) in self.view.recent().iter().filter(|(block, _)| block.number < head.number) {
            if spaced(last, block) && self.rpc.block(block.number).await? == Some(*block) {
                last = block.time;
                marks.push(*block);
            }
        }
        marks.push(head);
        for mark in marks {
            if blocks.iter().all(|(block, _)| block.number != mark.number) {
                blocks.push((mark, vec![]));
            }
        }
        blocks.sort_by_key(|(block, _)| block.number);
        Ok(())
    }
}
