//! The event API: MQTT 3.1.1 over WebSocket on the REST port, and over TCP where wanted.
//!
//! A broker of our own and not a crate: the node publishes on a topic only while somebody holds exactly that topic,
//! sends first values on subscription, grants every filter and never waits for acknowledgements. No broker crate can
//! be told so, and the codecs that are maintained refuse what the original accepts (docs/decisions/0010-event-api.md).

mod connection;
mod feeds;
mod hub;
mod packet;
mod session;

pub use connection::{serve_tcp, serve_web};
pub use feeds::Feeds;
pub use hub::Hub;
pub use packet::decode;
