//! The contract in Solidity against the contract as a value: the same random calls, honest and spoiled, to both; the same refusals by
//! name, the same rows, balances, redemptions and claims after each, and events that say what happened.

mod calls;
mod signing;
mod world;

use world::World;

/// Worlds, each with its own seed.
const WORLDS: u64 = 24;
/// Calls in each.
const CALLS: usize = 400;

#[test]
fn both_contracts_answer_every_call_alike() {
    let mut answers = std::collections::BTreeMap::new();
    for seed in 0..WORLDS {
        let mut world = World::new(seed);
        for step in 0..CALLS {
            world.sign();
            let (caller, call) = world.random_call();
            let answer = world.both(caller, &call).unwrap_or_else(|fault| {
                panic!("seed {seed}, step {step}: {} differs: {fault}\n{call:#?}", call.function());
            });
            *answers.entry((call.function(), answer)).or_insert(0_u64) += 1;
        }
    }
    // A comparison of refusals alone, or of few functions, would say little.
    let went_through: Vec<&str> =
        answers.keys().filter(|(_, answer)| answer == "ok").map(|(function, _)| *function).collect();
    for function in [
        "subscribe",
        "detachToken",
        "attachToken(state)",
        "attachToken(token)",
        "transfer",
        "close",
        "closeLast",
        "argueClosure",
        "redeemToken",
        "credit",
        "argueRedemptionToken",
        "resolve",
        "finalise",
        "withdraw",
        "hubDeposit",
        "announceSigner",
        "revokeSigner",
    ] {
        assert!(went_through.contains(&function), "{function} never went through: {answers:#?}");
    }
    let refusals: std::collections::BTreeSet<&str> =
        answers.keys().filter(|(_, answer)| answer != "ok").map(|(_, answer)| answer.as_str()).collect();
    assert!(refusals.len() >= 20, "few refusals were compared: {refusals:?}");
}
