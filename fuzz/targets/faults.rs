//! Any bytes as faults between honest parties: every channel ends, and nobody has lost anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tarefa_checker::faults::Faults;

/// Longer ones say nothing that these do not, and take long.
const LONGEST: usize = 1200;

fuzz_target!(|data: &[u8]| {
    if data.len() <= LONGEST {
        Faults::run(data).expect("nobody is stuck, and nobody has lost anything");
    }
});
