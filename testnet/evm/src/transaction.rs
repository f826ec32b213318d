//! Signed transactions.

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::B256;

use crate::execute::Request;

/// Bytes that are no transaction for this chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTransaction {
    /// They do not decode.
    #[error("not a signed transaction: {0}")]
    Undecodable(String),
    /// Nobody can have signed them.
    #[error("the signature is not one")]
    Signature,
    /// Signed for another chain.
    #[error("signed for chain {signed}; this is chain {here}")]
    Chain {
        /// The chain it names.
        signed: u64,
        /// This one.
        here: u64,
    },
    /// Blobs and delegations are nothing to a contract of channels.
    #[error("transactions of type {0} are not supported; send one of type 0, 1 or 2")]
    Type(u8),
}

/// What signed bytes ask for, and their hash.
///
/// # Errors
/// Where they are no transaction for this chain.
pub fn read(raw: &[u8], chain_id: u64, base_fee: u64) -> Result<(B256, Request), BadTransaction> {
    let mut rest = raw;
    let envelope =
        TxEnvelope::decode_2718(&mut rest).map_err(|error| BadTransaction::Undecodable(error.to_string()))?;
    if !rest.is_empty() {
        return Err(BadTransaction::Undecodable(format!("{} bytes follow it", rest.len())));
    }
    let kind = envelope.tx_type() as u8;
    if kind > 2 {
        return Err(BadTransaction::Type(kind));
    }
    if let Some(signed) = envelope.chain_id().filter(|id| *id != chain_id) {
        return Err(BadTransaction::Chain { signed, here: chain_id });
    }
    let from = envelope.recover_signer().map_err(|_| BadTransaction::Signature)?;
    let request = Request {
        from,
        to: envelope.to(),
        value: envelope.value(),
        input: envelope.input().clone(),
        gas: envelope.gas_limit(),
        gas_price: Some(envelope.effective_gas_price(Some(base_fee))),
        nonce: Some(envelope.nonce()),
    };
    Ok((*envelope.tx_hash(), request))
}
