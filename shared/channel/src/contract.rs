//! The contract as a value: what `hub/contract/` does, call by call, in the same order of checks and with the same errors.
//!
//! The checker explores it beside the machines, the machines ask it what a close would pay, and a differential test
//! holds the Solidity against it.

mod call;
mod enforce;
mod error;
mod money;
mod payout;
mod redeem;
mod resolve;
mod row;

pub use call::{AttachToken, Call, Evidence, Finalise, HubWord, Redeem, Signed};
pub use error::Revert;
pub use payout::{Outcome, outcome, payout};
pub use row::{Redemption, RedemptionStatus, Row, Status};

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::eip712::Domain;
use crate::id::{Amount, ChannelId, ChannelKey, Time, TokenId};
use crate::rules::{Every, Rules};
use crate::sign::Recover;
use crate::terms::Terms;

/// Who opened a channel, and in which asset: the key of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The client.
    pub client: Address,
    /// The asset; zero for the native one.
    pub asset: Address,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract<R: Rules = Every> {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Its own address.
    pub address: Address,
    /// The domain of everything signed for it.
    pub domain: Domain,
    /// Grace period and revocation delay come from here; the rest binds the hub, not the contract.
    pub terms: Terms,
    /// The cold key: the hub's on-chain balance is its balance.
    pub treasury: Address,
    /// Channels.
    pub rows: BTreeMap<Owner, Row>,
    /// Redemptions and executed ON tokens.
    pub redemptions: BTreeMap<TokenId, Redemption>,
    /// The largest amount claimed so far of a token on its payer's channel.
    pub claims: BTreeMap<(ChannelId, TokenId), Amount>,
    /// On-chain balances: party and asset.
    pub balances: BTreeMap<(Address, Address), Amount>,
    /// The hub's signers; the time is when a revocation takes effect.
    pub signers: BTreeMap<Address, Option<Time>>,
    /// Parties whose address refuses money. Nobody pays them directly, so it never matters (rule 13).
    pub refusing: BTreeSet<Address>,
    /// The rules that hold.
    pub rules: R,
}

/// The block a call is in, and who sent it.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a, K> {
    /// Block time.
    pub now: Time,
    /// `msg.sender`.
    pub caller: Address,
    /// Recovers signers.
    pub keys: &'a K,
}

impl<R: Rules> Contract<R> {
    /// A deployment with one signer and nothing in it.
    #[must_use]
    pub fn new(chain_id: u64, address: Address, terms: Terms, treasury: Address, signer: Address, rules: R) -> Self {
        Self {
            chain_id,
            address,
            domain: Domain::new(chain_id, address),
            terms,
            treasury,
            rows: BTreeMap::new(),
            redemptions: BTreeMap::new(),
            claims: BTreeMap::new(),
            balances: BTreeMap::new(),
            signers: BTreeMap::from([(signer, None)]),
            refusing: BTreeSet::new(),
            rules,
        }
    }

    /// The id of an owner's channel in an epoch.
    #[must_use]
    pub fn channel_id(&self, owner: Owner, epoch: u32) -> ChannelId {
        let Owner { client, asset } = owner;
        ChannelKey { chain_id: self.chain_id, contract: self.address, client, asset, epoch }.id()
    }

    /// The row of an owner; all zero if it never had a channel.
    #[must_use]
    pub fn row(&self, owner: Owner) -> Row {
        self.rows.get(&owner).copied().unwrap_or_default()
    }

    /// An on-chain balance.
    #[must_use]
    pub fn balance(&self, party: Address, asset: Address) -> Amount {
        self.balances.get(&(party, asset)).copied().unwrap_or_default()
    }

    /// Whether a signer's word counts at a time.
    #[must_use]
    pub fn is_signer(&self, signer: Address, now: Time) -> bool {
        match self.signers.get(&signer) {
            None => false,
            Some(None) => true,
            Some(Some(until)) => now < *until,
        }
    }

    /// Everything the contract holds of an asset: what is locked in channels and what is on balances.
    #[must_use]
    pub fn holdings(&self, asset: Address) -> u128 {
        let locked = self.rows.iter().filter(|(owner, _)| owner.asset == asset).map(|(_, row)| row.locked().0);
        let balances = self.balances.iter().filter(|((_, of), _)| *of == asset).map(|(_, amount)| amount.0);
        locked.chain(balances).sum()
    }

    /// Carries out a call, or leaves everything as it was.
    ///
    /// # Errors
    /// The custom error that the Solidity reverts with.
    pub fn call(&mut self, call: &Call, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        match call {
            Call::Subscribe { offer, hub, deposit } => self.subscribe(offer, hub, *deposit, env),
            Call::Deposit { owner, side, amount, from_balance } => {
                self.deposit(*owner, *side, *amount, *from_balance, env)
            }
            Call::AttachState { owner, signed } => self.attach_state(*owner, signed, env),
            Call::AttachToken(attach) => self.attach_token(attach, env),
            Call::Transfer { to, asset, amount } => self.transfer(*to, *asset, *amount, env),
            Call::Close { owner, signed } => self.close(*owner, signed.as_ref(), env),
            Call::CloseLast { owner, signed } => self.close_last(*owner, signed, env),
            Call::Argue { owner, signed } => self.argue(*owner, signed, env),
            Call::Redeem(redeem) => self.redeem(redeem, env),
            Call::ArgueRedemption { owner, signed, tokens } => self.argue_redemption(*owner, signed, tokens, env),
            Call::Credit { owner, tokens } => self.credit(*owner, tokens, env),
            Call::Resolve { owner, token, evidence } => self.resolve(*owner, token, evidence, env),
            Call::Finalise(finalise) => self.finalise(finalise, env),
            Call::Withdraw { asset, amount } => self.withdraw(*asset, *amount, env),
            Call::HubDeposit { asset, amount } => self.hub_deposit(*asset, *amount),
            Call::AnnounceSigner { signer } => self.announce_signer(*signer, env),
            Call::RevokeSigner { signer } => self.revoke_signer(*signer, env),
            Call::HubDraw { owner, amount } => self.hub_draw(*owner, *amount, env),
        }
    }
}
