//! Who is connected and holds which filters. A topic is published on while somebody holds exactly it; wildcards only
//! see what others hold.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::packet::{self, Qos};

/// Packets and bytes that may wait for one connection: a milestone can cause thousands of events at once. One that
/// falls further behind is closed, and the ledger never waits for it.
const QUEUE_PACKETS: usize = 16_384;
const QUEUE_BYTES: usize = 8 << 20;
/// Connections at once, and filters of one of them: together they bound what one event may cost.
const CONNECTIONS_MAX: usize = 256;
const FILTERS_MAX: usize = 1_000;
/// Of these, with wildcards: every event is matched against all of them.
const WILDCARDS_MAX: usize = 64;
/// Bytes of a filter or client id: the longest topic of the node is a third of it.
const TEXT_MAX: usize = 512;
/// Client ids remembered for their last connection's wish to keep a session.
const REMEMBERED: usize = 10_000;

/// One connected client, as the hub sees it.
#[derive(Debug)]
pub struct Link {
    /// Rises with every connection: what belongs to a client is keyed by this and never by the client's id, which a
    /// newer connection may have taken over.
    pub generation: u64,
    queue: mpsc::Sender<Bytes>,
    waiting: AtomicUsize,
    next_packet: AtomicU16,
    closed: AtomicBool,
    notify: Notify,
}

impl Link {
    /// Queues a packet; closes the connection when it has fallen too far behind.
    pub fn send(&self, packet: Bytes) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let waiting = self.waiting.fetch_add(packet.len(), Ordering::AcqRel) + packet.len();
        if waiting > QUEUE_BYTES || self.queue.try_send(packet).is_err() {
            tracing::debug!(generation = self.generation, waiting, "an event client is too slow: closed");
            self.close();
        }
    }

    /// A packet left the queue.
    pub fn sent(&self, packet: &Bytes) {
        self.waiting.fetch_sub(packet.len(), Ordering::AcqRel);
    }

    /// Ends the connection: nothing more is delivered.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Resolves once closed.
    pub async fn closed(&self) {
        while !self.closed.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
    }

    fn publish(&self, topic: &str, payload: &[u8], qos: Qos) {
        let id = match qos {
            0 => 0,
            _ => self
                .next_packet
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |id| Some(id.checked_add(1).unwrap_or(1)))
                .unwrap_or(1),
        };
        self.send(packet::publish(topic, payload, qos, id, false));
    }
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    links: HashMap<u64, Arc<Link>>,
    clients: HashMap<String, u64>,
    /// Holders of each filter by its text.
    filters: HashMap<String, BTreeMap<u64, Qos>>,
    /// Of these, the ones with a wildcard.
    wild: HashSet<String>,
    /// What each connection holds.
    held: HashMap<u64, HashSet<String>>,
    /// Filters below `block-metadata/`: while there are any, metadata is published.
    metadata: usize,
    /// Clients whose latest connection wanted its session kept.
    kept: HashSet<String>,
    kept_order: VecDeque<String>,
}

/// All clients of the event API.
#[derive(Debug, Default)]
pub struct Hub {
    inner: Mutex<Inner>,
}

/// A new client's link, its queue, and whether a session was present.
pub struct Joined {
    /// To be sent to.
    pub link: Arc<Link>,
    /// What is to be written.
    pub queue: mpsc::Receiver<Bytes>,
    /// For CONNACK.
    pub session_present: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a client in; an older connection under the same id loses its subscriptions and is closed. `None` when
    /// there are too many.
    pub fn join(&self, id: &str, clean: bool) -> Option<Joined> {
        let mut inner = self.lock();
        if inner.links.len() >= CONNECTIONS_MAX || id.len() > TEXT_MAX {
            return None;
        }
        inner.next += 1;
        let generation = inner.next;
        let session_present = !clean && inner.kept.contains(id);
        // A client without an id is nobody's predecessor.
        if !id.is_empty() {
            if let Some(old) = inner.clients.insert(id.to_owned(), generation)
                && let Some(link) = inner.remove(old)
            {
                link.close();
            }
            inner.keep(id, clean);
        }
        let (sender, queue) = mpsc::channel(QUEUE_PACKETS);
        let link = Arc::new(Link {
            generation,
            queue: sender,
            waiting: AtomicUsize::new(0),
            next_packet: AtomicU16::new(1),
            closed: AtomicBool::new(false),
            notify: Notify::new(),
        });
        inner.links.insert(generation, link.clone());
        Some(Joined { link, queue, session_present })
    }

