//! What a hub's store holds of a channel and of a token.

use std::sync::Arc;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::contract::{HubWord, Owner, Signed};
use crate::id::{Amount, ChannelId, Seq, TokenId};
use crate::message::{Grant, Receipt, State, Token, Voucher};
use crate::sign::{HubSignature, Signature};
use crate::transition::Position;

/// A channel: one row, updated in place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubChannel {
    /// Whose.
    pub owner: Owner,
    /// Its epoch.
    pub epoch: u32,
    /// Its id.
    pub id: ChannelId,
    /// The newest doubly-signed state; none for the implicit one.
    pub newest: Option<Signed>,
    /// Where the channel stands by it.
    pub position: Position,
    /// Values of the tokens granted to this payee that it has not attached, declined or redeemed.
    pub reserved: Amount,
    /// The next payee sequence.
    pub next_payee_seq: Seq,
    /// Amounts attached by payees and not settled by this payer.
    pub unsettled: Amount,
    /// Credited redemptions that the newest state acknowledges.
    pub acknowledged: Amount,
}

impl HubChannel {
    /// A channel that has just been opened.
    #[must_use]
    pub fn opened(owner: Owner, epoch: u32, id: ChannelId, client_in: Amount, hub_in: Amount) -> Self {
        Self {
            owner,
            epoch,
            id,
            newest: None,
            position: Position::opening(client_in, hub_in),
            reserved: Amount::ZERO,
            next_payee_seq: Seq::ZERO,
            unsettled: Amount::ZERO,
            acknowledged: Amount::ZERO,
        }
    }

    /// The newest doubly-signed state.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.newest.as_ref().map(|signed| &signed.state)
    }

    /// Puts the hub's word on its state of this number in, if that is the newest.
    pub fn signed(&mut self, seq: Seq, word: &HubWord) {
        if let Some(newest) = self.newest.as_mut().filter(|newest| newest.state.seq == seq) {
            newest.hub = word.clone();
        }
    }

    /// Its number.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.state().map_or(Seq::ZERO, |state| state.seq)
    }

    /// Whether it is the last one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.state().is_some_and(|state| state.last)
    }
}

/// How far a granted token is, off chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The hub has promised it.
    Granted,
    /// The payee has it; the receipt is for the payer.
    Attached {
        /// How much.
        amount: Amount,
        /// The payee's state, opened.
        receipt: Arc<Receipt>,
        /// The payee's signature of it.
        signature: Signature,
    },
    /// The payee gave it up; what shows that is for the payer. Without, where the payee only said so (rule 10 off).
    Declined(Option<(Arc<Receipt>, Signature)>),
    /// The payer's channel is done with it; its receipt, where it was attached, can still be asked for.
    Landed(Option<(Arc<Receipt>, Signature)>),
}

impl Stage {
    /// What shows the payer what the payee did with it: the payee's state, opened, and its signature of that.
    #[must_use]
    pub fn shown(&self) -> Option<(&Receipt, Signature)> {
        match self {
            Self::Attached { receipt, signature, .. } => Some((receipt, *signature)),
            Self::Declined(shown) | Self::Landed(shown) => shown.as_ref().map(|(receipt, by)| (&**receipt, *by)),
            Self::Granted => None,
        }
    }
}

/// A token: one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubToken {
    /// The token.
    pub token: Token,
    /// The hub's promise.
    pub grant: Grant,
    /// The signature of it.
    pub hub: HubSignature,
    /// How far it is.
    pub stage: Stage,
    /// METERED: the voucher it was attached with.
    pub voucher: Option<(Voucher, Signature)>,
    /// What met its condition; the payer gets it with the receipt.
    pub preimage: B256,
}

impl HubToken {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.grant.token
    }

    /// The word that makes the state which detached it doubly signed.
    #[must_use]
    pub fn word(&self) -> HubWord {
        HubWord::Grant(self.grant, self.hub.clone())
    }
}
