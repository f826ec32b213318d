//! Why a call reverts: the custom errors of the Solidity, by name.

use thiserror::Error;

/// A revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[allow(missing_docs, reason = "the message is the documentation")]
pub enum Revert {
    #[error("NotAllowed: the caller may not do this")]
    NotAllowed,
    #[error("NotOpen: the channel is not open")]
    NotOpen,
    #[error("NotClosing: the channel is not closing")]
    NotClosing,
    #[error("NoChannel: there is no such channel")]
    NoChannel,
    #[error("WrongChannel: the message is for another channel")]
    WrongChannel,
    #[error("WrongEpoch: the offer is for another epoch")]
    WrongEpoch,
    #[error("TooLate: the deadline has passed")]
    TooLate,
    #[error("TooEarly: the deadline has not passed")]
    TooEarly,
    #[error("Stale: a newer state is enforced")]
    Stale,
    #[error("NotLast: the state is not a last one")]
    NotLast,
    #[error("BadSignature: not signed by whom it should be")]
    BadSignature,
    #[error("BadState: the state does not conserve, or acknowledges what the contract has not seen")]
    BadState,
    #[error("BadOpening: not the state that is enforced")]
    BadOpening,
    #[error("BadTokens: not the pending tokens of the enforced state")]
    BadTokens,
    #[error("BadProof: the token is not pending in the state")]
    BadProof,
    #[error("WrongKind: not for this kind of token")]
    WrongKind,
    #[error("BadAmount: more than the token carries, or nothing")]
    BadAmount,
    #[error("BadPreimage: it does not hash to the condition")]
    BadPreimage,
    #[error("NotMore: what is recorded is not less")]
    NotMore,
    #[error("AlreadyDone: the token is credited, void or executed")]
    AlreadyDone,
    #[error("NotPending: no redemption of this token is under way")]
    NotPending,
    #[error("RedemptionsPending: credit the channel's redemptions first")]
    RedemptionsPending,
    #[error("Undecided: a pending token can still be claimed")]
    Undecided,
    #[error("Insufficient: the balance or what is locked does not cover it")]
    Insufficient,
    #[error("SignerKnown: a signer is announced once")]
    SignerKnown,
    #[error("PaymentRefused: the receiver refuses money")]
    PaymentRefused,
}
