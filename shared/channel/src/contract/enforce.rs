//! States become the enforced one: close, challenge, checkpoint, hot withdrawal, ON tokens, the last state.

use super::{
    AttachToken, Call, Contract, Env, HubWord, Owner, Redemption, RedemptionStatus, Revert, Row, Signed, Status,
};
use crate::id::{Digest, Time};
use crate::limits;
use crate::message::{Grant, Message, State, Token, TokenKind};
use crate::rules::{Rule, Rules};
use crate::sign::{HubSignature, Recover, Signature};
use crate::tree::pending_proves;
use crate::window;

impl<R: Rules> Contract<R> {
    pub(super) fn check_hub(
        &self,
        digest: Digest,
        hub: &HubSignature,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let signer = hub.signer(&self.domain, digest, env.keys).ok_or(Revert::BadSignature)?;
        if self.is_signer(signer, env.now) { Ok(()) } else { Err(Revert::BadSignature) }
    }

    fn check_client(
        &self,
        owner: Owner,
        state: &State,
        signature: &Signature,
        keys: &impl Recover,
    ) -> Result<(), Revert> {
        let signer = keys.recover(state.digest(&self.domain), signature);
        if signer == Some(owner.client) { Ok(()) } else { Err(Revert::BadSignature) }
    }

    /// Rule 2: a state is held against the counters it has itself acknowledged, which the chain must have seen.
    fn check_counters(&self, row: &Row, state: &State) -> Result<(), Revert> {
        let balances = &state.balances;
        let seen =
            balances.client_in <= row.client_in && balances.hub_in <= row.hub_in && balances.on_out <= row.on_out;
        let seen = seen && usize::from(balances.pending_count) <= limits::PENDING;
        let conserves = if self.rules.hold(Rule::R2) {
            balances.conserves()
        } else {
            balances.client.0 + balances.hub.0 + balances.pending.0 == row.locked().0
        };
        if seen && conserves { Ok(()) } else { Err(Revert::BadState) }
    }

    /// Makes a newer state the enforced one. The row is not written.
    fn enforce(&self, owner: Owner, row: &mut Row, signed: &Signed, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        let state = &signed.state;
        self.check_enforceable(owner, row, state, env.now)?;
        self.check_both(owner, signed, env)?;
        self.check_counters(row, state)?;
        row.seq = state.seq;
        row.enforced = state.hash();
        Ok(())
    }

    /// Client and hub have signed it.
    fn check_both(&self, owner: Owner, signed: &Signed, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        let state = &signed.state;
        self.check_client(owner, state, &signed.client, env.keys)?;
        if self.rules.hold(Rule::R1) {
            match &signed.hub {
                HubWord::State(hub) => self.check_hub(state.digest(&self.domain), hub, env)?,
                HubWord::Grant(grant, hub) => {
                    if grant.payer_state != state.hash() {
                        return Err(Revert::BadSignature);
                    }
                    self.check_hub(grant.digest(&self.domain), hub, env)?;
                }
            }
        }
        Ok(())
    }

    /// Enforces a state that is newer, or sees that it is enforced already: then its signatures are not looked at.
    fn enforce_or_know(
        &self,
        owner: Owner,
        row: &mut Row,
        signed: &Signed,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        match row.status {
            Status::None => Err(Revert::NoChannel),
            Status::Open | Status::Closing if row.enforces(&signed.state) => Ok(()),
            Status::Open | Status::Closing => self.enforce(owner, row, signed, env),
        }
    }

    fn check_enforceable(&self, owner: Owner, row: &Row, state: &State, now: Time) -> Result<(), Revert> {
        match row.status {
            Status::None => return Err(Revert::NoChannel),
            Status::Closing if now >= row.closes_at => return Err(Revert::TooLate),
            Status::Open | Status::Closing => {}
        }
        if state.channel != self.channel_id(owner, row.epoch) {
            return Err(Revert::WrongChannel);
        }
        if state.seq <= row.seq { Err(Revert::Stale) } else { Ok(()) }
    }

