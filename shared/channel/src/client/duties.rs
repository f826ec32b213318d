//! What a client must have on chain: a function of what it keeps and of what it sees, asked again at every block.

use super::{Client, Earning};
use crate::chain::{Chain, Ctx};
use crate::contract::{Call, Finalise, Redeem, RedemptionStatus, Row, Signed, Status, outcome};
use crate::id::{Seq, TokenId};
use crate::message::{Message, Token};
use crate::rules::{Rule, Rules};
use crate::sign::Recover;
use crate::{Address, B256};

impl Client {
    /// The calls this channel needs now. A call is asked for again until the chain shows it; asking twice does no harm.
    #[must_use]
    pub fn duties<C: Chain, K: Recover, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Vec<Call> {
        let Some(row) = self.live_row(ctx) else { return vec![] };
        let mut calls = vec![];
        calls.extend(self.enforce(&row, ctx));
        calls.extend(self.leave(&row, ctx));
        calls.extend(self.earning.values().filter_map(|earning| self.redeem(earning, &row, ctx)));
        let others = self.done.iter().filter(|token| !self.earning.contains_key(&token.id()));
        let earned = self.earning.values().map(|earning| &earning.token).chain(others);
        calls.extend(earned.filter_map(|token| self.credit(token, ctx)));
        calls.extend(self.finalise(&row, ctx));
        calls
    }

    /// The newest state, where the contract does not enforce it yet.
    fn newer(&self, row: &Row) -> Option<&Signed> {
        self.signed.as_ref().filter(|signed| signed.state.seq > row.seq)
    }

    /// Challenges an old state. Where the hub announces the revocation of the key behind the newest state and does not sign it again,
    /// checkpoints that state, so that it needs no signature any more (rule 12).
    fn enforce<C: Chain, K: Recover, R: Rules>(&self, row: &Row, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
        let newest = self.newer(row)?;
        let wanted = match row.status {
            Status::Closing => ctx.chain.now() < row.closes_at,
            Status::Open => has_expired(newest.hub_signer(ctx.domain, ctx.keys), ctx),
            Status::None => false,
        };
        wanted.then(|| Call::Argue { owner: self.owner, signed: newest.clone() })
    }

