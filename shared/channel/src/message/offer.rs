//! What the hub signs to open a channel, and the batch that carries every signature of a hub.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{Message, type_hash};
use crate::eip712::Words;
use crate::id::{Amount, Time};

/// The hub's offer to open a channel; the client shows it with its deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelOffer {
    /// Who may take it.
    pub client: Address,
    /// The asset; zero for the native one.
    pub asset: Address,
    /// The epoch it opens; an offer for another one is void, so it cannot be taken twice.
    pub epoch: u32,
    /// What the hub locks on its side.
    pub hub_amount: Amount,
    /// What the client pays the hub for it; at least the gas of a close.
    pub opening_fee: Amount,
    /// Before this time.
    pub valid_until: Time,
}

impl ChannelOffer {
    const TYPE: &str = "ChannelOffer(address client,address asset,uint32 epoch,uint128 hubAmount,uint128 openingFee,uint40 validUntil)";
}

impl Message for ChannelOffer {
    fn struct_hash(&self) -> B256 {
        let mut words = Words::of(type_hash!(ChannelOffer::TYPE));
        words.address(self.client).address(self.asset).number(self.epoch.into());
        words.amount(self.hub_amount).amount(self.opening_fee).time(self.valid_until).hash()
    }
}

/// The only thing a hub ever signs: the root over the digests of one or more messages ([`crate::tree::Batches`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    /// The root.
    pub root: B256,
}

impl Batch {
    const TYPE: &str = "Batch(bytes32 root)";
}

impl Message for Batch {
    fn struct_hash(&self) -> B256 {
        Words::of(type_hash!(Batch::TYPE)).word(self.root).hash()
    }
}
