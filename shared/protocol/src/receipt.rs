//! The execution receipt: what was run, for how long, with what result; signed by the executor.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::codec::{self, Bytes, CodecError};
use crate::ids::{Digest, PartyId, TaskId};
use crate::money::BaseUnits;
use crate::offer::TaskLimits;
use crate::result::Outcome;
use crate::time::Millis;

/// A statement of one executor about one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionReceipt {
    /// The task.
    pub task: TaskId,
    /// Who ran it.
    pub executor: PartyId,
    /// Content hash of the module.
    pub module: Digest,
    /// [`crate::message::Manifest::input_hash`].
    pub inputs: Digest,
    /// Content hash of the plain result.
    pub result: Digest,
    /// How the guest ended.
    pub outcome: Outcome,
    /// Billed time.
    pub metered: Millis,
    /// Processor time of the guest's process.
    pub cpu: Millis,
    /// Price of the billed time.
    pub price: BaseUnits,
    /// Limits that applied.
    pub limits: TaskLimits,
    /// Name and exact version of the engine.
    pub runtime: String,
}

/// A receipt as it travels: the signature is over exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// An encoded [`ExecutionReceipt`].
    pub receipt: Bytes,
    /// Ed25519 by the executor, 64 bytes.
    pub signature: Bytes,
}

/// A receipt that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The bytes are no receipt.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Not signed by the executor it names.
    #[error("the receipt is not signed by the executor it names")]
    Signature,
}

const DOMAIN: &str = "tarefa/receipt/1";

impl ExecutionReceipt {
    /// Signs the receipt.
    pub fn sign(&self, executor: &SigningKey) -> SignedReceipt {
        let bytes = codec::encode(self);
        let signature = executor.sign(&Digest::of(DOMAIN, &[&bytes]).0);
        SignedReceipt { receipt: Bytes(bytes), signature: Bytes(signature.to_bytes().to_vec()) }
    }
}

impl SignedReceipt {
    /// The receipt, if the executor it names has signed it.
    pub fn verify(&self) -> Result<ExecutionReceipt, ReceiptError> {
        let receipt: ExecutionReceipt = codec::decode(&self.receipt.0)?;
        let key = VerifyingKey::from_bytes(&receipt.executor.0).map_err(|_| ReceiptError::Signature)?;
        let signature = Signature::from_slice(&self.signature.0).map_err(|_| ReceiptError::Signature)?;
        key.verify_strict(&Digest::of(DOMAIN, &[&self.receipt.0]).0, &signature)
            .map_err(|_| ReceiptError::Signature)?;
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (SigningKey, SignedReceipt) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let receipt = ExecutionReceipt {
            task: TaskId([1; 16]),
            executor: PartyId(key.verifying_key().to_bytes()),
            module: Digest([2; 32]),
            inputs: Digest([3; 32]),
            result: Digest([4; 32]),
            outcome: Outcome::Exited(0),
            metered: Millis(5),
            cpu: Millis(4),
            price: BaseUnits(6),
            limits: TaskLimits::default(),
            runtime: "test".into(),
        };
        let signed = receipt.sign(&key);
        (key, signed)
    }

    #[test]
    fn a_receipt_verifies_and_an_altered_one_does_not() {
        let (_, signed) = signed();
        assert_eq!(signed.verify().map(|r| r.metered), Ok(Millis(5)));
        let mut forged = signed.clone();
        let at = forged.receipt.0.len() - 3;
        forged.receipt.0[at] ^= 1;
        assert!(forged.verify().is_err());
    }

    #[test]
    fn a_receipt_in_another_name_does_not_verify() {
        let (_, signed) = signed();
        let mut receipt = signed.verify().expect("valid");
        receipt.executor = PartyId(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
        let forged = SignedReceipt { receipt: Bytes(codec::encode(&receipt)), signature: signed.signature };
        assert_eq!(forged.verify(), Err(ReceiptError::Signature));
    }
}
