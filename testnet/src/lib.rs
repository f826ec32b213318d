//! The dev Tangle: a Stardust node in one process that confirms by itself.

pub mod controls;
pub mod coordinator;
pub mod faucet;
pub mod http;
pub mod keys;
pub mod log;
pub mod mqtt;
pub mod node;
mod view;

pub use node::{Config, Node, Running, start};
