//! The client of a payment channel: payer and payee in one.
//!
//! A daemon ([`Daemon`]) keeps one channel of one client with one hub: it stores before it sends, watches the chain, takes what is in its
//! mailbox, and does by itself what keeps its money safe. Programs ask it over a local RPC ([`rpc`]).

mod anchor;
pub mod backup;
mod daemon;
mod fault;
mod keys;
mod link;
mod order;
pub mod rpc;
mod settings;
mod store;

pub use anchor::Anchor;
pub use daemon::{Daemon, Door, Pace, Request, Step};
pub use fault::ClientFault;
pub use link::{Link, LinkFault};
pub use order::{Invoice, Pay};
pub use settings::Settings;
pub use store::{Entry, Store};
