//! What the ledger says. Pure: no clock, no randomness, no I/O.
//!
//! A type may live here if it follows from the Stardust ledger rules alone: cones and their order, Merkle
//! roots, milestones, transactions, and the wallet and delivery machines that watch them. It knows nothing
//! of tasks; `tarefa-protocol` knows nothing of outputs.

pub mod build;
pub mod cone;
pub mod confirmed;
pub mod delivery;
pub mod engine;
pub mod merkle;
pub mod milestone;
pub mod network;
pub mod semantics;
pub mod wallet;
pub mod wire;

pub use iota_sdk::types::block::output::OutputId;
pub use iota_sdk::types::block::payload::milestone::MilestoneId;
pub use iota_sdk::types::block::payload::transaction::TransactionId;
pub use iota_sdk::types::block::protocol::ProtocolParameters;
pub use iota_sdk::types::block::{Block, BlockId};

/// BLAKE2b-256, the hash behind every id of the ledger.
pub fn blake2b(bytes: &[u8]) -> [u8; 32] {
    use blake2::Digest;
    blake2::Blake2b::<blake2::digest::consts::U32>::digest(bytes).into()
}

/// The Ed25519 address of a public key (TIP-18): its hash.
pub fn address_of(public_key: &[u8; 32]) -> [u8; 32] {
    blake2b(public_key)
}
