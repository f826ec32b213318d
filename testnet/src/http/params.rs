//! Ids and numbers in paths, read with the original's quirks.

use super::answer::Failure;

/// Hex bytes of a path parameter; `what` names it in errors.
pub fn hex_bytes(text: &str, what: &str) -> Result<Vec<u8>, Failure> {
    let bad = |why: &str| Failure::bad(format!("invalid {what}: {text}, error: {why}"));
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or_else(|| bad("hex string without 0x prefix"))?;
    if digits.len() % 2 == 1 {
        return Err(bad("hex string of odd length"));
    }
    hex::decode(digits).map_err(|_| bad("invalid hex string"))
}

/// Bytes cut or padded with zeros to the length of the id: what the original does with block and output ids.
pub fn padded<const N: usize>(text: &str, what: &str) -> Result<[u8; N], Failure> {
    let bytes = hex_bytes(text, what)?;
    let mut id = [0u8; N];
    let len = bytes.len().min(N);
    id[..len].copy_from_slice(&bytes[..len]);
    Ok(id)
}

/// Exactly 32 bytes: transaction and milestone ids.
pub fn exact(text: &str, what: &str) -> Result<[u8; 32], Failure> {
    let bytes = hex_bytes(text, what)?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| Failure::bad(format!("invalid {what}: {text}, invalid length: {found}")))
}

/// A milestone index.
pub fn index(text: &str) -> Result<u32, Failure> {
    let bad = |why: &str| {
        let cause = format!("strconv.ParseUint: parsing \"{text}\": {why}");
        Failure::bad(format!("invalid milestone index: {text}, error: {cause}"))
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("invalid syntax"));
    }
    text.parse().map_err(|_| bad("value out of range"))
}
