//! Identifiers: fixed-size byte strings shown as hex, and the one hash function they are made with.

use std::fmt;
use std::str::FromStr;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text form of an identifier could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: expected {len} bytes as {digits} hex digits", digits = len * 2)]
pub struct ParseIdError {
    text: String,
    what: &'static str,
    len: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0u8; $len];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
                    .map(|()| Self(bytes))
                    .map_err(|_| ParseIdError { text: text.chars().take(80).collect(), what: $what, len: $len })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    use serde::ser::SerializeTuple;
                    let mut tuple = serializer.serialize_tuple($len)?;
                    for byte in &self.0 {
                        tuple.serialize_element(byte)?;
                    }
                    tuple.end()
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    deserializer.deserialize_tuple($len, ByteArray::<$len>).map(Self)
                }
            }
        }
    };
}

/// Reads exactly `N` bytes from a tuple; serde's own array support stops at 32.
pub(crate) struct ByteArray<const N: usize>;

impl<'de, const N: usize> serde::de::Visitor<'de> for ByteArray<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0u8; N];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(at, &self))?;
        }
        Ok(bytes)
    }
}

id!(
    /// A party of the market: its Ed25519 public key (`market.md`, Parties).
    PartyId, 32, "party id"
);
id!(
    /// One task, chosen at random by the submitter before anything is sent.
    TaskId, 16, "task id"
);
id!(
    /// One message, chosen at random by its sender; a receiver acts once per (sender, message id).
    MessageId, 16, "message id"
);
id!(
    /// BLAKE2b-256 of some bytes, under the domain of [`Digest::of`].
    Digest, 32, "digest"
);
id!(
    /// The last 16 bytes of a tagged-data tag; the first 8 are [`crate::limits::TAG_PREFIX`].
    Tag, 16, "tag"
);
id!(
    /// X25519 public key that messages are sealed to (HPKE, RFC 9180).
    SealingKey, 32, "sealing key"
);
id!(
    /// Ed25519 address: BLAKE2b-256 of a public key (TIP-18).
    Address, 32, "address"
);
id!(
    /// One ledger: hash of its milestone public keys and the id of milestone 1; networks share names.
    LedgerId, 32, "ledger id"
);

impl Digest {
    /// BLAKE2b-256 over `domain`, its length first, and the bytes: two domains never collide.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Blake2b::<U32>::new();
        hasher.update([domain.len() as u8]);
        hasher.update(domain.as_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Content hash of a module, input or result as the user sees it.
    pub fn of_content(bytes: &[u8]) -> Self {
        Self::of("tarefa/content", &[bytes])
    }
}

impl LedgerId {
    /// The ledger with these milestone public keys (any order) whose first milestone has this id.
    pub fn of(milestone_keys: &[[u8; 32]], first_milestone: &[u8; 32]) -> Self {
        let mut keys = milestone_keys.to_vec();
        keys.sort_unstable();
        Self(Digest::of("tarefa/ledger", &[keys.as_flattened(), first_milestone]).0)
    }
}

impl Tag {
    /// Where every executor's offers are announced.
    pub fn offers() -> Self {
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(b"offers");
        Self(bytes)
    }

    /// An executor's inbox, known to everyone who knows the party.
    pub fn inbox_of(party: &PartyId) -> Self {
        let digest = Digest::of("tarefa/inbox", &[&party.0]);
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest.0[..16]);
        Self(bytes)
    }

    /// The whole tag as it stands in the tagged-data payload (24 bytes).
    pub fn to_wire(self) -> [u8; 24] {
        let mut wire = [0u8; 24];
        wire[..8].copy_from_slice(crate::limits::TAG_PREFIX);
        wire[8..].copy_from_slice(&self.0);
        wire
    }

    /// The tag of a tagged-data payload, if it is one of this market's.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        wire.strip_prefix(crate::limits::TAG_PREFIX)?.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests;
