//! The hub of payment channels. It is passive: it answers proposals over rows of its store, and an answer leaves only once what it
//! promises is on the disk.

mod held;
pub mod http;
mod hub;
mod mailbox;
mod metrics;
mod monitor;
mod rate;
mod relay;
mod session;
pub mod store;
mod timed;
mod words;

pub use hub::{Deployment, Fault, Hub, LONGEST_POLL, Opening, Policy, Refused, Standing};
pub use mailbox::{Letter, Mailbox, Promise, Receipt, Receipts, Shown};
pub use metrics::Metrics;
pub use monitor::{Monitor, MonitorFault};
pub use relay::{Relay, Word};
pub use session::{Login, SESSION};
