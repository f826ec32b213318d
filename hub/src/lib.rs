//! The hub of payment channels. It is passive: it answers proposals over rows of its store, and an answer leaves only once what it
//! promises is on the disk.

pub mod http;
mod hub;
mod session;
pub mod store;

pub use hub::{Deployment, Fault, Hub, LONGEST_POLL, Letter, Mailbox, Opening, Policy, Promise, Receipt, Refused};
pub use session::{Login, SESSION};
