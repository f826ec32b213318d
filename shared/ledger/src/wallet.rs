//! The wallet machine: coins, payment orders, and transactions until they are included or can never be.
//!
//! State belongs to a transaction, never to a block. An order is paid by the inclusion of a transaction that
//! carries it; it comes back only when every such transaction has lost an input to another included one.

mod select;
mod state;

use crate::build::{self, Signer, Spend};
use crate::confirmed::Confirmed;
use crate::{OutputId, ProtocolParameters, TransactionId, network};
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;

pub use select::{Choice, choose};
pub use state::{Balance, Coin, OrderState, Wallet};
use state::{Order, OutputKey, Sent};

/// Most orders one transaction carries: room for change within the ledger's 128 outputs.
const ORDERS_MAX: usize = 100;

/// What the machine may use besides its input.
pub struct Ctx<'a> {
    /// Network parameters.
    pub params: &'a ProtocolParameters,
    /// Ledger time.
    pub now: u32,
    /// Seconds an order must have left before its expiry to be posted (`market.md`, payment rule 5).
    pub margin: u32,
    /// Signs for our addresses.
    pub signer: &'a dyn Signer,
    /// Burns and returns a new own address: (index, address).
    pub fresh: &'a mut dyn FnMut() -> (u32, [u8; 32]),
    /// Index of an own address, `None` for somebody else's.
    pub own: &'a dyn Fn(&[u8; 32]) -> Option<u32>,
}

/// A payment to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Unique for ever: a second order of the same name is the same order.
    pub name: String,
    /// Where to.
    pub to: [u8; 32],
    /// Base units.
    pub amount: u64,
    /// Worthless after this ledger time.
    pub expires: Option<u32>,
}

/// What can happen to a wallet.
pub enum Input<'a> {
    /// Make this payment.
    Order(NewOrder),
    /// Take the payment back: spend its inputs to ourselves and see which transaction wins.
    GiveUp(String),
    /// A milestone is confirmed and proved.
    Confirmed(&'a Confirmed),
    /// Do not spend from this address until [`Input::Unwatch`].
    Watch(u32),
    /// The address may be spent from.
    Unwatch(u32),
}

/// What the driver must do after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Post this transaction payload until it is included.
    Post {
        /// Its id.
        id: [u8; 32],
        /// Rises with every transaction of the wallet.
        serial: u64,
        /// Packed payload.
        payload: Vec<u8>,
    },
    /// Post it no more.
    Drop([u8; 32]),
    /// The order is paid.
    Settled {
        /// Its name.
        name: String,
        /// Base units.
        amount: u64,
        /// Timestamp of the milestone.
        booked: u32,
        /// Through this transaction.
        transaction: [u8; 32],
    },
    /// The order's money is ours again, or was never sent.
    Returned {
        /// Its name.
        name: String,
    },
    /// Money that counts arrived at an own address.
    Received {
        /// Index of the address.
        index: u32,
        /// Base units.
        amount: u64,
        /// Timestamp of the milestone.
        booked: u32,
        /// By this transaction.
        transaction: [u8; 32],
    },
    /// Orders wait, and neither coins nor change under way cover the first of them.
    Insufficient {
        /// The first order.
        name: String,
        /// Needed for the first order.
        need: u64,
        /// Spendable.
        have: u64,
    },
    /// The remainder was too small to exist as an output and went to the receiver of this order.
    Surplus {
        /// The order.
        name: String,
        /// Base units on top.
        amount: u64,
    },
}

/// An order that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// The transaction cannot be encoded.
    #[error("the transaction cannot be built: {0}")]
    Build(String),
}

impl Wallet {
    /// Moves the wallet on, then pays what waits and can be paid.
    pub fn handle(&mut self, input: Input<'_>, ctx: &mut Ctx<'_>) -> Result<Vec<Effect>, WalletError> {
        let mut effects = vec![];
        match input {
            Input::Order(order) => self.order(order, ctx, &mut effects),
            Input::GiveUp(name) => self.give_up(&name, ctx, &mut effects)?,
            Input::Confirmed(confirmed) => self.confirmed(confirmed, ctx, &mut effects),
            Input::Watch(index) => {
                self.held.insert(index);
            }
            Input::Unwatch(index) => {
                self.held.remove(&index);
            }
        }
        self.pay_waiting(ctx, &mut effects)?;
        Ok(effects)
    }

