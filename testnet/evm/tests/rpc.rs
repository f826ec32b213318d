//! What the development chain answers: right requests, wrong ones, and transactions that cannot be tried.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use tarefa_evm::{Clock, Config, DevChain, Request, SNAPSHOTS, Served};

const CHAIN: u64 = 4711;
const GENESIS: u64 = 1_000;
const GWEI: u64 = 1_000_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).expect("a key")
}

fn sender() -> Address {
    Address::from_private_key(&key())
}

fn served() -> Served {
    let funded = vec![(sender(), U256::from(ETHER))];
    let chain = DevChain::new(Config { chain_id: CHAIN, genesis: GENESIS, base_fee: GWEI, funded });
    Served { chain, clock: Clock::default() }
}

fn ask(served: &mut Served, method: &str, params: &Value) -> Result<Value, (i64, String)> {
    let request = json!({ "jsonrpc": "2.0", "id": 9, "method": method, "params": params });
    let answer = served.answer(request.to_string().as_bytes()).expect("an answer");
    assert_eq!(answer["id"], 9);
    match answer.get("error") {
        None => Ok(answer["result"].clone()),
        Some(error) => {
            Err((error["code"].as_i64().expect("a code"), error["message"].as_str().expect("words").to_owned()))
        }
    }
}

fn transfer(nonce: u64, wei: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: u128::from(2 * GWEI),
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::from(wei),
        ..TxEip1559::default()
    }
}