    pub(super) fn close(
        &mut self,
        owner: Owner,
        signed: Option<&Signed>,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        let hub = env.caller == self.treasury || self.is_signer(env.caller, env.now);
        if env.caller != owner.client && !hub {
            return Err(Revert::NotAllowed);
        }
        if row.status != Status::Open {
            return Err(Revert::NotOpen);
        }
        let counts = |signed: &&Signed| signed.state.seq > row.seq || !self.rules.hold(Rule::StaleClose);
        if let Some(signed) = signed.filter(counts) {
            self.enforce(owner, &mut row, signed, env)?;
        }
        row.status = Status::Closing;
        row.closes_at = env.now.after(self.terms.grace);
        self.rows.insert(owner, row);
        Ok(())
    }

    pub(super) fn argue(&mut self, owner: Owner, signed: &Signed, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        let mut row = self.row(owner);
        self.enforce(owner, &mut row, signed, env)?;
        self.rows.insert(owner, row);
        Ok(())
    }

    /// Rule 8: a redemption falls when a state that has consumed its payee sequence is shown before it is credited.
    pub(super) fn argue_redemption(
        &mut self,
        owner: Owner,
        signed: &Signed,
        tokens: &[Token],
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        if signed.state.seq > row.seq {
            self.enforce(owner, &mut row, signed, env)?;
        } else if !row.enforces(&signed.state) {
            // An older one shows as well what both have signed: consumed sequences stay consumed. Else whoever redeems would save the
            // redemption by enforcing the next state first.
            if signed.state.channel != self.channel_id(owner, row.epoch) {
                return Err(Revert::WrongChannel);
            }
            if !self.rules.hold(Rule::Defence) {
                return Err(Revert::Stale);
            }
            self.check_both(owner, signed, env)?;
        }
        for token in tokens {
            if token.payee != self.channel_id(owner, row.epoch).0 {
                return Err(Revert::WrongChannel);
            }
        }
        let over = |token: &Token| {
            let redemption = self.redemptions.get(&token.id());
            redemption.is_none_or(|found| found.status != RedemptionStatus::Pending || env.now >= found.credit_at)
        };
        if !self.rules.hold(Rule::Defence) && tokens.iter().any(over) {
            return Err(Revert::NotPending);
        }
        for token in tokens {
            let Some(redemption) = self.redemptions.get_mut(&token.id()) else { continue };
            let pending = redemption.status == RedemptionStatus::Pending && env.now < redemption.credit_at;
            // What is over already is passed over: else defeating one of them first would save all the others.
            if pending && window::holds(&signed.state.balances, redemption.payee_seq) {
                redemption.status = RedemptionStatus::Void;
                row.redeeming -= 1;
            }
        }
        self.rows.insert(owner, row);
        Ok(())
    }

    /// A hot withdrawal: the cumulative difference between what the state books out and what has left. Where a redemption
    /// was credited to the hub's `hub_out` meanwhile, that much of a booked withdrawal waits for the next state.
    pub(super) fn attach_state(
        &mut self,
        owner: Owner,
        signed: &Signed,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        let state = &signed.state;
        self.enforce_or_know(owner, &mut row, signed, env)?;
        let to_client = state.balances.client_out.beyond(row.client_out);
        let to_hub = state.balances.hub_out.beyond(row.hub_out);
        let both = to_client.plus(to_hub).ok_or(Revert::Insufficient)?;
        if row.locked() < both {
            return Err(Revert::Insufficient);
        }
        row.client_out = row.client_out.plus(to_client).ok_or(Revert::Insufficient)?;
        row.hub_out = row.hub_out.plus(to_hub).ok_or(Revert::Insufficient)?;
        self.rows.insert(owner, row);
        self.pay(owner.client, owner.asset, to_client);
        self.pay(self.treasury, owner.asset, to_hub);
        Ok(())
    }

