//! Keys of hub and clients: libsecp256k1, with the rules of the contract's ECDSA library.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256};
use secp256k1::ecdsa::{self, RecoverableSignature, RecoveryId};
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use tarefa_channel::id::Digest;
use tarefa_channel::sign::{Recover, Signature, Signer};
use zeroize::Zeroize as _;

/// Blinded once for the process, with bytes of the operating system: the arithmetic is of constant time also without, so where there are
/// none nothing is given away.
static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(|| {
    let mut context = Secp256k1::new();
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_ok() {
        context.seeded_randomize(&seed);
    }
    seed.zeroize();
    context
});

/// Zero, or not below the order of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secp256k1 key: take 32 other bytes")]
pub struct BadKey;

/// A secp256k1 key and the address that it signs for. Wiped when dropped.
#[derive(Clone)]
pub struct Key {
    secret: SecretKey,
    public: PublicKey,
    address: Address,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.address)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl Key {
    /// The key with these bytes, which are wiped.
    ///
    /// # Errors
    /// Where they are no key.
    pub fn new(mut bytes: [u8; 32]) -> Result<Self, BadKey> {
        let secret = SecretKey::from_byte_array(bytes).map_err(|_| BadKey);
        bytes.zeroize();
        let secret = secret?;
        let public = PublicKey::from_secret_key(&SECP, &secret);
        Ok(Self { secret, public, address: address(&public) })
    }

    /// Whether it has signed this: cheaper than to find out who has, for whoever has the key.
    #[must_use]
    pub fn has_signed(&self, digest: Digest, signature: &Signature) -> bool {
        let mut compact = signature.0;
        compact[32] &= 0x7f;
        let message = Message::from_digest(digest.0.0);
        ecdsa::Signature::from_compact(&compact)
            .is_ok_and(|signature| SECP.verify_ecdsa(message, &signature, &self.public).is_ok())
    }

    /// The signature of a hash, `r`, `s` (low) and the parity of `y`: what a transaction carries.
    #[must_use]
    pub fn sign_hash(&self, hash: B256) -> ([u8; 64], bool) {
        let message = Message::from_digest(hash.0);
        let (id, compact) = SECP.sign_ecdsa_recoverable(message, &self.secret).serialize_compact();
        (compact, id == RecoveryId::One)
    }
}

fn address(public: &PublicKey) -> Address {
    Address::from_raw_public_key(&public.serialize_uncompressed()[1..])
}

impl Signer for Key {
    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, digest: Digest) -> Signature {
        let (mut compact, odd) = self.sign_hash(digest.0);
        // EIP-2098: a low s leaves the first bit of its word to the parity.
        if odd {
            compact[32] |= 0x80;
        }
        Signature(compact)
    }
}

impl Recover for Key {
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address> {
        recover(digest, signature)
    }
}

/// Who signed; none where nobody can have (also a high s, which the contract refuses).
#[must_use]
pub fn recover(digest: Digest, signature: &Signature) -> Option<Address> {
    let mut compact = signature.0;
    let parity = compact[32] >> 7;
    compact[32] &= 0x7f;
    let id = RecoveryId::try_from(i32::from(parity)).ok()?;
    let recoverable = RecoverableSignature::from_compact(&compact, id).ok()?;
    let mut normal = recoverable.to_standard();
    normal.normalize_s();
    if normal != recoverable.to_standard() {
        return None;
    }
    SECP.recover_ecdsa(Message::from_digest(digest.0.0), &recoverable).ok().map(|key| address(&key))
}
