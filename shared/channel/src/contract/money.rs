//! Opening, deposits, on-chain balances, and the hub's signers.

use alloy_primitives::Address;

use super::{Contract, Env, Owner, Revert, Row, Status};
use crate::id::{Amount, Time};
use crate::limits;
use crate::message::{ChannelOffer, Message};
use crate::rules::{Rule, Rules};
use crate::sign::{HubSignature, Recover};
use crate::transition::Side;

impl<R: Rules> Contract<R> {
    pub(super) fn pay(&mut self, party: Address, asset: Address, amount: Amount) {
        if !amount.is_zero() {
            let balance = self.balances.entry((party, asset)).or_default();
            *balance = balance.plus(amount).expect("an asset has fewer than 2^128 units");
        }
    }

    fn charge_balance(&mut self, party: Address, asset: Address, amount: Amount) -> Result<(), Revert> {
        let left = self.balance(party, asset).minus(amount).ok_or(Revert::Insufficient)?;
        if left.is_zero() {
            self.balances.remove(&(party, asset));
        } else {
            self.balances.insert((party, asset), left);
        }
        Ok(())
    }

    pub(super) fn subscribe(
        &mut self,
        offer: &ChannelOffer,
        hub: &HubSignature,
        deposit: Amount,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let owner = Owner { client: offer.client, asset: offer.asset };
        let row = self.row(owner);
        if env.caller != offer.client {
            return Err(Revert::NotAllowed);
        }
        if row.status != Status::None {
            return Err(Revert::NotOpen);
        }
        // The last epoch is never opened, so that every channel can end into a next one.
        if offer.epoch != row.epoch || offer.epoch >= limits::EPOCHS {
            return Err(Revert::WrongEpoch);
        }
        if env.now >= offer.valid_until {
            return Err(Revert::TooLate);
        }
        self.check_hub(offer.digest(&self.domain), hub, env)?;
        self.charge_balance(self.treasury, offer.asset, offer.hub_amount)?;
        self.pay(self.treasury, offer.asset, offer.opening_fee);
        let (client_in, hub_in) = (deposit, offer.hub_amount);
        client_in.plus(hub_in).ok_or(Revert::BadAmount)?;
        self.rows.insert(owner, Row { status: Status::Open, epoch: row.epoch, client_in, hub_in, ..Row::default() });
        Ok(())
    }

    pub(super) fn deposit(
        &mut self,
        owner: Owner,
        side: Side,
        amount: Amount,
        from_balance: bool,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        // Money is taken before anything is looked at: an ERC-20 contract may call back meanwhile.
        if from_balance && self.balance(env.caller, owner.asset) < amount {
            return Err(Revert::Insufficient);
        }
        if row.status != Status::Open {
            return Err(Revert::NotOpen);
        }
        if amount.is_zero() {
            return Err(Revert::BadAmount);
        }
        let counter = match side {
            Side::Client => &mut row.client_in,
            Side::Hub => &mut row.hub_in,
        };
        *counter = counter.plus(amount).ok_or(Revert::BadAmount)?;
        // What a channel holds fits one balance, so that its end never reverts.
        row.client_in.plus(row.hub_in).ok_or(Revert::BadAmount)?;
        if from_balance {
            self.charge_balance(env.caller, owner.asset, amount)?;
        }
        self.rows.insert(owner, row);
        Ok(())
    }

    pub(super) fn transfer(
        &mut self,
        to: Address,
        asset: Address,
        amount: Amount,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        if to.is_zero() {
            return Err(Revert::NotAllowed);
        }
        self.charge_balance(env.caller, asset, amount)?;
        self.pay(to, asset, amount);
        Ok(())
    }

    pub(super) fn withdraw(
        &mut self,
        asset: Address,
        amount: Amount,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        self.charge_balance(env.caller, asset, amount)
    }

    pub(super) fn hub_deposit(&mut self, asset: Address, amount: Amount) -> Result<(), Revert> {
        self.pay(self.treasury, asset, amount);
        Ok(())
    }

    pub(super) fn announce_signer(&mut self, signer: Address, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        if env.caller != self.treasury {
            return Err(Revert::NotAllowed);
        }
        // A revoked key stays revoked: signing it in again would revive everything it ever signed.
        if signer == Address::ZERO || self.signers.contains_key(&signer) {
            return Err(Revert::SignerKnown);
        }
        self.signers.insert(signer, None);
        Ok(())
    }

    pub(super) fn revoke_signer(&mut self, signer: Address, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        if env.caller != self.treasury {
            return Err(Revert::NotAllowed);
        }
        if self.signers.get(&signer) != Some(&None) {
            return Err(Revert::SignerKnown);
        }
        let delay = if self.rules.hold(Rule::R12) { self.terms.revocation_delay() } else { 0 };
        let until: Time = env.now.after(delay);
        self.signers.insert(signer, Some(until));
        Ok(())
    }
}
