//! Looks for attacks on the channel protocol. TEST: nothing that runs depends on this.
//!
//! The honest party is the real machine of `tarefa-channel`, the chain is its contract model, and everybody else
//! colludes: signs with every key but the honest one, withholds, delays, front-runs, and is mined at once. What may live here:
//! worlds, what the adversary can do in them, what must hold in every state, and ways to search.

pub mod faults;
pub mod keys;
pub mod scenario;
pub mod search;
pub mod table;
pub mod walk;
pub mod without;
pub mod world;

pub use scenario::Scenario;
pub use search::{Attack, Found, search};
pub use without::Without;
pub use world::World;
