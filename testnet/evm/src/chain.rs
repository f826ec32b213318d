//! The chain: blocks, the clock, and going back.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use revm::Database as _;
use revm::state::AccountInfo;

use crate::block::{Block, Mined, Receipt};
use crate::execute::{BLOCK_GAS, Outcome, Refused, Request, State, execute};
use crate::filter::{Filter, LoggedAt};
use crate::transaction::{BadTransaction, read};

/// Snapshots kept at a time: each holds the whole state.
pub const SNAPSHOTS: usize = 16;

/// How a chain begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Time of the first block, seconds since 1970.
    pub genesis: u64,
    /// Base fee of every block, wei.
    pub base_fee: u64,
    /// Who begins with how much native money, wei.
    pub funded: Vec<(Address, U256)>,
}

/// There is no such snapshot: it was used, or pushed out by later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("snapshot {0} is unknown: it was reverted to, or is too old")]
pub struct UnknownSnapshot(pub u64);

struct Snapshot {
    id: u64,
    state: State,
    length: usize,
}

/// A development chain.
pub struct DevChain {
    config: Config,
    state: State,
    blocks: Vec<Block>,
    /// Where a transaction is: block and place.
    places: HashMap<B256, (usize, usize)>,
    snapshots: Vec<Snapshot>,
    next_snapshot: u64,
    /// Counts the times the chain went back, so that new blocks have new hashes.
    fork: u64,
}

