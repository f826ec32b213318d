//! A token: one payment on its way from the payer's channel to the payee's.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{Message, type_hash};
use crate::eip712::Words;
use crate::id::{Amount, ChannelId, Seq, Time, TokenId};

/// How a token reaches its payee. The numbers are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum TokenKind {
    /// To a channel, all of it at once.
    Off = 1,
    /// To an on-chain balance, by the contract.
    On = 2,
    /// To a channel, as much as vouchers say.
    Metered = 3,
}

impl TokenKind {
    /// The kind with this number.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Off,
            2 => Self::On,
            3 => Self::Metered,
            _ => return None,
        })
    }
}

/// One payment. Its id is its hash, chosen whole by the payer before anyone signs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Where the money comes from.
    pub payer_channel: ChannelId,
    /// The state of that channel that detaches it.
    pub payer_seq: Seq,
    /// Its place among the tokens of that state.
    pub index: u16,
    /// OFF and METERED: the payee's channel id. ON: the payee's address, padded on the left.
    pub payee: B256,
    /// How it travels.
    pub kind: TokenKind,
    /// At most this reaches the payee.
    pub value: Amount,
    /// The hub's, if anything reaches the payee.
    pub fee: Amount,
    /// The payee proposes its attach before this time.
    pub attach_by: Time,
    /// A redemption (ON: the execution) starts before this time.
    pub redeem_by: Time,
    /// Claims on the payer's channel are shown before this time.
    pub claim_by: Time,
    /// OFF: SHA-256 of what must be revealed to be paid; zero for none.
    pub condition: B256,
    /// METERED: who signs the vouchers.
    pub voucher_key: Address,
    /// The payee's name for what is paid; it serves one token.
    pub invoice: B256,
}

impl Token {
    const TYPE: &str = "Token(bytes32 payerChannel,uint48 payerSeq,uint16 index,bytes32 payee,uint8 kind,uint128 value,\
        uint128 fee,uint40 attachBy,uint40 redeemBy,uint40 claimBy,bytes32 condition,address voucherKey,bytes32 invoice)";

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId(self.struct_hash())
    }

    /// Value and fee together, or nothing above `uint128`.
    #[must_use]
    pub const fn cost(&self) -> Option<Amount> {
        self.value.plus(self.fee)
    }

    /// Whether its fields fit its kind: a voucher key with METERED only, a condition with OFF only, a payee that can be paid,
    /// and times that the contract can read.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let keyed = (self.kind == TokenKind::Metered) != self.voucher_key.is_zero();
        let conditional = self.condition.is_zero() || self.kind == TokenKind::Off;
        let paid = self.kind != TokenKind::On || self.payee_address().is_some_and(|payee| !payee.is_zero());
        let readable = [self.attach_by, self.redeem_by, self.claim_by].iter().all(|time| *time <= Time::MAX);
        keyed && conditional && paid && readable && !self.value.is_zero() && self.cost().is_some()
    }

    /// The payee's channel, if it is paid into one.
    #[must_use]
    pub fn payee_channel(&self) -> Option<ChannelId> {
        (self.kind != TokenKind::On).then_some(ChannelId(self.payee))
    }

    /// The payee's address, if it is paid on chain: `None` also for a word that is no padded address.
    #[must_use]
    pub fn payee_address(&self) -> Option<Address> {
        let padded = self.payee[..12].iter().all(|&byte| byte == 0);
        (self.kind == TokenKind::On && padded).then(|| Address::from_word(self.payee))
    }
}

impl Message for Token {
    fn struct_hash(&self) -> B256 {
        let mut words = Words::of(type_hash!(Token::TYPE));
        words.word(self.payer_channel).seq(self.payer_seq).number(self.index.into()).word(self.payee);
        words.number((self.kind as u8).into()).amount(self.value).amount(self.fee);
        words.time(self.attach_by).time(self.redeem_by).time(self.claim_by);
        words.word(self.condition).address(self.voucher_key).word(self.invoice).hash()
    }
}
