//! What a wallet knows. Serialised whole into the store with every change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::build::{Spend, counts};
use crate::confirmed::Confirmed;
use crate::{OutputId, TransactionId};

/// An output id in a form that orders and serialises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutputKey {
    transaction: [u8; 32],
    index: u16,
}

impl From<&OutputId> for OutputKey {
    fn from(id: &OutputId) -> Self {
        Self { transaction: **id.transaction_id(), index: id.index() }
    }
}

impl From<&OutputKey> for OutputId {
    fn from(key: &OutputKey) -> Self {
        Self::new(TransactionId::new(key.transaction), key.index).expect("made from a valid id")
    }
}

/// A plain output of ours that no included transaction has spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coin {
    /// Index of its address.
    pub index: u32,
    /// Its address.
    pub address: [u8; 32],
    /// Base units.
    pub amount: u64,
    /// An own transaction under way spends it.
    pub reserved: bool,
    /// Spent only on explicit demand: it arrived at an address that had signed before, or spending it would burn
    /// the native tokens it holds.
    pub stranded: bool,
    /// Its bytes, where it has more than an amount and an address.
    pub packed: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub to: [u8; 32],
    pub amount: u64,
    pub expires: Option<u32>,
    pub giving_up: bool,
    /// The user was told that the funds do not suffice; once is enough.
    pub told: bool,
}

/// A transaction that may still be included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub inputs: BTreeSet<OutputKey>,
    pub orders: Vec<String>,
    pub change: u64,
    pub serial: u64,
    pub payload: Vec<u8>,
}

/// The wallet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wallet {
    pub(super) coins: BTreeMap<OutputKey, Coin>,
    pub(super) orders: BTreeMap<String, Order>,
    pub(super) settled: BTreeSet<String>,
    pub(super) sent: BTreeMap<[u8; 32], Sent>,
    pub(super) held: BTreeSet<u32>,
    pub(super) signed: BTreeSet<u32>,
    pub(super) serial: u64,
}

/// Money by what can be done with it, base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Can be spent now.
    pub available: u64,
    /// Change of transactions under way.
    pub pending_change: u64,
    /// Received for a quote that is not final.
    pub held: u64,
    /// Arrived at an address that had signed before, or together with native tokens.
    pub stranded: u64,
}

impl Balance {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.available + self.pending_change + self.held + self.stranded
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Waits for coins.
    Waiting,
    /// A transaction that carries it is under way.
    Sent,
    /// Paid.
    Settled,
}

impl Wallet {
    /// What the wallet holds.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for coin in self.coins.values().filter(|coin| !coin.reserved) {
            let place = if coin.stranded {
                &mut balance.stranded
            } else if self.held.contains(&coin.index) {
                &mut balance.held
            } else {
                &mut balance.available
            };
            *place += coin.amount;
        }
        // Of a transaction and its replacement only one counts: the newer.
        let mut seen: BTreeSet<OutputKey> = BTreeSet::new();
        let mut sent: Vec<&Sent> = self.sent.values().collect();
        sent.sort_by_key(|sent| std::cmp::Reverse(sent.serial));
        for sent in sent {
            if sent.inputs.iter().all(|key| seen.insert(*key)) {
                balance.pending_change += sent.change;
            }
        }
        balance
    }

    /// Whether a milestone can change anything here. One that cannot need not be stored.
    pub fn is_concerned(&self, confirmed: &Confirmed, own: &dyn Fn(&[u8; 32]) -> Option<u32>) -> bool {
        !self.waiting().is_empty()
            || confirmed.consumed.iter().any(|(id, _)| self.coins.contains_key(&OutputKey::from(id)))
            || confirmed.included.iter().any(|id| self.sent.contains_key(&**id))
            || confirmed.created.iter().any(|(_, output)| counts(output).is_some_and(|(to, _)| own(&to).is_some()))
    }

    /// Where the order of this name stands, `None` if it is unknown or was returned.
    pub fn order_state(&self, name: &str) -> Option<OrderState> {
        if self.settled.contains(name) {
            return Some(OrderState::Settled);
        }
        self.orders.get(name)?;
        Some(if self.newest_carrying(name).is_some() { OrderState::Sent } else { OrderState::Waiting })
    }

    /// Transactions that may still be included, oldest first: (id, payload).
    pub fn under_way(&self) -> Vec<([u8; 32], Vec<u8>)> {
        let mut sent: Vec<_> = self.sent.iter().filter(|(id, _)| !self.is_replaced(id)).collect();
        sent.sort_by_key(|(_, sent)| sent.serial);
        sent.into_iter().map(|(id, sent)| (*id, sent.payload.clone())).collect()
    }

    /// A newer transaction spends the same inputs: this one is not posted by us any more.
    fn is_replaced(&self, id: &[u8; 32]) -> bool {
        let Some(old) = self.sent.get(id) else { return false };
        self.sent.values().any(|new| new.serial > old.serial && !new.inputs.is_disjoint(&old.inputs))
    }

    pub(super) fn newest_carrying(&self, name: &str) -> Option<([u8; 32], Sent)> {
        self.sent
            .iter()
            .filter(|(_, sent)| sent.orders.iter().any(|order| order == name))
            .max_by_key(|(_, sent)| sent.serial)
            .map(|(id, sent)| (*id, sent.clone()))
    }

    /// Orders that no transaction under way carries, in the order of their names.
    pub(super) fn waiting(&self) -> Vec<String> {
        self.orders.keys().filter(|name| self.newest_carrying(name).is_none()).cloned().collect()
    }

    pub(super) fn spendable(&self) -> Vec<Spend> {
        self.coins
            .iter()
            .filter(|(_, coin)| !coin.reserved && !coin.stranded && !self.held.contains(&coin.index))
            .map(|(key, coin)| coin.spend(key))
            .collect()
    }

    pub(super) fn spends(&self, sent: &Sent) -> Vec<Spend> {
        sent.inputs.iter().filter_map(|key| self.coins.get(key).map(|coin| coin.spend(key))).collect()
    }
}

impl Coin {
    fn spend(&self, key: &OutputKey) -> Spend {
        let Self { index, address, amount, packed, .. } = self.clone();
        Spend { id: key.into(), amount, address, index, packed }
    }
}
