//! The faucet: pays who asks, in one transaction per milestone.

use std::collections::VecDeque;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::address::{Address, Ed25519Address};
use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::Payload;
use tarefa_ledger::build::{self, Spend};
use tarefa_ledger::engine::{Engine, Position};

use crate::keys::FaucetSigner;
use crate::node::Node;

/// Base units per request.
pub const AMOUNT: u64 = 100_000_000_000;
/// Base units for an address that holds some already.
pub const SMALL_AMOUNT: u64 = 10_000_000_000;
/// An address that holds this much gets nothing.
pub const BALANCE_MAX: u64 = 200_000_000_000;
/// Requests that may wait; more are refused.
const QUEUE_MAX: usize = 1_000;
/// Requests paid by one transaction: its outputs less one for the remainder.
const BATCH: usize = build::COUNT_MAX - 1;

/// Requests that wait.
#[derive(Debug)]
pub struct Faucet {
    address: [u8; 32],
    waiting: VecDeque<(Address, u64)>,
}

impl Faucet {
    /// A faucet that pays from `address`.
    pub fn new(address: [u8; 32]) -> Self {
        Self { address, waiting: VecDeque::new() }
    }

    /// Address it pays from.
    pub fn address(&self) -> [u8; 32] {
        self.address
    }

    /// Takes a request; the number waiting, or a refusal in the words of the original.
    pub fn enqueue(&mut self, to: Address, engine: &Engine) -> Result<usize, &'static str> {
        if self.waiting.iter().any(|(waiting, _)| *waiting == to) {
            return Err("Address is already in the queue.");
        }
        let held = balance(engine, &to);
        if held >= BALANCE_MAX {
            return Err("You already have enough funds on your address.");
        }
        if self.waiting.len() >= QUEUE_MAX {
            return Err("Faucet queue is full. Please try again later!");
        }
        self.waiting.push_back((to, if held == 0 { AMOUNT } else { SMALL_AMOUNT }));
        Ok(self.waiting.len())
    }
}

/// What plain outputs at an address hold.
pub fn balance(engine: &Engine, address: &Address) -> u64 {
    let amount = |(_, id): &Position| {
        let record = engine.output(id)?;
        let Output::Basic(basic) = record.output.as_ref() else { return None };
        (basic.simple_deposit_address() == Some(address)).then_some(basic.amount())
    };
    engine.unspent().naming(address).filter_map(amount).sum()
}

fn coins(engine: &Engine, address: &[u8; 32]) -> Vec<Spend> {
    let coin = |id| {
        let output = engine.output(id)?;
        build::plain(&output.output).map(|(address, amount)| Spend { id: *id, amount, address, index: 0, packed: None })
    };
    // The richest first: dust that somebody sends here must not stop it.
    let mut coins: Vec<Spend> = engine.plain_of(address).filter_map(coin).collect();
    coins.sort_by_key(|coin| std::cmp::Reverse(coin.amount));
    coins.truncate(build::COUNT_MAX);
    coins
}

/// Pays what waits; called right before a milestone, so that nothing else spends the faucet's coins meanwhile.
pub fn pay_waiting(node: &Node) {
    let batch: Vec<(Address, u64)> = {
        let mut faucet = node.faucet();
        let count = faucet.waiting.len().min(BATCH);
        faucet.waiting.drain(..count).collect()
    };
    if batch.is_empty() {
        return;
    }
    if let Err(error) = pay(node, &batch) {
        tracing::error!(%error, "the faucet could not pay, trying again");
        let mut faucet = node.faucet();
        for request in batch.into_iter().rev() {
            faucet.waiting.push_front(request);
        }
    }
}

fn pay(node: &Node, batch: &[(Address, u64)]) -> Result<(), String> {
    let (block, raw) = {
        let engine = node.engine();
        let address = node.keys.faucet_address();
        let coins = coins(&engine, &address);
        let total: u64 = coins.iter().map(|coin| coin.amount).sum();
        let spent: u64 = batch.iter().map(|(_, amount)| amount).sum();
        let rest = total.checked_sub(spent).ok_or("the faucet is empty")?;
        let mut outputs = batch.to_vec();
        if rest > 0 {
            outputs.push((Ed25519Address::new(address).into(), rest));
        }
        let outputs = outputs
            .into_iter()
            .map(|(to, amount)| build::simple_output(to, amount, engine.params()))
            .collect::<Result<Vec<Output>, _>>()
            .map_err(|error| error.to_string())?;
        let signer = FaucetSigner(&node.keys.faucet);
        let note = Some((&b"TAREFA FAUCET"[..], &b""[..]));
        let transaction = build::transaction_of(&coins, outputs, note, &signer, engine.params())
            .map_err(|error| error.to_string())?;
        let block = build::block(engine.tips(), Some(Payload::from(transaction))).map_err(|error| error.to_string())?;
        let raw = block.pack_to_vec();
        (block, raw)
    };
    node.submit(&raw).map_err(|error| format!("block {}: {error}", block.id()))?;
    Ok(())
}
