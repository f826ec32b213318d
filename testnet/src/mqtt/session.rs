//! One client's conversation: packets in, packets queued, or the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::feeds;
use super::hub::{Joined, Link};
use super::packet::{self, Packet};
use crate::node::Node;

/// A client that does not introduce itself within this time is not one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is to happen with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Open,
    /// It is closed, without a word.
    Close,
}

/// The answer to CONNECT, and the queue of everything that follows, if anything does.
pub struct Welcome {
    pub connack: Bytes,
    pub queue: Option<mpsc::Receiver<Bytes>>,
}

/// A client after its CONNECT.
struct Client {
    id: String,
    link: Arc<Link>,
    keep_alive: Duration,
}

/// A connection's state.
pub struct Session {
    node: Arc<Node>,
    buffer: BytesMut,
    client: Option<Client>,
}

impl Session {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, buffer: BytesMut::new(), client: None }
    }

    /// How long the client may be silent from now on; `None` for ever.
    pub fn patience(&self) -> Option<Duration> {
        match &self.client {
            None => Some(CONNECT_TIMEOUT),
            Some(client) => Some(client.keep_alive).filter(|time| !time.is_zero()),
        }
    }

    /// The link of a client that has introduced itself.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.client.as_ref().map(|client| &client.link)
    }

    /// Takes bytes in. Once, they contain a CONNECT, which is answered.
    pub fn feed(&mut self, bytes: &[u8]) -> (Next, Option<Welcome>) {
        self.buffer.extend_from_slice(bytes);
        let mut first = None;
        loop {
            let packet = match packet::decode(&mut self.buffer) {
                Ok(Some(packet)) => packet,
                Ok(None) => return (Next::Open, first),
                Err(packet::Malformed) => return (Next::Close, first),
            };
            let next = match (&self.client, packet) {
                (None, Packet::Connect { id, clean, keep_alive }) => match self.connect(&id, clean, keep_alive) {
                    Some(answer) => {
                        first = Some(answer);
                        Next::Open
                    }
                    None => Next::Close,
                },
                (None, Packet::Refused(code)) => {
                    return (Next::Close, Some(Welcome { connack: packet::connack(false, code), queue: None }));
                }
                (None, _) => Next::Close,
                (Some(client), packet) => self.handle(client, packet),
            };
            if next == Next::Close {
                return (Next::Close, first);
            }
        }
    }

    fn connect(&mut self, id: &str, clean: bool, keep_alive: u16) -> Option<Welcome> {
        let Joined { link, queue, session_present } = self.node.hub.join(id, clean)?;
        // One and a half times what the client promised, in whole seconds.
        let seconds = u64::from(keep_alive) + u64::from(keep_alive) / 2;
        self.client = Some(Client { id: id.to_owned(), link, keep_alive: Duration::from_secs(seconds) });
        Some(Welcome { connack: packet::connack(session_present, packet::ACCEPTED), queue: Some(queue) })
    }

    fn handle(&self, client: &Client, packet: Packet) -> Next {
        let link = &client.link;
        match packet {
            Packet::Connect { .. } | Packet::Refused(_) | Packet::Disconnect => return Next::Close,
            // Only the node publishes; a client's messages are dropped in silence.
            Packet::Publish | Packet::Ack => {}
            Packet::PubRec(id) => link.send(packet::pubrel(id)),
            Packet::PubRel(id) => link.send(packet::pubcomp(id)),
            Packet::Ping => link.send(packet::pingresp()),
            Packet::Unsubscribe { packet, filters } => {
                filters.iter().for_each(|filter| self.node.hub.unsubscribe(link.generation, filter));
                link.send(packet::unsuback(packet));
            }
            Packet::Subscribe { packet, filters } => return self.subscribe(link, packet, &filters),
        }
        Next::Open
    }

    /// Under the ledger's lock: no event falls between a first value and the subscription.
    fn subscribe(&self, link: &Link, packet: u16, filters: &[(String, u8)]) -> Next {
        let engine = self.node.engine();
        let mut fresh = vec![];
        for (filter, qos) in filters {
            match self.node.hub.subscribe(link.generation, filter, *qos) {
                None => return Next::Close,
                Some(true) => fresh.push((filter, *qos)),
                Some(false) => {}
            }
        }
        let codes: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        link.send(packet::suback(packet, &codes));
        for (filter, qos) in fresh {
            if let Some(payload) = feeds::first_value(&engine, filter) {
                self.node.hub.publish_to(link.generation, filter, &payload, qos);
            }
            if filter.starts_with("$SYS/") {
                let counts = (self.node.hub.count(), self.node.started);
                feeds::system(counts, filter).into_iter().for_each(|(topic, value)| {
                    link.send(packet::publish(&topic, value.as_bytes(), 0, 0, true));
                });
            }
        }
        Next::Open
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = &self.client {
            client.link.close();
            self.node.hub.leave(&client.id, client.link.generation);
        }
    }
}
