//! The FulgurHub contract on an EVM chain: what a call looks like in bytes, what the contract answers, who follows it and who sends to it.
//!
//! `tarefa_channel::contract` is the same contract as a value; the ABI comes from the committed artifact of `hub/contract`.

pub mod abi;
mod books;
mod call;
mod event;
mod genuine;
mod keys;
mod outbox;
mod revert;
mod rpc;
mod send;
mod view;
mod watch;

pub use books::{Books, Unfit};
pub use call::{Transaction, deployment, transaction};
pub use event::{Event, Undecodable, decode};
pub use genuine::{Says, is_genuine};
pub use keys::{BadKey, Key, recover};
pub use outbox::{Ended, Flight, Outbox};
pub use revert::{Failure, failure};
pub use rpc::{Fees, LOG_RANGE, Rpc, RpcFault, causes, http_client};
pub use send::{Fate, GAS_BEHIND, SendFault, Sender, Sent, taken};
pub use view::{Head, OwnClock, View, ViewError};
pub use watch::{News, WatchError, Watcher};
