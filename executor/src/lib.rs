//! The executor: takes tasks from the Tangle, runs them behind walls, quotes, releases when paid.

pub mod config;
pub mod doctor;
pub mod role;
pub mod sandbox;

pub use config::Config;
pub use role::ExecutorRole;
pub use sandbox::Sandbox;
