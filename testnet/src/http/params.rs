//! Ids, numbers and addresses in paths and queries, read with the original's quirks and refused in its words.

use std::str::FromStr;

use iota_sdk::types::block::address::{Address, Bech32Address, Hrp};

use super::answer::Failure;

/// Bytes of a hex text with its prefix; the error is a reason without a subject.
pub fn hex(text: &str) -> Result<Vec<u8>, &'static str> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or("hex string without 0x prefix")?;
    // Digits first: the original reads pair by pair.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex string");
    }
    hex::decode(digits).map_err(|_| "hex string of odd length")
}

/// Hex bytes of a path parameter; `what` names it in errors.
pub fn hex_bytes(text: &str, what: &str) -> Result<Vec<u8>, Failure> {
    hex(text).map_err(|why| Failure::bad(format!("invalid {what}: {text}, error: {why}")))
}

/// As [`fit`], of hex: block and output ids.
pub fn padded<const N: usize>(text: &str, what: &str) -> Result<[u8; N], Failure> {
    Ok(fit(&hex_bytes(text, what)?))
}

/// Exactly 32 bytes: transaction and milestone ids.
pub fn exact(text: &str, what: &str) -> Result<[u8; 32], Failure> {
    let bytes = hex_bytes(text, what)?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| Failure::bad(format!("invalid {what}: {text}, invalid length: {found}")))
}

/// Bytes cut or padded with zeros: what the original does with many ids.
pub fn fit<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut id = [0u8; N];
    let len = bytes.len().min(N);
    id[..len].copy_from_slice(&bytes[..len]);
    id
}

/// A number without sign, as Go reads it; the error is Go's.
pub fn unsigned<T: FromStr>(text: &str) -> Result<T, String> {
    let bad = |why: &str| format!("strconv.ParseUint: parsing \"{text}\": {why}");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("invalid syntax"));
    }
    text.parse().map_err(|_| bad("value out of range"))
}

/// A milestone index.
pub fn index(text: &str) -> Result<u32, Failure> {
    if text.is_empty() {
        return Err(Failure::bad("parameter \"milestoneIndex\" not specified"));
    }
    unsigned(text).map_err(|why| Failure::bad(format!("invalid milestone index: {text}, error: {why}")))
}

/// Why a text is not an address of this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// Not bech32.
    Encoding(&'static str),
    /// Of another network.
    Hrp,
}

/// A bech32 address of the network with this prefix.
pub fn address(text: &str, hrp: &Hrp) -> Result<Address, AddressError> {
    if !text.contains('1') {
        return Err(AddressError::Encoding("invalid bech32 encoding: missing separator '1'"));
    }
    let checksum = AddressError::Encoding("invalid bech32 encoding: invalid checksum");
    let parsed = Bech32Address::try_from_str(text).map_err(|_| checksum)?;
    if parsed.hrp() != hrp {
        return Err(AddressError::Hrp);
    }
    // The SDK's parser also takes bech32m and trailing bytes.
    if parsed != *text.to_lowercase() {
        return Err(checksum);
    }
    Ok(parsed.into_inner())
}
