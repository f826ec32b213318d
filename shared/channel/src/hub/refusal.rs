//! Why a hub does not sign. A refusal changes nothing and binds nobody.

use thiserror::Error;

use crate::id::TokenId;
use crate::terms::DeadlineError;
use crate::transition::TransitionError;

/// Why a hub does not sign a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The hub does not see the chain.
    #[error("the hub does not see the chain at present: try again")]
    Blind,
    /// No such channel.
    #[error("this hub has no such channel")]
    UnknownChannel,
    /// The signature is not its client's.
    #[error("not signed by the channel's client")]
    Signature,
    /// The state does not follow the newest one (409): the answer carries that one.
    #[error("conflict: {0}")]
    Conflict(TransitionError),
    /// The channel is closing or closed on chain.
    #[error("the channel is not open on chain")]
    NotOpen,
    /// A token names another state or place than the one that detaches it.
    #[error("token {0} does not name the state and place that detach it")]
    Misnamed(TokenId),
    /// A token is not in the proposal.
    #[error("the proposal does not carry all the tokens it detaches")]
    Missing,
    /// Deadlines.
    #[error("token {0}: {1}")]
    Deadline(TokenId, DeadlineError),
    /// Fields that do not fit the kind of token.
    #[error("token {0} has fields that its kind does not allow")]
    Malformed(TokenId),
    /// The fee is below the terms.
    #[error("token {0} pays less than the hub's fee")]
    Fee(TokenId),
    /// The value is below the dust limit.
    #[error("token {0} is worth less than its redemption would cost")]
    Dust(TokenId),
    /// The payee cannot be paid: no such channel, not open, another asset, the payer itself.
    #[error("token {0}: the payee has no open channel for this asset here")]
    Payee(TokenId),
    /// The hub's share in the payee's channel does not cover it.
    #[error("token {0}: the hub's share in the payee's channel does not cover it; smaller, or later")]
    Cover(TokenId),
    /// The payee's window is full.
    #[error("token {0}: the payee has too many old tokens to attach or decline first")]
    Window(TokenId),
    /// The invoice is unknown, used, expired or smaller.
    #[error("token {0}: the payee has registered no such invoice")]
    Invoice(TokenId),
    /// The payer has too many tokens in flight.
    #[error("at most {0} tokens in flight: settle some first")]
    Live(usize),
    /// The payer has too much attached and unsettled.
    #[error("too much is attached and not settled: settle first")]
    Unsettled,
    /// The token is not where the operation needs it.
    #[error("token {0} is not in a stage for this operation")]
    Stage(TokenId),
    /// `attach_by` has passed.
    #[error("token {0}: attachBy has passed; redeem it on chain")]
    Late(TokenId),
    /// A redemption is visible.
    #[error("token {0} is being redeemed on chain")]
    Redeeming(TokenId),
    /// The payer's channel may end before the hub gets its money.
    #[error("token {0}: the payer's channel is ending")]
    PayerEnding(TokenId),
    /// The voucher or preimage is missing or wrong.
    #[error("token {0}: the voucher or preimage that goes with it is missing or wrong")]
    Evidence(TokenId),
    /// Nothing of the kind is final on chain.
    #[error("what it acknowledges is not final on chain yet")]
    NotFinal,
    /// The hub's share would fall below what it has promised.
    #[error("the hub's share would fall below what it has promised this payee")]
    Promised,
}
