//! Outputs and their metadata.

use axum::http::HeaderMap;
use axum::response::Response;
use iota_sdk::packable::PackableExt;
use tarefa_ledger::engine::{Engine, OutputRecord};
use tarefa_ledger::{OutputId, TransactionId};

use super::answer::{self, Failure};
use super::params;
use crate::view;

const TRANSACTION_LEN: usize = 32;

fn find(engine: &Engine, text: &str) -> Result<(OutputId, OutputRecord), Failure> {
    let bytes: [u8; OutputId::LENGTH] = params::padded(text, "output ID")?;
    let missing = || Failure::missing(format!("output not found: 0x{}", hex::encode(bytes)));
    let mut transaction = [0u8; TRANSACTION_LEN];
    transaction.copy_from_slice(&bytes[..TRANSACTION_LEN]);
    let index = u16::from_le_bytes([bytes[TRANSACTION_LEN], bytes[TRANSACTION_LEN + 1]]);
    let id = OutputId::new(TransactionId::new(transaction), index).map_err(|_| missing())?;
    engine.output(&id).map(|record| (id, record)).ok_or_else(missing)
}

pub fn output(engine: &Engine, id: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let (id, record) = find(engine, id)?;
    if answer::wants_raw(headers) {
        return Ok(answer::raw(record.output.pack_to_vec()));
    }
    Ok(answer::json(&view::output(engine, &id, &record)))
}

pub fn metadata(engine: &Engine, id: &str) -> Result<Response, Failure> {
    let (id, record) = find(engine, id)?;
    Ok(answer::json(&view::output_metadata(engine, &id, &record)))
}
