//! The payee's side: tokens offered, vouchers received.

use sha2::{Digest as _, Sha256};

use super::{Client, ClientError, Earning};
use crate::B256;
use crate::chain::{Chain, Ctx};
use crate::id::TokenId;
use crate::limits;
use crate::message::{Grant, Message, Token, TokenKind, Voucher};
use crate::rules::{Rule, Rules};
use crate::sign::{HubSignature, Recover, Signature};
use crate::window;

impl Client {
    /// A token has arrived with the hub's grant of it. Once this has returned, the client counts on it (an OFF token is a
    /// payment), so it checks everything that a dispute would depend on (rule 6).
    ///
    /// Neither here nor to [`Client::unwanted`] may come a token that this client has attached before: the hub may grant one again, and
    /// whoever declines what it has attached has signed both. Its invoice says so; this client would have to keep every token.
    ///
    /// # Errors
    /// Why it does not count. The payer keeps its money.
    pub fn offered<C: Chain, K: Recover, R: Rules>(
        &mut self,
        token: &Token,
        grant: &Grant,
        hub: &HubSignature,
        preimage: Option<B256>,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let id = token.id();
        if self.earning.contains_key(&id) {
            return Ok(());
        }
        self.check_grant(token, grant, hub, ctx)?;
        // What was redeemed is worth nothing a second time, under whatever grant.
        if ctx.chain.redemption(id).is_some() || self.done.contains(token) {
            return Err(ClientError::Token);
        }
        if !self.runs(ctx) || self.is_ending() || self.leaving || self.is_hub_silent(ctx) {
            return Err(ClientError::Ended);
        }
        if !meets(token.condition, preimage) {
            return Err(ClientError::Condition);
        }
        self.check_window(grant)?;
        // Grace, inclusion and reorg between the two: time to see that an attach is refused, and to redeem.
        let redeemable = token.attach_by.after(ctx.terms.distance()) <= token.redeem_by;
        let rule = if preimage.is_some() { Rule::R17 } else { Rule::R6 };
        if ctx.rules.hold(rule) && (!redeemable || ctx.chain.now().after(ctx.terms.inclusion) >= token.attach_by) {
            return Err(ClientError::Late);
        }
        let needed = self.counted(ctx).plus(token.value).ok_or(ClientError::Cover)?;
        if ctx.rules.hold(Rule::R6) && self.hub_share(ctx) < needed {
            return Err(ClientError::Cover);
        }
        let earning = Earning {
            token: token.clone(),
            grant: *grant,
            hub: hub.clone(),
            voucher: None,
            preimage,
            collecting: false,
        };
        self.earning.insert(id, earning);
        Ok(())
    }

    /// A token that [`Client::offered`] has refused: it will be declined, so that its place in the window closes.
    ///
    /// # Errors
    /// If it is not granted to this channel at all.
    pub fn unwanted<C: Chain, K: Recover, R: Rules>(
        &mut self,
        token: &Token,
        grant: &Grant,
        hub: &HubSignature,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        self.check_grant(token, grant, hub, ctx)?;
        self.check_window(grant)?;
        // What was redeemed is not declined, under whatever grant.
        let spent = self.done.contains(token) || ctx.chain.redemption(grant.token).is_some();
        if !self.earning.contains_key(&grant.token) && !spent {
            self.unwanted.insert(grant.token, (token.clone(), *grant));
        }
        Ok(())
    }

    fn check_grant<C: Chain, K: Recover, R: Rules>(
        &self,
        token: &Token,
        grant: &Grant,
        hub: &HubSignature,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        if !ctx.chain.is_fresh() {
            return Err(ClientError::Blind);
        }
        if token.payee_channel() != Some(self.id) || grant.token != token.id() || !token.is_well_formed() {
            return Err(ClientError::Token);
        }
        let signer = hub.signer(ctx.domain, grant.digest(ctx.domain), ctx.keys);
        if signer.is_some_and(|signer| ctx.chain.trusted(signer)) { Ok(()) } else { Err(ClientError::Signature) }
    }

    fn check_window(&self, grant: &Grant) -> Result<(), ClientError> {
        let balances = self.half.as_ref().map_or(&self.position.balances, |half| &half.position.balances);
        let granted = self.earning.values().map(|earning| earning.grant);
        let mut granted = granted.chain(self.unwanted.values().map(|(_, grant)| *grant));
        let twice = granted.any(|other| other.payee_seq == grant.payee_seq);
        let beyond = grant.payee_seq.get() >= self.position.balances.floor.get() + limits::WINDOW;
        if twice
            || beyond
            || window::holds(balances, grant.payee_seq)
            || window::holds(&self.position.balances, grant.payee_seq)
        {
            return Err(ClientError::Window);
        }
        Ok(())
    }

    /// A voucher has arrived; with this the client has earned it. Not after the attach of its token was proposed, or its
    /// redemption started: the voucher would be worth nothing (rule 9).
    ///
    /// # Errors
    /// Why it does not count.
    pub fn vouched<C: Chain, K: Recover, R: Rules>(
        &mut self,
        voucher: &Voucher,
        signature: &Signature,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        let id = voucher.token;
        if !ctx.chain.is_fresh() {
            return Err(ClientError::Blind);
        }
        if !self.runs(ctx) || self.is_ending() || self.is_hub_silent(ctx) || self.leaving {
            return Err(ClientError::Ended);
        }
        let mut halves = self.half.iter().chain(&self.refused);
        let proposed = halves.any(|half| half.proposal.state.ops.iter().any(|op| op.token == id.0));
        if ctx.rules.hold(Rule::R9) && proposed || ctx.chain.redemption(id).is_some() {
            return Err(ClientError::Ended);
        }
        let earning = self.earning.get_mut(&id).ok_or(ClientError::Token)?;
        let in_time = ctx.chain.now().after(ctx.terms.inclusion) < earning.token.attach_by;
        if !in_time && ctx.rules.hold(Rule::R17) {
            return Err(ClientError::Late);
        }
        let signer = ctx.keys.recover(voucher.digest(ctx.domain), signature);
        let metered = earning.token.kind == TokenKind::Metered;
        if !metered || signer != Some(earning.token.voucher_key) || voucher.cumulative > earning.token.value {
            return Err(ClientError::Voucher);
        }
        if voucher.cumulative <= earning.earned() {
            return Err(ClientError::Voucher);
        }
        if !meets(voucher.condition, earning.preimage) {
            return Err(ClientError::Condition);
        }
        earning.voucher = Some((*voucher, *signature));
        Ok(())
    }

    /// Ends the metering of a token: what it has earned is attached.
    pub fn collect(&mut self, id: TokenId) {
        if let Some(earning) = self.earning.get_mut(&id) {
            earning.collecting = true;
        }
    }
}

/// Whether a condition is met: a voucher with one that is not would take the place of a good one and be worth nothing.
pub(super) fn meets(condition: B256, preimage: Option<B256>) -> bool {
    condition.is_zero() || preimage.is_some_and(|found| Sha256::digest(found).as_slice() == condition.as_slice())
}
