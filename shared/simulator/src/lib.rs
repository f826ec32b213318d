//! A seeded world for tests: the real drivers, stores, wallets, poller and ledger rules over a Tangle that loses,
//! delays, doubles, reorders and orphans, with parties that crash. The same seed gives the same run.

pub mod invariants;
pub mod party;
pub mod world;

pub use world::{Plan, Report, World};

/// The generator behind every decision of a world.
pub struct Dice(rand_chacha::ChaCha20Rng);

impl Dice {
    /// Dice that fall as `seed` says.
    pub fn new(seed: u64) -> Self {
        use rand_chacha::rand_core::SeedableRng;
        Self(rand_chacha::ChaCha20Rng::seed_from_u64(seed))
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: u32) -> u32 {
        use rand_chacha::rand_core::Rng;
        self.0.next_u32() % sides.max(1)
    }

    /// 32 random bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        use rand_chacha::rand_core::Rng;
        let mut bytes = [0u8; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