    /// Whether the newest state needs another signature of the hub: the revocation of the key behind it is announced, and the contract does
    /// not enforce that state (rule 12). Any newer state brings it, also one that does nothing.
    ///
    /// Clients ask at times of their own within the first half of what the hub has for it: else all that are idle would ask at once.
    #[must_use]
    pub fn is_to_be_signed_again<C: Chain, K: Recover, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> bool {
        let row = self.live_row(ctx).filter(|row| row.status == Status::Open && !self.leaving && !self.is_last());
        let signer = row.and_then(|row| self.newer(&row)?.hub_signer(ctx.domain, ctx.keys));
        let until = signer.and_then(|signer| ctx.chain.revoked_from(signer));
        let bound = ctx.terms.offline_bound();
        let turn = self.id.0[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % (bound / 2 + 1);
        until.is_some_and(|until| ctx.chain.now().after(bound - turn) >= ctx.terms.signs_again_before(until))
    }

    /// Whether the metering of a token must end because of the key behind the hub's promise: its revocation is announced, and the hub would
    /// have no time left to attach what is earned before it is redeemed (rule 12).
    #[must_use]
    pub fn is_to_be_collected<C: Chain, K: Recover, R: Rules>(&self, id: TokenId, ctx: &Ctx<'_, C, K, R>) -> bool {
        let signer = self.earning.get(&id).and_then(|earning| self.grant_signer(earning, ctx));
        let until = signer.and_then(|signer| ctx.chain.revoked_from(signer));
        until.is_some_and(|until| ctx.chain.now().after(ctx.terms.ask()) >= ctx.terms.signs_again_before(until))
    }

    /// Closes the channel: because the user wants to, or because the hub is silent and more is at stake than the redemption of
    /// what was to be attached.
    fn leave<C: Chain, K, R: Rules>(&self, row: &Row, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
        // The last state ends the channel at once; nothing else is left to do in it.
        if let Some(signed) = self.signed.as_ref().filter(|signed| signed.state.last) {
            return Some(Call::CloseLast { owner: self.owner, signed: signed.clone() });
        }
        let stuck = self.half.as_ref().is_some_and(|half| {
            half.proposal.state.last || !half.proposal.state.ops.iter().all(|op| op.kind.may_be_kept())
        });
        let leaving = self.leaving || stuck && self.is_hub_silent(ctx);
        (leaving && row.status == Status::Open)
            .then(|| Call::Close { owner: self.owner, signed: self.newer(row).cloned() })
    }

    /// Redeems a token: the hub does not attach it, or there is no time left to ask.
    fn redeem<C: Chain, K: Recover, R: Rules>(
        &self,
        earning: &Earning,
        row: &Row,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Option<Call> {
        let now = ctx.chain.now();
        let id = earning.grant.token;
        let token = &earning.token;
        // Not while there is time to attach it, nor while its attach is under way, for as long as the hub may take to answer.
        let proposed = self.half.as_ref().is_some_and(|half| half.proposal.state.ops.iter().any(|op| op.token == id.0));
        let waits = proposed || now.after(ctx.terms.inclusion) < token.attach_by;
        let revoked = has_expired(self.grant_signer(earning, ctx), ctx);
        let silent = self.is_hub_silent(ctx);
        // One that is under way (sent while the hub was silent) is raised at once by a voucher that came before it was seen: it would be
        // credited with less.
        let started = ctx.chain.redemption(id).is_some() && ctx.rules.hold(Rule::RaiseAtOnce);
        if row.status == Status::Open && waits && !silent && !revoked && !self.leaving && !started {
            return None;
        }
        self.redemption(id, ctx)
    }

    /// A call is about to be sent: to be noted, and stored, before. What becomes of a redemption is this client's to see to, even where
    /// the hub attaches its token meanwhile.
    pub fn sends(&mut self, call: &Call) {
        if let Call::Redeem(redeem) = call {
            self.redeems(redeem.token.id());
        }
    }

    pub(super) fn redeems(&mut self, id: TokenId) {
        let found = self.earning.get(&id).map(|earning| &earning.token);
        self.done.extend(found.filter(|token| !self.done.contains(token)).cloned());
    }

    /// The call that redeems a token now, if it can be redeemed.
    #[must_use]
    pub fn redemption<C: Chain, K, R: Rules>(&self, id: TokenId, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
        let (earning, now) = (self.earning.get(&id)?, ctx.chain.now());
        let token = &earning.token;
        let found = ctx.chain.redemption(id).map(|redemption| (redemption.status, redemption.amount));
        let met = earning.condition().is_zero() || earning.preimage.is_some();
        let in_time = ctx.terms.reaches(now, token.redeem_by) || !ctx.rules.hold(Rule::R17);
        if earning.earned().is_zero() || !earning.can_redeem(found) || !met || !in_time {
            return None;
        }
        Some(Call::Redeem(Box::new(Redeem {
            owner: self.owner,
            token: token.clone(),
            grant: earning.grant,
            hub: earning.hub.clone(),
            voucher: earning.voucher,
            preimage: earning.preimage.filter(|_| !earning.condition().is_zero()).unwrap_or(B256::ZERO),
            auth: None,
        })))
    }

    fn grant_signer<C: Chain, K: Recover, R: Rules>(
        &self,
        earning: &Earning,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Option<Address> {
        earning.hub.signer(ctx.domain, earning.grant.digest(ctx.domain), ctx.keys)
    }

    /// Ends a redemption of this client once it is mature.
    fn credit<C: Chain, K, R: Rules>(&self, token: &Token, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
        let redemption = ctx.chain.redemption(token.id())?;
        (redemption.status == RedemptionStatus::Pending && redemption.is_credited(ctx.chain.now()))
            .then(|| Call::Credit { owner: self.owner, tokens: vec![token.id()] })
    }

    fn finalise<C: Chain, K, R: Rules>(&self, row: &Row, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
        let chain = ctx.chain;
        let now = chain.now();
        if row.status != Status::Closing || now < row.closes_at {
            return None;
        }
        // The client has challenged in time, so the enforced state is the newest, and these are its pending tokens.
        // Or the proposal under way: the hub has shown it to the contract.
        let shown = self.half.iter().chain(&self.refused).find(|half| half.proposal.state.hash() == row.enforced);
        let position = shown.map_or(&self.position, |half| &half.position);
        let ids: Vec<TokenId> = if row.seq > Seq::ZERO { position.pending.iter().copied().collect() } else { vec![] };
        let mut tokens = vec![];
        for id in ids {
            let token = &self.paying.get(&id)?.token;
            outcome(token, chain.claim(self.id, id), chain.redemption(id).as_ref(), now).ok()?;
            tokens.push(token.clone());
        }
        if row.redeeming > 0 {
            return None;
        }
        Some(Call::Finalise(Box::new(Finalise { owner: self.owner, enforced: chain.enforced(self.owner), tokens })))
    }
}

/// Whether a signature of this signer is not waited with any more: it never was the hub's, or its revocation is announced and the hub has had
/// its time to sign again, be it by a state that attaches (rule 12).
fn has_expired<C: Chain, K, R>(signer: Option<Address>, ctx: &Ctx<'_, C, K, R>) -> bool {
    let until = signer.and_then(|signer| ctx.chain.revoked_from(signer));
    match until {
        Some(until) => ctx.chain.now() >= ctx.terms.signs_again_before(until),
        None => !signer.is_some_and(|signer| ctx.chain.trusted(signer)),
    }
}
