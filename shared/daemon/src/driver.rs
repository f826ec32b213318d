//! The driver: every input in one commit, with the effects it causes. Synchronous; knows no node and no clock.

mod guard;
mod intake;
pub mod money;

use std::collections::{BTreeMap, HashSet};

use iota_sdk::types::block::payload::Payload;
use serde::{Deserialize, Serialize};
use tarefa_ledger::confirmed::Confirmed;
use tarefa_ledger::delivery::Delivery;
use tarefa_ledger::wallet::Wallet;
use tarefa_ledger::{MilestoneId, ProtocolParameters, blake2b, build};
use tarefa_protocol::rng::Entropy;
use tarefa_protocol::time::Now;
use tarefa_protocol::{LedgerId, LedgerSeconds, Tag, TaskId, limits};

use crate::desk::{Announcement, Desk, Queue};
use crate::keys::Keys;
use crate::role::{Answer, Role};
use crate::store::{EventRow, OutboxRow, Store, StoreError};

/// Key of the stored announcement.
pub(crate) const ANNOUNCEMENT: &str = "announcement";
const CURSOR: &str = "cursor";
const WALLET: &str = "wallet";

/// Milestones without anything for us are read again after a crash; at most so many.
const IDLE_MILESTONES_PER_COMMIT: u32 = 100;

/// Old rows are deleted once per so many milestones.
const FORGET_EVERY: u32 = 200;

/// Milestones over which the pace of the ledger is observed.
const PACE_WINDOW: usize = 20;

/// The ledger a driver works on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Its id.
    pub id: LedgerId,
    /// Its parameters.
    pub params: ProtocolParameters,
}

/// Where reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCursor {
    /// Next milestone.
    pub next: u32,
    /// Id of the one before.
    pub previous: Option<[u8; 32]>,
    /// Milestone at which this store began.
    pub born: u32,
    /// Ledger time of the last milestone read.
    pub time: LedgerSeconds,
}

/// Something to post.
#[derive(Debug, Clone)]
pub struct Post {
    /// For [`Driver::posted`].
    pub key: PostKey,
    /// The payload of the next block.
    pub payload: Payload,
}

impl Post {
    /// Whether money waits for it.
    pub(crate) fn is_transaction(&self) -> bool {
        matches!(self.key, PostKey::Transaction(_))
    }
}

/// Which payload a post is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostKey {
    /// A part of a message.
    Part(u64),
    /// A transaction.
    Transaction([u8; 32]),
    /// A part of the announcement.
    Announcement,
}

/// What the world must do now.
#[derive(Debug, Default)]
pub struct Due {
    /// Guests to run, each once.
    pub once: Vec<OutboxRow>,
    /// Guests to end.
    pub stops: Vec<TaskId>,
    /// What happened, for people.
    pub events: Vec<EventRow>,
}

/// One party's driver.
pub struct Driver<R> {
    store: Store,
    role: R,
    keys: Keys,
    ledger: Ledger,
    entropy: Box<dyn FnMut() -> [u8; 32] + Send>,
    cursor: StoredCursor,
    saved_next: u32,
    now: Now,
    pace: std::collections::VecDeque<u32>,
    wallet: Wallet,
    parts: Delivery,
    transactions: Delivery,
    payloads: BTreeMap<[u8; 32], Vec<u8>>,
    tags: HashSet<Tag>,
    next_timer: Option<LedgerSeconds>,
    announcement: Option<Announcement>,
    announced: Option<(u32, LedgerSeconds)>,
    due: Due,
}

impl<R: Role> Driver<R> {
    /// Opens a store. `start` is where a new one begins to read; guests that ran when the last process ended
    /// are reported as interrupted.
    pub fn open(
        store: Store,
        role: R,
        keys: Keys,
        ledger: Ledger,
        start: StoredCursor,
        entropy: Box<dyn FnMut() -> [u8; 32] + Send>,
    ) -> Result<Self, StoreError> {
        let now = Now { time: start.time, milestone: start.next.saturating_sub(1), milestone_seconds: 1 };
        let mut driver = Self {
            store,
            role,
            keys,
            ledger,
            entropy,
            cursor: start,
            saved_next: start.next,
            now,
            pace: Default::default(),
            wallet: Wallet::default(),
            parts: Delivery::default(),
            transactions: Delivery::default(),
            payloads: BTreeMap::new(),
            tags: HashSet::new(),
            next_timer: None,
            announcement: None,
            announced: None,
            due: Due::default(),
        };
        driver.reload()?;
        let cursor = driver.cursor;
        driver.saved_next = cursor.next;
        driver.now = Now { time: cursor.time, milestone: cursor.next.saturating_sub(1), milestone_seconds: 1 };
        for row in driver.store.read(|tx| tx.outbox())? {
            driver.answer(row.id, row.task, Answer::Interrupted)?;
        }
        Ok(driver)
    }

