//! The hub of payment channels, so far its store: proposals are decided over rows of one transaction, and an answer leaves only once
//! what it promises is on the disk.

pub mod store;
