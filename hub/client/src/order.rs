//! What a user wants of a channel, until it is an operation of a state.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tarefa_chain::Key;
use tarefa_channel::client::{Client, ClientError};
use tarefa_channel::id::payee_address;
use tarefa_channel::message::{Op, OpKind, Token, TokenKind};
use tarefa_channel::sign::Signer as _;
use tarefa_channel::terms::Terms;
use tarefa_channel::{Amount, ChannelId, Time, TokenId};

use crate::fault::ClientFault;

/// What a payee asks for. It gives id, payee and condition to the payer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// Its name: random.
    pub id: B256,
    /// The payee's channel.
    pub payee: ChannelId,
    /// At most this much.
    pub cap: Amount,
    /// Before this time.
    pub expires: Time,
    /// SHA-256 of what the payee reveals when it is paid; zero for none.
    pub condition: B256,
    /// What it reveals; zero for nothing. Not shown before.
    pub preimage: B256,
    /// The token that has paid it.
    pub paid: Option<TokenId>,
}

/// A payment to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pay {
    /// OFF or METERED into a channel, ON to an address.
    pub kind: TokenKind,
    /// The payee's channel id, or its address padded on the left.
    pub payee: B256,
    /// How much; METERED: at most.
    pub value: Amount,
    /// The payee's invoice; zero for ON.
    pub invoice: B256,
    /// The invoice's condition; zero for none.
    pub condition: B256,
    /// Seconds that the payee has to take it.
    pub lifetime: u64,
}

impl Pay {
    /// To an address on chain.
    #[must_use]
    pub fn on(to: Address, value: Amount, lifetime: u64) -> Self {
        let (invoice, condition) = (B256::ZERO, B256::ZERO);
        Self { kind: TokenKind::On, payee: payee_address(to), value, invoice, condition, lifetime }
    }
}

/// Something that becomes an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A payment.
    Pay(Pay),
    /// An operation without a new token.
    Op(Op),
    /// The last state.
    Last,
}

impl Order {
    /// Whether it makes a new token.
    #[must_use]
    pub const fn pays(&self) -> bool {
        matches!(self, Self::Pay(_))
    }

    /// Whether a state with it is kept where the hub refuses it: it takes what was earned, or ends the channel.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        *self == Self::Last || matches!(self, Self::Op(op) if op.kind == OpKind::Attach)
    }

    /// Whether it may be in a state that is kept: what can be redeemed or settled elsewhere, and the end.
    #[must_use]
    pub fn may_be_kept(&self) -> bool {
        *self == Self::Last || matches!(self, Self::Op(op) if op.kind.may_be_kept())
    }

    /// The token of this payer that it ends, which makes room for another.
    #[must_use]
    pub fn ends(&self) -> Option<B256> {
        match self {
            Self::Op(op) if ends(op) => Some(op.token),
            _ => None,
        }
    }
}

/// Whether an operation ends a token of this payer.
#[must_use]
pub const fn ends(op: &Op) -> bool {
    matches!(op.kind, OpKind::Settle | OpKind::Refund)
}

/// Operations of one state, from several orders.
pub struct Built {
    /// The operations.
    pub ops: Vec<Op>,
    /// The tokens that they detach.
    pub tokens: Vec<Token>,
    /// Whether it is the last state.
    pub last: bool,
}

/// The key that signs the vouchers of a token: of this token alone, and made again from the client's secret.
pub fn voucher_key(secret: &[u8; 32], seq: u64, index: u16) -> Result<Key, ClientFault> {
    let mut input = b"tarefa voucher key".to_vec();
    input.extend_from_slice(secret);
    input.extend_from_slice(&seq.to_be_bytes());
    input.extend_from_slice(&index.to_be_bytes());
    let key = Key::new(alloy_primitives::keccak256(&input).0);
    zeroize::Zeroize::zeroize(&mut input);
    Ok(key?)
}

/// Seconds before `attach_by` from which on a payee takes no such token any more, or no more vouchers for it: what a payer gives beyond its
/// lifetime, or under long margins nobody could take what was meant for minutes.
const fn room(kind: TokenKind, terms: &Terms) -> u64 {
    match kind {
        TokenKind::Off | TokenKind::On => terms.inclusion + 1,
        // It is attached early enough to hear the hub refuse it, and to redeem it then.
        TokenKind::Metered => terms.ask() + terms.margin() + 1,
    }
}

/// Makes the next state's operations of these orders.
pub fn build(
    orders: &[Order],
    client: &Client,
    terms: &Terms,
    now: Time,
    secret: &[u8; 32],
) -> Result<Built, ClientFault> {
    let seq = client.next_seq()?;
    let mut built = Built { ops: vec![], tokens: vec![], last: false };
    for order in orders {
        match order {
            Order::Op(op) => built.ops.push(*op),
            Order::Last => built.last = true,
            Order::Pay(pay) => {
                let index =
                    u16::try_from(built.tokens.len()).map_err(|_| ClientFault::asked("too many payments at once"))?;
                let metered = pay.kind == TokenKind::Metered;
                let voucher_key =
                    if metered { voucher_key(secret, seq.get(), index)?.address() } else { Address::ZERO };
                let attach_by = now.after(room(pay.kind, terms)).after(pay.lifetime);
                let (redeem_by, claim_by) = terms.deadlines(attach_by);
                let token = Token {
                    payer_channel: client.id,
                    payer_seq: seq,
                    index,
                    payee: pay.payee,
                    kind: pay.kind,
                    value: pay.value,
                    fee: terms.fee_of(pay.kind),
                    attach_by,
                    redeem_by,
                    claim_by,
                    condition: if metered { B256::ZERO } else { pay.condition },
                    voucher_key,
                    invoice: pay.invoice,
                };
                terms.check_deadlines(&token, now).map_err(|error| ClientFault::asked(error.to_string()))?;
                let cost = token.cost().filter(|_| token.is_well_formed());
                let cost = cost.ok_or_else(|| ClientFault::asked("the payment is of nothing, or to nobody"))?;
                if cost > client.position.balances.client {
                    let words =
                        format!("{cost} with the fee is more than the channel's {}", client.position.balances.client);
                    return Err(ClientFault::Asked(words));
                }
                built.ops.push(Op::on(OpKind::Detach, token.id(), cost));
                built.tokens.push(token);
            }
        }
    }
    if built.ops.len() > tarefa_channel::limits::OPS {
        return Err(ClientError::Busy.into());
    }
    Ok(built)
}

#[cfg(test)]
mod tests;
