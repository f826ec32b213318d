//! Follows a contract: fetches what is new, notices what was replaced, and never leaves a gap.

use alloy_primitives::Address;
use tarefa_channel::Time;

use crate::event::Event;
use crate::rpc::{LOG_RANGE, Rpc, RpcFault};
use crate::view::{Head, View, ViewError};

/// Why nothing new is known.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The node.
    #[error(transparent)]
    Rpc(#[from] RpcFault),
    /// What it says does not fit.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Blocks were replaced while they were read: ask again.
    #[error("the chain was reorganised while it was read: ask again")]
    Moved,
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Blocks after this one were replaced.
    pub rewound: Option<Head>,
    /// New blocks: those with events, and the newest.
    pub blocks: Vec<(Head, Vec<Event>)>,
}

/// A contract on a chain, as one party follows it.
#[derive(Clone, Debug)]
pub struct Watcher {
    rpc: Rpc,
    contract: Address,
    /// What is known so far.
    pub view: View,
}

impl Watcher {
    /// Follows a contract from the block before its deployment (or any before). `margin`: seconds after which a block is final.
    #[must_use]
    pub fn new(rpc: Rpc, contract: Address, from: Head, margin: u64) -> Self {
        Self { rpc, contract, view: View::new(margin, from) }
    }

    /// Reads what is new. `clock`: this party's own time.
    ///
    /// # Errors
    /// The view is then as old as before: nothing is decided by it once it is not fresh.
    pub async fn look(&mut self, clock: Time) -> Result<News, WatchError> {
        self.view.look(clock);
        let head = self.rpc.head().await?;
        let common = self.common(head).await?;
        let mut news = News::default();
        if common.number < self.view.head().number {
            self.view.rewind(common.number)?;
            news.rewound = Some(common);
        }
        if head.number == common.number {
            return Ok(news);
        }
        let mut from = common.number + 1;
        while from <= head.number {
            let to = head.number.min(from + LOG_RANGE - 1);
            news.blocks.extend(self.rpc.events(self.contract, from, to).await?);
            from = to + 1;
        }
        if self.rpc.block(head.number).await? != Some(head) {
            return Err(WatchError::Moved);
        }
        if news.blocks.last().is_none_or(|(last, _)| last.number < head.number) {
            news.blocks.push((head, vec![]));
        }
        self.view.extend(news.blocks.clone())?;
        Ok(news)
    }

    /// The newest known block that is still in the chain.
    async fn common(&self, head: Head) -> Result<Head, WatchError> {
        for known in self.view.heads().collect::<Vec<_>>() {
            if known.number <= head.number && self.rpc.block(known.number).await? == Some(known) {
                return Ok(known);
            }
        }
        // Not even the final one: say so as the view does.
        let mut view = self.view.clone();
        view.rewind(0)?;
        Err(WatchError::Moved)
    }
}
