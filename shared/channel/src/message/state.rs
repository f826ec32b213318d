//! The state of a channel (the seed's *propose*), its balances and operations, and the receipt it opens into.

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

use super::{Message, type_hash};
use crate::eip712::{Domain, Words};
use crate::id::{Amount, ChannelId, Digest, Seq, StateHash, TokenId};

/// Who owns what, and which of the contract's counters this already counts in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balances {
    /// The client's free share.
    pub client: Amount,
    /// The hub's free share.
    pub hub: Amount,
    /// Value and fees of the tokens in flight.
    pub pending: Amount,
    /// Deposits to the client's side (and redemptions credited to it) that this state knows of.
    pub client_in: Amount,
    /// All the client ever booked out of the channel.
    pub client_out: Amount,
    /// Deposits to the hub's side that this state knows of.
    pub hub_in: Amount,
    /// All the hub ever booked out (and redemptions charged to it) that this state knows of.
    pub hub_out: Amount,
    /// Executed ON tokens that this state knows of.
    pub on_out: Amount,
    /// How many tokens are in flight.
    pub pending_count: u16,
    /// Root of the tree over their ids ([`crate::tree::pending_root`]).
    pub pending_root: B256,
    /// Every payee sequence below is consumed; `uint48`.
    pub floor: Seq,
    /// Bit n: payee sequence `floor + n` is consumed.
    pub window: U256,
}

impl Balances {
    const TYPE: &str = "Balances(uint128 client,uint128 hub,uint128 pending,uint128 clientIn,uint128 clientOut,\
        uint128 hubIn,uint128 hubOut,uint128 onOut,uint16 pendingCount,bytes32 pendingRoot,uint48 floor,uint256 window)";

    /// Whether the shares are what came in less what went out, by this state's own counters (rule 2).
    #[must_use]
    pub fn conserves(&self) -> bool {
        let sum = |amounts: &[Amount]| amounts.iter().map(|amount| U256::from(amount.0)).sum::<U256>();
        let shares = sum(&[self.client, self.hub, self.pending]);
        shares + sum(&[self.client_out, self.hub_out, self.on_out]) == sum(&[self.client_in, self.hub_in])
    }
}

impl Message for Balances {
    fn struct_hash(&self) -> B256 {
        let mut words = Words::of(type_hash!(Balances::TYPE));
        words.amount(self.client).amount(self.hub).amount(self.pending);
        words.amount(self.client_in).amount(self.client_out).amount(self.hub_in).amount(self.hub_out);
        words.amount(self.on_out).number(self.pending_count.into()).word(self.pending_root);
        words.seq(self.floor).word(self.window).hash()
    }
}

/// What an operation does. The numbers are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum OpKind {
    /// Payer: value and fee of a token leave the client's share for the pending ones.
    Detach = 1,
    /// Payee: the amount of a token moves from the hub's share to the client's.
    Attach = 2,
    /// Payer: a paid token leaves the pending ones; the hub gets amount and fee, the client the rest.
    Settle = 3,
    /// Payer: an unpaid token goes back to the client.
    Refund = 4,
    /// Payee: gives up a token; its payee sequence is consumed.
    Decline = 5,
    /// Acknowledges what the contract has taken in: see [`crate::transition`] for what `token` then names.
    In = 6,
    /// The client books money out of the channel.
    OutClient = 7,
    /// The hub books money out of the channel.
    OutHub = 8,
}

impl OpKind {
    /// Whether it may be in a state that its client keeps where the hub refuses it: what can be redeemed or settled without the hub. Anything
    /// else in such a state closes the channel after the hub's patience.
    #[must_use]
    pub const fn may_be_kept(self) -> bool {
        matches!(self, Self::Attach | Self::Decline | Self::Settle)
    }

    /// The operation with this number.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Detach,
            2 => Self::Attach,
            3 => Self::Settle,
            4 => Self::Refund,
            5 => Self::Decline,
            6 => Self::In,
            7 => Self::OutClient,
            8 => Self::OutHub,
            _ => return None,
        })
    }
}

/// One step from a state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Op {
    /// What it does.
    pub kind: OpKind,
    /// The token it is about; see [`crate::transition`] for the kinds without one.
    pub token: B256,
    /// How much; zero for REFUND and DECLINE.
    pub amount: Amount,
}

