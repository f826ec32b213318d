//! What the hub must have on chain: a function of its rows and of what it sees, asked again at every block.

use super::propose::renewed;
use super::{HubChannel, HubToken, Stage};
use crate::chain::{Chain, Ctx};
use crate::contract::{Call, Evidence, Finalise, Redemption, RedemptionStatus, Row, Status, outcome};
use crate::id::{Seq, TokenId};
use crate::limits;
use crate::message::{Token, TokenKind};
use crate::rules::Rules;
use crate::sign::{Recover, Signer};
use crate::window;

/// The calls that one channel needs now. `paying` are its own tokens in flight, `earned` those granted to it (attached, declined
/// and landed ones too, until a redemption of theirs can no longer be under way), in any order. A call is asked for again until the chain shows it; asking twice does no harm.
#[must_use]
pub fn duties<C: Chain, K: Signer + Recover, R: Rules>(
    channel: &HubChannel,
    paying: &[HubToken],
    earned: &[HubToken],
    ctx: &Ctx<'_, C, K, R>,
) -> Vec<Call> {
    let row = ctx.chain.row(channel.owner);
    if row.status == Status::None || row.epoch != channel.epoch {
        return vec![];
    }
    let watch = Watch { channel, row, ctx };
    let mut calls = vec![];
    calls.extend(watch.enforce(earned));
    let protect = watch.protect(paying);
    // With the close go the claims, in this order from one sender: the hub may be away again when the close is mined.
    let closing = row.status == Status::Closing || protect.is_some();
    calls.extend(protect);
    if closing {
        calls.extend(paying.iter().filter_map(|token| watch.claim(token)));
    }
    calls.extend(earned.iter().filter_map(|token| watch.credit(token)));
    calls.extend(watch.finalise(paying));
    calls
}

/// Starts the closing of a channel that the hub wants to leave.
#[must_use]
pub fn exit<C: Chain, K: Signer + Recover, R: Rules>(channel: &HubChannel, ctx: &Ctx<'_, C, K, R>) -> Option<Call> {
    let row = ctx.chain.row(channel.owner);
    (row.status == Status::Open && row.epoch == channel.epoch).then(|| close(channel, &row, ctx))
}

/// At the newest state, if the contract does not enforce it yet.
fn close<C: Chain, K: Signer + Recover, R: Rules>(channel: &HubChannel, row: &Row, ctx: &Ctx<'_, C, K, R>) -> Call {
    let newer = channel.newest.as_ref().filter(|signed| signed.state.seq > row.seq);
    Call::Close { owner: channel.owner, signed: newer.map(|signed| renewed(signed, ctx)) }
}

struct Watch<'a, C, K, R> {
    channel: &'a HubChannel,
    row: Row,
    ctx: &'a Ctx<'a, C, K, R>,
}

impl<C: Chain, K: Signer + Recover, R: Rules> Watch<'_, C, K, R> {
    fn pending(&self, id: TokenId) -> Option<Redemption> {
        let redemption = self.ctx.chain.redemption(id)?;
        (redemption.status == RedemptionStatus::Pending).then_some(redemption)
    }

    /// Challenges an old state, and defeats redemptions of what was attached or declined.
    fn enforce(&self, earned: &[HubToken]) -> Vec<Call> {
        let Some(newest) = self.channel.newest.as_ref() else { return vec![] };
        let now = self.ctx.chain.now();
        let known = self.row.seq == newest.state.seq;
        let open = self.row.status == Status::Open || now < self.row.closes_at;
        if !open && !known {
            return vec![];
        }
        let spent = |token: &&HubToken| {
            self.pending(token.id()).is_some_and(|redemption| {
                now < redemption.credit_at && window::holds(&newest.state.balances, redemption.payee_seq)
            })
        };
        let tokens: Vec<Token> = earned.iter().filter(spent).map(|token| token.token.clone()).collect();
        let challenges = self.row.status == Status::Closing && self.row.seq < newest.state.seq;
        // Checking the signature behind it takes long, for each channel that is closing, at each look.
        if tokens.is_empty() && !challenges {
            return vec![];
        }
        let (owner, signed) = (self.channel.owner, renewed(newest, self.ctx));
        if tokens.is_empty() {
            return vec![Call::Argue { owner, signed }];
        }
        let few = tokens.chunks(limits::REDEMPTIONS);
        few.map(|tokens| Call::ArgueRedemption { owner, signed: signed.clone(), tokens: tokens.to_vec() }).collect()
    }

    /// A payer that never settles: close in time for the claims (rule 5), whatever spell of absence begins now.
    fn protect(&self, paying: &[HubToken]) -> Option<Call> {
        if self.row.status != Status::Open {
            return None;
        }
        let terms = self.ctx.terms;
        let needed = terms.offline_bound() + 2 * terms.inclusion + terms.reorg + 1;
        let due = |token: &HubToken| {
            matches!(token.stage, Stage::Attached { .. }) && self.ctx.chain.now().until(token.token.claim_by) <= needed
        };
        paying.iter().any(due).then(|| close(self.channel, &self.row, self.ctx))
    }

    /// Shows what the payee signed for an attached token.
    fn claim(&self, token: &HubToken) -> Option<Call> {
        let Stage::Attached { amount, receipt, signature } = &token.stage else { return None };
        let shown = self.ctx.chain.claim(self.channel.id, token.id());
        if shown >= *amount || self.ctx.chain.now() >= token.token.claim_by {
            return None;
        }
        let evidence = match (token.token.kind, token.voucher) {
            (TokenKind::Metered, Some((voucher, signature))) => {
                Evidence::Voucher { voucher, signature, preimage: token.preimage }
            }
            _ => {
                let payee = token.token.payee_channel()?;
                let owner = self.ctx.chain.owner(payee)?;
                let epoch = self.ctx.chain.epoch(payee)?;
                Evidence::Receipt {
                    receipt: (**receipt).clone(),
                    signature: *signature,
                    payee: owner,
                    epoch,
                    preimage: token.preimage,
                }
            }
        };
        Some(Call::Resolve { owner: self.channel.owner, token: token.token.clone(), evidence })
    }

    /// Ends a redemption in this (payee's) channel once it is mature.
    fn credit(&self, token: &HubToken) -> Option<Call> {
        let redemption = self.pending(token.id())?;
        (self.ctx.chain.now() >= redemption.credit_at)
            .then(|| Call::Credit { owner: self.channel.owner, tokens: vec![token.id()] })
    }

    fn finalise(&self, paying: &[HubToken]) -> Option<Call> {
        let chain = self.ctx.chain;
        let now = chain.now();
        if self.row.status != Status::Closing || now < self.row.closes_at || self.row.redeeming > 0 {
            return None;
        }
        let enforced = chain.enforced(self.channel.owner);
        let mut tokens: Vec<&Token> = vec![];
        if self.row.seq > Seq::ZERO {
            // The hub has challenged in time, so this is its newest state, and its rows are the pending tokens.
            tokens = paying.iter().map(|row| &row.token).collect();
            tokens.sort_by_key(|token| token.id());
        }
        for token in &tokens {
            let claim = chain.claim(self.channel.id, token.id());
            outcome(token, claim, chain.redemption(token.id()).as_ref(), now).ok()?;
        }
        let tokens = tokens.into_iter().cloned().collect();
        Some(Call::Finalise(Box::new(Finalise { owner: self.channel.owner, enforced, tokens })))
    }
}