    /// Forgets a connection that has ended.
    pub fn leave(&self, id: &str, generation: u64) {
        let mut inner = self.lock();
        inner.remove(generation);
        // Somebody newer may have the id by now.
        if inner.clients.get(id) == Some(&generation) {
            inner.clients.remove(id);
        }
    }

    /// Grants a filter; whether this connection did not hold it before. `None` when it holds too many.
    pub fn subscribe(&self, generation: u64, filter: &str, qos: Qos) -> Option<bool> {
        let mut inner = self.lock();
        if !inner.links.contains_key(&generation) {
            return None;
        }
        let held = inner.held.entry(generation).or_default();
        let is_wild = |filter: &str| filter.contains(['+', '#']);
        let wild = held.iter().filter(|held| is_wild(held)).count();
        let is_full = held.len() >= FILTERS_MAX || (is_wild(filter) && wild >= WILDCARDS_MAX);
        if filter.len() > TEXT_MAX || (is_full && !held.contains(filter)) {
            return None;
        }
        held.insert(filter.to_owned());
        let is_new = inner.filters.entry(filter.to_owned()).or_default().insert(generation, qos).is_none();
        if is_new {
            inner.metadata += usize::from(is_metadata(filter));
            if is_wild(filter) {
                inner.wild.insert(filter.to_owned());
            }
        }
        Some(is_new)
    }

    /// Takes a filter back.
    pub fn unsubscribe(&self, generation: u64, filter: &str) {
        self.lock().drop_filter(generation, filter);
    }

    /// Whether anybody holds exactly this topic.
    pub fn holds(&self, topic: &str) -> bool {
        self.lock().filters.contains_key(topic)
    }

    /// Whether anybody is connected at all: without clients no event is made.
    pub fn is_idle(&self) -> bool {
        self.lock().filters.is_empty()
    }

    /// Whether metadata of blocks is to be published.
    pub fn wants_metadata(&self) -> bool {
        self.lock().metadata > 0
    }

    /// Publishes to everybody who holds the topic, and to the wildcards that see it then; the payload is made only if
    /// somebody does.
    pub fn publish(&self, topic: &str, payload: impl FnOnce() -> Vec<u8>) {
        let inner = self.lock();
        let Some(holders) = inner.filters.get(topic) else { return };
        let mut receivers: BTreeMap<u64, Qos> = holders.clone();
        for filter in &inner.wild {
            if filter != topic && matches(filter, topic) {
                for (generation, qos) in inner.filters.get(filter).into_iter().flatten() {
                    let best = receivers.entry(*generation).or_insert(*qos);
                    *best = (*best).max(*qos);
                }
            }
        }
        let payload = payload();
        for (generation, qos) in receivers {
            if let Some(link) = inner.links.get(&generation) {
                link.publish(topic, &payload, qos);
            }
        }
    }

    /// Publishes to one connection: the first value of a subscription.
    pub fn publish_to(&self, generation: u64, topic: &str, payload: &[u8], qos: Qos) {
        if let Some(link) = self.lock().links.get(&generation) {
            link.publish(topic, payload, qos);
        }
    }

    /// Clients connected.
    pub fn count(&self) -> usize {
        self.lock().links.len()
    }

    /// Ends every connection.
    pub fn close_all(&self) {
        for link in self.lock().links.values() {
            link.close();
        }
    }
}

impl Inner {
    fn remove(&mut self, generation: u64) -> Option<Arc<Link>> {
        let link = self.links.remove(&generation)?;
        for filter in self.held.remove(&generation).unwrap_or_default() {
            self.drop_filter(generation, &filter);
        }
        Some(link)
    }

    fn drop_filter(&mut self, generation: u64, filter: &str) {
        let Some(holders) = self.filters.get_mut(filter) else { return };
        if holders.remove(&generation).is_none() {
            return;
        }
        self.metadata -= usize::from(is_metadata(filter));
        if let Some(held) = self.held.get_mut(&generation) {
            held.remove(filter);
        }
        if holders.is_empty() {
            self.filters.remove(filter);
            self.wild.remove(filter);
        }
    }

    fn keep(&mut self, id: &str, clean: bool) {
        if clean {
            if self.kept.remove(id) {
                self.kept_order.retain(|kept| kept != id);
            }
        } else if self.kept.insert(id.to_owned()) {
            self.kept_order.push_back(id.to_owned());
            if self.kept_order.len() > REMEMBERED
                && let Some(oldest) = self.kept_order.pop_front()
            {
                self.kept.remove(&oldest);
            }
        }
    }
}

