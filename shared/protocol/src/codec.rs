//! The one place that turns values into bytes and back. Nothing outside names the encoder behind it.
//!
//! A version byte stands in front; decoding takes a byte limit and refuses anything left over, so that two
//! different byte strings never mean the same value to a reader.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::INFLATED_MAX;

/// Version of every encoding in this protocol.
pub const VERSION: u8 = 1;

/// Bytes are not a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The version byte is missing or another one.
    #[error("encoding version {found:?}, this program reads {VERSION}: update the older of the two programs")]
    Version {
        /// The byte found, `None` for no bytes at all.
        found: Option<u8>,
    },
    /// The bytes do not decode.
    #[error("cannot decode a {what}: {reason}")]
    Malformed {
        /// Type that was expected.
        what: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The value was read, but bytes follow it.
    #[error("{extra} bytes follow a {what}")]
    Trailing {
        /// Type that was expected.
        what: &'static str,
        /// Number of bytes left.
        extra: usize,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<INFLATED_MAX>()
}

fn short_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or("value")
}

/// The bytes of a value, version byte first.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Types here have no maps, floats or unsized sequences: the encoder's only errors.
    let body = bincode::serde::encode_to_vec(value, config()).expect("a protocol type within its limit encodes");
    bytes.extend_from_slice(&body);
    bytes
}

/// The value of exactly these bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let what = short_name::<T>();
    let (&version, body) = bytes.split_first().ok_or(CodecError::Version { found: None })?;
    if version != VERSION {
        return Err(CodecError::Version { found: Some(version) });
    }
    let (value, used) = bincode::serde::decode_from_slice(body, config())
        .map_err(|error| CodecError::Malformed { what, reason: error.to_string() })?;
    match body.len() - used {
        0 => Ok(value),
        extra => Err(CodecError::Trailing { what, extra }),
    }
}

/// A byte string encoded as one run instead of a sequence of numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[cfg(test)]
mod tests;
