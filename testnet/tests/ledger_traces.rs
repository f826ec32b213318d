//! Replays the recorded ledger of a real HORNET: ids, signatures, order, roots, conflicts, from the raw bytes alone.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::payload::Payload;
use serde_json::Value;
use tarefa_ledger::engine::{Engine, Genesis, InclusionState};
use tarefa_ledger::milestone::{self, Coordinator};
use tarefa_ledger::{BlockId, OutputId, build, confirmed, network};

fn traces(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/traces").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(name: &str) -> Vec<Value> {
    traces(name).lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    hex::decode(text.strip_prefix("0x").expect("0x")).expect("hex")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn engine() -> (Engine, Coordinator) {
    let genesis: Value = serde_json::from_str(&traces("genesis.json")).expect("JSON");
    let outputs: Vec<Genesis> = genesis["genesisOutputs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|output| Genesis {
            address: bytes(&output["output"]["unlockConditions"][0]["address"]["pubKeyHash"])
                .try_into()
                .expect("32 bytes"),
            amount: output["output"]["amount"].as_str().expect("a text").parse().expect("a number"),
        })
        .collect();
    let keys = genesis["milestonePublicKeys"].as_array().expect("a list");
    let keys: Vec<[u8; 32]> = keys.iter().map(|key| bytes(key).try_into().expect("32 bytes")).collect();
    (Engine::new(network::private(), &outputs), Coordinator { threshold: 2, keys })
}

#[test]
fn the_recorded_ledger_derives_from_its_bytes() {
    let (mut engine, coordinator) = engine();
    let params = network::private();
    let mut blocks: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for block in lines("blocks.jsonl") {
        blocks.entry(block["milestone"].as_u64().expect("a number")).or_default().push(block);
    }
    let (mut judged, mut previous) = (BTreeMap::<u8, u32>::new(), tarefa_ledger::MilestoneId::null());
    let milestones = lines("milestones.jsonl");
    for recorded in &milestones {
        let index = u32::try_from(recorded["index"].as_u64().expect("a number")).expect("small");
        let payload = milestone::parse(&bytes(&recorded["raw"]), index, &params).expect("a milestone");
        assert_eq!(payload.id().to_string(), recorded["milestoneId"], "id of milestone {index}");
        coordinator.verify(&payload, Some(&previous)).expect("signed, and next in the chain");
        previous = tarefa_ledger::MilestoneId::from(*payload.id());

        let cone = blocks.remove(&u64::from(index)).unwrap_or_default();
        for block in &cone {
            let raw = bytes(&block["raw"]);
            let id = engine.replay(&raw, false).unwrap_or_else(|error| panic!("{}: {error}", block["blockId"]));
            assert_eq!(id.to_string(), block["blockId"]);
            let parsed = build::parse_block(&raw, &params).expect("valid");
            assert_eq!(parsed.pack_to_vec(), raw);
            let Some(Payload::Transaction(transaction)) = parsed.payload() else { continue };
            assert_eq!(transaction.id().to_string(), block["transactionId"]);
            let reason = u8::try_from(block["metadata"]["conflictReason"].as_u64().unwrap_or(0)).expect("small");
            *judged.entry(reason).or_default() += 1;
        }
        engine.apply(&payload).unwrap_or_else(|error| panic!("milestone {index}: {error}"));
        compare(&engine, index, recorded, &cone);
        prove(&engine, index, &payload);
    }
    assert_eq!(milestones.len(), 166);
    // Every reason a HORNET gave (0 is included), each decided by our own rules.
    let expected =
        [(0, 85), (1, 5), (2, 5), (3, 5), (4, 4), (5, 11), (6, 4), (7, 3), (8, 4), (9, 7), (10, 3), (11, 3), (12, 21)];
    let expected = BTreeMap::from(expected);
    assert_eq!(judged, expected);
}

fn compare(engine: &Engine, index: u32, recorded: &Value, cone: &[Value]) {
    let record = engine.milestone(index).expect("applied");
    assert_eq!(record.block.to_string(), recorded["blockId"], "block of milestone {index}");
    let order: Vec<String> = record.order.iter().map(ToString::to_string).collect();
    assert_eq!(order, texts(&recorded["whiteFlagOrder"]), "order of milestone {index}");
    let sorted = |ids: &[OutputId]| {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        ids
    };
    let recorded_ids = |key: &str| {
        let mut ids = texts(&recorded["utxoChanges"][key]);
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(&record.created), recorded_ids("createdOutputs"), "outputs of milestone {index}");
    assert_eq!(sorted(&record.consumed), recorded_ids("consumedOutputs"), "inputs of milestone {index}");
    for block in cone {
        let id: BlockId = block["blockId"].as_str().expect("a text").parse().expect("an id");
        let inclusion = engine.block(&id).and_then(|record| record.meta.inclusion).expect("referenced");
        let (state, reason) = match inclusion.state {
            InclusionState::NoTransaction => ("noTransaction", None),
            InclusionState::Included => ("included", None),
            InclusionState::Conflicting(reason) => ("conflicting", Some(u64::from(reason))),
        };
        let metadata = &block["metadata"];
        assert_eq!(metadata["ledgerInclusionState"], state, "{id} {}", block["label"]);
        assert_eq!(metadata["conflictReason"].as_u64(), reason, "{id} {}", block["label"]);
        assert_eq!(metadata["whiteFlagIndex"], inclusion.position, "{id}");
        assert_eq!(metadata["referencedByMilestoneIndex"], inclusion.milestone, "{id}");
    }
}

/// What a client computes from the same milestone: the proof that the poller makes.
fn prove(engine: &Engine, index: u32, payload: &iota_sdk::types::block::payload::MilestonePayload) {
    let record = engine.milestone(index).expect("applied");
    let parse = |id: &BlockId| {
        let raw = &engine.block(id).expect("kept").raw;
        (*id, build::parse_block(raw, engine.params()).expect("valid"))
    };
    let blocks: Vec<_> = record.order.iter().map(parse).collect();
    let applied = record.created.iter().map(|id| *id.transaction_id()).collect();
    let confirmed = confirmed::prove(payload, blocks.clone(), &applied).expect("proved");
    assert_eq!(confirmed.consumed.len(), record.consumed.len());
    if blocks.len() > 1 {
        let short = blocks[1..].to_vec();
        confirmed::prove(payload, short, &applied).expect_err("a hidden block breaks the inclusion root");
    }
    if !applied.is_empty() {
        confirmed::prove(payload, blocks, &HashSet::new()).expect_err("a hidden payment breaks the applied root");
    }
}

#[test]
fn every_refused_block_is_refused() {
    let (mut engine, _) = engine();
    let refused = lines("refused.jsonl");
    assert_eq!(refused.len(), 67);
    for block in refused {
        let raw = bytes(&block["block"]);
        engine.submit(&raw).expect_err(block["label"].as_str().expect("a text"));
    }
}