fn is_metadata(filter: &str) -> bool {
    filter.starts_with("block-metadata/")
}

/// Whether a filter with wildcards matches a topic (MQTT 3.1.1, 4.7). An illegal one matches nothing.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/').peekable(), topic.split('/'));
    while let Some(level) = filter.next() {
        if level == "#" {
            return filter.peek().is_none();
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            // `a/#` also matches `a`, whose levels end here.
            _ => return false,
        }
        if filter.peek() == Some(&"#") && topic.clone().next().is_none() {
            filter.next();
            return filter.next().is_none();
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(joined: &mut Joined) -> Vec<(u8, String)> {
        let mut packets = vec![];
        while let Ok(packet) = joined.queue.try_recv() {
            let length = usize::from(packet[3]);
            packets.push(((packet[0] >> 1) & 3, String::from_utf8_lossy(&packet[4..4 + length]).into_owned()));
        }
        packets
    }

    fn publish(hub: &Hub, topic: &str) {
        hub.publish(topic, || b"x".to_vec());
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic) in
            [("#", "a/b"), ("a/#", "a"), ("a/#", "a/b/c"), ("a/+", "a/b"), ("+/b", "a/b"), ("a/+/#", "a/b")]
        {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in
            [("a/+", "a"), ("a/#/x", "a/b/x"), ("a+", "ab"), ("#", "$SYS/x"), ("+", "a/b"), ("a/b/#", "a")]
        {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_see_only_what_somebody_holds_exactly() {
        let hub = Hub::default();
        let (mut exact, mut wild) = (hub.join("a", true).expect("room"), hub.join("b", true).expect("room"));
        hub.subscribe(wild.link.generation, "blocks/#", 2);
        publish(&hub, "blocks");
        assert_eq!(received(&mut wild), []);
        hub.subscribe(exact.link.generation, "blocks", 1);
        publish(&hub, "blocks");
        assert_eq!(received(&mut exact), [(1, "blocks".to_owned())]);
        assert_eq!(received(&mut wild), [(2, "blocks".to_owned())], "each at its own quality");
        hub.unsubscribe(exact.link.generation, "blocks");
        publish(&hub, "blocks");
        assert_eq!(received(&mut wild), []);
        assert!(!hub.wants_metadata());
    }

    #[test]
    fn who_takes_an_id_over_is_delivered_to_whenever_the_old_one_goes() {
        let hub = Hub::default();
        let mut old = hub.join("sdk", true).expect("room");
        hub.subscribe(old.link.generation, "milestones", 0);
        let mut new = hub.join("sdk", true).expect("room");
        assert!(old.link.closed.load(Ordering::Acquire));
        hub.subscribe(new.link.generation, "milestones", 0);
        hub.leave("sdk", old.link.generation);
        publish(&hub, "milestones");
        assert_eq!(received(&mut new).len(), 1);
        assert_eq!(received(&mut old), []);
        hub.leave("sdk", new.link.generation);
        assert!(hub.is_idle() && hub.count() == 0);
    }

    #[test]
    fn a_session_is_present_after_one_that_was_to_be_kept() {
        let hub = Hub::default();
        let present = |clean| hub.join("a", clean).expect("room").session_present;
        assert_eq!([present(false), present(false), present(true), present(false)], [false, true, false, false]);
    }

    #[test]
    fn one_that_does_not_read_is_closed_and_the_others_go_on() {
        let hub = Hub::default();
        let (slow, mut good) = (hub.join("slow", true).expect("room"), hub.join("good", true).expect("room"));
        for joined in [&slow, &good] {
            hub.subscribe(joined.link.generation, "blocks", 0);
        }
        for _ in 0..QUEUE_PACKETS + 1 {
            publish(&hub, "blocks");
            while let Ok(packet) = good.queue.try_recv() {
                good.link.sent(&packet);
            }
        }
        assert!(slow.link.closed.load(Ordering::Acquire) && !good.link.closed.load(Ordering::Acquire));
    }

    #[test]
    fn filters_of_one_client_are_bounded() {
        let hub = Hub::default();
        let joined = hub.join("a", true).expect("room");
        let granted = (0..FILTERS_MAX + 5).filter_map(|n| hub.subscribe(joined.link.generation, &n.to_string(), 0));
        assert_eq!(granted.count(), FILTERS_MAX);
    }
}
