//! Sends calls: numbers them, prices them, and raises the price of what is not mined in time.

mod approve;

pub use approve::taken;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use serde::{Deserialize, Serialize};
use tarefa_channel::contract::Call;
use tarefa_channel::sign::Signer as _;

use crate::call::transaction;
use crate::keys::Key;
use crate::revert::Failure;
use crate::rpc::{Fees, Rpc, RpcFault};

/// Gas beyond the estimate, in percent: what another transaction before this one can add (a slot that was empty when it was
/// estimated).
const SPARE_GAS: u64 = 25;

/// How much more a replacement offers, in percent: nodes ask for at least ten.
const RAISE: u128 = 15;

/// Gas of a call that cannot be estimated, because it follows one that is not mined yet: twice the dearest call there is, a finalise with
/// 32 pending tokens.
pub const GAS_BEHIND: u64 = 1_000_000;

/// A transaction that was sent, or may have been: where the node did not answer, it is treated as sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Whose it is; zero where an older program has stored it.
    #[serde(default)]
    pub from: Address,
    /// Its number among the sender's.
    pub nonce: u64,
    /// Every hash it has had: one of them will be mined.
    pub hashes: Vec<B256>,
    /// The unsigned transaction as it was last sent.
    transaction: TxEip1559,
    raw: Bytes,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// In no block yet.
    Waiting,
    /// In this block, and it went through.
    Mined {
        /// The block's number.
        block: u64,
        /// Gas it used.
        gas: u64,
        /// What each unit of it cost, wei.
        price: u128,
        /// The contract it made.
        created: Option<Address>,
    },
    /// In this block, and it reverted.
    Reverted {
        /// The block's number.
        block: u64,
    },
    /// Another transaction of this key has its number: two programs use the key.
    Displaced,
}

/// Why a call was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendFault {
    /// The node, or the call would revert.
    #[error(transparent)]
    Rpc(#[from] RpcFault),
    /// No transaction of the contract.
    #[error("the contract has no such call")]
    NoCall,
    /// The account has less of an ERC-20 asset than the call takes.
    #[error("{holder} has {has} of the asset {asset}, and the call takes {needed}: send it more first")]
    Poor {
        /// Whose account.
        holder: Address,
        /// The asset.
        asset: Address,
        /// What it has, base units.
        has: U256,
        /// What the call takes, base units.
        needed: U256,
    },
    /// It offers as much as it may.
    #[error(
        "transaction {nonce} is not mined at {price} wei a gas, which is the ceiling: raise that, or it may be late"
    )]
    Stuck {
        /// Its number.
        nonce: u64,
        /// What it offers.
        price: u128,
    },
}

/// Sends the transactions of one key. Two at a time would use one number twice: one key has one sender.
#[derive(Debug)]
pub struct Sender {
    rpc: Rpc,
    key: Key,
    next: u64,
    /// The most it pays for each gas, wei.
    ceiling: u128,
}