    /// An amount that cannot exist as an output comes back at once: whoever quoted it must not stop the wallet.
    fn order(&mut self, new: NewOrder, ctx: &Ctx<'_>, effects: &mut Vec<Effect>) {
        if self.settled.contains(&new.name) {
            return;
        }
        if new.amount < network::plain_output_minimum(ctx.params) {
            effects.push(Effect::Returned { name: new.name });
            return;
        }
        let (to, amount, expires) = (new.to, new.amount, new.expires);
        self.orders.entry(new.name).or_insert(Order { to, amount, expires, giving_up: false, told: false });
    }

    fn confirmed(&mut self, confirmed: &Confirmed, ctx: &Ctx<'_>, effects: &mut Vec<Effect>) {
        for (id, output) in &confirmed.created {
            let Some((address, amount)) = build::counts(output) else { continue };
            let Some(index) = (ctx.own)(&address) else { continue };
            let transaction: [u8; 32] = **id.transaction_id();
            let key = OutputKey::from(id);
            if self.coins.contains_key(&key) {
                continue;
            }
            let stranded = self.signed.contains(&index) || build::has_tokens(output);
            let packed = build::plain(output).is_none().then(|| output.pack_to_vec());
            self.coins.insert(key, Coin { index, address, amount, reserved: false, stranded, packed });
            if !self.sent.contains_key(&transaction) {
                effects.push(Effect::Received { index, amount, booked: confirmed.timestamp, transaction });
            }
        }
        for transaction in &confirmed.included {
            self.included(**transaction, confirmed.timestamp, effects);
        }
        for (output, by) in &confirmed.consumed {
            self.consumed(output, by, effects);
        }
    }

    fn included(&mut self, id: [u8; 32], booked: u32, effects: &mut Vec<Effect>) {
        let Some(sent) = self.sent.remove(&id) else { return };
        effects.push(Effect::Drop(id));
        for name in sent.orders {
            if let Some(order) = self.orders.remove(&name) {
                self.settled.insert(name.clone());
                effects.push(Effect::Settled { name, amount: order.amount, booked, transaction: id });
            }
        }
        for key in sent.inputs {
            self.coins.remove(&key);
        }
    }

    /// An output is gone: every transaction of ours that wanted it, other than the one that took it, is dead.
    fn consumed(&mut self, output: &OutputId, by: &TransactionId, effects: &mut Vec<Effect>) {
        let key = OutputKey::from(output);
        self.coins.remove(&key);
        let dead: Vec<[u8; 32]> = self
            .sent
            .iter()
            .filter(|(id, sent)| **id != **by && sent.inputs.contains(&key))
            .map(|(id, _)| *id)
            .collect();
        for id in dead {
            let Some(sent) = self.sent.remove(&id) else { continue };
            effects.push(Effect::Drop(id));
            self.free_inputs(&sent);
            for name in sent.orders {
                let elsewhere = self.sent.values().any(|other| other.orders.contains(&name));
                let given_up = self.orders.get(&name).is_some_and(|order| order.giving_up);
                if given_up && !elsewhere {
                    self.orders.remove(&name);
                    effects.push(Effect::Returned { name });
                }
            }
        }
    }

    /// Inputs of a dead transaction that no living one wants are free again.
    fn free_inputs(&mut self, dead: &Sent) {
        for key in &dead.inputs {
            let wanted = self.sent.values().any(|sent| sent.inputs.contains(key));
            if let Some(coin) = self.coins.get_mut(key)
                && !wanted
            {
                coin.reserved = false;
            }
        }
    }

    fn give_up(&mut self, name: &str, ctx: &mut Ctx<'_>, effects: &mut Vec<Effect>) -> Result<(), WalletError> {
        let Some(order) = self.orders.get_mut(name) else { return Ok(()) };
        order.giving_up = true;
        let carrying = self.newest_carrying(name);
        let Some((id, sent)) = carrying else {
            self.orders.remove(name);
            effects.push(Effect::Returned { name: name.to_owned() });
            return Ok(());
        };
        // The replacement spends all inputs of the transaction it replaces, so at most one of both is ever
        // included, whoever posts them.
        let inputs = self.spends(&sent);
        let orders: Vec<String> = sent
            .orders
            .iter()
            .filter(|name| self.orders.get(*name).is_some_and(|order| !order.giving_up))
            .cloned()
            .collect();
        self.send(inputs, orders, ctx, effects)?;
        effects.push(Effect::Drop(id));
        Ok(())
    }

