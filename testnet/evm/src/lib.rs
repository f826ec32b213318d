//! A development EVM chain in memory: revm executes, every transaction makes a block, and tests move the clock.
//!
//! It holds no keys and no money of its own: `Config::funded` says who begins with native money.

mod block;
mod chain;
mod clock;
mod execute;
mod filter;
mod rpc;
mod server;
mod transaction;

pub use block::{Block, Mined, Receipt};
pub use chain::{Config, DevChain, SNAPSHOTS, SendError, UnknownSnapshot};
pub use clock::Clock;
pub use execute::{BLOCK_GAS, Outcome, Refused, Request};
pub use filter::{Filter, LoggedAt};
pub use rpc::Served;
pub use server::{Shared, router, serve};
pub use transaction::BadTransaction;
