//! What can happen next.

use tarefa_channel::Address;
use tarefa_channel::contract::Call;
use tarefa_channel::id::{Amount, Seq, TokenId};
use tarefa_channel::message::{Op, OpKind, TokenKind};

use super::World;
use crate::keys::NEXT;
use crate::scenario::{ALICES, BOBS, Party, Scenario};

/// One step of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Time passes; what the honest party needs on chain is on its way.
    Tick,
    /// What was on its way is mined.
    Mine,
    /// The honest client sends what it would like to.
    Work,
    /// The honest client has its newest state signed again by one that does nothing.
    SignAgain,
    /// Alice detaches a token.
    Detach(usize),
    /// Alice books her hot withdrawal.
    Withdraw,
    /// Alice vouches for more.
    Vouch,
    /// Bob ends the metering of a token.
    Collect(TokenId),
    /// The honest party goes away for so many ticks.
    Away(u64),
    /// The honest client loses what it stored last (rule 14 off).
    Crash,
    /// The hub answers the honest client's proposal.
    Answer,
    /// A receipt reaches Alice.
    Receipt(usize),
    /// A token and its grant reach Bob.
    Offer(usize),
    /// A voucher reaches Bob.
    Voucher(usize),
    /// Bob shows Alice that he declines a token.
    Declined(usize),
    /// Alice pays elsewhere what she wanted to pay with a token.
    Elsewhere(usize),
    /// Bob shows Alice the key.
    Reveal,
    /// A client proposes to the honest hub: its operations, whether it is the last state, the number of the state.
    Propose(Party, Vec<Op>, bool, Seq),
    /// Bob says, without signing it, that he does not want a token.
    Refuse(TokenId),
    /// A message whose hub's words are signed by the key whose revocation is announced.
    Stale(Box<Self>),
    /// Somebody has a call mined at once.
    Call(Address, Box<Call>),
}

impl World {
    /// Everything that can happen next, in a fixed order. Nothing at the horizon.
    #[must_use]
    pub fn moves(&self, scenario: &Scenario) -> Vec<Move> {
        let mut moves = vec![];
        if self.now >= scenario.horizon {
            return moves;
        }
        let away = self.now < self.away_until;
        match &self.mempool {
            Some(_) => {
                moves.push(Move::Mine);
                if scenario.meanwhile {
                    self.deliveries(scenario, &mut moves);
                }
            }
            None if away => moves.push(Move::Tick),
            None => {
                moves.push(if self.idle { Move::Tick } else { Move::Work });
                self.honest_moves(scenario, &mut moves);
                self.deliveries(scenario, &mut moves);
                self.proposals(scenario, &mut moves);
                // It must have looked since it was away last.
                if scenario.offline > 0 && self.now > self.away_until {
                    moves.push(Move::Away(scenario.offline));
                }
            }
        }
        moves.extend(self.calls(scenario));
        moves
    }

    /// What the honest party is free to do or not.
    fn honest_moves(&self, scenario: &Scenario, moves: &mut Vec<Move>) {
        if scenario.crash && self.backup.is_some() {
            moves.push(Move::Crash);
        }
        let Some(client) = self.client() else { return };
        if client.leaving {
            return;
        }
        let asks = self.is_announced() && client.half.is_none() && !scenario.heedless;
        if asks && self.ask(scenario, |_, ctx| client.is_to_be_signed_again(ctx)) {
            moves.push(Move::SignAgain);
        }
        if scenario.honest == Party::Alice {
            for (place, token) in scenario.tokens.iter().enumerate() {
                if client.half.is_none() && self.detached & (1 << place) == 0 && self.now < scenario.begin_by(token) {
                    moves.push(Move::Detach(place));
                }
            }
            if client.half.is_none() && client.position.balances.client_out.is_zero() && scenario.withdrawal.is_some() {
                moves.push(Move::Withdraw);
            }
            if self.vouchers < scenario.amounts.len() && client.paying.values().any(|paying| paying.grant.is_some()) {
                moves.push(Move::Vouch);
            }
        } else {
            let metering =
                client.earning.iter().filter(|(_, earning)| earning.voucher.is_some() && !earning.collecting);
            moves.extend(metering.map(|(id, _)| Move::Collect(*id)));
        }
    }