    fn pay_waiting(&mut self, ctx: &mut Ctx<'_>, effects: &mut Vec<Effect>) -> Result<(), WalletError> {
        self.return_too_late(ctx, effects);
        let minimum = network::plain_output_minimum(ctx.params);
        let coins = self.spendable();
        let (mut paid, mut need, mut chosen) = (vec![], 0u64, None);
        // An order that cannot be paid now does not hold up those behind it.
        for name in self.waiting() {
            let Some(amount) = self.orders.get(&name).map(|order| order.amount) else { continue };
            let choice = need
                .checked_add(amount)
                .filter(|_| paid.len() < ORDERS_MAX)
                .and_then(|sum| choose(&coins, sum, minimum, build::COUNT_MAX - 1));
            match choice {
                Some(choice) => {
                    need += amount;
                    paid.push(name);
                    chosen = Some(choice);
                }
                None => self.say_insufficient(name, amount, &coins, effects),
            }
        }
        match chosen {
            Some(choice) => {
                let inputs = choice.coins.iter().map(|at| coins[*at].clone()).collect();
                self.send(inputs, paid, ctx, effects)
            }
            None => Ok(()),
        }
    }

    /// Once per order, and only when no change is under way that may cover it.
    fn say_insufficient(&mut self, name: String, need: u64, coins: &[Spend], effects: &mut Vec<Effect>) {
        let nothing_comes = self.sent.is_empty();
        let have = coins.iter().map(|spend| spend.amount).sum();
        if let Some(order) = self.orders.get_mut(&name).filter(|order| nothing_comes && !order.told && have < need) {
            order.told = true;
            effects.push(Effect::Insufficient { name, need, have });
        }
    }

    fn return_too_late(&mut self, ctx: &Ctx<'_>, effects: &mut Vec<Effect>) {
        for name in self.waiting() {
            let too_late = |order: &Order| order.expires.is_some_and(|at| ctx.now.saturating_add(ctx.margin) > at);
            if self.orders.get(&name).is_some_and(too_late) {
                self.orders.remove(&name);
                effects.push(Effect::Returned { name });
            }
        }
    }

    fn send(
        &mut self,
        inputs: Vec<Spend>,
        orders: Vec<String>,
        ctx: &mut Ctx<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), WalletError> {
        let minimum = network::plain_output_minimum(ctx.params);
        let mut outputs: Vec<([u8; 32], u64)> =
            orders.iter().filter_map(|name| self.orders.get(name)).map(|order| (order.to, order.amount)).collect();
        let total: u64 = inputs.iter().map(|spend| spend.amount).sum();
        let spent: u64 = outputs.iter().map(|(_, amount)| amount).sum();
        let rest = total
            .checked_sub(spent)
            .ok_or_else(|| WalletError::Build(format!("its inputs hold {total}, its outputs {spent}")))?;
        if rest >= minimum {
            outputs.push(((ctx.fresh)().1, rest));
        } else if rest > 0
            && let (Some(first), Some(name)) = (outputs.first_mut(), orders.first())
        {
            first.1 += rest;
            effects.push(Effect::Surplus { name: name.clone(), amount: rest });
        }
        let transaction = build::transaction(&inputs, &outputs, None, ctx.signer, ctx.params)
            .map_err(|error| WalletError::Build(error.to_string()))?;
        let id = *transaction.id();
        for spend in &inputs {
            self.signed.insert(spend.index);
            if let Some(coin) = self.coins.get_mut(&OutputKey::from(&spend.id)) {
                coin.reserved = true;
            }
        }
        self.serial += 1;
        let payload = Payload::from(transaction).pack_to_vec();
        let inputs = inputs.iter().map(|spend| OutputKey::from(&spend.id)).collect();
        self.sent.insert(id, Sent { inputs, orders, change: rest, serial: self.serial, payload: payload.clone() });
        effects.push(Effect::Post { id, serial: self.serial, payload });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
