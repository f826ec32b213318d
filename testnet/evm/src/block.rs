//! What a block holds.

use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};

use crate::execute::{Outcome, Request};

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct Mined {
    /// Its hash.
    pub hash: B256,
    /// What it asked for.
    pub request: Request,
    /// The signed bytes; none where a test executed it without a signature.
    pub raw: Option<Bytes>,
    /// What came of it.
    pub receipt: Receipt,
}

/// What came of a transaction.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Whether it went through.
    pub success: bool,
    /// Gas it used, refunds taken off.
    pub gas_used: u64,
    /// Price of each unit, wei.
    pub gas_price: u128,
    /// The contract it made.
    pub created: Option<Address>,
    /// Its events.
    pub logs: Vec<Log>,
    /// What it returned, or why it reverted.
    pub output: Bytes,
}

impl Receipt {
    /// Of an outcome at a price.
    #[must_use]
    pub fn new(outcome: Outcome, gas_price: u128) -> Self {
        let Outcome { success, gas_used, created, logs, output } = outcome;
        Self { success, gas_used, gas_price, created, logs, output }
    }
}

/// A block: as many transactions as were waiting for it, one or none in practice.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The hash of the one before.
    pub parent: B256,
    /// Seconds since 1970.
    pub time: u64,
    /// Its transactions.
    pub transactions: Vec<Mined>,
}

impl Block {
    /// A block that follows another. Its hash is of what it holds: two blocks that differ never have one, but it is not a hash that
    /// another client would compute.
    #[must_use]
    pub fn after(parent: Option<&Self>, time: u64, fork: u64, transactions: Vec<Mined>) -> Self {
        let (number, before) = parent.map_or((0, B256::ZERO), |parent| (parent.number + 1, parent.hash));
        let mut words: Vec<u8> = before.to_vec();
        for word in [number, time, fork] {
            words.extend(U256::from(word).to_be_bytes::<32>());
        }
        for mined in &transactions {
            words.extend(mined.hash);
        }
        Self { number, hash: keccak256(words), parent: before, time, transactions }
    }
}