    /// Messages that the adversary can let the honest client have.
    fn deliveries(&self, scenario: &Scenario, moves: &mut Vec<Move>) {
        let before = moves.len();
        self.messages(scenario, moves);
        if self.signing(scenario) == NEXT {
            let signed =
                |step: &&Move| matches!(step, Move::Answer | Move::Offer(_) | Move::Receipt(_) | Move::Declined(_));
            let stale = moves[before..].iter().filter(signed).map(|step| Move::Stale(Box::new(step.clone())));
            moves.extend(stale.collect::<Vec<_>>());
        }
    }

    fn messages(&self, scenario: &Scenario, moves: &mut Vec<Move>) {
        let Some(client) = self.client() else { return };
        if client.half.is_some() {
            moves.push(Move::Answer);
        }
        if scenario.honest == Party::Bob {
            let fresh = (0..scenario.tokens.len()).filter(|place| self.shown & (1 << place) == 0);
            moves.extend(fresh.map(Move::Offer));
            moves.extend((0..scenario.amounts.len()).map(Move::Voucher));
            return;
        }
        let unpaid = |id| client.paying.get(id).is_some_and(|paying| paying.paid.is_none());
        let receipts = self.receipts.iter().enumerate().filter(|(_, (id, ..))| unpaid(id));
        moves.extend(receipts.map(|(place, _)| Move::Receipt(place)));
        if scenario.declines {
            for (place, token) in scenario.tokens.iter().enumerate() {
                if client.paying.get(&token.id()).is_some_and(|paying| !paying.declined) {
                    moves.push(Move::Declined(place));
                }
                if self.elsewhere & (1 << place) == 0 && self.is_undone(place, scenario) {
                    moves.push(Move::Elsewhere(place));
                }
            }
        }
        if scenario.conditional && !self.key {
            moves.push(Move::Reveal);
        }
    }

    /// What colluding clients can propose to the honest hub: every single operation that follows from its rows, and some pairs.
    fn proposals(&self, scenario: &Scenario, moves: &mut Vec<Move>) {
        let Some(store) = self.store() else { return };
        for (party, owner) in [(Party::Alice, ALICES), (Party::Bob, BOBS)] {
            let Some(channel) = store.channels.get(&crate::scenario::channel(owner)) else { continue };
            let next = channel.seq().forward(1).expect("few states");
            let mut menu: Vec<Vec<Op>> = vec![];
            let amounts = |token: &tarefa_channel::message::Token| {
                if token.kind == TokenKind::Metered { scenario.amounts.clone() } else { vec![token.value] }
            };
            for token in &scenario.tokens {
                let id = token.id();
                let row = store.tokens.get(&id);
                match (party, row) {
                    (Party::Alice, None) => {
                        let cost = token.cost().expect("small");
                        menu.push(vec![Op::on(OpKind::Detach, id, cost)]);
                    }
                    (Party::Alice, Some(_)) if channel.position.pending.contains(&id) && !scenario.lean => {
                        menu.extend(amounts(token).into_iter().map(|amount| vec![Op::on(OpKind::Settle, id, amount)]));
                        menu.push(vec![Op::on(OpKind::Refund, id, Amount::ZERO)]);
                    }
                    (Party::Bob, Some(_)) if token.kind != TokenKind::On => {
                        menu.extend(amounts(token).into_iter().map(|amount| vec![Op::on(OpKind::Attach, id, amount)]));
                        if !scenario.lean {
                            menu.push(vec![Op::on(OpKind::Decline, id, Amount::ZERO)]);
                        }
                        moves.push(Move::Refuse(id));
                    }
                    (Party::Alice | Party::Bob | Party::Hub, _) => {}
                }
            }
            if let (Party::Alice, Some(amount)) = (party, scenario.withdrawal)
                && channel.position.balances.client_out.is_zero()
            {
                menu.push(vec![Op::of(OpKind::OutClient, amount)]);
            }
            let again = channel.seq() > Seq::ZERO;
            for ops in menu {
                if again {
                    moves.push(Move::Propose(party, ops.clone(), false, channel.seq()));
                }
                moves.push(Move::Propose(party, ops, false, next));
            }
            if scenario.last && party == Party::Alice && channel.newest.is_none() {
                moves.push(Move::Propose(party, vec![], true, next));
            }
        }
    }
}
