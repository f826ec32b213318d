//! What a party knows of the chain: the newest blocks, which may still be replaced, and those older than the reorg margin.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256};
use tarefa_channel::chain::Chain;
use tarefa_channel::contract::{Owner, Redemption, Row};
use tarefa_channel::id::{Amount, ChannelId, Time, TokenId};
use tarefa_channel::limits;
use tarefa_channel::message::Opening;

use crate::books::{Books, Unfit};
use crate::event::Event;

/// A block, by what is needed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time.
    pub time: Time,
}

/// Why blocks cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Not after the newest known one.
    #[error("block {0} is not after the newest known one")]
    Order(u64),
    /// An event that does not fit.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Blocks that counted as final were replaced.
    #[error(
        "the chain has replaced blocks that were final (older than {margin} s): nothing is decided until it is read anew; \
         ask why before trusting this node again"
    )]
    Deep {
        /// The reorg margin, seconds.
        margin: u64,
    },
}

/// A chain as one party has seen it so far (rule 16).
#[derive(Clone, Debug)]
pub struct View {
    /// Seconds after which a block is final.
    margin: u64,
    newest: Books,
    settled: Books,
    settled_head: Head,
    /// Blocks that are not final, oldest first: those with events, and the newest at each look.
    recent: VecDeque<(Head, Vec<Event>)>,
    /// This party's own clock at its last look.
    clock: Time,
}

impl View {
    /// The view of somebody who knows nothing before this block. `margin`: seconds after which a block is final.
    #[must_use]
    pub fn new(margin: u64, from: Head) -> Self {
        let (newest, settled) = (Books::default(), Books::default());
        Self { margin, newest, settled, settled_head: from, recent: VecDeque::new(), clock: from.time }
    }

    /// The newest known block.
    #[must_use]
    pub fn head(&self) -> Head {
        self.recent.back().map_or(self.settled_head, |(head, _)| *head)
    }

    /// Known blocks that are not final, the newest first, and then the newest final one.
    pub fn heads(&self) -> impl Iterator<Item = Head> + '_ {
        self.recent.iter().rev().map(|(head, _)| *head).chain([self.settled_head])
    }

    /// What all known events add up to.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.newest
    }

    /// Sets this party's own clock, which says how old the newest block is.
    pub fn look(&mut self, clock: Time) {
        self.clock = clock;
    }

    /// Adds blocks after the newest known one, in order: those with events, and the newest of all with or without any.
    ///
    /// # Errors
    /// Where they are not after it, or an event does not fit: the view is as it was.
    pub fn extend(&mut self, blocks: Vec<(Head, Vec<Event>)>) -> Result<(), ViewError> {
        let mut newest = self.newest.clone();
        let mut last = self.head();
        for (head, events) in &blocks {
            if head.number <= last.number || head.time < last.time {
                return Err(ViewError::Order(head.number));
            }
            for event in events {
                newest.apply(event, head.time)?;
            }
            last = *head;
        }
        self.newest = newest;
        self.recent.extend(blocks);
        self.settle()
    }

    fn settle(&mut self) -> Result<(), ViewError> {
        let until = self.head().time.before(self.margin);
        while let Some((head, events)) = self.recent.front().filter(|(head, _)| head.time <= until) {
            for event in events {
                self.settled.apply(event, head.time)?;
            }
            self.settled_head = *head;
            self.recent.pop_front();
        }
        Ok(())
    }

    /// Forgets every block after this number: they were replaced.
    ///
    /// # Errors
    /// Where final ones were.
    pub fn rewind(&mut self, number: u64) -> Result<(), ViewError> {
        if number < self.settled_head.number {
            return Err(ViewError::Deep { margin: self.margin });
        }
        self.recent.retain(|(head, _)| head.number <= number);
        let mut newest = self.settled.clone();
        for (head, events) in &self.recent {
            for event in events {
                newest.apply(event, head.time)?;
            }
        }
        self.newest = newest;
        Ok(())
    }
}

impl Chain for View {
    fn now(&self) -> Time {
        self.head().time
    }

    fn final_time(&self) -> Time {
        self.settled_head.time
    }

    fn row(&self, owner: Owner) -> Row {
        self.newest.row(owner)
    }

    fn final_row(&self, owner: Owner) -> Row {
        self.settled.row(owner)
    }

    fn redemption(&self, token: TokenId) -> Option<Redemption> {
        self.newest.redemption(token)
    }

    fn final_redemption(&self, token: TokenId) -> Option<Redemption> {
        self.settled.redemption(token)
    }

    fn final_credited(&self, owner: Owner) -> Amount {
        self.settled.credited(owner)
    }

    fn claim(&self, payer: ChannelId, token: TokenId) -> Amount {
        self.newest.claim(payer, token)
    }

    fn enforced(&self, owner: Owner) -> Option<Opening> {
        self.newest.enforced(owner)
    }

    fn owner(&self, channel: ChannelId) -> Option<Owner> {
        self.newest.channel(channel).map(|(owner, _)| owner)
    }

    fn epoch(&self, channel: ChannelId) -> Option<u32> {
        self.newest.channel(channel).map(|(_, epoch)| epoch)
    }

    fn is_fresh(&self) -> bool {
        self.head().time.until(self.clock) <= limits::HEAD_AGE
    }

    fn trusted(&self, signer: Address) -> bool {
        self.newest.trusted(signer)
    }
}
