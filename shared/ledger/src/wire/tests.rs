//! Every block that a real HORNET refused is refused here for the same cause.

use serde_json::Value;

use super::*;
use crate::network;

#[test]
fn recorded_refusals_have_the_same_cause() {
    let recorded = include_str!("../../../../testnet/conformance/traces/refused.jsonl");
    let params = network::private();
    let mut count = 0;
    for line in recorded.lines() {
        let case: Value = serde_json::from_str(line).expect("a JSON line");
        let raw = hex::decode(&case["block"].as_str().expect("a text")[2..]).expect("hex");
        let cause = match read(&raw) {
            Err(cause) => format!("invalid block, error: {cause}"),
            Ok(block) => match check(&block, &params) {
                Err(cause) => format!("failed to attach block: {cause}: invalid block"),
                Ok(()) => "none".into(),
            },
        };
        let message = case["body"]["error"]["message"].as_str().expect("a text");
        let expected = message
            .strip_prefix("invalid parameter, error: ")
            .and_then(|m| m.strip_suffix(": code=400, message=invalid parameter"));
        assert_eq!(Some(cause.as_str()), expected, "{}", case["label"]);
        count += 1;
    }
    assert_eq!(count, 67);
}

#[test]
fn no_prefix_of_a_block_is_read_as_one() {
    let recorded = include_str!("../../../../testnet/conformance/traces/blocks.jsonl");
    for line in recorded.lines().step_by(7) {
        let case: Value = serde_json::from_str(line).expect("a JSON line");
        let raw = hex::decode(&case["raw"].as_str().expect("a text")[2..]).expect("hex");
        let block = read(&raw).expect("a block that a HORNET took");
        check(&block, &network::private()).expect("its rules hold");
        for length in 0..raw.len() {
            read(&raw[..length]).expect_err("cut short");
        }
    }
}

/// Found by fuzzing.
#[test]
fn a_payload_shorter_than_its_own_kind_is_refused() {
    for kind in [TAGGED_DATA, TRANSACTION, MILESTONE, 99] {
        for denoted in 1u32..KIND_LEN as u32 {
            let mut raw = vec![2, 1];
            raw.extend_from_slice(&[7; 32]);
            raw.extend_from_slice(&denoted.to_le_bytes());
            raw.extend_from_slice(&kind.to_le_bytes());
            raw.extend_from_slice(&[0; 16]);
            read(&raw).expect_err("its length is a lie");
        }
    }
}
