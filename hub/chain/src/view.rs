//! What a party knows of the chain: the newest blocks, which may still be replaced, and those older than the reorg margin.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tarefa_channel::chain::Chain;
use tarefa_channel::contract::{Owner, Redemption, Row};
use tarefa_channel::id::{Amount, ChannelId, Time, TokenId};
use tarefa_channel::limits;
use tarefa_channel::message::Opening;

use crate::books::{Books, Unfit};
use crate::event::Event;

/// A block, by what is needed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// A party's own clock: what says how old the newest block is.
#[derive(Clone)]
pub struct OwnClock(Arc<dyn Fn() -> Time + Send + Sync>);

impl OwnClock {
    /// A clock.
    pub fn new(clock: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())))
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> Time {
        (self.0)()
    }
}

impl std::fmt::Debug for OwnClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnClock({})", self.now().0)
    }
}

/// A chain as one party has seen it so far (rule 16). It grows old by itself: who stops looking decides nothing any more.
#[derive(Clone, Debug)]
pub struct View {
    /// Seconds after which a block is final.
    margin: u64,
    newest: Arc<Books>,
    settled: Arc<Books>,
    settled_head: Head,
    /// Blocks that are not final, oldest first: those with events, some without, and the newest.
    recent: Vec<(Head, Vec<Event>)>,
    clock: OwnClock,
}

impl View {
    /// The view of somebody who knows nothing before this block. `margin`: seconds after which a block is final.
    #[must_use]
    pub fn new(margin: u64, from: Head, clock: OwnClock) -> Self {
        let (newest, settled) = (Arc::default(), Arc::default());
        Self { margin, newest, settled, settled_head: from, recent: vec![], clock }
    }

    /// What met the condition of a token, if it was shown on chain; a block that is not final tells as much.
    #[must_use]
    pub fn preimage(&self, token: TokenId) -> Option<B256> {
        self.newest.preimage(token)
    }

    /// The newest known block.
    #[must_use]
    pub fn head(&self) -> Head {
        self.recent.last().map_or(self.settled_head, |(head, _)| *head)
    }

    /// The newest final block.
    #[must_use]
    pub fn settled_head(&self) -> Head {
        self.settled_head
    }

    /// Known blocks that are not final, oldest first.
    #[must_use]
    pub fn recent(&self) -> &[(Head, Vec<Event>)] {
        &self.recent
    }

    /// What all known events add up to.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.newest
    }

    /// Seconds since 1970 by this party's own clock.
    #[must_use]
    pub fn own_time(&self) -> Time {
        self.clock.now()
    }

    /// The same chain with these blocks after the newest final one, in order, in place of those known so far.
    ///
    /// # Errors
    /// Where they are not after it or out of order, or an event does not fit.
    pub fn with(&self, blocks: Vec<(Head, Vec<Event>)>) -> Result<Self, ViewError> {
        // The books are copied where an event changes them, not at each look.
        let mut view = Self { newest: Arc::clone(&self.settled), recent: vec![], ..self.clone() };
        let mut last = self.settled_head;
        for (head, events) in &blocks {
            if head.number <= last.number || head.time < last.time {
                return Err(ViewError::Order(head.number));
            }
            for event in events {
                Arc::make_mut(&mut view.newest).apply(event, head.time)?;
            }
            last = *head;
        }
        let until = last.time.before(self.margin);
        for (head, events) in blocks {
            if head.time <= until {
                for event in &events {
                    Arc::make_mut(&mut view.settled).apply(event, head.time)?;
                }
                view.settled_head = head;
            } else {
                view.recent.push((head, events));
            }
        }
        Ok(view)
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
        let (head, now) = (self.head().time, self.clock.now());
        // A block of the future is as little worth as an old one: it would make everything before it final.
        head.until(now) <= limits::HEAD_AGE && now.until(head) <= limits::HEAD_AGE
    }

    fn trusted(&self, signer: Address) -> bool {
        // That a key is the hub's is good news: a block that is replaced may take it back, and the hub need not say it again. Before the contract
        // itself is final nothing else is.
        self.newest.trusted(signer) && (self.settled.trusted(signer) || !self.settled.has_signers())
    }

    fn revoked_from(&self, signer: Address) -> Option<Time> {
        self.newest.revoked_from(signer)
    }
}
