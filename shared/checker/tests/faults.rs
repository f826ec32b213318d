//! Random bytes as faults: nobody is stuck, nobody has lost anything, and every kind of fault has been there.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tarefa_checker::faults::{Faults, Told};

/// Runs of this test; `FAULTS_RUNS` asks for more.
const RUNS: u64 = 400;

/// Bytes of the longest run.
const LONGEST: u64 = 600;

#[test]
fn honest_parties_lose_nothing_whatever_fails_between_them() {
    let runs = std::env::var("FAULTS_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    let mut all = Told::default();
    let first = std::env::var("FAULTS_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + runs {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let length = usize::try_from(random.next_u64() % LONGEST).expect("small");
        let mut bytes = vec![0; length];
        random.fill_bytes(&mut bytes);
        let told = Faults::run(&bytes).unwrap_or_else(|_| {
            let (bytes, loss) = shrunk(bytes);
            panic!("seed {seed}: {loss}; the shortest bytes that show it: {bytes:?}")
        });
        all += told;
    }
    println!("{all:?}");
    for (what, count) in all.counts() {
        assert!(count as u64 > runs / 10, "{what}: {count} in {runs} runs say nothing");
    }
}

/// The same failure with as few actions as leaving out one after the other leads to.
fn shrunk(mut bytes: Vec<u8>) -> (Vec<u8>, String) {
    let mut loss = Faults::run(&bytes).expect_err("it fails");
    let mut place = 0;
    while place + 2 <= bytes.len() {
        let mut fewer = bytes.clone();
        fewer.drain(place..place + 2);
        match Faults::run(&fewer) {
            Ok(_) => place += 2,
            Err(still) => (bytes, loss, place) = (fewer, still, 0),
        }
    }
    (bytes, loss)
}
