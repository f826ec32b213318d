//! Any bytes as a block: refused with a cause or taken, and the node still makes milestones over what it took.
#![no_main]

use std::cell::RefCell;

use ed25519_dalek::SigningKey;
use libfuzzer_sys::fuzz_target;
use tarefa_ledger::engine::{Engine, Genesis};
use tarefa_ledger::network;

/// Blocks after which a fresh ledger is taken, so that a run is short and repeatable.
const FRESH_AFTER: u32 = 64;

thread_local! {
    static LEDGER: RefCell<(Engine, u32)> = RefCell::new(ledger());
}

fn keys() -> [SigningKey; 1] {
    [SigningKey::from_bytes(&[1; 32])]
}

fn ledger() -> (Engine, u32) {
    let mut engine = Engine::new(network::private(), &[Genesis { address: [9; 32], amount: network::PRIVATE_SUPPLY }]);
    engine.issue(1, &keys()).expect("the first milestone");
    (engine, 0)
}

fuzz_target!(|data: &[u8]| {
    LEDGER.with_borrow_mut(|(engine, count)| {
        // Bytes as they are, and as a block on known parents.
        let _ = engine.submit(data);
        let mut whole = vec![2, 0];
        let mut tips = engine.tips();
        tips.sort_unstable();
        tips.dedup();
        whole[1] = tips.len() as u8;
        tips.iter().for_each(|tip| whole.extend_from_slice(tip.as_ref()));
        whole.extend_from_slice(data);
        let taken = engine.submit(&whole).is_ok();
        *count += 1;
        if taken || *count >= FRESH_AFTER {
            engine.issue(*count + 1, &keys()).expect("a milestone over whatever was taken");
        }
    });
    LEDGER.with_borrow_mut(|state| {
        if state.1 >= FRESH_AFTER {
            *state = ledger();
        }
    });
});
