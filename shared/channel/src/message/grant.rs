//! What the hub gives for a token, and what a payee gives to have it redeemed by another.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{Message, type_hash};
use crate::eip712::Words;
use crate::id::{Seq, StateHash, Time, TokenId};

/// The hub's word that it pays a token (the seed's proof of detachment). It counts as the hub's signature on the
/// payer's state that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The token.
    pub token: TokenId,
    /// Its number among the tokens to this payee's channel; zero for ON tokens.
    pub payee_seq: Seq,
    /// The payer's state that detaches it.
    pub payer_state: StateHash,
}

impl Grant {
    const TYPE: &str = "Grant(bytes32 token,uint48 payeeSeq,bytes32 payerState)";
}

impl Message for Grant {
    fn struct_hash(&self) -> B256 {
        Words::of(type_hash!(Grant::TYPE)).word(self.token).seq(self.payee_seq).word(self.payer_state).hash()
    }
}

/// The payee's leave to start the redemption of a token in its name (rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedeemAuth {
    /// The token.
    pub token: TokenId,
    /// Who may start it.
    pub submitter: Address,
    /// Before this time.
    pub until: Time,
}

impl RedeemAuth {
    const TYPE: &str = "RedeemAuth(bytes32 token,address submitter,uint40 until)";
}

impl Message for RedeemAuth {
    fn struct_hash(&self) -> B256 {
        Words::of(type_hash!(RedeemAuth::TYPE)).word(self.token).address(self.submitter).time(self.until).hash()
    }
}