    /// Pays an ON token (rule 11). It must be pending in the state that the contract enforces afterwards, so a newer state that
    /// has settled or refunded it shuts the door.
    pub(super) fn attach_token(&mut self, attach: &AttachToken, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        let AttachToken { owner, token, grant, hub, state, client, index, proof } = attach;
        let mut row = self.row(*owner);
        if row.status == Status::None {
            return Err(Revert::NoChannel);
        }
        if token.kind != TokenKind::On {
            return Err(Revert::WrongKind);
        }
        let payee = token.payee_address().ok_or(Revert::WrongKind)?;
        if token.payer_channel != self.channel_id(*owner, row.epoch) {
            return Err(Revert::WrongChannel);
        }
        if env.now >= token.redeem_by {
            return Err(Revert::TooLate);
        }
        let id = token.id();
        if self.redemptions.contains_key(&id) {
            return Err(Revert::AlreadyDone);
        }
        // A grant is not shown, but hashed with the token that is: the word of another one is no word.
        let grant = Grant { token: id, ..*grant };
        if row.enforces(state) {
            self.check_hub(grant.digest(&self.domain), hub, env)?;
        } else {
            let hub = HubWord::Grant(grant, hub.clone());
            let signed = Signed { state: state.clone(), client: *client, hub };
            self.enforce(*owner, &mut row, &signed, env)?;
        }
        let count = usize::from(state.balances.pending_count);
        if !pending_proves(state.balances.pending_root, id, *index, count, proof) {
            return Err(Revert::BadProof);
        }
        if row.locked() < token.value {
            return Err(Revert::Insufficient);
        }
        row.on_out = row.on_out.plus(token.value).ok_or(Revert::Insufficient)?;
        self.rows.insert(*owner, row);
        let done = Redemption {
            amount: token.value,
            credit_at: env.now,
            payee_seq: grant.payee_seq,
            payee: token.payee,
            status: RedemptionStatus::Executed,
        };
        self.redemptions.insert(id, done);
        self.pay(payee, owner.asset, token.value);
        Ok(())
    }

    /// Rule 4: with both signatures a last state pays at once, also while somebody closes the channel.
    pub(super) fn close_last(
        &mut self,
        owner: Owner,
        signed: &Signed,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        let state = &signed.state;
        if row.status == Status::None {
            return Err(Revert::NoChannel);
        }
        if !state.last || state.balances.pending_count != 0 || !state.balances.pending.is_zero() {
            return Err(Revert::NotLast);
        }
        if row.redeeming > 0 {
            return Err(Revert::RedemptionsPending);
        }
        if !row.enforces(state) {
            row.status = Status::Open;
            self.enforce(owner, &mut row, signed, env)?;
        }
        self.end(owner, row, Some(&state.balances), &[])
    }

    /// Rule 3 switched off.
    pub(super) fn hub_draw(
        &mut self,
        owner: Owner,
        amount: crate::id::Amount,
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        if self.rules.hold(Rule::R3) || !self.is_signer(env.caller, env.now) {
            return Err(Revert::NotAllowed);
        }
        if row.status != Status::Open || row.hub_in.beyond(row.hub_out) < amount {
            return Err(Revert::Insufficient);
        }
        row.hub_out = row.hub_out.plus(amount).ok_or(Revert::Insufficient)?;
        self.rows.insert(owner, row);
        self.pay(self.treasury, owner.asset, amount);
        Ok(())
    }
}

impl Call {
    /// The name of the function in the Solidity.
    #[must_use]
    pub const fn function(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Deposit { .. } => "detachToken",
            Self::AttachState { .. } => "attachToken(state)",
            Self::AttachToken(_) => "attachToken(token)",
            Self::Transfer { .. } => "transfer",
            Self::Close { .. } => "close",
            Self::CloseLast { .. } => "closeLast",
            Self::Argue { .. } => "argueClosure",
            Self::Redeem(_) => "redeemToken",
            Self::Credit { .. } => "credit",
            Self::ArgueRedemption { .. } => "argueRedemptionToken",
            Self::Resolve { .. } => "resolve",
            Self::Finalise(_) => "finalise",
            Self::Withdraw { .. } => "withdraw",
            Self::HubDeposit { .. } => "hubDeposit",
            Self::AnnounceSigner { .. } => "announceSigner",
            Self::RevokeSigner { .. } => "revokeSigner",
            Self::HubDraw { .. } => "hubDraw",
        }
    }
}
