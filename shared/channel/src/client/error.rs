//! Why a client does not do something.

use thiserror::Error;

use crate::transition::TransitionError;

/// Why a client does not do something. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The newest block is too old to decide by.
    #[error("the chain is not seen at present: nothing is decided by an old block")]
    Blind,
    /// What the client has does not meet the condition.
    #[error("the condition is not met by what this client can reveal")]
    Condition,
    /// One proposal at a time.
    #[error("a proposal is under way: wait for the hub's answer")]
    Busy,
    /// The channel is not open, has had its last state, or is being left.
    #[error("the channel takes no new states")]
    Ended,
    /// The operations do not fit the channel.
    #[error("{0}")]
    Transition(#[from] TransitionError),
    /// The hub's share would fall below what this client counts on.
    #[error("the hub's share would fall below what you are still to receive")]
    Cover,
    /// The answer is not for the proposal under way, or incomplete.
    #[error("the hub's answer is not for the proposal under way")]
    Answer,
    /// Not signed by a signer of the hub whose revocation is not announced.
    #[error("not signed by a trusted signer of the hub")]
    Signature,
    /// The token is not for this channel, or the grant not for this token.
    #[error("the token or its grant is not for this channel")]
    Token,
    /// Too late to be sure of the money.
    #[error("too late: it could not be redeemed in time")]
    Late,
    /// The payee sequence is used or beyond the window.
    #[error("the hub has used this payee sequence before, or is too far ahead")]
    Window,
    /// The voucher does not raise what has been earned, or is not of this token.
    #[error("the voucher is not of this token, is too large, or brings nothing new")]
    Voucher,
    /// The receipt does not show this token.
    #[error("the receipt is not the payee's, or does not show this token")]
    Receipt,
    /// The channel has run out of sequence numbers.
    #[error("no sequence number is left: close the channel")]
    Exhausted,
}
