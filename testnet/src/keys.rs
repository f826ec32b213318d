//! Keys of a dev network: coordinator and faucet, made once per data directory.

use ed25519_dalek::{Signer as _, SigningKey};
use tarefa_ledger::address_of;
use tarefa_ledger::build::Signer;

/// Secret keys of a dev network. Whoever has them owns the network: it is worth nothing outside tests.
#[derive(Clone)]
pub struct NetworkKeys {
    /// Sign milestones.
    pub coordinator: Vec<SigningKey>,
    /// Owns all tokens at the start, less those of the rich addresses.
    pub faucet: SigningKey,
    /// From which the rich addresses' keys are made, by whoever made the network.
    pub rich: [u8; 32],
}

impl NetworkKeys {
    /// Keys from one 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = |name: &str| SigningKey::from_bytes(&tarefa_ledger::blake2b(&[name.as_bytes(), seed].concat()));
        let coordinator = vec![key("coordinator 1"), key("coordinator 2")];
        Self { coordinator, faucet: key("faucet"), rich: key("rich").to_bytes() }
    }

    /// Address of the faucet.
    pub fn faucet_address(&self) -> [u8; 32] {
        address_of(&self.faucet.verifying_key().to_bytes())
    }
}

/// The faucet has one key: every index is it.
pub struct FaucetSigner<'a>(pub &'a SigningKey);

impl Signer for FaucetSigner<'_> {
    fn sign(&self, _: u32, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        (self.0.verifying_key().to_bytes(), self.0.sign(message).to_bytes())
    }
}
