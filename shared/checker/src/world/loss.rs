//! What must hold, and how a schedule is told.

use tarefa_channel::contract::{Call, Redemption, RedemptionStatus, Status};
use tarefa_channel::id::{Amount, TokenId};
use tarefa_channel::message::{OpKind, Token, TokenKind};

use super::calls::voucher;
use super::{Move, World};
use crate::keys::{ALICE, BOB, CAROL, NEXT, SIGNER, TREASURY};
use crate::scenario::{ALICE_CLIENT, ALICE_HUB, ALICES, BOB_CLIENT, BOB_HUB, BOBS, NATIVE, Party, Scenario};

impl World {
    /// What the honest party has lost, or what nobody may do at all; nothing in a sound state.
    #[must_use]
    pub fn loss(&self, scenario: &Scenario) -> Option<String> {
        let all = ALICE_CLIENT.0 + ALICE_HUB.0 + BOB_CLIENT.0 + BOB_HUB.0 + self.deposited.0;
        let holds = self.contract.holdings(NATIVE);
        if holds != all {
            return Some(format!("the contract holds {holds} of {all}"));
        }
        let closed = |owner| self.contract.row(owner).status == Status::None;
        let (ended, has, due, who) = match scenario.honest {
            Party::Alice => (closed(ALICES), self.balance(ALICE), self.alice_is_due(scenario), "payer"),
            Party::Bob => (closed(BOBS), self.balance(BOB), self.bob_is_due(scenario), "payee"),
            Party::Hub => (closed(ALICES) && closed(BOBS), self.balance(TREASURY), self.hub_is_due(scenario), "hub"),
        };
        if ended && has < due {
            return Some(format!("the {who} ends with {has}, {due} is due"));
        }
        if !ended && self.now >= scenario.horizon {
            return Some(format!("the {who}'s channel is not final at {}", scenario.horizon.0));
        }
        None
    }

    /// What Alice put in, less the tokens that she has not paid elsewhere for good reason and somebody can show were received.
    fn alice_is_due(&self, scenario: &Scenario) -> Amount {
        let stands = |(place, _): &(usize, &Token)| self.elsewhere & (1 << place) == 0;
        let stands = scenario.tokens.iter().enumerate().filter(stands);
        let spent = stands.map(|(_, token)| self.spent(token, scenario).0).sum();
        Amount(ALICE_CLIENT.0 + self.gift.0).beyond(Amount(spent))
    }

    fn spent(&self, token: &Token, scenario: &Scenario) -> Amount {
        let id = token.id();
        let detached = self.known[&ALICES]
            .iter()
            .any(|signed| signed.state.ops.iter().any(|op| op.kind == OpKind::Detach && op.token == id.0));
        if !detached {
            return Amount::ZERO;
        }
        let with_fee = |amount: Amount| if amount.is_zero() { amount } else { Amount(amount.0 + token.fee.0) };
        if token.kind == TokenKind::Metered {
            // A voucher is evidence by itself; one with a condition only against the key.
            let all = (0..self.vouchers).map(|place| voucher(id, place, scenario));
            let due = all.filter(|voucher| voucher.condition.is_zero() || self.key);
            return with_fee(due.map(|voucher| voucher.cumulative).max().unwrap_or_default());
        }
        let place = scenario.tokens.iter().position(|other| other == token).expect("one of them");
        let shown = self.contract.redemptions.contains_key(&id)
            || self.contract.claims.contains_key(&(token.payer_channel, id))
            || self.shown & (1 << place) != 0;
        if shown { with_fee(token.value) } else { Amount::ZERO }
    }

    /// What Bob put in and what he has delivered for.
    fn bob_is_due(&self, scenario: &Scenario) -> Amount {
        // Once the key is out, the last voucher is delivered for too, if Bob had it.
        let last = scenario.amounts.last().copied().unwrap_or_default();
        let metered = if self.key && self.last_vouched { last } else { self.vouched };
        Amount(BOB_CLIENT.0 + self.served.0 + metered.0 + self.gift.0)
    }

    /// What the hub put in, and its fee for every token that it has paid.
    fn hub_is_due(&self, scenario: &Scenario) -> Amount {
        let fees = scenario.tokens.iter().filter(|token| self.is_paid(token.id())).map(|token| token.fee.0);
        Amount(ALICE_HUB.0 + BOB_HUB.0 + self.gift.0 + fees.sum::<u128>())
    }

    fn is_paid(&self, id: TokenId) -> bool {
        let done = |found: &Redemption| matches!(found.status, RedemptionStatus::Credited | RedemptionStatus::Executed);
        let row = self.store().and_then(|store| store.tokens.get(&id));
        let shown = row.and_then(|row| row.stage.shown());
        let attached = shown.and_then(|(receipt, _)| receipt.attached(id)).is_some_and(|amount| !amount.is_zero());
        attached || self.contract.redemptions.get(&id).is_some_and(done)
    }
}

