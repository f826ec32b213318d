//! The dev Tangle: a Stardust node in one process that confirms by itself.

pub mod controls;
pub mod coordinator;
mod explorer;
pub mod faucet;
pub mod http;
pub mod keys;
pub mod mqtt;
pub mod node;
mod store;
mod view;

pub use node::{Config, Node, Running, start};
