//! What every daemon of the market shares: the store, the driver, keys, and the loop around them.
//!
//! The driver is synchronous and knows no node and no clock: the simulator drives it as the loop does. State and
//! the effects it causes are stored in one commit; effects run only after it and may run again.

pub mod desk;
pub mod driver;
pub mod home;
pub mod keys;
pub mod role;
pub mod run;
pub mod store;

pub use desk::Desk;
pub use driver::{Driver, Post};
pub use role::{Answer, Role};
pub use store::{Store, StoreError};