fn name(address: tarefa_channel::Address) -> &'static str {
    match address {
        ALICE => "Alice",
        BOB => "Bob",
        CAROL => "Carol",
        SIGNER | NEXT => "hub",
        TREASURY => "treasury",
        _ => "stranger",
    }
}

fn ops(ops: &[tarefa_channel::message::Op]) -> String {
    let words: Vec<String> = ops
        .iter()
        .map(|op| {
            let verb = match op.kind {
                OpKind::Detach => "detach",
                OpKind::Attach => "attach",
                OpKind::Settle => "settle",
                OpKind::Refund => "refund",
                OpKind::Decline => "decline",
                OpKind::In => "acknowledge",
                OpKind::OutClient => "take out",
                OpKind::OutHub => "take out for the hub",
            };
            if op.amount.is_zero() { verb.to_owned() } else { format!("{verb} {}", op.amount) }
        })
        .collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn told(call: &Call) -> String {
    let whose = |owner: &tarefa_channel::contract::Owner| name(owner.client);
    match call {
        Call::Close { owner, signed } => {
            let at = signed.as_ref().map_or_else(String::new, |signed| format!(" at state {}", signed.state.seq.get()));
            format!("closes {}'s channel{at}", whose(owner))
        }
        Call::Argue { owner, signed } => {
            format!("enforces state {} of {}'s channel", signed.state.seq.get(), whose(owner))
        }
        Call::AttachState { owner, .. } => format!("carries out what {}'s state books out", whose(owner)),
        Call::CloseLast { owner, .. } => format!("ends {}'s channel by its last state", whose(owner)),
        Call::Redeem(redeem) => {
            let amount = redeem.voucher.map_or(redeem.token.value, |(voucher, _)| voucher.cumulative);
            format!("redeems {amount} of the token")
        }
        Call::ArgueRedemption { .. } => "defeats the redemption".to_owned(),
        Call::Credit { .. } => "ends the redemption".to_owned(),
        Call::Resolve { .. } => "claims the token of Alice's channel".to_owned(),
        Call::Finalise(finalise) => format!("finalises {}'s channel", whose(&finalise.owner)),
        Call::AttachToken(_) => "has the ON token paid".to_owned(),
        Call::Deposit { owner, amount, .. } => format!("deposits {amount} into {}'s channel", whose(owner)),
        Call::HubDraw { amount, .. } => format!("takes {amount} of the hub's share on its word alone"),
        Call::RevokeSigner { .. } => "announces that the hub's signer is revoked".to_owned(),
        other => other.function().to_owned(),
    }
}

pub(super) fn tell(scenario: &Scenario, before: &World, step: &Move, after: &World) -> String {
    match step {
        Move::Tick => format!("t={}", after.now.0),
        Move::Mine => {
            let calls = before.mempool.iter().flat_map(|calls| calls.iter());
            let mined = calls.zip(before.outcomes(scenario));
            let calls: Vec<String> =
                mined.map(|(call, done)| if done { told(call) } else { format!("{} (reverts)", told(call)) }).collect();
            let who = scenario.honest;
            if calls.is_empty() { String::new() } else { format!("{who:?} {}", calls.join("; ")) }
        }
        Move::Work => {
            let half = after.client().and_then(|client| client.half.as_ref());
            half.map_or_else(|| "–".to_owned(), |half| format!("proposes: {}", ops(&half.proposal.state.ops)))
        }
        Move::SignAgain => "proposes nothing, to have its state signed again".to_owned(),
        Move::Detach(_) => "Alice proposes: detach".to_owned(),
        Move::Withdraw => "Alice proposes: take out".to_owned(),
        Move::Vouch => "Alice vouches".to_owned(),
        Move::Collect(_) => "Bob ends the metering".to_owned(),
        Move::Away(ticks) => format!("away for {ticks}"),
        Move::Crash => "loses what it stored last".to_owned(),
        Move::Answer => "the hub signs and answers".to_owned(),
        Move::Receipt(_) => "Alice gets a receipt".to_owned(),
        Move::Offer(_) => "Bob gets token and grant and delivers".to_owned(),
        Move::Voucher(place) => format!("Bob gets voucher {}", place + 1),
        Move::Declined(_) => "Bob shows Alice that he declines".to_owned(),
        Move::Stale(step) => format!("{}, by the revoked key", tell(scenario, before, step, after)),
        Move::Elsewhere(_) => "Alice pays elsewhere".to_owned(),
        Move::Reveal => "Bob shows the key".to_owned(),
        Move::Propose(party, all, last, seq) => {
            let kind = if *last { "last state" } else { "state" };
            format!("{party:?} proposes {kind} {}: {}; the hub signs", seq.get(), ops(all))
        }
        Move::Refuse(_) => "Bob says he does not want the token".to_owned(),
        Move::Call(caller, call) => format!("{} {}", name(*caller), told(call)),
    }
}
