//! Why the contract refused a call.

use alloy_primitives::hex;
use alloy_sol_types::{Revert as Reason, SolError as _, SolInterface as _};
use tarefa_channel::contract::Revert;

use crate::abi::FulgurHub::FulgurHubErrors as Errors;

/// What came back from a call that reverted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// One of the contract's own.
    #[error("the contract refuses: {0}")]
    Contract(Revert),
    /// About an asset: not one of this deployment's, or not what was sent along.
    #[error("the contract refuses: {0}")]
    Asset(&'static str),
    /// Anything else: an ERC-20 contract's words, out of gas, or no contract at this address.
    #[error("the call failed: {0}")]
    Other(String),
}

/// What this revert data says.
#[must_use]
pub fn failure(data: &[u8]) -> Failure {
    let Ok(error) = Errors::abi_decode(data) else {
        let said = Reason::abi_decode(data).map_or_else(|_| format!("0x{}", hex::encode(data)), |reason| reason.reason);
        return Failure::Other(said);
    };
    Failure::Contract(match error {
        Errors::NotAllowed(_) => Revert::NotAllowed,
        Errors::NotOpen(_) => Revert::NotOpen,
        Errors::NotClosing(_) => Revert::NotClosing,
        Errors::NoChannel(_) => Revert::NoChannel,
        Errors::WrongChannel(_) => Revert::WrongChannel,
        Errors::WrongEpoch(_) => Revert::WrongEpoch,
        Errors::TooLate(_) => Revert::TooLate,
        Errors::TooEarly(_) => Revert::TooEarly,
        Errors::Stale(_) => Revert::Stale,
        Errors::NotLast(_) => Revert::NotLast,
        Errors::BadSignature(_) => Revert::BadSignature,
        Errors::BadState(_) => Revert::BadState,
        Errors::BadOpening(_) => Revert::BadOpening,
        Errors::BadTokens(_) => Revert::BadTokens,
        Errors::BadProof(_) => Revert::BadProof,
        Errors::WrongKind(_) => Revert::WrongKind,
        Errors::BadAmount(_) => Revert::BadAmount,
        Errors::BadPreimage(_) => Revert::BadPreimage,
        Errors::NotMore(_) => Revert::NotMore,
        Errors::AlreadyDone(_) => Revert::AlreadyDone,
        Errors::NotPending(_) => Revert::NotPending,
        Errors::RedemptionsPending(_) => Revert::RedemptionsPending,
        Errors::Undecided(_) => Revert::Undecided,
        Errors::Insufficient(_) => Revert::Insufficient,
        Errors::SignerKnown(_) => Revert::SignerKnown,
        Errors::PaymentRefused(_) => Revert::PaymentRefused,
        Errors::UnknownAsset(_) => return Failure::Asset("UnknownAsset: there are no channels in this asset here"),
        Errors::WrongValue(_) => return Failure::Asset("WrongValue: the money sent is not what the call says"),
        Errors::SafeERC20FailedOperation(_) => return Failure::Asset("the ERC-20 contract refuses to move the money"),
        Errors::AddressEmptyCode(_) => return Failure::Asset("there is no ERC-20 contract at the asset's address"),
        Errors::ReentrancyGuardReentrantCall(_) => return Failure::Asset("the ERC-20 contract called back"),
        Errors::FailedCall(_) | Errors::InvalidShortString(_) | Errors::StringTooLong(_) => {
            return Failure::Other(format!("0x{}", hex::encode(data)));
        }
    })
}
