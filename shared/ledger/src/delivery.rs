//! Delivery: a payload is posted until a milestone references it, in a new block each time.
//!
//! What is referenced is learnt from the cone walk by the payload itself, not by block id: any block that
//! carries it will do, whoever posted it.

use std::collections::BTreeMap;

/// A payload is posted again when it was not referenced after this many milestones (`market.md`, Delivery).
pub const REPOST_AFTER_MILESTONES: u32 = 3;

/// Hash of a payload's bytes.
pub type PayloadHash = [u8; 32];

/// Names a payload in the store, in posting order.
pub type Sequence = u64;

/// Payloads that are not yet referenced.
#[derive(Debug, Default)]
pub struct Delivery {
    waiting: BTreeMap<Sequence, Waiting>,
    by_hash: BTreeMap<PayloadHash, Sequence>,
}

#[derive(Debug)]
struct Waiting {
    hash: PayloadHash,
    not_after: u32,
    post: Posting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Posting {
    Due,
    /// Handed to the poster, which may take long: it does not get the payload twice.
    InFlight,
    /// Posted at this milestone.
    Posted(u32),
}

impl Delivery {
    /// Takes a payload on. One that is already under way is not taken twice.
    pub fn add(&mut self, sequence: Sequence, hash: PayloadHash, not_after: u32) {
        if self.by_hash.insert(hash, sequence).is_none() {
            self.waiting.insert(sequence, Waiting { hash, not_after, post: Posting::Due });
        }
    }

    /// Forgets a payload, for instance a transaction that can never be included any more.
    pub fn remove(&mut self, hash: &PayloadHash) -> Option<Sequence> {
        let sequence = self.by_hash.remove(hash)?;
        self.waiting.remove(&sequence);
        Some(sequence)
    }

    /// A milestone references this payload; its sequence, if it is ours and was still waiting.
    pub fn referenced(&mut self, hash: &PayloadHash) -> Option<Sequence> {
        self.remove(hash)
    }

    /// Payloads to post now, oldest first; each is out of reach until [`Self::posted`] says what became of it.
    pub fn due(&mut self, milestone: u32) -> Vec<Sequence> {
        let mut due = vec![];
        for (sequence, waiting) in &mut self.waiting {
            let is_due = match waiting.post {
                Posting::Due => true,
                Posting::InFlight => false,
                Posting::Posted(at) => milestone >= at + REPOST_AFTER_MILESTONES,
            };
            if is_due {
                waiting.post = Posting::InFlight;
                due.push(*sequence);
            }
        }
        due
    }

    /// The payload was posted at this milestone, or, for `None`, could not be: then it is due again at once.
    pub fn posted(&mut self, sequence: Sequence, milestone: Option<u32>) {
        if let Some(waiting) = self.waiting.get_mut(&sequence) {
            waiting.post = milestone.map_or(Posting::Due, Posting::Posted);
        }
    }

    /// As [`Self::posted`], by the payload.
    pub fn posted_hash(&mut self, hash: &PayloadHash, milestone: Option<u32>) {
        if let Some(sequence) = self.by_hash.get(hash).copied() {
            self.posted(sequence, milestone);
        }
    }

    /// The payload of a sequence that is waiting.
    pub fn hash_of(&self, sequence: Sequence) -> Option<PayloadHash> {
        self.waiting.get(&sequence).map(|waiting| waiting.hash)
    }

    /// Payloads whose time has passed; they are dropped.
    pub fn expired(&mut self, now: u32) -> Vec<Sequence> {
        let expired: Vec<(Sequence, PayloadHash)> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.not_after < now)
            .map(|(sequence, waiting)| (*sequence, waiting.hash))
            .collect();
        for (_, hash) in &expired {
            self.remove(hash);
        }
        expired.into_iter().map(|(sequence, _)| sequence).collect()
    }

    /// How many are waiting.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Delivery {
        let mut delivery = Delivery::default();
        for n in 1..=3u8 {
            delivery.add(u64::from(n), [n; 32], 100);
        }
        delivery
    }

    #[test]
    fn everything_is_due_once_then_again_after_three_milestones() {
        let mut delivery = three();
        assert_eq!(delivery.due(10), [1, 2, 3]);
        assert_eq!(delivery.due(20), [] as [u64; 0], "a slow poster has them still");
        (1..=3).for_each(|sequence| delivery.posted(sequence, Some(20)));
        assert_eq!(delivery.referenced(&[2; 32]), Some(2));
        assert_eq!(delivery.due(22), [] as [u64; 0]);
        assert_eq!(delivery.due(23), [1, 3]);
    }

    #[test]
    fn a_failed_post_is_due_at_once() {
        let mut delivery = three();
        delivery.due(10);
        delivery.posted(2, None);
        assert_eq!(delivery.due(10), [2]);
    }

    #[test]
    fn what_is_referenced_twice_counts_once() {
        let mut delivery = three();
        assert_eq!(delivery.referenced(&[1; 32]), Some(1));
        assert_eq!(delivery.referenced(&[1; 32]), None);
        assert_eq!(delivery.len(), 2);
    }

    #[test]
    fn what_expired_is_dropped() {
        let mut delivery = three();
        assert_eq!(delivery.expired(100), [] as [u64; 0]);
        assert_eq!(delivery.expired(101), [1, 2, 3]);
        assert!(delivery.is_empty());
        assert_eq!(delivery.referenced(&[1; 32]), None);
    }

    #[test]
    fn the_same_payload_is_taken_once() {
        let mut delivery = three();
        delivery.add(9, [3; 32], 100);
        assert_eq!(delivery.due(1), [1, 2, 3]);
    }
}
