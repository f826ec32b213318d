//! The hub, from its store outwards.

mod http;
mod store;
mod town;
