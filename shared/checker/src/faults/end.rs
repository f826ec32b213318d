//! The end: everybody leaves, and it is counted who has what.

use tarefa_channel::contract::{RedemptionStatus, Status};
use tarefa_channel::id::Amount;
use tarefa_channel::message::TokenKind;

use super::{ALICE_CLIENT, ALICE_HUB, BOB_CLIENT, BOB_HUB, Faults, TERMS, Told};
use crate::keys::{ALICE, BOB, CAROL, TREASURY};
use crate::scenario::{ALICES, BOBS, NATIVE};

/// Ticks after which every channel is final: the longest token, and three times what a close takes.
const HORIZON: u64 = 40 + 2 * TERMS.distance() + 3 * (TERMS.grace + TERMS.distance());

impl Faults {
    /// Everybody is back, nothing fails any more, and everybody leaves. What happened.
    pub(super) fn end(mut self) -> Result<Told, String> {
        for alice in [true, false] {
            let process = self.process(alice);
            process.client.leaving = true;
            process.crash = super::Crash::None;
        }
        self.hub.crash = super::Crash::None;
        for _ in 0..HORIZON {
            while !self.wires.is_empty() {
                self.deliver(0, 0);
                if self.wires.len() > super::WIRES / 2 {
                    break;
                }
            }
            self.poll(false);
            self.poll(true);
            self.tick();
        }
        let closed = |owner| self.chain.contract().row(owner).status == Status::None;
        for (name, owner, alice) in [("Alice", ALICES, true), ("Bob", BOBS, false)] {
            if !closed(owner) {
                let row = self.chain.contract().row(owner);
                return Err(format!("{name}'s channel is stuck at state {}: {row:?}", self.seq(alice).get()));
            }
        }
        self.told.delivered = self.delivered.len();
        let redeemed = self.chain.contract().redemptions.values();
        self.told.redeemed = redeemed.filter(|one| one.status == RedemptionStatus::Credited).count();
        self.count()
    }

    fn count(self) -> Result<Told, String> {
        let (mut spent, mut fees, mut earned, mut carol) = (0, 0, 0, 0);
        for (id, token) in &self.tokens {
            let arrived = if token.kind == TokenKind::On {
                let executed = self.chain.contract().redemptions.contains_key(id);
                let arrived = if executed { token.value } else { Amount::ZERO };
                carol += arrived.0;
                arrived
            } else {
                let arrived = self.delivered.get(id).copied().unwrap_or_default();
                earned += arrived.0;
                arrived
            };
            spent += arrived.0;
            fees += if arrived.is_zero() { 0 } else { token.fee.0 };
        }
        let has = |party| self.chain.contract().balance(party, NATIVE).0;
        let due = [
            ("Alice", has(ALICE), ALICE_CLIENT.0 - spent - fees),
            ("Bob", has(BOB), BOB_CLIENT.0 + earned),
            ("Carol", has(CAROL), carol),
            // Its fee is the hub's where something arrived; without it nobody has lost what was theirs.
            ("the hub", has(TREASURY), ALICE_HUB.0 + BOB_HUB.0),
        ];
        for (name, has, due) in due {
            if has < due {
                return Err(format!("{name} ends with {has}, {due} are due"));
            }
        }
        let all = ALICE_CLIENT.0 + ALICE_HUB.0 + BOB_CLIENT.0 + BOB_HUB.0;
        let there = self.chain.contract().holdings(NATIVE);
        if there != all {
            return Err(format!("the contract holds {there} of {all}"));
        }
        Ok(self.told)
    }
}
