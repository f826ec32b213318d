//! What each operation needs before the hub signs it, and what it changes in the rows.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::propose::{Accepted, Answer, Proposal, Rows};
use super::{HubChannel, HubToken, Refusal, Stage};
use crate::B256;
use crate::chain::{Chain, Ctx};
use crate::contract::{RedemptionStatus, Status};
use crate::id::{Amount, ChannelId, Seq, StateHash, TokenId};
use crate::limits;
use crate::message::{Grant, Message, Op, OpKind, Receipt, Token, TokenKind};
use crate::rules::{Rule, Rules};
use crate::sign::{HubSignature, Recover, Signature};
use crate::transition::{Known, Side, Tokens, side_word};

/// The rows as the operations so far have left them.
pub(super) struct Work<'a, S, C, K, R> {
    rows: &'a S,
    ctx: &'a Ctx<'a, C, K, R>,
    proposal: &'a Proposal,
    /// Tokens that this proposal detaches: their ids, and the payee sequences they get.
    fresh: Vec<(TokenId, Seq)>,
    payees: BTreeMap<ChannelId, HubChannel>,
    tokens: BTreeMap<TokenId, HubToken>,
    invoices: Vec<(ChannelId, B256, TokenId)>,
    /// The proposed state as payers get it: one for all of its tokens.
    receipt: OnceCell<Arc<Receipt>>,
}

impl<S, C, K, R> Tokens for Work<'_, S, C, K, R> {
    fn known(&self, id: TokenId) -> Option<Known<'_>> {
        if let Some(place) = self.fresh.iter().position(|(fresh, _)| *fresh == id) {
            return Some(Known { token: &self.proposal.tokens[place], payee_seq: self.fresh[place].1 });
        }
        self.tokens.get(&id).map(|row| Known { token: &row.token, payee_seq: row.grant.payee_seq })
    }
}

impl<'a, S: Rows, C: Chain, K: Recover, R: Rules> Work<'a, S, C, K, R> {
    pub(super) fn new(rows: &'a S, ctx: &'a Ctx<'a, C, K, R>, proposal: &'a Proposal) -> Self {
        let fresh = proposal.tokens.iter().map(|token| (token.id(), Seq::ZERO)).collect();
        let named = proposal.state.ops.iter().map(|op| TokenId(op.token));
        let tokens = named.filter_map(|id| Some((id, rows.token(id)?))).collect();
        Self { rows, ctx, proposal, fresh, payees: BTreeMap::new(), tokens, invoices: vec![], receipt: OnceCell::new() }
    }

