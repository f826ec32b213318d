//! Rows in bytes: a version, then bincode.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// The form of a row; another one is read beside it, never instead.
const VERSION: u8 = 1;

/// Bytes of most rows, which are there from the start.
const USUAL: usize = 2048;

/// The bytes of a row.
pub fn write<T: Serialize>(row: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(VERSION);
    let written = bincode::serde::encode_into_std_write(row, &mut bytes, bincode::config::standard());
    written.expect("rows are maps, lists and numbers, which all have a form");
    bytes
}

/// The row that bytes are.
pub fn read<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, StoreError> {
    let fault = |why: String| StoreError::Unreadable { what, why };
    match bytes.split_first() {
        Some((&VERSION, body)) => match bincode::serde::decode_from_slice(body, bincode::config::standard()) {
            Ok((row, used)) if used == body.len() => Ok(row),
            Ok((_, used)) => Err(fault(format!("{} bytes follow it", body.len() - used))),
            Err(error) => Err(fault(error.to_string())),
        },
        Some((version, _)) => Err(fault(format!("it is of form {version}"))),
        None => Err(fault("it is empty".to_owned())),
    }
}
