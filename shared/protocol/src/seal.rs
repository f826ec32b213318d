//! Compression, sealing to a reader (HPKE base mode, RFC 9180) and the lock of a result under one key.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{Digest, SealingKey};
use crate::limits::INFLATED_MAX;
use crate::rng::Entropy;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type SealAead = hpke::aead::ChaCha20Poly1305;

const INFO: &[u8] = b"tarefa/seal/1";
/// Level 6 of 10: on modules and text within 3 % of the best at a third of the time.
const DEFLATE_LEVEL: u8 = 6;
const ENCAPPED_LEN: usize = 32;

/// Something sealed, locked or compressed cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, made for another key, or altered.
    #[error("cannot be opened with this key: altered, or made for another reader")]
    Closed,
    /// Not a valid compressed stream, or larger than the limit when inflated.
    #[error("does not inflate to at most {INFLATED_MAX} bytes")]
    Inflate,
}

/// Secret half of a [`SealingKey`]; random, never derived, so that a leaked mnemonic opens nothing old.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealingSecret([u8; 32]);

impl SealingSecret {
    /// A fresh secret.
    pub fn generate(entropy: &mut Entropy) -> Self {
        let (secret, _) = Kem::derive_keypair(&entropy.bytes::<32>());
        Self(secret.to_bytes().into())
    }

    /// The secret of stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Bytes for the store; handle like a private key.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half that others seal to.
    pub fn public(&self) -> SealingKey {
        let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(&self.0).expect("32 bytes are an X25519 private key");
        SealingKey(Kem::sk_to_pk(&secret).to_bytes().into())
    }

    /// Opens what [`seal`] made for this key and `associated` data.
    pub fn open(&self, sealed: &[u8], associated: &[u8]) -> Result<Vec<u8>, SealError> {
        let (encapped, ciphertext) = sealed.split_at_checked(ENCAPPED_LEN).ok_or(SealError::Closed)?;
        let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(&self.0).map_err(|_| SealError::Closed)?;
        let encapped = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapped).map_err(|_| SealError::Closed)?;
        hpke::single_shot_open::<SealAead, Kdf, Kem>(&OpModeR::Base, &secret, &encapped, INFO, ciphertext, associated)
            .map_err(|_| SealError::Closed)
    }
}

/// Seals `plain` to `reader`: encapsulated key, then ciphertext. Only `reader` opens it, with the same `associated`.
pub fn seal(reader: &SealingKey, plain: &[u8], associated: &[u8], entropy: &mut Entropy) -> Result<Vec<u8>, SealError> {
    let reader = <Kem as hpke::Kem>::PublicKey::from_bytes(&reader.0).map_err(|_| SealError::Closed)?;
    let (encapped, ciphertext) = hpke::single_shot_seal_with_rng::<SealAead, Kdf, Kem>(
        &OpModeS::Base,
        &reader,
        INFO,
        plain,
        associated,
        entropy.generator(),
    )
    .map_err(|_| SealError::Closed)?;
    let mut sealed = encapped.to_bytes().to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// The key that locks one result until it is paid.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct ResultKey(pub [u8; 32]);

impl std::fmt::Debug for ResultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResultKey(..)")
    }
}

impl ResultKey {
    /// The commitment that stands in a quote.
    pub fn commitment(&self) -> Digest {
        Digest::of("tarefa/result-key", &[&self.0])
    }

    /// Locks a result. The key is used once, so the nonce is fixed.
    pub fn lock(&self, plain: &[u8]) -> Vec<u8> {
        let compressed = deflate(plain);
        self.cipher()
            .encrypt(&Nonce::default(), Payload { msg: &compressed, aad: b"tarefa/result/1" })
            .expect("a result is far below the cipher's 256 GiB limit")
    }

    /// Opens a locked result.
    pub fn open(&self, locked: &[u8]) -> Result<Vec<u8>, SealError> {
        let compressed = self
            .cipher()
            .decrypt(&Nonce::default(), Payload { msg: locked, aad: b"tarefa/result/1" })
            .map_err(|_| SealError::Closed)?;
        inflate(&compressed)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(self.0))
    }
}

/// DEFLATE.
pub fn deflate(plain: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(plain, DEFLATE_LEVEL)
}

/// The opposite of [`deflate`], bounded by [`INFLATED_MAX`].
pub fn inflate(compressed: &[u8]) -> Result<Vec<u8>, SealError> {
    miniz_oxide::inflate::decompress_to_vec_with_limit(compressed, INFLATED_MAX).map_err(|_| SealError::Inflate)
}

#[cfg(test)]
mod tests;