impl Op {
    const TYPE: &str = "Op(uint8 kind,bytes32 token,uint128 amount)";

    /// An operation on a token.
    #[must_use]
    pub const fn on(kind: OpKind, token: TokenId, amount: Amount) -> Self {
        Self { kind, token: token.0, amount }
    }

    /// An operation without a token.
    #[must_use]
    pub const fn of(kind: OpKind, amount: Amount) -> Self {
        Self { kind, token: B256::ZERO, amount }
    }
}

impl Message for Op {
    fn struct_hash(&self) -> B256 {
        Words::of(type_hash!(Op::TYPE)).number((self.kind as u8).into()).word(self.token).amount(self.amount).hash()
    }
}

/// A state of a channel. It counts once client and hub have both signed it; the highest `seq` wins (rule 1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The channel.
    pub channel: ChannelId,
    /// Its number.
    pub seq: Seq,
    /// The last state of its channel: signing it forbids any higher one (rule 4).
    pub last: bool,
    /// Who owns what.
    pub balances: Balances,
    /// What was done since the state before.
    pub ops: Vec<Op>,
}

impl State {
    fn type_hash() -> B256 {
        static TYPE: std::sync::LazyLock<B256> = std::sync::LazyLock::new(|| {
            let own = "State(bytes32 channel,uint48 seq,bool last,Balances balances,Op[] ops)";
            alloy_primitives::keccak256([own, Balances::TYPE, Op::TYPE].concat())
        });
        *TYPE
    }

    /// `hashStruct` of it.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        StateHash(self.struct_hash())
    }

    /// What the contract shows of it once it is enforced.
    #[must_use]
    pub fn opening(&self) -> Opening {
        let ops = Words::array(self.ops.iter().map(Message::struct_hash));
        Opening { last: self.last, balances: self.balances.clone(), ops }
    }

    /// The receipt that this state is, once its client has signed it.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt {
            channel: self.channel,
            seq: self.seq,
            last: self.last,
            balances: self.balances.struct_hash(),
            ops: self.ops.clone(),
        }
    }
}

/// The enforced state as far as the end of its channel needs it: its event shows it, so that who has lost its store can end the
/// channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// Whether it is the last of its channel.
    pub last: bool,
    /// Who owns what.
    pub balances: Balances,
    /// Hash of the array of its operations.
    pub ops: B256,
}

impl Opening {
    /// `hashStruct` of the state of a channel with this number and opening.
    #[must_use]
    pub fn hash(&self, channel: ChannelId, seq: Seq) -> StateHash {
        let mut words = Words::of(State::type_hash());
        words.word(channel).seq(seq).flag(self.last).word(self.balances.struct_hash());
        StateHash(words.word(self.ops).hash())
    }
}

impl Message for State {
    fn struct_hash(&self) -> B256 {
        self.receipt().struct_hash()
    }
}

/// A state opened without its balances: it shows which tokens the payee attached, and nobody's share. The
/// payee's ordinary signature of the state is the payment receipt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The payee's channel.
    pub channel: ChannelId,
    /// The number of the state.
    pub seq: Seq,
    /// Whether it is the last of its channel.
    pub last: bool,
    /// `hashStruct` of the balances.
    pub balances: B256,
    /// The operations.
    pub ops: Vec<Op>,
}

impl Receipt {
    /// What this receipt says was received of a token: the sum is never needed, a token is attached once.
    #[must_use]
    pub fn attached(&self, token: TokenId) -> Option<Amount> {
        let found = self.ops.iter().find(|op| op.kind == OpKind::Attach && op.token == token.0);
        found.map(|op| op.amount)
    }

    /// What the payee signed: the digest of the state it opens.
    #[must_use]
    pub fn state_digest(&self, domain: &Domain) -> Digest {
        self.digest(domain)
    }
}

impl Message for Receipt {
    fn struct_hash(&self) -> B256 {
        let mut words = Words::of(State::type_hash());
        words.word(self.channel).seq(self.seq).flag(self.last).word(self.balances);
        words.word(Words::array(self.ops.iter().map(Message::struct_hash))).hash()
    }
}
