//! Who owns what in a FulgurHub channel. Pure: no clock, no randomness, no I/O.
//!
//! A type may live here if it follows from the channel protocol (`docs/protocol/channel.md`) alone: what is signed and
//! how it is hashed, what a state may follow, what the contract would pay, and what an honest client or hub does next.
//! It knows nothing of tasks, of HTTP, or of how an EVM chain is reached.

pub mod chain;
pub mod client;
pub mod contract;
pub mod eip712;
pub mod hub;
pub mod id;
pub mod limits;
pub mod message;
pub mod price;
pub mod rules;
pub mod sign;
pub mod terms;
pub mod transition;
pub mod tree;
pub mod window;

pub use alloy_primitives::{Address, B256, U256};
pub use id::{Amount, ChannelId, Seq, StateHash, Time, TokenId};
