//! The rows that a transaction has read, and those that it changes: they are written once at its end, however many requests have changed
//! them. Where nobody else writes to the store, they are there for the next transaction too.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use alloy_primitives::B256;
use tarefa_channel::hub::{HubChannel, HubToken, Invoice, Stage};
use tarefa_channel::{ChannelId, TokenId};

/// Rows of each kind: one kB each, up to five where states have 64 operations, so a hundred megabytes at most. Beyond, all are forgotten
/// and read again.
const ROWS: usize = 16_384;

#[derive(Debug)]
struct Rows<K, V> {
    all: HashMap<K, V>,
    changed: BTreeSet<K>,
}

/// Rows of one kind.
#[derive(Debug)]
pub struct Kept<K, V>(RefCell<Rows<K, V>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(RefCell::new(Rows { all: HashMap::new(), changed: BTreeSet::new() }))
    }
}

impl<K: Hash + Ord + Copy, V: Clone> Kept<K, V> {
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.borrow().all.get(key).cloned()
    }

    /// A row as the database has it.
    pub fn read(&self, key: K, row: V) {
        self.0.borrow_mut().all.insert(key, row);
    }

    /// A row as it is now.
    pub fn put(&self, key: K, row: V) {
        let mut rows = self.0.borrow_mut();
        rows.all.insert(key, row);
        rows.changed.insert(key);
    }

    /// Changes a row that this transaction has put.
    pub fn change(&self, key: &K, change: impl FnOnce(&mut V)) {
        if let Some(row) = self.0.borrow_mut().all.get_mut(key) {
            change(row);
        }
    }

    /// A row that is not there any more.
    pub fn remove(&self, key: &K) {
        let mut rows = self.0.borrow_mut();
        rows.all.remove(key);
        rows.changed.remove(key);
    }

    /// Writes what has changed since the last time.
    pub fn write<E>(&self, mut write: impl FnMut(K, &V) -> Result<(), E>) -> Result<(), E> {
        let mut rows = self.0.borrow_mut();
        let changed = std::mem::take(&mut rows.changed);
        changed.iter().filter_map(|key| Some((*key, rows.all.get(key)?))).try_for_each(|(key, row)| write(key, row))
    }

    fn forget(&self) {
        let mut rows = self.0.borrow_mut();
        rows.all.clear();
        rows.changed.clear();
    }

    fn trim(&self) {
        let is_full = self.0.borrow().all.len() >= ROWS;
        if is_full {
            self.forget();
        }
    }
}

/// Tokens by the channel whose client they wait for: of channels that were asked about.
#[derive(Debug, Default)]
pub struct Waiting(RefCell<HashMap<ChannelId, BTreeSet<TokenId>>>);

impl Waiting {
    pub fn get(&self, channel: ChannelId) -> Option<Vec<TokenId>> {
        self.0.borrow().get(&channel).map(|tokens| tokens.iter().copied().collect())
    }

    pub fn fill(&self, channel: ChannelId, tokens: impl Iterator<Item = TokenId>) {
        self.0.borrow_mut().insert(channel, tokens.collect());
    }

    fn set(&self, channel: ChannelId, token: TokenId, waits: bool) {
        if let Some(tokens) = self.0.borrow_mut().get_mut(&channel) {
            if waits {
                tokens.insert(token)
            } else {
                tokens.remove(&token)
            };
        }
    }
}

/// Rows of all kinds.
#[derive(Debug, Default)]
pub struct Cache {
    pub channels: Kept<ChannelId, HubChannel>,
    pub tokens: Kept<TokenId, HubToken>,
    pub invoices: Kept<(ChannelId, B256), Invoice>,
    /// Promised to payees.
    pub promised: Waiting,
    /// What payees did, for payers.
    pub shown: Waiting,
}

impl Cache {
    /// A token as it is now.
    pub fn put_token(&self, row: HubToken) {
        let id = row.id();
        if let Some(payee) = row.token.payee_channel() {
            self.promised.set(payee, id, matches!(row.stage, Stage::Granted));
        }
        let shown = matches!(row.stage, Stage::Attached { .. } | Stage::Declined(_));
        self.shown.set(row.token.payer_channel, id, shown);
        self.tokens.put(id, row);
    }

    /// A token that is not there any more.
    pub fn forget_token(&self, row: &HubToken) {
        let id = row.id();
        if let Some(payee) = row.token.payee_channel() {
            self.promised.set(payee, id, false);
        }
        self.shown.set(row.token.payer_channel, id, false);
        self.tokens.remove(&id);
    }

    /// Before a transaction.
    pub fn trim(&self) {
        self.channels.trim();
        self.tokens.trim();
        self.invoices.trim();
        for waiting in [&self.promised, &self.shown] {
            let mut waiting = waiting.0.borrow_mut();
            if waiting.len() >= ROWS {
                waiting.clear();
            }
        }
    }

    /// What is in the database counts: after anything that was not kept, and where others write too.
    pub fn forget(&self) {
        self.channels.forget();
        self.tokens.forget();
        self.invoices.forget();
        self.promised.0.borrow_mut().clear();
        self.shown.0.borrow_mut().clear();
    }
}