    /// Takes the state of memory from the store: at the start, and after a commit that was rolled back.
    fn reload(&mut self) -> Result<(), StoreError> {
        let role = &mut self.role;
        let (cursor, wallet, parts, tags, timer, announcement) = self.store.read(|tx| {
            role.reload(tx)?;
            let cursor: Option<StoredCursor> = tx.get(CURSOR)?;
            let wallet: Option<Wallet> = tx.get(WALLET)?;
            Ok::<_, StoreError>((
                cursor,
                wallet.unwrap_or_default(),
                tx.parts_out()?,
                tx.tags()?,
                tx.next_timer()?,
                tx.get(ANNOUNCEMENT)?,
            ))
        })?;
        // Idle milestones are not stored: memory may be ahead of the store, never behind.
        if let Some(cursor) = cursor
            && (self.saved_next == self.cursor.next || cursor.next > self.cursor.next)
        {
            self.cursor = cursor;
        }
        self.wallet = wallet;
        self.parts = Delivery::default();
        for part in parts {
            self.parts.add(part.sequence, blake2b(&part.data), part.not_after);
        }
        self.transactions = Delivery::default();
        self.payloads.clear();
        for (serial, (id, payload)) in self.wallet.under_way().into_iter().enumerate() {
            self.transactions.add(serial as u64, id, u32::MAX);
            self.payloads.insert(id, payload);
        }
        self.tags = tags.into_iter().chain(self.role.standing_tags(&self.keys.party_id())).collect();
        self.next_timer = timer;
        self.announcement = announcement;
        Ok(())
    }

    /// Where reading stands.
    pub fn cursor(&self) -> StoredCursor {
        self.cursor
    }

    /// Ledger time and pace.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The wallet as of the last commit.
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The role.
    pub fn role(&self) -> &R {
        &self.role
    }

    /// Our keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The store, to read.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Gives the store back, as a crash would: everything in memory is lost.
    pub fn into_store(self) -> Store {
        self.store
    }

