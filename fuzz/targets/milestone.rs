//! Any bytes as a milestone payload: parsed or not, and never believed without signatures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tarefa_ledger::milestone::{Coordinator, parse};
use tarefa_ledger::network;

fuzz_target!(|data: &[u8]| {
    let params = network::private();
    for index in [1, 7] {
        if let Ok(milestone) = parse(data, index, &params) {
            let known = Coordinator { keys: vec![[1; 32], [2; 32]], threshold: 2 };
            known.verify(&milestone, None).expect_err("nobody has these keys");
        }
    }
});