fn signed(transaction: TxEip1559) -> Bytes {
    let (signature, id) = key().sign_prehash_recoverable(transaction.signature_hash().as_slice()).expect("it signs");
    let signature = Signature::from((signature, id));
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

#[test]
fn a_transfer_is_in_the_next_block_and_paid_for() {
    let mut served = served();
    let hash = ask(&mut served, "eth_sendRawTransaction", &json!([signed(transfer(0, 5))])).expect("it is taken");
    assert_eq!(ask(&mut served, "eth_blockNumber", &json!([])), Ok(json!("0x1")));
    let receipt = ask(&mut served, "eth_getTransactionReceipt", &json!([hash])).expect("it is mined");
    assert_eq!((&receipt["status"], &receipt["gasUsed"]), (&json!("0x1"), &json!("0x5208")));
    let balance = ask(&mut served, "eth_getBalance", &json!([Address::repeat_byte(9), "latest"]));
    assert_eq!(balance, Ok(json!("0x5")));
    let left = U256::from(ETHER - 5 - 21_000 * u128::from(GWEI));
    assert_eq!(ask(&mut served, "eth_getBalance", &json!([sender(), "latest"])), Ok(json!(left)));
    assert_eq!(ask(&mut served, "eth_getTransactionCount", &json!([sender(), "pending"])), Ok(json!("0x1")));
    let block = ask(&mut served, "eth_getBlockByNumber", &json!(["latest", true])).expect("a block");
    assert_eq!(block["transactions"][0]["hash"], hash);
    assert_eq!(block["transactions"][0]["from"], json!(sender()));
    assert_eq!(ask(&mut served, "eth_getBlockByHash", &json!([block["hash"], true])), Ok(block));
}

#[test]
fn transactions_that_cannot_be_tried_say_why_and_cost_nothing() {
    let mut served = served();
    let mut refused = |raw: Bytes, words: &str| {
        let (_, said) = ask(&mut served, "eth_sendRawTransaction", &json!([raw])).expect_err("it is refused");
        assert!(said.contains(words), "{said}");
    };
    refused(signed(transfer(1, 5)), "nonce too high: next nonce 0, tx nonce 1");
    refused(signed(transfer(0, 2 * ETHER)), "insufficient funds");
    refused(signed(TxEip1559 { chain_id: 1, ..transfer(0, 5) }), "signed for chain 1; this is chain 4711");
    refused(Bytes::from_static(b"\x02rubbish"), "not a signed transaction");
    refused([signed(transfer(0, 5)).as_ref(), b"!"].concat().into(), "follow it");
    refused(signed(TxEip1559 { max_fee_per_gas: 1, ..transfer(0, 5) }), "invalid transaction");
    refused(signed(TxEip1559 { gas_limit: 30_000_001, ..transfer(0, 5) }), "above the block's");
    ask(&mut served, "eth_sendRawTransaction", &json!([signed(transfer(0, 5))])).expect("the right one is taken");
    let (_, said) = ask(&mut served, "eth_sendRawTransaction", &json!([signed(transfer(0, 5))])).expect_err("again");
    assert!(said.contains("nonce too low: next nonce 1, tx nonce 0"), "{said}");
    assert_eq!(ask(&mut served, "eth_blockNumber", &json!([])), Ok(json!("0x1")), "refusals make no blocks");
}

#[test]
fn transactions_from_before_eip_155_and_1559_are_taken() {
    let mut served = served();
    let legacy = TxLegacy {
        chain_id: Some(CHAIN),
        gas_price: u128::from(GWEI),
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::from(3),
        ..TxLegacy::default()
    };
    let (signature, id) = key().sign_prehash_recoverable(legacy.signature_hash().as_slice()).expect("it signs");
    let envelope = TxEnvelope::from(legacy.into_signed(Signature::from((signature, id))));
    let raw = Bytes::from(envelope.encoded_2718());
    let hash = ask(&mut served, "eth_sendRawTransaction", &json!([raw])).expect("it is taken");
    let receipt = ask(&mut served, "eth_getTransactionReceipt", &json!([hash])).expect("it is mined");
    assert_eq!(receipt["type"], "0x0");
}

#[test]
fn wrong_requests_are_named() {
    let mut served = served();
    let refused = |served: &mut Served, method: &str, params: Value, code: i64, words: &str| {
        let (found, said) = ask(served, method, &params).expect_err("it is refused");
        assert!(found == code && said.contains(words), "{found}: {said}");
    };
    refused(&mut served, "eth_mine", json!([]), -32601, "no method eth_mine");
    refused(&mut served, "eth_getBalance", json!([]), -32602, "parameter 1 is missing: an address");
    refused(&mut served, "eth_getBalance", json!(["0x12"]), -32602, "is not an address");
    refused(&mut served, "eth_getBlockByNumber", json!(["newest"]), -32602, "a block tag or number");
    refused(&mut served, "evm_revert", json!(["0x63"]), -32000, "snapshot 99 is unknown");
    refused(&mut served, "evm_setNextBlockTimestamp", json!([1]), -32602, "not after the newest block");
    refused(&mut served, "evm_setNextBlockTimestamp", json!([u64::MAX]), -32602, "or after 1099511627775");
    refused(&mut served, "evm_increaseTime", json!([u64::MAX]), -32602, "more than there are");
    refused(&mut served, "eth_feeHistory", json!([5, "latest", vec![1; 101]]), -32602, "at most 100 percentiles");
    refused(&mut served, "eth_call", json!({ "to": 1 }), -32602, "`params` is an array");
    let said =
        |served: &mut Served, body: &str| served.answer(body.as_bytes()).expect("an answer")["error"].to_string();
    assert!(said(&mut served, "{").contains("not JSON"));
    assert!(said(&mut served, "[]").contains("between 1 and 1000"));
    assert!(said(&mut served, "7").contains("`method`"));
    assert_eq!(served.answer(br#"{"jsonrpc":"2.0","method":"eth_chainId"}"#), None, "nobody waits for it");
    let both = br#"[{"id":1,"method":"eth_chainId"},{"method":"evm_mine"},{"id":2,"method":"net_version"}]"#;
    let answers = served.answer(both).expect("two answers");
    assert_eq!((&answers[0]["result"], &answers[1]["result"]), (&json!("0x1267"), &json!("4711")));
    assert_eq!(answers.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_call_that_reverts_shows_its_data_and_reason() {
    let mut served = served();
    // PUSH4 of Error(string)'s selector and a word are too much by hand: this code reverts with the four bytes 0xdeadbeef.
    let code =
        Bytes::from_static(&[0x63, 0xde, 0xad, 0xbe, 0xef, 0x60, 0xe0, 0x1b, 0x5f, 0x52, 0x60, 0x04, 0x5f, 0xfd]);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{ "input": code }] });
    let answer = served.answer(request.to_string().as_bytes()).expect("an answer");
    assert_eq!((&answer["error"]["code"], &answer["error"]["data"]), (&json!(3), &json!("0xdeadbeef")));
    let (code_, said) = ask(&mut served, "eth_estimateGas", &json!([{ "data": code }])).expect_err("it reverts");
    assert!(code_ == 3 && said.contains("reverted"), "{said}");
}

#[test]
fn time_moves_and_snapshots_go_back_once() {
    let mut served = served();
    ask(&mut served, "evm_setNextBlockTimestamp", &json!([4_000_000_000_u64])).expect("later");
    ask(&mut served, "evm_mine", &json!([])).expect("a block");
    assert_eq!(served.chain.head().time, 4_000_000_000);
    let snapshot = ask(&mut served, "evm_snapshot", &json!([])).expect("a snapshot");
    let before = served.chain.head().hash;
    ask(&mut served, "anvil_setBalance", &json!([sender(), "0x1"])).expect("poor now");
    ask(&mut served, "evm_increaseTime", &json!([100])).expect("later");
    ask(&mut served, "evm_mine", &json!([])).expect("a block");
    let (lost, time) = (served.chain.head().hash, served.chain.head().time);
    assert!((4_000_000_100..4_000_000_110).contains(&time), "{time}");
    ask(&mut served, "evm_revert", &json!([snapshot])).expect("back");
    assert_eq!((served.chain.head().hash, served.chain.balance(sender())), (before, U256::from(ETHER)));
    ask(&mut served, "evm_revert", &json!([snapshot])).expect_err("once");
    let again = ask(&mut served, "evm_snapshot", &json!([])).expect("a snapshot");
    ask(&mut served, "evm_mine", &json!([])).expect("a block");
    let later = served.chain.head().time;
    assert!((4_000_000_000..4_000_000_090).contains(&later), "{later}: the clock has gone back too");
    ask(&mut served, "evm_revert", &json!([again])).expect("back");
    served.chain.mine(time);
    assert_ne!(served.chain.head().hash, lost, "the same block elsewhere has another hash");
    let first = served.chain.snapshot();
    for _ in 0..SNAPSHOTS {
        served.chain.snapshot();
    }
    assert!(served.chain.revert(first).is_err(), "the oldest was pushed out");
}

#[test]
fn the_estimate_is_the_least_that_goes_through() {
    let mut served = served();
    // Makes a contract of one byte, after a write of storage that is cleared again: the refund hides what it needs.
    let code = [0x60, 1, 0x5f, 0x55, 0x5f, 0x5f, 0x55, 0x60, 1, 0x5f, 0xf3];
    let request = |gas| Request {
        from: sender(),
        to: None,
        value: U256::ZERO,
        input: Bytes::copy_from_slice(&code),
        gas,
        gas_price: None,
        nonce: None,
    };
    let gas = served.chain.estimate(&request(1_000_000), GENESIS).expect("it can be tried").expect("it goes through");
    let goes = |served: &mut Served, gas| served.chain.call(&request(gas), GENESIS).is_ok_and(|done| done.success);
    assert!(goes(&mut served, gas) && !goes(&mut served, gas - 1));
    let used = served.chain.call(&request(1_000_000), GENESIS).expect("it can be tried").gas_used;
    assert!(used < gas, "what is used ({used}) would not have been enough ({gas})");
}
