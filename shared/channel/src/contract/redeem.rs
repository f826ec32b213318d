//! Redemption: the payee gets a granted token from the hub's share of its own channel (rule 8).

use std::collections::BTreeMap;

use alloy_primitives::B256;
use sha2::{Digest as _, Sha256};

use super::{Contract, Env, Owner, Redeem, Redemption, RedemptionStatus, Revert, Row, Status};
use crate::id::{Amount, TokenId};
use crate::message::{Message, Token, TokenKind, Voucher};
use crate::rules::{Rule, Rules};
use crate::sign::{Recover, Signature};

/// A condition is met by nothing where there is none, else by its SHA-256 preimage.
pub(super) fn check_preimage(condition: B256, preimage: B256) -> Result<(), Revert> {
    if condition.is_zero() || Sha256::digest(preimage).as_slice() == condition.as_slice() {
        Ok(())
    } else {
        Err(Revert::BadPreimage)
    }
}

impl<R: Rules> Contract<R> {
    /// The amount of a voucher, if it is one of this token.
    pub(super) fn vouched(
        &self,
        id: TokenId,
        token: &Token,
        voucher: &Voucher,
        signature: &Signature,
        keys: &impl Recover,
    ) -> Result<Amount, Revert> {
        if voucher.cumulative > token.value || voucher.cumulative.is_zero() {
            return Err(Revert::BadAmount);
        }
        let signer = keys.recover(voucher.digest(&self.domain), signature);
        if voucher.token == id && signer == Some(token.voucher_key) {
            Ok(voucher.cumulative)
        } else {
            Err(Revert::BadSignature)
        }
    }

    fn check_caller(&self, redeem: &Redeem, id: TokenId, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        if env.caller == redeem.owner.client || !self.rules.hold(Rule::R8) {
            return Ok(());
        }
        let Some((auth, signature)) = &redeem.auth else { return Err(Revert::NotAllowed) };
        if env.now >= auth.until {
            return Err(Revert::TooLate);
        }
        let signer = env.keys.recover(auth.digest(&self.domain), signature);
        let ours = auth.token == id && auth.submitter == env.caller;
        if ours && signer == Some(redeem.owner.client) { Ok(()) } else { Err(Revert::BadSignature) }
    }

    fn redeemable(&self, redeem: &Redeem, id: TokenId, keys: &impl Recover) -> Result<Amount, Revert> {
        let token = &redeem.token;
        match (token.kind, &redeem.voucher) {
            (TokenKind::Off, None) => {
                if token.value.is_zero() {
                    return Err(Revert::BadAmount);
                }
                check_preimage(token.condition, redeem.preimage)?;
                Ok(token.value)
            }
            (TokenKind::Metered, Some((voucher, signature))) => {
                let amount = self.vouched(id, token, voucher, signature, keys)?;
                check_preimage(voucher.condition, redeem.preimage)?;
                Ok(amount)
            }
            (TokenKind::Off | TokenKind::On | TokenKind::Metered, _) => Err(Revert::WrongKind),
        }
    }

    pub(super) fn redeem(&mut self, redeem: &Redeem, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        let Redeem { owner, token, grant, hub, .. } = redeem;
        let id = token.id();
        let mut row = self.row(*owner);
        self.check_caller(redeem, id, env)?;
        if row.status == Status::None {
            return Err(Revert::NoChannel);
        }
        if token.payee != self.channel_id(*owner, row.epoch).0 {
            return Err(Revert::WrongChannel);
        }
        if env.now >= token.redeem_by {
            return Err(Revert::TooLate);
        }
        if grant.token != id {
            return Err(Revert::BadSignature);
        }
        self.check_hub(grant.digest(&self.domain), hub, env)?;
        let amount = self.redeemable(redeem, id, env.keys)?;
        match self.redemptions.get(&id) {
            None => row.redeeming += 1,
            // A redemption whose time has come is credited, written down or not: raising it would take that back.
            Some(before)
                if before.status == RedemptionStatus::Pending
                    && !(before.is_credited(env.now) && self.rules.hold(Rule::LateRaise)) =>
            {
                if amount <= before.amount {
                    return Err(Revert::NotMore);
                }
            }
            Some(_) => return Err(Revert::AlreadyDone),
        }
        let credit_at = env.now.after(self.terms.grace);
        let (payee, payee_seq, status) = (token.payee, grant.payee_seq, RedemptionStatus::Pending);
        self.redemptions.insert(id, Redemption { payee, amount, credit_at, payee_seq, status });
        self.rows.insert(*owner, row);
        Ok(())
    }

    pub(super) fn credit(
        &mut self,
        owner: Owner,
        tokens: &[TokenId],
        env: &Env<'_, impl Recover>,
    ) -> Result<(), Revert> {
        let mut row = self.row(owner);
        if row.status == Status::None {
            return Err(Revert::NoChannel);
        }
        let channel = self.channel_id(owner, row.epoch);
        let mut credited = BTreeMap::new();
        for id in tokens {
            let found = self.redemptions.get(id).filter(|redemption| redemption.payee == channel.0);
            // Named twice: by then it is not pending any more.
            let found = found.filter(|_| !credited.contains_key(id));
            let mut redemption = match found {
                Some(found) if found.status == RedemptionStatus::Pending => *found,
                Some(_) | None => return Err(Revert::NotPending),
            };
            if env.now < redemption.credit_at {
                return Err(Revert::TooEarly);
            }
            redemption.status = RedemptionStatus::Credited;
            charge(&mut row, redemption.amount)?;
            row.redeeming -= 1;
            credited.insert(*id, redemption);
        }
        self.redemptions.extend(credited);
        self.rows.insert(owner, row);
        Ok(())
    }
}

/// Moves a credited redemption from the hub's side to the client's. Inside the channel: what is locked stays the same.
fn charge(row: &mut Row, amount: Amount) -> Result<(), Revert> {
    row.client_in = row.client_in.plus(amount).ok_or(Revert::Insufficient)?;
    row.hub_out = row.hub_out.plus(amount).ok_or(Revert::Insufficient)?;
    Ok(())
}