impl DevChain {
    /// A chain with one empty block.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut state = State::default();
        for (address, balance) in &config.funded {
            state.insert_account_info(*address, AccountInfo { balance: *balance, ..AccountInfo::default() });
        }
        let blocks = vec![Block::after(None, config.genesis, 0, vec![])];
        Self { config, state, blocks, places: HashMap::new(), snapshots: vec![], next_snapshot: 1, fork: 0 }
    }

    /// How it began.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The newest block.
    #[must_use]
    pub fn head(&self) -> &Block {
        self.blocks.last().expect("there is a first block, and going back keeps it")
    }

    /// A block.
    #[must_use]
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    /// The block with this hash, as long as it is in the chain.
    #[must_use]
    pub fn block_by_hash(&self, hash: B256) -> Option<&Block> {
        self.blocks.iter().rev().find(|block| block.hash == hash)
    }

    /// A transaction, its block, and its place there.
    #[must_use]
    pub fn transaction(&self, hash: B256) -> Option<(&Block, usize, &Mined)> {
        let (block, place) = *self.places.get(&hash)?;
        let block = self.blocks.get(block)?;
        Some((block, place, block.transactions.get(place)?))
    }

    /// The time a block made now would have: the caller's clock, and never before the block before. Many in one second share it, as on chains
    /// that are faster than a block a second: time does not run ahead.
    fn time(&self, now: u64) -> u64 {
        now.max(self.head().time)
    }

    /// Makes a block at this time with signed bytes in it.
    ///
    /// # Errors
    /// Where they are no transaction of this chain, or one that cannot be tried now.
    pub fn send(&mut self, raw: &Bytes, now: u64) -> Result<B256, SendError> {
        let (hash, request) = read(raw, self.config.chain_id, self.config.base_fee)?;
        self.mine_request(hash, request, Some(raw.clone()), now)?;
        Ok(hash)
    }

    /// Makes a block with a transaction that nobody has signed: for tests, which have no need of keys.
    ///
    /// # Errors
    /// Where it cannot be tried.
    pub fn execute(&mut self, request: Request, now: u64) -> Result<Receipt, Refused> {
        let mut unique = request.from.to_vec();
        unique.extend((self.blocks.len() as u64).to_be_bytes());
        unique.extend(self.fork.to_be_bytes());
        let hash = keccak256(unique);
        self.mine_request(hash, request, None, now)?;
        let (.., mined) = self.transaction(hash).expect("it was just mined");
        Ok(mined.receipt.clone())
    }

    fn mine_request(&mut self, hash: B256, request: Request, raw: Option<Bytes>, now: u64) -> Result<(), Refused> {
        let time = self.time(now);
        let at = (self.blocks.len() as u64, time, self.config.base_fee);
        let outcome = execute(&mut self.state, self.config.chain_id, at, &request, true)?;
        let price = request.gas_price.unwrap_or(0);
        let mined = Mined { hash, request, raw, receipt: Receipt::new(outcome, price) };
        self.places.insert(hash, (self.blocks.len(), 0));
        self.push(time, vec![mined]);
        Ok(())
    }

    fn push(&mut self, time: u64, transactions: Vec<Mined>) {
        let block = Block::after(self.blocks.last(), time, self.fork, transactions);
        self.blocks.push(block);
    }

    /// Makes an empty block.
    pub fn mine(&mut self, now: u64) {
        self.push(self.time(now), vec![]);
    }

    /// What a request would give at the newest block, in a block made now.
    ///
    /// # Errors
    /// Where it cannot be tried.
    pub fn call(&mut self, request: &Request, now: u64) -> Result<Outcome, Refused> {
        let at = (self.blocks.len() as u64, self.time(now), self.config.base_fee);
        execute(&mut self.state, self.config.chain_id, at, request, false)
    }

    /// The least gas with which a request goes through: what is used is less where gas comes back, and a call inside gets only 63 of 64
    /// parts, so this searches.
    ///
    /// # Errors
    /// Where it cannot be tried; the outcome where it fails with all the gas there is.
    pub fn estimate(&mut self, request: &Request, now: u64) -> Result<Result<u64, Outcome>, Refused> {
        let with = |gas: u64| Request { gas, ..request.clone() };
        let most = request.gas.min(BLOCK_GAS);
        let full = self.call(&with(most), now)?;
        if !full.success {
            return Ok(Err(full));
        }
        let (mut fails, mut works) = (full.gas_used.saturating_sub(1), most);
        while fails + 1 < works {
            let middle = fails + (works - fails) / 2;
            match self.call(&with(middle), now) {
                Ok(outcome) if outcome.success => works = middle,
                Ok(_) | Err(_) => fails = middle,
            }
        }
        Ok(Ok(works))
    }

    fn account(&mut self, address: Address) -> AccountInfo {
        self.state.basic(address).unwrap_or_default().unwrap_or_default()
    }

    /// Native money of an account, wei.
    pub fn balance(&mut self, address: Address) -> U256 {
        self.account(address).balance
    }

    /// Gives an account this much native money.
    pub fn set_balance(&mut self, address: Address, balance: U256) {
        let account = AccountInfo { balance, ..self.account(address) };
        self.state.insert_account_info(address, account);
    }

    /// The next number of an account's transactions.
    pub fn nonce(&mut self, address: Address) -> u64 {
        self.account(address).nonce
    }

    /// The code of a contract; empty where there is none.
    pub fn code(&mut self, address: Address) -> Bytes {
        let account = self.account(address);
        let code = account.code.or_else(|| self.state.code_by_hash(account.code_hash).ok());
        code.map(|code| code.original_bytes()).unwrap_or_default()
    }

    /// Events.
    #[must_use]
    pub fn logs(&self, filter: &Filter) -> Vec<LoggedAt> {
        let blocks = self.blocks.iter().filter(|block| (filter.from..=filter.to).contains(&block.number));
        blocks.flat_map(|block| filter.of(block)).collect()
    }

    /// Remembers this moment.
    pub fn snapshot(&mut self) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        if self.snapshots.len() == SNAPSHOTS {
            self.snapshots.remove(0);
        }
        self.snapshots.push(Snapshot { id, state: self.state.clone(), length: self.blocks.len() });
        id
    }

    /// Goes back to a moment and forgets it and all after it: blocks since then are gone, as in a reorganisation.
    ///
    /// # Errors
    /// Where it is not remembered.
    pub fn revert(&mut self, id: u64) -> Result<(), UnknownSnapshot> {
        let place = self.snapshots.iter().position(|one| one.id == id).ok_or(UnknownSnapshot(id))?;
        let snapshot = self.snapshots.swap_remove(place);
        self.snapshots.truncate(place);
        self.state = snapshot.state;
        self.blocks.truncate(snapshot.length);
        self.places.retain(|_, (block, _)| *block < snapshot.length);
        self.fork += 1;
        Ok(())
    }
}

/// Why a signed transaction is not in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is none of this chain.
    #[error(transparent)]
    Bad(#[from] BadTransaction),
    /// It cannot be tried now.
    #[error(transparent)]
    Refused(#[from] Refused),
}
