//! What a channel pays when it ends.

use super::{Contract, Env, Finalise, Owner, Redemption, RedemptionStatus, Revert, Row, Status};
use crate::id::{Amount, Seq, Time, TokenId};
use crate::message::{Balances, Opening, Token, TokenKind};
use crate::rules::{Rule, Rules};
use crate::sign::Recover;
use crate::tree::pending_root;

/// What became of a pending token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Value and fee.
    pub cost: Amount,
    /// Of it, the hub's.
    pub hub: Amount,
    /// Of it, what has left the channel already (an executed ON token).
    pub gone: Amount,
}

impl Outcome {
    fn of(token: &Token, paid: Amount) -> Result<Self, Revert> {
        let cost = token.cost().ok_or(Revert::BadTokens)?;
        let fee = if paid.is_zero() { Amount::ZERO } else { token.fee };
        let on = token.kind == TokenKind::On;
        let hub = if on { fee } else { paid.plus(fee).ok_or(Revert::BadTokens)? };
        Ok(Self { cost, hub, gone: if on { paid } else { Amount::ZERO } })
    }
}

/// The client's part of what a channel holds when it ends at a state (none for the implicit one); the rest is the hub's.
///
/// What the chain took in beyond the state belongs to the side credited; what the state booked out and the chain has not
/// carried out belongs to the side that booked it; a credited redemption beyond the state has moved from hub to client. Where
/// the parties signed what cannot be, shares are clamped: it never reverts and never pays more than the channel holds (rule 2).
#[must_use]
pub fn payout(row: &Row, state: Option<&Balances>, outcomes: &[Outcome]) -> Amount {
    let locked = row.locked();
    let Some(balances) = state else { return row.client_in.min(locked) };
    let mut client = balances.client.0;
    client = client.saturating_add(row.client_in.beyond(balances.client_in).0);
    client = client.saturating_add(balances.client_out.0);
    for outcome in outcomes {
        client = client.saturating_add(outcome.cost.0.saturating_sub(outcome.hub.0).saturating_sub(outcome.gone.0));
    }
    Amount(client).beyond(row.client_out).min(locked)
}

/// What a pending token came to, once nothing can change it (rule 7).
///
/// # Errors
/// [`Revert::Undecided`] while a claim or a redemption can still change it.
pub fn outcome(token: &Token, claim: Amount, redemption: Option<&Redemption>, now: Time) -> Result<Outcome, Revert> {
    if token.kind == TokenKind::On {
        let executed = redemption.is_some_and(|redemption| redemption.status == RedemptionStatus::Executed);
        if !executed && now < token.redeem_by {
            return Err(Revert::Undecided);
        }
        return Outcome::of(token, if executed { token.value } else { Amount::ZERO });
    }
    let mut paid = claim;
    match redemption {
        Some(redemption) if redemption.is_credited(now) => paid = paid.max(redemption.amount),
        Some(Redemption { status: RedemptionStatus::Pending, .. }) if paid < token.value => {
            return Err(Revert::Undecided);
        }
        Some(_) | None => {}
    }
    if paid < token.value && now < token.claim_by {
        return Err(Revert::Undecided);
    }
    Outcome::of(token, paid)
}

impl<R: Rules> Contract<R> {
    pub(super) fn finalise(&mut self, finalise: &Finalise, env: &Env<'_, impl Recover>) -> Result<(), Revert> {
        let Finalise { owner, enforced, tokens } = finalise;
        let (owner, now) = (*owner, env.now);
        let row = self.row(owner);
        if row.status != Status::Closing {
            return Err(Revert::NotClosing);
        }
        if now < row.closes_at {
            return Err(Revert::TooEarly);
        }
        if row.redeeming > 0 {
            return Err(Revert::RedemptionsPending);
        }
        row.check_opening(self.channel_id(owner, row.epoch), enforced.as_ref())?;
        let state = enforced.as_ref().map(|Opening { balances, .. }| balances);
        let ids: Vec<TokenId> = tokens.iter().map(Token::id).collect();
        let mut outcomes = Vec::with_capacity(tokens.len());
        for (token, id) in tokens.iter().zip(&ids) {
            outcomes.push(self.outcome(token, *id, now)?);
        }
        // The root binds which tokens there are, how many and in which order.
        if pending_root(&ids) != state.map(|balances| balances.pending_root).unwrap_or_default() {
            return Err(Revert::BadTokens);
        }
        self.end(owner, row, state, &outcomes)
    }

    fn outcome(&self, token: &Token, id: TokenId, now: Time) -> Result<Outcome, Revert> {
        let claim = self.claims.get(&(token.payer_channel, id)).copied().unwrap_or_default();
        outcome(token, claim, self.redemptions.get(&id), now)
    }

    pub(super) fn end(
        &mut self,
        owner: Owner,
        row: Row,
        state: Option<&Balances>,
        outcomes: &[Outcome],
    ) -> Result<(), Revert> {
        if !self.rules.hold(Rule::R13) && self.refusing.contains(&owner.client) {
            return Err(Revert::PaymentRefused);
        }
        let client = payout(&row, state, outcomes);
        let hub = row.locked().beyond(client);
        let next = Row { epoch: row.epoch + 1, seq: Seq::ZERO, ..Row::default() };
        self.rows.insert(owner, next);
        self.pay(owner.client, owner.asset, client);
        self.pay(self.treasury, owner.asset, hub);
        Ok(())
    }
}
