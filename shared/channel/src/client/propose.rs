//! The client's next state.

use alloy_primitives::B256;

use super::{Client, ClientError, Half, Paying};
use crate::chain::{Chain, Ctx};
use crate::contract::RedemptionStatus;
use crate::hub::Proposal;
use crate::id::{Amount, Seq, TokenId};
use crate::message::{Grant, Message, Op, OpKind, State, Token, TokenKind, Voucher};
use crate::rules::{Rule, Rules};
use crate::sign::{Recover, Signature, Signer};
use crate::transition::{Side, TransitionError, side_word};
use crate::window;

impl Client {
    /// The number of the next state this client signs: never one it has signed before.
    ///
    /// # Errors
    /// If there is none left.
    pub fn next_seq(&self) -> Result<Seq, ClientError> {
        self.highest.forward(1).ok_or(ClientError::Exhausted)
    }

    /// Signs the next state. It is stored before it is sent; the same bytes are sent until the hub answers.
    ///
    /// # Errors
    /// If the channel takes no states now or the operations do not fit.
    pub fn propose<C: Chain, K: Signer + Recover, R: Rules>(
        &mut self,
        ops: Vec<Op>,
        tokens: Vec<Token>,
        last: bool,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<&Proposal, ClientError> {
        if self.half.is_some() {
            return Err(ClientError::Busy);
        }
        if !self.runs(ctx) || self.is_last() || self.leaving && !last {
            return Err(ClientError::Ended);
        }
        // The channel ends at once with a last state: nothing can be redeemed in it any more.
        let consumed = |id: &TokenId| ops.iter().any(|op| consumes(op) && op.token == id.0);
        if last && !self.earning.keys().all(consumed) {
            return Err(ClientError::Cover);
        }
        if ops.iter().any(|op| op.kind == OpKind::Attach && self.is_late(TokenId(op.token), ctx)) {
            return Err(ClientError::Late);
        }
        let seq = self.next_seq()?;
        for token in &tokens {
            self.paying.insert(token.id(), Paying::new(token.clone()));
        }
        let proposed = self.sign_next(seq, ops, &tokens, last, ctx);
        if proposed.is_err() {
            for token in &tokens {
                self.paying.remove(&token.id());
            }
        }
        self.half = Some(proposed?);
        self.highest = seq;
        Ok(&self.half.as_ref().expect("just set").proposal)
    }

    fn sign_next<C: Chain, K: Signer + Recover, R: Rules>(
        &self,
        seq: Seq,
        ops: Vec<Op>,
        tokens: &[Token],
        last: bool,
        ctx: &Ctx<'_, C, K, R>,
    ) -> Result<Half, ClientError> {
        let position = self.position.after(&ops, self)?;
        // Refused for that, it could still be signed, and nothing could be signed above it (rule 4).
        if last && !position.pending.is_empty() {
            return Err(TransitionError::LastPending(position.balances.pending_count).into());
        }
        let attached: Vec<TokenId> = ops.iter().filter(|op| consumes(op)).map(|op| TokenId(op.token)).collect();
        let still = self.earning.iter().filter(|(id, _)| !attached.contains(id));
        let still = still.fold(Amount::ZERO, |sum, (_, earning)| sum.plus(earning.token.value).unwrap_or(sum));
        // Only what lowers the share is refused: a hub that is short already is a reason to attach, not to stop.
        let lowered = ops.iter().any(|op| op.kind == OpKind::OutHub);
        if ctx.rules.hold(Rule::R6) && lowered && position.balances.hub < still {
            return Err(ClientError::Cover);
        }
        let state = State { channel: self.id, seq, last, balances: position.balances.clone(), ops };
        let client = ctx.keys.sign(state.digest(ctx.domain));
        let vouchers: Vec<(Voucher, Signature)> = self.of(&attached).filter_map(|earning| earning.voucher).collect();
        let preimages: Vec<(TokenId, B256)> = self
            .of(&attached)
            .filter(|earning| !earning.condition().is_zero())
            .filter_map(|earning| Some((earning.grant.token, earning.preimage?)))
            .collect();
        let proposal = Proposal { state, client, tokens: tokens.to_vec(), vouchers, preimages };
        Ok(Half { proposal, position, sent_at: ctx.chain.now() })
    }

    fn of<'a>(&'a self, ids: &'a [TokenId]) -> impl Iterator<Item = &'a super::Earning> {
        ids.iter().filter_map(|id| self.earning.get(id))
    }

    /// What this client would like its next state to do, without being told: acknowledge what is final, settle what was
    /// received, take back what was not, attach what it has earned.
    #[must_use]
    pub fn wishes<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Vec<Op> {
        if self.half.is_some() || !self.runs(ctx) || self.is_last() || self.leaving {
            return vec![];
        }
        let mut ops = self.deposits(ctx);
        ops.extend(self.earning.iter().filter_map(|(id, earning)| {
            let redemption = ctx.chain.final_redemption(*id)?;
            let credited = redemption.status == RedemptionStatus::Credited && redemption.amount >= earning.earned();
            credited.then(|| Op::on(OpKind::In, *id, redemption.amount))
        }));
        ops.extend(self.paying.iter().filter_map(|(id, paying)| self.landing(*id, paying, ctx)));
        let open = |grant: &Grant| !window::holds(&self.position.balances, grant.payee_seq);
        let unwanted = self.unwanted.iter().filter(|(_, (_, grant))| open(grant));
        ops.extend(unwanted.map(|(id, _)| Op::on(OpKind::Decline, *id, Amount::ZERO)));
        ops.extend(self.earning.iter().filter(|(id, _)| self.is_due(**id, ctx)).map(|(id, earning)| {
            let kind = if earning.earned().is_zero() { OpKind::Decline } else { OpKind::Attach };
            Op::on(kind, *id, earning.earned())
        }));
        ops.truncate(crate::limits::OPS);
        ops
    }

    /// What the contract has taken in, finally, that no state knows of.
    fn deposits<C: Chain, K, R: Rules>(&self, ctx: &Ctx<'_, C, K, R>) -> Vec<Op> {
        let row = ctx.chain.final_row(self.owner);
        let mut ops = vec![];
        if row.epoch != self.epoch {
            return ops;
        }
        let balances = &self.position.balances;
        let deposited = row.client_in.beyond(ctx.chain.final_credited(self.owner));
        let mine = deposited.beyond(balances.client_in.beyond(self.acknowledged));
        let hub = row.hub_in.beyond(balances.hub_in);
        for (side, amount) in [(Side::Client, mine), (Side::Hub, hub)] {
            if !amount.is_zero() {
                ops.push(Op { kind: OpKind::In, token: side_word(side), amount });
            }
        }
        ops
    }

    /// What settles a token this client pays with: a receipt, or what is final of its execution or redemption.
    #[must_use]
    pub fn settlement<C: Chain, K, R: Rules>(&self, id: TokenId, ctx: &Ctx<'_, C, K, R>) -> Option<Op> {
        let landing = self.landing(id, self.paying.get(&id)?, ctx);
        landing.filter(|op| op.kind == OpKind::Settle)
    }

    /// How a token this client pays with leaves its channel, if it can.
    fn landing<C: Chain, K, R: Rules>(&self, id: TokenId, paying: &Paying, ctx: &Ctx<'_, C, K, R>) -> Option<Op> {
        if !self.position.pending.contains(&id) {
            return None;
        }
        let redemption = ctx.chain.final_redemption(id);
        let void = ctx.chain.redemption(id).is_some_and(|redemption| redemption.status == RedemptionStatus::Void);
        let done = redemption.filter(|redemption| {
            redemption.status == RedemptionStatus::Executed || redemption.is_credited(ctx.chain.final_time())
        });
        if let Some(amount) = paying.paid.or(done.map(|redemption| redemption.amount)) {
            return Some(Op::on(OpKind::Settle, id, amount));
        }
        let token = &paying.token;
        let deadline = if token.kind == TokenKind::On { token.redeem_by } else { token.claim_by };
        let unpaid = ctx.chain.final_time() >= deadline && (void || ctx.chain.redemption(id).is_none());
        (unpaid || paying.declined).then(|| Op::on(OpKind::Refund, id, Amount::ZERO))
    }

    /// Whether a token must not be attached any more: its redemption is visible, or there is no time left to begin one.
    fn is_late<C: Chain, K, R: Rules>(&self, id: TokenId, ctx: &Ctx<'_, C, K, R>) -> bool {
        let attach_by = self.earning.get(&id).map(|earning| earning.token.attach_by);
        // Rule 17: what it reveals must still be redeemable if the hub stays silent. Rule 5 sees to that before attachBy.
        let over = attach_by.is_some_and(|attach_by| ctx.chain.now().after(ctx.terms.inclusion) >= attach_by);
        over && ctx.rules.hold(Rule::R17) || ctx.chain.redemption(id).is_some()
    }

    /// Whether to attach (or, with nothing earned, to decline) a token now.
    fn is_due<C: Chain, K, R: Rules>(&self, id: TokenId, ctx: &Ctx<'_, C, K, R>) -> bool {
        let Some(earning) = self.earning.get(&id) else { return false };
        let now = ctx.chain.now();
        let wanted = match earning.token.kind {
            TokenKind::Metered => {
                earning.collecting || !ctx.terms.reaches(now.after(ctx.terms.ask()), earning.token.attach_by)
            }
            TokenKind::Off | TokenKind::On => true,
        };
        // To give up what has earned nothing it is never too late.
        (earning.earned().is_zero() && ctx.chain.redemption(id).is_none() || !self.is_late(id, ctx))
            && wanted
            && (earning.condition().is_zero() || earning.preimage.is_some())
    }
}

/// Whether an operation consumes a payee sequence.
fn consumes(op: &Op) -> bool {
    let deposit = op.token == side_word(Side::Client) || op.token == side_word(Side::Hub);
    matches!(op.kind, OpKind::Attach | OpKind::Decline) || op.kind == OpKind::In && !deposit
}
