//! What a client keeps of a token, on either side of it.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::contract::RedemptionStatus;
use crate::id::Amount;
use crate::message::{Grant, Token, TokenKind, Voucher};
use crate::sign::{HubSignature, Signature};

/// A token this client pays with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paying {
    /// The token.
    pub token: Token,
    /// The hub's promise, once it has answered.
    pub grant: Option<(Grant, HubSignature)>,
    /// METERED: the largest amount vouched for without a condition.
    pub vouched: Amount,
    /// METERED: the last voucher, if it has a condition: its amount, and the condition.
    pub conditional: Option<(Amount, B256)>,
    /// What the payee has shown it received: the token can be settled.
    pub paid: Option<Amount>,
    /// What met the condition.
    pub preimage: Option<B256>,
    /// The payee gave it up: it can be refunded.
    pub declined: bool,
}

impl Paying {
    /// A token that is about to be detached.
    #[must_use]
    pub const fn new(token: Token) -> Self {
        Self {
            token,
            grant: None,
            vouched: Amount::ZERO,
            conditional: None,
            paid: None,
            preimage: None,
            declined: false,
        }
    }
}

/// A token this client earns with. It is kept until a doubly-signed state has consumed its payee sequence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Earning {
    /// The token.
    pub token: Token,
    /// The hub's promise.
    pub grant: Grant,
    /// The signature of it.
    pub hub: HubSignature,
    /// METERED: the largest voucher.
    pub voucher: Option<(Voucher, Signature)>,
    /// What meets the condition, if this client has it.
    pub preimage: Option<B256>,
    /// METERED: cash in now, do not wait for more vouchers.
    pub collecting: bool,
}

impl Earning {
    /// What this client has earned with it so far.
    #[must_use]
    pub fn earned(&self) -> Amount {
        match self.token.kind {
            TokenKind::Off | TokenKind::On => self.token.value,
            TokenKind::Metered => self.voucher.map_or(Amount::ZERO, |(voucher, _)| voucher.cumulative),
        }
    }

    /// The condition on what has been earned; zero for none.
    #[must_use]
    pub fn condition(&self) -> B256 {
        self.voucher.map_or(self.token.condition, |(voucher, _)| voucher.condition)
    }

    /// Whether a redemption in this status still leaves something to redeem.
    pub(super) fn can_redeem(&self, found: Option<(RedemptionStatus, Amount)>) -> bool {
        match found {
            None => true,
            Some((RedemptionStatus::Pending, amount)) => amount < self.earned(),
            Some(_) => false,
        }
    }
}
