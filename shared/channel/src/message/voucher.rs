//! A voucher: how much of a METERED token the payee has earned so far.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::{Message, type_hash};
use crate::eip712::Words;
use crate::id::{Amount, TokenId};

/// Signed by the token's `voucher_key` once per period; the largest one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    /// The METERED token.
    pub token: TokenId,
    /// Earned since the token began: never a sum of ticks.
    pub cumulative: Amount,
    /// What it pays for, in the words of the market.
    pub usage: B256,
    /// SHA-256 of what must be revealed for it to count; zero for none.
    pub condition: B256,
}

impl Voucher {
    const TYPE: &str = "Voucher(bytes32 token,uint128 cumulative,bytes32 usage,bytes32 condition)";
}

impl Message for Voucher {
    fn struct_hash(&self) -> B256 {
        let mut words = Words::of(type_hash!(Voucher::TYPE));
        words.word(self.token).amount(self.cumulative).word(self.usage).word(self.condition).hash()
    }
}