    /// A user's wish, in one commit.
    pub fn command<T>(
        &mut self,
        wish: impl FnOnce(&mut R, &mut Desk<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.commit(None, wish)
    }

    /// The answer to an effect that runs once.
    pub fn answer(&mut self, id: i64, task: TaskId, answer: Answer) -> Result<(), StoreError> {
        self.commit(None, |role, desk| {
            if desk.tx.answered(id)? {
                guard::guarded(role, desk, "an answer", |role, desk| role.answered(desk, task, answer))?;
            }
            Ok(())
        })
    }

    /// A proved milestone. One that brings nothing for us moves the position in memory only.
    pub fn milestone(&mut self, confirmed: &Confirmed) -> Result<(), StoreError> {
        if confirmed.index < self.cursor.next {
            return Ok(());
        }
        self.advance_clock(confirmed);
        let before = self.cursor;
        self.cursor = StoredCursor {
            next: confirmed.index + 1,
            previous: Some(*confirmed.id),
            born: before.born,
            time: LedgerSeconds(confirmed.timestamp),
        };
        let intake = self.sort_out(confirmed)?;
        let timers = self.next_timer.is_some_and(|due| due <= self.now.time);
        let expired = self.parts.expired(self.now.time.0);
        let idle = intake.is_empty() && !timers && expired.is_empty() && !self.role.wants_tick(self.now);
        if idle && self.cursor.next - self.saved_next < IDLE_MILESTONES_PER_COMMIT {
            return Ok(());
        }
        let result = self.commit(Some(confirmed), |role, desk| {
            intake.take_in(role, desk, confirmed)?;
            for sequence in expired {
                desk.tx.part_done(sequence)?;
            }
            for task in desk.tx.take_timers(desk.now.time)? {
                guard::guarded(role, desk, "a timer", |role, desk| role.timer(desk, task))?;
            }
            if confirmed.index.is_multiple_of(FORGET_EVERY) {
                desk.tx.forget_before(desk.now.time)?;
            }
            Ok(())
        });
        if result.is_err() {
            self.cursor = before;
        }
        result
    }

    fn advance_clock(&mut self, confirmed: &Confirmed) {
        self.pace.push_back(confirmed.timestamp);
        if self.pace.len() > PACE_WINDOW {
            self.pace.pop_front();
        }
        let first = self.pace.front().copied().unwrap_or(confirmed.timestamp);
        let span = confirmed.timestamp.saturating_sub(first);
        let steps = (self.pace.len() as u32 - 1).max(1);
        self.now = Now {
            time: LedgerSeconds(confirmed.timestamp),
            milestone: confirmed.index,
            milestone_seconds: span.div_ceil(steps).max(1),
        };
    }

    /// Runs `change`, settles the wallet, gives the role its tick, stores everything, then takes the effects over.
    fn commit<T>(
        &mut self,
        confirmed: Option<&Confirmed>,
        change: impl FnOnce(&mut R, &mut Desk<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut entropy = Entropy::from_seed((self.entropy)());
        let mut queue = Queue::default();
        let mut wallet = money::Till::new(&self.wallet, &self.ledger.params);
        let (role, keys, now, cursor, ledger) = (&mut self.role, &self.keys, self.now, self.cursor, self.ledger.id);
        let least_output = tarefa_ledger::network::plain_output_minimum(&self.ledger.params);
        let result = self.store.commit(|tx| {
            let mut desk = Desk { tx: *tx, now, entropy: &mut entropy, keys, ledger, least_output, queue: &mut queue };
            if let Some(confirmed) = confirmed {
                wallet.confirmed(confirmed, role, &mut desk)?;
            }
            let value = change(role, &mut desk)?;
            wallet.settle(role, &mut desk)?;
            if role.wants_tick(now) {
                guard::guarded(role, &mut desk, "a tick", |role, desk| role.tick(desk))?;
                wallet.settle(role, &mut desk)?;
            }
            if let Some(changed) = wallet.changed() {
                tx.set(WALLET, changed)?;
            }
            tx.set(CURSOR, &cursor)?;
            Ok::<_, StoreError>((value, tx.next_timer()?))
        });
        match result {
            Ok((value, next_timer)) => {
                self.next_timer = next_timer;
                self.saved_next = self.cursor.next;
                self.take_over(queue, wallet.into_outcome());
                Ok(value)
            }
            Err(error) => {
                self.reload()?;
                Err(error)
            }
        }
    }

    fn take_over(&mut self, queue: Queue, outcome: money::Outcome) {
        for (sequence, hash, not_after) in queue.parts {
            self.parts.add(sequence, hash, not_after);
        }
        for id in outcome.dropped {
            self.transactions.remove(&id);
            self.payloads.remove(&id);
        }
        for (serial, id, payload) in outcome.posted {
            self.transactions.add(serial, id, u32::MAX);
            self.payloads.insert(id, payload);
        }
        if let Some(wallet) = outcome.wallet {
            self.wallet = wallet;
        }
        self.tags.extend(queue.tags);
        if let Some(announcement) = queue.announcement {
            self.announcement = Some(announcement);
            self.announced = None;
        }
        self.due.once.extend(queue.once);
        self.due.stops.extend(queue.stops);
        self.due.events.extend(queue.events);
    }

    /// Effects to carry out now, each given out once.
    pub fn take_due(&mut self) -> Due {
        std::mem::take(&mut self.due)
    }

    /// Payloads to post now, in order; each comes again only after [`Self::posted`] said what became of it.
    pub fn take_posts(&mut self) -> Result<Vec<Post>, StoreError> {
        let milestone = self.now.milestone;
        let mut posts = vec![];
        for serial in self.transactions.due(milestone) {
            // Serials and payloads are kept together.
            let Some(id) = self.transactions.hash_of(serial) else { continue };
            if let Some(payload) = self.payloads.get(&id).and_then(|bytes| money::unpack(bytes, &self.ledger.params)) {
                posts.push(Post { key: PostKey::Transaction(id), payload });
            }
        }
        for sequence in self.parts.due(milestone) {
            if let Some((tag, data)) = self.store.read(|tx| tx.part_out(sequence))? {
                posts.push(Post { key: PostKey::Part(sequence), payload: tagged(&tag, &data)? });
            }
        }
        if let Some(announcement) = self.announcement_due() {
            for part in &announcement.parts {
                posts.push(Post { key: PostKey::Announcement, payload: tagged(&announcement.tag, &part.0)? });
            }
            self.announced = Some((milestone, self.now.time));
        }
        Ok(posts)
    }

    fn announcement_due(&self) -> Option<Announcement> {
        let announcement = self.announcement.as_ref().filter(|a| a.not_after >= self.now.time)?;
        let due = self.announced.is_none_or(|(milestone, time)| {
            self.now.time.since(time) >= limits::OFFER_EVERY_S
                || self.now.milestone >= milestone + limits::OFFER_EVERY_MILESTONES
        });
        due.then(|| announcement.clone())
    }

    /// What became of a post: one that failed is due again at once, one that worked if no milestone references it.
    pub fn posted(&mut self, key: PostKey, done: bool) {
        let milestone = done.then_some(self.now.milestone);
        match key {
            PostKey::Part(sequence) => self.parts.posted(sequence, milestone),
            PostKey::Transaction(id) => self.transactions.posted_hash(&id, milestone),
            PostKey::Announcement if done => {}
            PostKey::Announcement => self.announced = None,
        }
    }

    /// Whether everything sent is referenced and no transaction is under way.
    pub fn is_settled(&self) -> bool {
        self.parts.is_empty() && self.transactions.is_empty()
    }

    /// Previous milestone id for the poller.
    pub fn previous(&self) -> Option<MilestoneId> {
        self.cursor.previous.map(MilestoneId::new)
    }
}

fn tagged(tag: &Tag, data: &[u8]) -> Result<Payload, StoreError> {
    build::tagged(&tag.to_wire(), data)
        .map_err(|error| StoreError::Rule(format!("a stored part has no block: {error}")))
}