impl Sender {
    /// The sender of a key, after what the chain has of it. `ceiling`: the most it pays for each gas, wei, whatever the node suggests.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn new(rpc: Rpc, key: Key, ceiling: u128) -> Result<Self, RpcFault> {
        let next = rpc.nonce(key.address(), false).await?;
        Ok(Self { rpc, key, next, ceiling })
    }

    fn capped(&self, fees: Fees) -> Fees {
        let most = fees.most.min(self.ceiling);
        Fees { most, tip: fees.tip.min(most) }
    }

    /// Goes on after a transaction of an earlier run, which the node may have forgotten.
    pub fn after(&mut self, sent: &Sent) {
        self.next = self.next.max(sent.nonce + 1);
    }

    /// Asks the chain again which number comes next.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn refresh(&mut self) -> Result<(), RpcFault> {
        self.next = self.rpc.nonce(self.address(), false).await?;
        Ok(())
    }

    /// Who sends.
    #[must_use]
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Sends a call to a contract. Where the node does not answer, it counts as sent: see [`Sender::fate`] and [`Sender::again`].
    ///
    /// # Errors
    /// Where it would revert, or the node refuses it: then it was not sent.
    pub async fn call(&mut self, contract: Address, call: &Call) -> Result<Sent, SendFault> {
        let sent = self.prepare(contract, call).await?;
        self.submit(sent).await
    }

    /// Signs a call without sending it, so that it can be stored first: see [`Sender::submit`].
    ///
    /// # Errors
    /// Where it would revert, or the node does not answer.
    pub async fn prepare(&self, contract: Address, call: &Call) -> Result<Sent, SendFault> {
        let made = transaction(call).ok_or(SendFault::NoCall)?;
        let (to, value, input) = (TxKind::Call(contract), made.value, made.input);
        let gas = self.rpc.estimate(self.address(), to, value, input.clone()).await?;
        self.priced(to, value, input, gas.saturating_add(gas / 100 * SPARE_GAS)).await
    }

    /// Signs a call behind others of this key that are not mined yet, without asking whether it would go through now: a claim goes with
    /// the close that it needs.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn prepare_behind(&self, contract: Address, call: &Call) -> Result<Sent, SendFault> {
        let made = transaction(call).ok_or(SendFault::NoCall)?;
        self.priced(TxKind::Call(contract), made.value, made.input, GAS_BEHIND).await
    }

    /// Sends a call behind others of this key that are not mined yet, as [`Sender::prepare_behind`] signs it.
    ///
    /// # Errors
    /// As [`Sender::call`].
    pub async fn call_behind(&mut self, contract: Address, call: &Call) -> Result<Sent, SendFault> {
        let sent = self.prepare_behind(contract, call).await?;
        self.submit(sent).await
    }

    /// Sends native money to an account.
    ///
    /// # Errors
    /// As [`Sender::call`].
    pub async fn pay(&mut self, to: Address, value: U256) -> Result<Sent, SendFault> {
        let gas = self.rpc.estimate(self.address(), TxKind::Call(to), value, Bytes::new()).await?;
        let sent =
            self.priced(TxKind::Call(to), value, Bytes::new(), gas.saturating_add(gas / 100 * SPARE_GAS)).await?;
        self.submit(sent).await
    }

    /// Sends the code that makes a contract.
    ///
    /// # Errors
    /// As [`Sender::call`].
    pub async fn deploy(&mut self, code: Bytes) -> Result<Sent, SendFault> {
        let gas = self.rpc.estimate(self.address(), TxKind::Create, U256::ZERO, code.clone()).await?;
        let sent = self.priced(TxKind::Create, U256::ZERO, code, gas.saturating_add(gas / 100 * SPARE_GAS)).await?;
        self.submit(sent).await
    }

    /// The number that the newest block leaves to be used next.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn mined(&self) -> Result<u64, RpcFault> {
        self.rpc.nonce(self.address(), true).await
    }

    /// Sends a transaction that does nothing, under a number that no other one has.
    ///
    /// # Errors
    /// Where the node refuses it.
    pub async fn fill(&self, nonce: u64) -> Result<Sent, SendFault> {
        let to = TxKind::Call(self.address());
        let gas = self.rpc.estimate(self.address(), to, U256::ZERO, Bytes::new()).await?;
        let gas = gas.saturating_add(gas / 100 * SPARE_GAS);
        let sent = self.numbered(nonce, to, U256::ZERO, Bytes::new(), gas).await?;
        match self.rpc.send(&sent.raw).await {
            Err(fault) if !matches!(fault, RpcFault::Silent(_)) && !is_known(&fault) => Err(fault.into()),
            Ok(_) | Err(_) => Ok(sent),
        }
    }

    async fn priced(&self, to: TxKind, value: U256, input: Bytes, gas_limit: u64) -> Result<Sent, SendFault> {
        self.numbered(self.next, to, value, input, gas_limit).await
    }

    async fn numbered(
        &self,
        nonce: u64,
        to: TxKind,
        value: U256,
        input: Bytes,
        gas_limit: u64,
    ) -> Result<Sent, SendFault> {
        let Fees { most, tip } = self.capped(self.rpc.fees().await?);
        let transaction = TxEip1559 {
            chain_id: self.rpc.chain_id(),
            nonce,
            gas_limit,
            max_fee_per_gas: most,
            max_priority_fee_per_gas: tip,
            to,
            value,
            input,
            ..TxEip1559::default()
        };
        let (hash, raw) = self.signed(&transaction);
        Ok(Sent { from: self.address(), nonce: transaction.nonce, hashes: vec![hash], transaction, raw })
    }

    /// Sends what was prepared. Until then the next one prepared has the same number.
    ///
    /// # Errors
    /// Where the node refuses it and does not have it: then it was not sent.
    pub async fn submit(&mut self, sent: Sent) -> Result<Sent, SendFault> {
        if let Err(fault) = self.rpc.send(&sent.raw).await
            && !self.may_have(&fault, &sent).await
        {
            return Err(fault.into());
        }
        self.next = self.next.max(sent.nonce + 1);
        Ok(sent)
    }

    /// Whether the node may have a transaction all the same: it did not answer, or what stands before it said no after handing it on. Another one
    /// instead of it could pay twice, unless that has the same number.
    async fn may_have(&mut self, fault: &RpcFault, sent: &Sent) -> bool {
        if matches!(fault, RpcFault::Silent(_)) || is_known(fault) {
            return true;
        }
        for hash in &sent.hashes {
            if !matches!(self.rpc.knows(*hash).await, Ok(false)) {
                return true;
            }
        }
        // Not what waits counts: a number that may be this one's is not skipped.
        let Ok(mined) = self.rpc.nonce(self.address(), true).await else { return false };
        let taken = mined > sent.nonce;
        self.next = self.next.max(mined);
        // Perhaps another program uses the key; or this one is in a block that the node did not see just now.
        taken && !says(fault, &["nonce"])
    }

    fn signed(&self, transaction: &TxEip1559) -> (B256, Bytes) {
        let (bytes, odd) = self.key.sign_hash(transaction.signature_hash());
        let signature = Signature::from_bytes_and_parity(&bytes, odd);
        let envelope = TxEnvelope::from(transaction.clone().into_signed(signature));
        (*envelope.tx_hash(), envelope.encoded_2718().into())
    }

    /// What has become of a transaction.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn fate(&self, sent: &Sent) -> Result<Fate, RpcFault> {
        if let Some(fate) = self.in_a_block(sent).await? {
            return Ok(fate);
        }
        if self.rpc.nonce(self.address(), true).await? <= sent.nonce {
            return Ok(Fate::Waiting);
        }
        // It may have been mined between the two questions.
        Ok(self.in_a_block(sent).await?.unwrap_or(Fate::Displaced))
    }

    async fn in_a_block(&self, sent: &Sent) -> Result<Option<Fate>, RpcFault> {
        for hash in &sent.hashes {
            let Some(receipt) = self.rpc.receipt(*hash).await? else { continue };
            let block = receipt.block_number.unwrap_or_default();
            if !receipt.status() {
                return Ok(Some(Fate::Reverted { block }));
            }
            let (gas, price, created) = (receipt.gas_used, receipt.effective_gas_price, receipt.contract_address);
            return Ok(Some(Fate::Mined { block, gas, price, created }));
        }
        Ok(None)
    }

    /// Sends a transaction again: the same bytes, as after a reorganisation that has dropped it.
    ///
    /// # Errors
    /// Where the node does not take it; that it knows it already is none.
    pub async fn again(&self, sent: &Sent) -> Result<(), RpcFault> {
        match self.rpc.send(&sent.raw).await {
            Err(fault) if !is_known(&fault) => Err(fault),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Replaces a transaction that waits too long by one that pays more.
    ///
    /// # Errors
    /// Where it offers the ceiling already, or the node does not take it.
    pub async fn raise(&self, sent: &mut Sent) -> Result<(), SendFault> {
        let price = sent.transaction.max_fee_per_gas;
        if price >= self.ceiling {
            return Err(SendFault::Stuck { nonce: sent.nonce, price });
        }
        let raised = |fee: u128| fee.saturating_add(fee.saturating_mul(RAISE).div_ceil(100));
        let now = self.rpc.fees().await?;
        let (mut most, tip) = (raised(price), raised(sent.transaction.max_priority_fee_per_gas));
        if raised(most) > self.ceiling {
            // A step that is cut short at the ceiling would offer too little more, and be refused.
            most = self.ceiling;
        }
        let Fees { most, tip } = self.capped(Fees { most: most.max(now.most), tip: tip.max(now.tip) });
        let mut transaction = sent.transaction.clone();
        (transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas) = (most, tip);
        let (hash, raw) = self.signed(&transaction);
        match self.rpc.send(&raw).await {
            Err(fault) if !matches!(fault, RpcFault::Silent(_)) && !is_known(&fault) => Err(fault.into()),
            // Without an answer it may be the one that is mined, so its hash is kept.
            Ok(_) | Err(_) => {
                sent.hashes.push(hash);
                (sent.transaction, sent.raw) = (transaction, raw);
                Ok(())
            }
        }
    }
}

fn says(fault: &RpcFault, parts: &[&str]) -> bool {
    let RpcFault::Refused(words) = fault else { return false };
    let words = words.to_lowercase();
    parts.iter().any(|part| words.contains(part))
}

/// Whether a node refuses a transaction because it has it: the words are each program's own.
fn is_known(fault: &RpcFault) -> bool {
    says(fault, &["already known", "alreadyknown", "already imported"])
}

impl SendFault {
    /// The contract's own words, where it was the contract that refused.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Rpc(RpcFault::Reverts(failure)) => Some(failure),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_known_in_each_programs_words() {
        let refused = |words: &str| RpcFault::Refused(words.to_owned());
        for words in ["already known", "AlreadyKnown", "transaction already imported"] {
            assert!(is_known(&refused(words)), "{words}");
        }
        for words in ["unknown transaction type", "nonce too low", "insufficient funds for gas * price + value"] {
            assert!(!is_known(&refused(words)), "{words}");
        }
        assert!(!is_known(&RpcFault::Silent("already known".to_owned())));
    }
}
