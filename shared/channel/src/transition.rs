//! What a state may follow: the operations applied to the position before give the balances after, to the unit.
//!
//! `Op::token` names a token, but for these: IN of a deposit names the side it was credited to ([`side_word`]), OUT_CLIENT
//! and OUT_HUB name nothing (zero).

use std::collections::BTreeSet;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{Amount, Seq, TokenId};
use crate::limits;
use crate::message::{Balances, Op, OpKind, State, Token, TokenKind};
use crate::tree::pending_root;
use crate::window::{self, WindowError};

/// A side of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    /// The channel's client.
    Client = 0,
    /// The hub.
    Hub = 1,
}

/// What `Op::token` of an IN says of a deposit: 0 for the client's side, 1 for the hub's. No token has such an id.
#[must_use]
pub fn side_word(side: Side) -> B256 {
    B256::with_last_byte(side as u8)
}

/// What the parties know of a token besides the states.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The token.
    pub token: &'a Token,
    /// Its payee sequence; zero for ON.
    pub payee_seq: Seq,
}

/// Finds the tokens that operations name.
pub trait Tokens {
    /// What is known of a token.
    fn known(&self, id: TokenId) -> Option<Known<'_>>;
}

/// The new state does not follow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransitionError {
    /// It is for another channel.
    #[error("the state is for another channel")]
    Channel,
    /// Its number is not above the newest one.
    #[error("state {0} is not above the newest one, {1}: ask for the newest state and build on it")]
    Stale(u64, u64),
    /// The channel has had its last state.
    #[error("the channel has signed its last state: it can only be closed")]
    Last,
    /// A last state with tokens in flight.
    #[error("a last state cannot have tokens in flight, this one has {0}")]
    LastPending(u16),
    /// Too many operations.
    #[error("{0} operations in one state, at most {limit}: send them in several", limit = limits::OPS)]
    Ops(usize),
    /// Too many tokens in flight.
    #[error("more than {limit} tokens in flight: settle some first", limit = limits::PENDING)]
    Pending,
    /// An operation names a token nobody has heard of.
    #[error("operation {0} names an unknown token")]
    Unknown(usize),
    /// A token is detached twice, or settled without being in flight.
    #[error("operation {0} does not fit what is in flight")]
    Flight(usize),
    /// An amount is not what the token says.
    #[error("operation {0} has an amount that its token does not allow")]
    Amount(usize),
    /// A share would fall below zero or rise above `uint128`.
    #[error("operation {0} takes more than the share it takes it from")]
    Share(usize),
    /// A payee sequence.
    #[error("operation {0}: {1}")]
    Window(usize, WindowError),
    /// A field that the kind of operation does not use is set.
    #[error("operation {0} is malformed")]
    Malformed(usize),
    /// The balances are not what the operations make of the ones before.
    #[error("the balances are not what the operations make of the state before")]
    Balances,
}

/// Where a channel stands: balances, and the ids behind their `pending_root`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Who owns what.
    pub balances: Balances,
    /// The tokens in flight.
    pub pending: BTreeSet<TokenId>,
}

impl Position {
    /// The implicit state with number 0: everything the contract took in belongs to the side credited (1.7).
    #[must_use]
    pub fn opening(client_in: Amount, hub_in: Amount) -> Self {
        let balances = Balances { client: client_in, hub: hub_in, client_in, hub_in, ..Balances::default() };
        Self { balances, pending: BTreeSet::new() }
    }

    /// Where the channel stands after these operations.
    ///
    /// # Errors
    /// Names the first operation that does not fit, by its place.
    pub fn after(&self, ops: &[Op], tokens: &impl Tokens) -> Result<Self, TransitionError> {
        if ops.len() > limits::OPS {
            return Err(TransitionError::Ops(ops.len()));
        }
        let mut next = self.clone();
        for (place, op) in ops.iter().enumerate() {
            next.apply(op, tokens, place)?;
        }
        if next.pending.len() > limits::PENDING {
            return Err(TransitionError::Pending);
        }
        if next.pending != self.pending {
            let ids: Vec<TokenId> = next.pending.iter().copied().collect();
            next.balances.pending_root = pending_root(&ids);
            next.balances.pending_count = u16::try_from(ids.len()).expect("at most 32");
        }
        Ok(next)
    }

    /// Checks that a state with this position before it says what its operations make of it.
    ///
    /// # Errors
    /// Names what does not follow.
    pub fn follow(&self, newest: (Seq, bool), state: &State, tokens: &impl Tokens) -> Result<Self, TransitionError> {
        let (seq, last) = newest;
        if last {
            return Err(TransitionError::Last);
        }
        if state.seq <= seq {
            return Err(TransitionError::Stale(state.seq.get(), seq.get()));
        }
        let next = self.after(&state.ops, tokens)?;
        if next.balances != state.balances {
            return Err(TransitionError::Balances);
        }
        if state.last && next.balances.pending_count > 0 {
            return Err(TransitionError::LastPending(next.balances.pending_count));
        }
        Ok(next)
    }

