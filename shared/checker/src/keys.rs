//! Signatures without arithmetic: a signature is its signer and what it signs. Nobody can forge one, because no action of an
//! adversary makes one with an honest key.

use tarefa_channel::Address;
use tarefa_channel::eip712::Domain;
use tarefa_channel::id::Digest;
use tarefa_channel::message::{Batch, Message};
use tarefa_channel::sign::{HubSignature, Recover, Signature, Signer};

/// The payer.
pub const ALICE: Address = Address::repeat_byte(0xaa);
/// The payee.
pub const BOB: Address = Address::repeat_byte(0xbb);
/// Paid on chain.
pub const CAROL: Address = Address::repeat_byte(0xca);
/// The hub's signer.
pub const SIGNER: Address = Address::repeat_byte(0x51);
/// Another one, where the revocation of that one may be announced.
pub const NEXT: Address = Address::repeat_byte(0x52);
/// The hub's cold key.
pub const TREASURY: Address = Address::repeat_byte(0x7e);
/// The key of Alice's vouchers.
pub const VOUCHERS: Address = Address::repeat_byte(0xaf);

/// The key of one party.
#[derive(Clone, Copy, Debug)]
pub struct Key(pub Address);

impl Signer for Key {
    fn address(&self) -> Address {
        self.0
    }

    fn sign(&self, digest: Digest) -> Signature {
        let mut bytes = [0; 64];
        bytes[..20].copy_from_slice(self.0.as_slice());
        bytes[32..].copy_from_slice(digest.as_slice());
        Signature(bytes)
    }
}

impl Recover for Key {
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address> {
        (signature.0[32..] == *digest.as_slice()).then(|| Address::from_slice(&signature.0[..20]))
    }
}

/// The hub's signature of one message.
#[must_use]
pub fn hub_signs(message: &impl Message, domain: &Domain) -> HubSignature {
    signs_as(SIGNER, message, domain)
}

/// The signature of one of the hub's signers.
#[must_use]
pub fn signs_as(signer: Address, message: &impl Message, domain: &Domain) -> HubSignature {
    let root = message.digest(domain).0;
    HubSignature { signature: Key(signer).sign(Batch { root }.digest(domain)), proof: vec![] }
}
