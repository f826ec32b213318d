//! The hub, from its store outwards.

mod http;
mod replicas;
mod store;
mod town;
