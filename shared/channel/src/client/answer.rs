//! The hub's answer, or what the chain shows of it.

use super::{Client, ClientError, Half};
use crate::Address;
use crate::chain::{Chain, Ctx};
use crate::contract::{RedemptionStatus, Signed, Status};
use crate::hub::Answer;
use crate::id::{Amount, StateHash, TokenId};
use crate::message::{Grant, Message, Op, OpKind, Token};
use crate::rules::Rules;
use crate::sign::{HubSignature, Recover};
use crate::transition::{Side, side_word};

impl Client {
    /// Takes the hub's answer to the proposal under way.
    ///
    /// # Errors
    /// If it is for something else, incomplete, or not signed by a trusted signer.
    pub fn answered<C: Chain, K: Recover, R: Rules>(
        &mut self,
        answer: &Answer,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<(), ClientError> {
        if !ctx.chain.is_fresh() {
            return Err(ClientError::Blind);
        }
        let half = self.half.as_ref().ok_or(ClientError::Answer)?;
        let hash = half.proposal.state.hash();
        if answer.state != hash {
            return Err(ClientError::Answer);
        }
        // Too late to be enforced: the channel ends with the state before, unless the hub shows this one itself.
        let row = ctx.chain.row(self.owner);
        if row.status == Status::Closing && !ctx.terms.reaches(ctx.chain.now(), row.closes_at)
            || row.epoch != self.epoch
        {
            return Err(ClientError::Ended);
        }
        let trusted = |signer: Option<Address>| {
            if signer.is_some_and(|signer| ctx.chain.trusted(signer)) { Ok(()) } else { Err(ClientError::Signature) }
        };
        trusted(answer.word.signer(hash, half.proposal.state.digest(ctx.domain), ctx.domain, ctx.keys))?;
        let detached: Vec<TokenId> = half.proposal.tokens.iter().map(Token::id).collect();
        if detached.len() != answer.grants.len() {
            return Err(ClientError::Answer);
        }
        for (id, (grant, hub)) in detached.iter().zip(&answer.grants) {
            if grant.token != *id || grant.payer_state != hash {
                return Err(ClientError::Answer);
            }
            trusted(hub.signer(ctx.domain, grant.digest(ctx.domain), ctx.keys))?;
        }
        let half = self.half.take().expect("seen above");
        let (state, client) = (half.proposal.state.clone(), half.proposal.client);
        self.signed = Some(Signed { state, client, hub: answer.word.clone() });
        self.adopt(half, &answer.grants, ctx);
        Ok(())
    }

    /// The hub has refused the proposal under way. What brings this client nothing can be left: the next state is built beside it,
    /// and whichever of them the hub signs, this client has signed it. What attaches is kept: signed later, it would defeat the
    /// redemption that takes its place. So is a last state: signed later, it ends the channel at once, whatever was earned above it (rule 4).
    pub fn refused(&mut self) {
        let leaves = |half: &mut Half| {
            let state = &half.proposal.state;
            !state.last && !state.ops.iter().any(|op| op.kind == OpKind::Attach)
        };
        self.refused.extend(self.half.take_if(leaves));
    }

    /// This client sees the chain again after it did not, or has been away: a proposal under way is sent again, and the hub has its time to
    /// answer, unless the redemption of what it attaches cannot wait so long.
    pub fn resume<C: Chain, K, R: Rules>(&mut self, ctx: &Ctx<'_, C, K, R>) {
        let later = ctx.chain.now().after(ctx.terms.waits());
        let Some(half) = &mut self.half else { return };
        let named = half.proposal.state.ops.iter().filter_map(|op| self.earning.get(&TokenId(op.token)));
        if named.into_iter().all(|earning| ctx.terms.reaches(later, earning.token.redeem_by)) {
            half.sent_at = ctx.chain.now();
        }
    }

    /// Puts in order what time has decided, finally: redemptions that have ended, tokens that can no longer be paid, a proposal whose
    /// attaches were redeemed instead.
    pub fn sweep<C: Chain, K, R: Rules>(&mut self, ctx: &Ctx<'_, C, K, R>) {
        let now = ctx.chain.final_time();
        let under_way = |token: &Token| {
            ctx.chain.redemption(token.id()).is_some_and(|found| found.status == RedemptionStatus::Pending)
        };
        self.done.retain(|token| now < token.redeem_by || under_way(token));
        let lapsed = |token: &Token| now >= token.redeem_by && ctx.chain.redemption(token.id()).is_none();
        let over = |op: &Op| {
            let credited = ctx.chain.final_redemption(TokenId(op.token)).is_some_and(|found| found.is_credited(now));
            credited || self.earning.get(&TokenId(op.token)).is_none_or(|earning| lapsed(&earning.token))
        };
        self.half.take_if(|half| {
            let mut attaching = half.proposal.state.ops.iter().filter(|op| op.kind == OpKind::Attach).peekable();
            attaching.peek().is_some() && attaching.all(over)
        });
        let named: Vec<TokenId> =
            self.half.iter().flat_map(|half| &half.proposal.state.ops).map(|op| TokenId(op.token)).collect();
        let gone: Vec<TokenId> = self
            .earning
            .iter()
            .filter(|(id, earning)| lapsed(&earning.token) && !named.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.unwanted.extend(self.earning.remove(&id).map(|earning| (id, (earning.token, earning.grant))));
        }
    }

    /// Looks whether the contract enforces, finally, a proposal under way or a refused one: the hub has signed it without telling.
    pub fn look<C: Chain, K, R: Rules>(&mut self, ctx: &Ctx<'_, C, K, R>) {
        let enforced: StateHash = ctx.chain.final_row(self.owner).enforced;
        let shown = |half: &Half| half.proposal.state.hash() == enforced;
        let refused = self.refused.iter().position(shown).map(|place| self.refused.swap_remove(place));
        let found = self.half.take_if(|half| shown(half)).or(refused);
        if let Some(half) = found.filter(|half| half.proposal.state.seq > self.seq()) {
            self.signed = None;
            self.adopt(half, &[], ctx);
        }
    }

    fn adopt<C: Chain, K, R: Rules>(&mut self, half: Half, grants: &[(Grant, HubSignature)], ctx: &Ctx<'_, C, K, R>) {
        for op in &half.proposal.state.ops {
            let id = TokenId(op.token);
            if ctx.chain.redemption(id).is_some() {
                self.redeems(id);
            }
            match op.kind {
                OpKind::Attach | OpKind::Decline => {
                    self.earning.remove(&id);
                    self.unwanted.remove(&id);
                }
                OpKind::In if op.token != side_word(Side::Client) && op.token != side_word(Side::Hub) => {
                    self.earning.remove(&id);
                    self.acknowledged = self.acknowledged.plus(op.amount).unwrap_or(Amount(u128::MAX));
                }
                OpKind::Detach | OpKind::Settle | OpKind::Refund | OpKind::In | OpKind::OutClient | OpKind::OutHub => {}
            }
        }
        for (grant, hub) in grants {
            if let Some(paying) = self.paying.get_mut(&grant.token) {
                paying.grant = Some((*grant, hub.clone()));
            }
        }
        self.position = half.position;
        self.newest = Some(half.proposal.state);
        // A higher state is doubly signed: refused ones can no longer count, nor their tokens.
        self.refused.clear();
        let under_way = self.half.iter().flat_map(|half| &half.position.pending);
        let pending: Vec<TokenId> = self.position.pending.iter().chain(under_way).copied().collect();
        self.paying.retain(|id, _| pending.contains(id));
    }
}
