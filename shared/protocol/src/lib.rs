//! What is signed, hashed or sent, and what happens to a task. Pure: no clock, no randomness, no I/O.
//!
//! A type may live here if it crosses the wire of the task market or decides what a task does next.
//! Ledger facts (outputs, milestones, wallets) live in `tarefa-ledger`; the two do not see each other.

pub mod codec;
pub mod envelope;
pub mod executor;
pub mod ids;
pub mod limits;
pub mod message;
pub mod money;
pub mod offer;
pub mod parts;
pub mod receipt;
pub mod result;
pub mod rng;
pub mod seal;
pub mod submitter;
pub mod time;

pub use ids::{Address, Digest, LedgerId, MessageId, PartyId, SealingKey, Tag, TaskId};
pub use money::{BaseUnits, Price};
pub use time::{LedgerSeconds, Millis};
