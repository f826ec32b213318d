//! Blocks, transactions, receipts and events as JSON-RPC shows them.
//!
//! Roots are zero: this chain proves nothing to light clients.

use alloy_consensus::TxEnvelope;
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U64, U256, logs_bloom};
use serde_json::{Value, json};

use crate::block::{Block, Mined};
use crate::execute::BLOCK_GAS;
use crate::filter::{Filter, LoggedAt};

/// keccak256 of an empty RLP list: what a block without uncles has there.
const NO_UNCLES: B256 = alloy_primitives::b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");

/// A number as a hex quantity.
pub fn quantity(number: u64) -> Value {
    json!(U64::from(number))
}

/// A block, with its transactions in full or their hashes.
pub fn block(block: &Block, base_fee: u64, full: bool) -> Value {
    let all = block.transactions.iter().enumerate();
    let transactions: Vec<Value> =
        all.map(|(place, mined)| if full { transaction(block, place, mined) } else { json!(mined.hash) }).collect();
    let gas: u64 = block.transactions.iter().map(|mined| mined.receipt.gas_used).sum();
    let bloom = logs_bloom(block.transactions.iter().flat_map(|mined| &mined.receipt.logs));
    json!({
        "number": quantity(block.number),
        "hash": block.hash,
        "parentHash": block.parent,
        "timestamp": quantity(block.time),
        "transactions": transactions,
        "gasUsed": quantity(gas),
        "gasLimit": quantity(BLOCK_GAS),
        "baseFeePerGas": quantity(base_fee),
        "logsBloom": bloom,
        "miner": Address::ZERO,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "mixHash": B256::ZERO,
        "nonce": B64::ZERO,
        "sha3Uncles": NO_UNCLES,
        "uncles": [],
        "stateRoot": B256::ZERO,
        "transactionsRoot": B256::ZERO,
        "receiptsRoot": B256::ZERO,
        "size": "0x0",
    })
}

/// A transaction in its block. One that nobody signed has no signature to show.
pub fn transaction(block: &Block, place: usize, mined: &Mined) -> Value {
    let decoded = mined.raw.as_ref().and_then(|raw| TxEnvelope::decode_2718(&mut raw.as_ref()).ok());
    let mut shown = decoded.and_then(|envelope| serde_json::to_value(envelope).ok()).unwrap_or_else(|| {
        let request = &mined.request;
        json!({ "type": "0x0", "value": request.value, "input": request.input, "to": request.to,
            "gas": quantity(request.gas), "nonce": quantity(request.nonce.unwrap_or(0)) })
    });
    shown["hash"] = json!(mined.hash);
    shown["from"] = json!(mined.request.from);
    shown["blockHash"] = json!(block.hash);
    shown["blockNumber"] = quantity(block.number);
    shown["transactionIndex"] = quantity(place as u64);
    shown["gasPrice"] = json!(U256::from(mined.receipt.gas_price));
    shown
}

/// What came of a transaction.
pub fn receipt(block: &Block, place: usize, mined: &Mined) -> Value {
    let made = &mined.receipt;
    let before: u64 = block.transactions[..place].iter().map(|earlier| earlier.receipt.gas_used).sum();
    let everything = Filter { from: 0, to: u64::MAX, addresses: vec![], topics: vec![] };
    let own = everything.of(block).filter(|logged| logged.transaction.0 == mined.hash);
    let logs: Vec<Value> = own.map(|logged| log(&logged)).collect();
    json!({
        "transactionHash": mined.hash,
        "transactionIndex": quantity(place as u64),
        "blockHash": block.hash,
        "blockNumber": quantity(block.number),
        "from": mined.request.from,
        "to": mined.request.to,
        "contractAddress": made.created,
        "status": quantity(u64::from(made.success)),
        "gasUsed": quantity(made.gas_used),
        "cumulativeGasUsed": quantity(before + made.gas_used),
        "effectiveGasPrice": json!(U256::from(made.gas_price)),
        "type": json!(U64::from(mined.raw.as_ref().map_or(0, kind))),
        "logs": logs,
        "logsBloom": if made.logs.is_empty() { Bloom::ZERO } else { logs_bloom(&made.logs) },
    })
}

/// The type of a signed transaction (EIP-2718): legacy ones begin with an RLP list.
fn kind(raw: &Bytes) -> u64 {
    raw.first().map_or(0, |first| if *first < 0x80 { u64::from(*first) } else { 0 })
}

/// An event.
pub fn log(logged: &LoggedAt) -> Value {
    let (number, hash, time) = logged.block;
    let (transaction, place) = logged.transaction;
    json!({
        "address": logged.log.address,
        "topics": logged.log.topics(),
        "data": logged.log.data.data,
        "blockNumber": quantity(number),
        "blockHash": hash,
        "blockTimestamp": quantity(time),
        "transactionHash": transaction,
        "transactionIndex": quantity(place),
        "logIndex": quantity(logged.index),
        "removed": false,
    })
}