    /// Every DETACH has its token, in order, and every token is new and names this state and its place.
    pub(super) fn check_tokens(&self, channel: &HubChannel) -> Result<(), Refusal> {
        let state = &self.proposal.state;
        let detached = state.ops.iter().filter(|op| op.kind == OpKind::Detach).map(|op| TokenId(op.token));
        if !detached.eq(self.fresh.iter().map(|(id, _)| *id)) {
            return Err(Refusal::Missing);
        }
        for (place, (token, (id, _))) in self.proposal.tokens.iter().zip(&self.fresh).enumerate() {
            let named = token.payer_channel == channel.id && token.payer_seq == state.seq;
            if !named || usize::from(token.index) != place || self.tokens.contains_key(id) {
                return Err(Refusal::Misnamed(*id));
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, op: &Op, channel: &mut HubChannel) -> Result<(), Refusal> {
        let id = TokenId(op.token);
        match op.kind {
            OpKind::Detach => self.detach(id, channel),
            OpKind::Attach => self.attach(id, op.amount, channel),
            OpKind::Settle => self.settle(id, op.amount, channel),
            OpKind::Refund => self.refund(id),
            OpKind::Decline => self.decline(id, channel),
            OpKind::In => self.acknowledge(op, channel),
            OpKind::OutClient | OpKind::OutHub if op.amount < self.ctx.terms.dust => Err(Refusal::Dust(id)),
            OpKind::OutClient | OpKind::OutHub => Ok(()),
        }
    }

    /// No more tokens in flight than the terms say, counted after what this state settles.
    pub(super) fn check_live(&self, pending: usize) -> Result<(), Refusal> {
        let limit = self.ctx.terms.live_tokens;
        if !self.fresh.is_empty() && pending > limit { Err(Refusal::Live(limit)) } else { Ok(()) }
    }

    fn payee(&mut self, id: ChannelId) -> Option<&mut HubChannel> {
        if !self.payees.contains_key(&id) {
            self.payees.insert(id, self.rows.channel(id)?);
        }
        self.payees.get_mut(&id)
    }

    fn detach(&mut self, id: TokenId, payer: &HubChannel) -> Result<(), Refusal> {
        let place = self.fresh.iter().position(|(fresh, _)| *fresh == id).ok_or(Refusal::Missing)?;
        let token = &self.proposal.tokens[place];
        let terms = self.ctx.terms;
        if self.ctx.rules.hold(Rule::R5) {
            let now = self.ctx.chain.now();
            terms.check_deadlines(token, now).map_err(|error| Refusal::Deadline(id, error))?;
        }
        if token.fee < terms.fee_of(token.kind) {
            return Err(Refusal::Fee(id));
        }
        if token.value < terms.dust {
            return Err(Refusal::Dust(id));
        }
        if payer.unsettled > terms.unsettled {
            return Err(Refusal::Unsettled);
        }
        if !token.is_well_formed() {
            return Err(Refusal::Malformed(id));
        }
        match token.payee_channel() {
            None => Ok(()),
            Some(payee) => self.promise(id, place, payee, payer),
        }
    }

    /// Rule 6, the hub's half: the payee's row decides, in the same transaction.
    fn promise(&mut self, id: TokenId, place: usize, payee: ChannelId, payer: &HubChannel) -> Result<(), Refusal> {
        let token = &self.proposal.tokens[place];
        let ctx = self.ctx;
        let invoice = self.rows.invoice(payee, token.invoice).ok_or(Refusal::Invoice(id))?;
        let twice = self.invoices.iter().any(|(of, name, _)| *of == payee && *name == token.invoice);
        let unused = invoice.used.is_none() && !twice;
        if !unused || invoice.cap < token.value || ctx.chain.now() >= invoice.expires {
            return Err(Refusal::Invoice(id));
        }
        if payee == payer.id {
            return Err(Refusal::Payee(id));
        }
        let row = self.payee(payee).ok_or(Refusal::Payee(id))?;
        if row.owner.asset != payer.owner.asset || row.is_last() || !runs(ctx.chain, row) {
            return Err(Refusal::Payee(id));
        }
        let reserved = row.reserved.plus(token.value).ok_or(Refusal::Cover(id))?;
        if ctx.rules.hold(Rule::R6) && reserved > row.position.balances.hub {
            return Err(Refusal::Cover(id));
        }
        let payee_seq = row.next_payee_seq;
        if payee_seq.get().saturating_sub(row.position.balances.floor.get()) >= limits::WINDOW {
            return Err(Refusal::Window(id));
        }
        row.reserved = reserved;
        row.next_payee_seq = payee_seq.forward(1).ok_or(Refusal::Window(id))?;
        self.fresh[place].1 = payee_seq;
        self.invoices.push((payee, token.invoice, id));
        Ok(())
    }

    /// What the payer of a token gets to see of this state.
    fn shown(&self) -> (Arc<Receipt>, Signature) {
        let receipt = self.receipt.get_or_init(|| Arc::new(self.proposal.state.receipt()));
        (Arc::clone(receipt), self.proposal.client)
    }

    fn row(&mut self, id: TokenId) -> Result<&mut HubToken, Refusal> {
        self.tokens.get_mut(&id).ok_or(Refusal::Stage(id))
    }

    /// What a payee does with a token it was granted.
    fn check_earned(&mut self, id: TokenId, channel: &HubChannel) -> Result<Token, Refusal> {
        let redeeming = self.ctx.rules.hold(Rule::R16) && self.ctx.chain.redemption(id).is_some();
        let row = self.row(id)?;
        if row.stage != Stage::Granted || row.token.payee_channel() != Some(channel.id) {
            return Err(Refusal::Stage(id));
        }
        if redeeming {
            return Err(Refusal::Redeeming(id));
        }
        Ok(row.token.clone())
    }

    fn attach(&mut self, id: TokenId, amount: Amount, channel: &mut HubChannel) -> Result<(), Refusal> {
        let token = self.check_earned(id, channel)?;
        if self.ctx.chain.now() >= token.attach_by {
            return Err(Refusal::Late(id));
        }
        self.check_payer(id, &token)?;
        let voucher = self.proposal.vouchers.iter().find(|(voucher, _)| voucher.token == id).copied();
        let mut condition = token.condition;
        if token.kind == TokenKind::Metered {
            let (voucher, signature) = voucher.ok_or(Refusal::Evidence(id))?;
            let signer = self.ctx.keys.recover(voucher.digest(self.ctx.domain), &signature);
            if voucher.cumulative != amount || signer != Some(token.voucher_key) {
                return Err(Refusal::Evidence(id));
            }
            condition = voucher.condition;
        }
        let found = self.proposal.preimages.iter().find(|(of, _)| *of == id).map(|(_, preimage)| *preimage);
        let preimage = found.unwrap_or_default();
        if !condition.is_zero() && Sha256::digest(preimage).as_slice() != condition.as_slice() {
            return Err(Refusal::Evidence(id));
        }
        channel.reserved = channel.reserved.beyond(token.value);
        let (receipt, signature) = self.shown();
        let row = self.row(id)?;
        row.stage = Stage::Attached { amount, receipt, signature };
        row.voucher = voucher;
        row.preimage = preimage;
        // A payer without a row has been paid out: then `check_payer` has refused.
        if let Some(payer) = self.payee(token.payer_channel) {
            payer.unsettled = payer.unsettled.plus(amount).ok_or(Refusal::Stage(id))?;
        }
        Ok(())
    }

    /// The hub must still be able to enforce the payer's newest state, which has the token pending.
    fn check_payer(&mut self, id: TokenId, token: &Token) -> Result<(), Refusal> {
        let (chain, terms) = (self.ctx.chain, self.ctx.terms);
        let payer = self.payee(token.payer_channel).ok_or(Refusal::PayerEnding(id))?;
        let row = chain.row(payer.owner);
        let safe = match row.status {
            _ if row.epoch != payer.epoch => false,
            Status::None => false,
            Status::Open => true,
            // Enforced for good, or time to enforce it.
            Status::Closing => {
                chain.final_row(payer.owner).seq >= payer.seq() || terms.reaches(chain.now(), row.closes_at)
            }
        };
        if safe { Ok(()) } else { Err(Refusal::PayerEnding(id)) }
    }

    fn settle(&mut self, id: TokenId, amount: Amount, channel: &mut HubChannel) -> Result<(), Refusal> {
        let (final_redemption, final_time) = (self.ctx.chain.final_redemption(id), self.ctx.chain.final_time());
        let row = self.row(id)?;
        let done = final_redemption
            .filter(|redemption| redemption.status == RedemptionStatus::Executed || redemption.is_credited(final_time));
        let owed = match (&row.stage, done) {
            (Stage::Attached { amount, .. }, _) => Some(*amount),
            (Stage::Granted, Some(redemption)) => Some(redemption.amount),
            (Stage::Granted | Stage::Declined(_) | Stage::Landed(_), _) => None,
        };
        if owed != Some(amount) {
            return Err(Refusal::Stage(id));
        }
        let mut shown = None;
        if let Stage::Attached { receipt, signature, .. } = &row.stage {
            channel.unsettled = channel.unsettled.beyond(amount);
            shown = Some((Arc::clone(receipt), *signature));
        }
        row.stage = Stage::Landed(shown);
        Ok(())
    }

    fn refund(&mut self, id: TokenId) -> Result<(), Refusal> {
        let ctx = self.ctx;
        let row = self.row(id)?;
        let token = row.token.clone();
        match row.stage {
            Stage::Declined(_) => {}
            Stage::Granted => {
                let deadline = if token.kind == TokenKind::On { token.redeem_by } else { token.claim_by };
                let waited = ctx.chain.final_time() >= deadline;
                let exempt = token.kind == TokenKind::On && !ctx.rules.hold(Rule::R11);
                let redeemed = ctx.chain.redemption(id).filter(|found| found.status != RedemptionStatus::Void);
                if !waited && !exempt || redeemed.is_some() {
                    return Err(Refusal::NotFinal);
                }
            }
            Stage::Attached { .. } | Stage::Landed(_) => return Err(Refusal::Stage(id)),
        }
        let promised = row.stage == Stage::Granted;
        row.stage = Stage::Landed(None);
        if promised
            && let Some(payee) = token.payee_channel()
            && let Some(payee) = self.payee(payee)
        {
            payee.reserved = payee.reserved.beyond(token.value);
        }
        Ok(())
    }

    fn decline(&mut self, id: TokenId, channel: &mut HubChannel) -> Result<(), Refusal> {
        // What its payer has had back leaves a hole in the window, which only this closes: `follow` has seen that it is one.
        let row = self.row(id)?;
        if matches!(row.stage, Stage::Landed(_)) && row.token.payee_channel() == Some(channel.id) {
            return Ok(());
        }
        let token = self.check_earned(id, channel)?;
        channel.reserved = channel.reserved.beyond(token.value);
        let shown = self.shown();
        self.row(id)?.stage = Stage::Declined(Some(shown));
        Ok(())
    }

    fn acknowledge(&mut self, op: &Op, channel: &mut HubChannel) -> Result<(), Refusal> {
        let chain = self.ctx.chain;
        let balances = &self.proposal.state.balances;
        let row = chain.final_row(channel.owner);
        if row.epoch != channel.epoch || balances.client_in > row.client_in || balances.hub_in > row.hub_in {
            return Err(Refusal::NotFinal);
        }
        if op.token == side_word(Side::Hub) || op.token == side_word(Side::Client) {
            return Ok(());
        }
        let id = TokenId(op.token);
        let redemption = chain.final_redemption(id).ok_or(Refusal::NotFinal)?;
        if redemption.status != RedemptionStatus::Credited || redemption.amount != op.amount {
            return Err(Refusal::NotFinal);
        }
        let token = &self.row(id)?.token;
        if token.payee_channel() != Some(channel.id) {
            return Err(Refusal::Stage(id));
        }
        let value = token.value;
        channel.reserved = channel.reserved.beyond(value);
        channel.acknowledged = channel.acknowledged.plus(op.amount).ok_or(Refusal::NotFinal)?;
        Ok(())
    }

    /// A credited redemption is no deposit: it has its own operation, which takes it from the hub's share.
    pub(super) fn check_deposits(&self, channel: &HubChannel) -> Result<(), Refusal> {
        let chain = self.ctx.chain;
        let deposited = chain.final_row(channel.owner).client_in.beyond(chain.final_credited(channel.owner));
        let acknowledged = self.proposal.state.balances.client_in.beyond(channel.acknowledged);
        let asked =
            self.proposal.state.ops.iter().any(|op| op.token == side_word(Side::Client) && op.kind == OpKind::In);
        if asked && acknowledged > deposited { Err(Refusal::NotFinal) } else { Ok(()) }
    }

    pub(super) fn grants(&self, payer_state: StateHash) -> Vec<Grant> {
        self.fresh.iter().map(|&(token, payee_seq)| Grant { token, payee_seq, payer_state }).collect()
    }

    pub(super) fn granted(&mut self, grants: &[(Grant, HubSignature)]) {
        for (token, (grant, hub)) in self.proposal.tokens.iter().zip(grants) {
            let row = HubToken {
                token: token.clone(),
                grant: *grant,
                hub: hub.clone(),
                stage: Stage::Granted,
                voucher: None,
                preimage: B256::ZERO,
            };
            self.tokens.insert(grant.token, row);
        }
    }

    pub(super) fn finish(self, channel: HubChannel, answer: Answer) -> Accepted {
        let mut channels: Vec<HubChannel> = self.payees.into_values().collect();
        channels.push(channel);
        Accepted { channels, tokens: self.tokens.into_values().collect(), invoices: self.invoices, answer }
    }
}

/// Whether a channel runs: open on chain, in the epoch that the row is of.
pub(super) fn runs(chain: &impl Chain, channel: &HubChannel) -> bool {
    let row = chain.row(channel.owner);
    row.status == Status::Open && row.epoch == channel.epoch
}
