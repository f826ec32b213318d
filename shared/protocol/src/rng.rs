//! Chance as an argument: a stream of bytes from one seed that the driver draws per input.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Deterministic source of keys and ids within the handling of one input.
pub struct Entropy(ChaCha20Rng);

impl Entropy {
    /// The stream of this seed; a daemon draws the seed from the operating system, a test from its own.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0u8; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// The generator behind it, for libraries that want one.
    pub fn generator(&mut self) -> &mut ChaCha20Rng {
        &mut self.0
    }
}
