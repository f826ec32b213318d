//! Any outputs and unlocks around inputs that exist: decided by the rules, booked, and never more tokens than there were.
#![no_main]

use ed25519_dalek::SigningKey;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::output::{InputsCommitment, Output};
use libfuzzer_sys::fuzz_target;
use tarefa_ledger::engine::{Engine, Genesis};
use tarefa_ledger::{build, network};

fuzz_target!(|data: &[u8]| {
    let key = [SigningKey::from_bytes(&[1; 32])];
    let owner = tarefa_ledger::address_of(&key[0].verifying_key().to_bytes());
    let mut engine = Engine::new(network::private(), &[Genesis { address: owner, amount: network::PRIVATE_SUPPLY }]);
    engine.issue(1, &key).expect("the first milestone");
    let spent = build::plain_output(owner, network::PRIVATE_SUPPLY, engine.params()).expect("genesis");
    let commitment = InputsCommitment::new(std::iter::once(&spent));

    let mut payload = 6u32.to_le_bytes().to_vec();
    payload.push(1);
    payload.extend_from_slice(&engine.params().network_id().to_le_bytes());
    payload.extend_from_slice(&1u16.to_le_bytes());
    payload.push(0);
    payload.extend_from_slice(&[0; 34]);
    payload.extend_from_slice(commitment.as_ref());
    payload.extend_from_slice(data);

    let tips = engine.tips();
    let mut block = vec![2, tips.len() as u8];
    tips.iter().for_each(|tip| block.extend_from_slice(tip.as_ref()));
    block.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    block.extend_from_slice(&payload);
    block.extend_from_slice(&[0; 8]);
    let _ = engine.submit(&block);
    engine.issue(2, &key).expect("a milestone over whatever was taken");
    let milestone = engine.milestone(2).expect("made");
    let sum: u128 = milestone
        .created
        .iter()
        .filter_map(|id| engine.output(id))
        .map(|record| u128::from(record.output.amount()))
        .sum();
    assert!(milestone.created.is_empty() || sum == u128::from(network::PRIVATE_SUPPLY), "tokens from nowhere");
    // What was booked can be read again.
    for record in milestone.created.iter().filter_map(|id| engine.output(id)) {
        Output::unpack_verified(&record.output.pack_to_vec()[..], engine.params()).expect("readable");
    }
});
