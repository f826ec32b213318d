//! The submitter: submits tasks, follows them, pays once, receives results.

pub mod files;
pub mod role;
pub mod view;

pub use role::{Draft, Stored, SubmitterRole};