    fn apply(&mut self, op: &Op, tokens: &impl Tokens, place: usize) -> Result<(), TransitionError> {
        let known = || tokens.known(TokenId(op.token)).ok_or(TransitionError::Unknown(place));
        match op.kind {
            OpKind::Detach => self.detach(op, known()?.token, place),
            OpKind::Attach => self.attach(op, known()?, place),
            OpKind::Settle => self.settle(op, known()?.token, place),
            OpKind::Refund => self.refund(op, known()?.token, place),
            OpKind::Decline => self.decline(op, known()?, place),
            OpKind::In => self.acknowledge(op, tokens, place),
            OpKind::OutClient | OpKind::OutHub => self.out(op, place),
        }
    }

    fn detach(&mut self, op: &Op, token: &Token, place: usize) -> Result<(), TransitionError> {
        if token.cost() != Some(op.amount) || token.value.is_zero() {
            return Err(TransitionError::Amount(place));
        }
        if !self.pending.insert(TokenId(op.token)) {
            return Err(TransitionError::Flight(place));
        }
        take(&mut self.balances.client, op.amount, place)?;
        give(&mut self.balances.pending, op.amount, place)
    }

    fn attach(&mut self, op: &Op, known: Known<'_>, place: usize) -> Result<(), TransitionError> {
        let fits = match known.token.kind {
            TokenKind::Off => op.amount == known.token.value,
            TokenKind::Metered => op.amount <= known.token.value && !op.amount.is_zero(),
            TokenKind::On => false,
        };
        if !fits {
            return Err(TransitionError::Amount(place));
        }
        take(&mut self.balances.hub, op.amount, place)?;
        give(&mut self.balances.client, op.amount, place)?;
        window::consume(&mut self.balances, known.payee_seq).map_err(|error| TransitionError::Window(place, error))
    }

    fn settle(&mut self, op: &Op, token: &Token, place: usize) -> Result<(), TransitionError> {
        let fits = match token.kind {
            TokenKind::Off | TokenKind::On => op.amount == token.value,
            TokenKind::Metered => op.amount <= token.value && !op.amount.is_zero(),
        };
        if !fits {
            return Err(TransitionError::Amount(place));
        }
        let cost = self.land(op, token, place)?;
        let to_hub = op.amount.plus(token.fee).ok_or(TransitionError::Share(place))?;
        give(&mut self.balances.client, cost.beyond(to_hub), place)?;
        if token.kind == TokenKind::On {
            give(&mut self.balances.on_out, op.amount, place)?;
            return give(&mut self.balances.hub, token.fee, place);
        }
        give(&mut self.balances.hub, to_hub, place)
    }

    fn refund(&mut self, op: &Op, token: &Token, place: usize) -> Result<(), TransitionError> {
        if !op.amount.is_zero() {
            return Err(TransitionError::Malformed(place));
        }
        let cost = self.land(op, token, place)?;
        give(&mut self.balances.client, cost, place)
    }

    /// Takes a token out of flight, and its value and fee from the pending share.
    fn land(&mut self, op: &Op, token: &Token, place: usize) -> Result<Amount, TransitionError> {
        if !self.pending.remove(&TokenId(op.token)) {
            return Err(TransitionError::Flight(place));
        }
        let cost = token.cost().ok_or(TransitionError::Share(place))?;
        take(&mut self.balances.pending, cost, place)?;
        Ok(cost)
    }

    fn decline(&mut self, op: &Op, known: Known<'_>, place: usize) -> Result<(), TransitionError> {
        if !op.amount.is_zero() || known.token.kind == TokenKind::On {
            return Err(TransitionError::Malformed(place));
        }
        window::consume(&mut self.balances, known.payee_seq).map_err(|error| TransitionError::Window(place, error))
    }

    fn acknowledge(&mut self, op: &Op, tokens: &impl Tokens, place: usize) -> Result<(), TransitionError> {
        if op.amount.is_zero() {
            return Err(TransitionError::Malformed(place));
        }
        let balances = &mut self.balances;
        if op.token == side_word(Side::Client) {
            give(&mut balances.client_in, op.amount, place)?;
            return give(&mut balances.client, op.amount, place);
        }
        if op.token == side_word(Side::Hub) {
            give(&mut balances.hub_in, op.amount, place)?;
            return give(&mut balances.hub, op.amount, place);
        }
        let known = tokens.known(TokenId(op.token)).ok_or(TransitionError::Unknown(place))?;
        take(&mut balances.hub, op.amount, place)?;
        give(&mut balances.hub_out, op.amount, place)?;
        give(&mut balances.client, op.amount, place)?;
        give(&mut balances.client_in, op.amount, place)?;
        window::consume(balances, known.payee_seq).map_err(|error| TransitionError::Window(place, error))
    }

    fn out(&mut self, op: &Op, place: usize) -> Result<(), TransitionError> {
        if op.amount.is_zero() || op.token != B256::ZERO {
            return Err(TransitionError::Malformed(place));
        }
        let Balances { client, client_out, hub, hub_out, .. } = &mut self.balances;
        let (share, out) = if op.kind == OpKind::OutClient { (client, client_out) } else { (hub, hub_out) };
        take(share, op.amount, place)?;
        give(out, op.amount, place)
    }
}

fn take(share: &mut Amount, amount: Amount, place: usize) -> Result<(), TransitionError> {
    *share = share.minus(amount).ok_or(TransitionError::Share(place))?;
    Ok(())
}

fn give(share: &mut Amount, amount: Amount, place: usize) -> Result<(), TransitionError> {
    *share = share.plus(amount).ok_or(TransitionError::Share(place))?;
    Ok(())
}
