//! Signatures, behind traits: the daemons bring libsecp256k1, the checker a scheme without arithmetic.

use alloy_primitives::{Address, B256, FixedBytes};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::eip712::Domain;
use crate::id::Digest;
use crate::message::{Batch, Message};
use crate::tree::batch_root;

/// A signature in the compact form of EIP-2098: `r`, then `s` with the parity of `y` in its top bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FixedBytes(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FixedBytes::deserialize(deserializer).map(|bytes| Self(bytes.0))
    }
}

/// Signs with one key.
pub trait Signer {
    /// Whose signatures these are.
    fn address(&self) -> Address;
    /// A low-s signature of the digest.
    fn sign(&self, digest: Digest) -> Signature;
}

/// Recovers signers.
pub trait Recover {
    /// Who signed the digest; nobody for high s, a point that is not on the curve, or the zero address (1.14).
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address>;
}

/// A hub's signature on a message: of the root of a batch that holds the message's digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubSignature {
    /// Over [`Batch`].
    pub signature: Signature,
    /// From the message's digest to the root; empty for a batch of one.
    pub proof: Vec<B256>,
}

impl HubSignature {
    /// Who signed the message with this digest, if anyone.
    #[must_use]
    pub fn signer(&self, domain: &Domain, digest: Digest, keys: &impl Recover) -> Option<Address> {
        let root = batch_root(digest, &self.proof)?;
        keys.recover(Batch { root }.digest(domain), &self.signature)
    }
}
