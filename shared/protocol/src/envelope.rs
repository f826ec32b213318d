//! A letter on its way: signed over the bytes as they are sent, compressed, sealed to its reader.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::codec::{self, Bytes, CodecError};
use crate::ids::{Digest, LedgerId, MessageId, PartyId, SealingKey};
use crate::limits::MESSAGE_MAX;
use crate::message::Letter;
use crate::rng::Entropy;
use crate::seal::{self, SealError, SealingSecret};
use crate::time::LedgerSeconds;

const DOMAIN: &str = "tarefa/letter/1";

/// What anyone may read of a message; repeated in each of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The ledger it was made for; a message replayed on another one is foreign there.
    pub ledger: LedgerId,
    /// Who signs.
    pub sender: PartyId,
    /// Who may open it; `None` for everyone.
    pub recipient: Option<PartyId>,
    /// Random per message.
    pub message: MessageId,
    /// Dropped after this ledger time.
    pub not_after: LedgerSeconds,
}

#[derive(Serialize, Deserialize)]
struct SignedLetter {
    letter: Bytes,
    signature: Bytes,
}

#[derive(Serialize, Deserialize)]
enum Wire {
    Open(Bytes),
    Sealed { reader: SealingKey, ciphertext: Bytes },
}

/// A message that cannot be sent or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too large for the wire.
    #[error("the message takes {0} bytes, at most {MESSAGE_MAX} fit: send less input, or compress it better")]
    TooLarge(usize),
    /// The bytes do not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The seal does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The inner signature is not the sender's.
    #[error("the letter is not signed by the party that sent it")]
    Signature,
    /// Sealed to a key that is unknown or already deleted.
    #[error("sealed to a key that this party does not have (any more)")]
    UnknownReader,
    /// An open letter to one party, or a sealed one to everyone.
    #[error("the seal does not fit the recipient")]
    Recipient,
}

/// The bytes of a letter, ready to be cut into parts. `reader` is given exactly when the header has a recipient.
pub fn pack(
    header: &Header,
    letter: &Letter,
    sender: &SigningKey,
    reader: Option<&SealingKey>,
    entropy: &mut Entropy,
) -> Result<Vec<u8>, EnvelopeError> {
    let associated = codec::encode(header);
    let letter = codec::encode(letter);
    let signature = sender.sign(&Digest::of(DOMAIN, &[&associated, &letter]).0);
    let signed = SignedLetter { letter: Bytes(letter), signature: Bytes(signature.to_bytes().to_vec()) };
    let compressed = seal::deflate(&codec::encode(&signed));
    let wire = match (reader, header.recipient) {
        (None, None) => Wire::Open(Bytes(compressed)),
        (Some(reader), Some(_)) => {
            let ciphertext = seal::seal(reader, &compressed, &associated, entropy)?;
            Wire::Sealed { reader: *reader, ciphertext: Bytes(ciphertext) }
        }
        _ => return Err(EnvelopeError::Recipient),
    };
    let bytes = codec::encode(&wire);
    if bytes.len() > MESSAGE_MAX {
        return Err(EnvelopeError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// Opens what [`pack`] made; `secret` finds the secret of a sealing key this party still holds.
pub fn open(
    header: &Header,
    wire: &[u8],
    secret: impl FnOnce(&SealingKey) -> Option<SealingSecret>,
) -> Result<Letter, EnvelopeError> {
    let associated = codec::encode(header);
    let compressed = match (codec::decode(wire)?, header.recipient) {
        (Wire::Open(bytes), None) => bytes.0,
        (Wire::Sealed { reader, ciphertext }, Some(_)) => {
            let secret = secret(&reader).ok_or(EnvelopeError::UnknownReader)?;
            secret.open(&ciphertext.0, &associated)?
        }
        _ => return Err(EnvelopeError::Recipient),
    };
    let signed: SignedLetter = codec::decode(&seal::inflate(&compressed)?)?;
    let key = VerifyingKey::from_bytes(&header.sender.0).map_err(|_| EnvelopeError::Signature)?;
    let signature = Signature::from_slice(&signed.signature.0).map_err(|_| EnvelopeError::Signature)?;
    key.verify_strict(&Digest::of(DOMAIN, &[&associated, &signed.letter.0]).0, &signature)
        .map_err(|_| EnvelopeError::Signature)?;
    Ok(codec::decode(&signed.letter.0)?)
}

#[cfg(test)]
mod tests;
