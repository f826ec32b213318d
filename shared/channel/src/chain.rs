//! What a party knows of the chain: good news when it is final, bad news at once (rule 16).

use alloy_primitives::Address;

use crate::contract::{Owner, Redemption, Row};
use crate::id::{Amount, ChannelId, Time, TokenId};
use crate::message::Opening;

/// A view of the contract, kept by whoever watches it.
///
/// What may still be replaced has plain names; `final_…` is what is older than the reorg margin.
pub trait Chain {
    /// Time of the newest block.
    fn now(&self) -> Time;
    /// Time of the newest final block.
    fn final_time(&self) -> Time;
    /// A channel.
    fn row(&self, owner: Owner) -> Row;
    /// A channel, finally.
    fn final_row(&self, owner: Owner) -> Row;
    /// A redemption, or the execution of an ON token.
    fn redemption(&self, token: TokenId) -> Option<Redemption>;
    /// The same, finally.
    fn final_redemption(&self, token: TokenId) -> Option<Redemption>;
    /// All that redemptions have moved from the hub's side of a channel to its client's, finally, in the epoch that runs.
    fn final_credited(&self, owner: Owner) -> Amount;
    /// The largest claim on a token of a payer.
    fn claim(&self, payer: ChannelId, token: TokenId) -> Amount;
    /// The state that the contract enforces, as its event showed it; none for the implicit one.
    fn enforced(&self, owner: Owner) -> Option<Opening>;
    /// Whose channel this is; also of one that has ended, while tokens to it can be claimed.
    fn owner(&self, channel: ChannelId) -> Option<Owner>;
    /// Its epoch.
    fn epoch(&self, channel: ChannelId) -> Option<u32>;
    /// Whether the newest block is young enough to decide by (rule 16: a head older than [`crate::limits::HEAD_AGE`] shows nothing).
    fn is_fresh(&self) -> bool;
    /// Whether this is a signer of the hub whose announcement is final (rule 16) and whose revocation is not announced.
    fn trusted(&self, signer: Address) -> bool;
    /// When the revocation of this signer takes effect; none where none is announced.
    fn revoked_from(&self, signer: Address) -> Option<Time>;
}

/// Everything a machine is given besides its input: no machine asks a clock or a key store.
pub struct Ctx<'a, C, K, R = crate::rules::Every> {
    /// The chain as this party sees it.
    pub chain: &'a C,
    /// Signs for this party, and recovers other signers.
    pub keys: &'a K,
    /// The terms of the hub.
    pub terms: &'a crate::terms::Terms,
    /// The domain of the contract.
    pub domain: &'a crate::eip712::Domain,
    /// The rules that hold.
    pub rules: R,
}
