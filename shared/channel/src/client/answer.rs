//! The hub's answer, or what the chain shows of it.

use super::{Client, ClientError, Half};
use crate::chain::{Chain, Ctx};
use crate::contract::{HubWord, Signed, Status};
use crate::hub::Answer;
use crate::id::{Amount, StateHash, TokenId};
use crate::message::{Grant, Message, OpKind, Token};
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
        let trusted = |digest, hub: &HubSignature| {
            let signer = hub.signer(ctx.domain, digest, ctx.keys);
            if signer.is_some_and(|signer| ctx.chain.trusted(signer)) { Ok(()) } else { Err(ClientError::Signature) }
        };
        match &answer.word {
            HubWord::State(hub) => trusted(half.proposal.state.digest(ctx.domain), hub)?,
            HubWord::Grant(grant, hub) if grant.payer_state == hash => trusted(grant.digest(ctx.domain), hub)?,
            HubWord::Grant(..) => return Err(ClientError::Answer),
        }
        let detached: Vec<TokenId> = half.proposal.tokens.iter().map(Token::id).collect();
        if detached.len() != answer.grants.len() {
            return Err(ClientError::Answer);
        }
        for (id, (grant, hub)) in detached.iter().zip(&answer.grants) {
            if grant.token != *id || grant.payer_state != hash {
                return Err(ClientError::Answer);
            }
            trusted(grant.digest(ctx.domain), hub)?;
        }
        let half = self.half.take().expect("seen above");
        let (state, client) = (half.proposal.state.clone(), half.proposal.client);
        self.signed = Some(Signed { state, client, hub: answer.word.clone() });
        self.adopt(half, &answer.grants);
        Ok(())
    }

    /// Forgets what can have no redemption under way any more.
    pub fn sweep<C: Chain, K, R: Rules>(&mut self, ctx: &Ctx<'_, C, K, R>) {
        use crate::contract::RedemptionStatus::Pending;
        let pending = |token: &Token| ctx.chain.redemption(token.id()).is_some_and(|found| found.status == Pending);
        self.done.retain(|token| ctx.chain.final_time() < token.redeem_by || pending(token));
    }

    /// Looks whether the contract enforces the proposal under way: the hub has signed it without telling.
    pub fn look<C: Chain, K, R: Rules>(&mut self, ctx: &Ctx<'_, C, K, R>) {
        let enforced: StateHash = ctx.chain.row(self.owner).enforced;
        if let Some(half) = self.half.take_if(|half| half.proposal.state.hash() == enforced) {
            self.signed = None;
            self.adopt(half, &[]);
        }
    }

    fn adopt(&mut self, half: Half, grants: &[(Grant, HubSignature)]) {
        for op in &half.proposal.state.ops {
            let id = TokenId(op.token);
            match op.kind {
                OpKind::Attach | OpKind::Decline => {
                    // The hub may have been silent long enough for a redemption, which this state makes void.
                    self.done.extend(self.earning.remove(&id).map(|earning| earning.token));
                }
                OpKind::Settle | OpKind::Refund => {
                    self.paying.remove(&id);
                }
                OpKind::In if op.token != side_word(Side::Client) && op.token != side_word(Side::Hub) => {
                    self.earning.remove(&id);
                    self.acknowledged = self.acknowledged.plus(op.amount).unwrap_or(Amount(u128::MAX));
                }
                OpKind::Detach | OpKind::In | OpKind::OutClient | OpKind::OutHub => {}
            }
        }
        for (grant, hub) in grants {
            if let Some(paying) = self.paying.get_mut(&grant.token) {
                paying.grant = Some((*grant, hub.clone()));
            }
        }
        self.position = half.position;
        self.newest = Some(half.proposal.state);
    }
}
