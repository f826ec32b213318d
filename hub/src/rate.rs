//! How much anybody may ask: a bucket each, filled with time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are kept; beyond, the full ones are forgotten, which changes nothing for their owners, and who is new waits.
const BUCKETS: usize = 65_536;

/// How often full ones are looked for, which takes a millisecond.
const FORGET: Duration = Duration::from_secs(1);

/// Seconds of asking that may come at once.
const BURST: f64 = 4.0;

/// Requests of each asker.
#[derive(Debug)]
pub struct Rate<K> {
    per_second: f64,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    all: HashMap<K, (f64, Instant)>,
    forgotten: Option<Instant>,
}

impl<K: Hash + Eq> Rate<K> {
    /// So many requests a second for each; none: as many as they like.
    #[must_use]
    pub fn new(per_second: Option<u32>) -> Self {
        let buckets = Mutex::new(Buckets { all: HashMap::new(), forgotten: None });
        Self { per_second: per_second.map_or(f64::INFINITY, f64::from), buckets }
    }

    /// Whether this one may ask now.
    pub fn admits(&self, who: K, now: Instant) -> bool {
        if self.per_second.is_infinite() {
            return true;
        }
        let full = self.per_second * BURST;
        let filled = |(left, at): (f64, Instant)| {
            let since = now.saturating_duration_since(at).as_secs_f64();
            full.min(left + since * self.per_second)
        };
        let Buckets { all, forgotten } = &mut *self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= BUCKETS && !all.contains_key(&who) {
            if forgotten.is_none_or(|at| now.saturating_duration_since(at) >= FORGET) {
                all.retain(|_, bucket| filled(*bucket) < full);
                *forgotten = Some(now);
            }
            if all.len() >= BUCKETS {
                return false;
            }
        }
        let left = all.get(&who).map_or(full, |bucket| filled(*bucket));
        let admitted = left >= 1.0;
        all.insert(who, (if admitted { left - 1.0 } else { left }, now));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let rate = Rate::new(Some(10));
        let begun = Instant::now();
        let asked = (0..100).filter(|_| rate.admits("a", begun)).count();
        assert_eq!(asked, 40, "four seconds' worth at once");
        assert!(rate.admits("b", begun), "others have their own");
        assert!(!rate.admits("a", begun + Duration::from_millis(50)));
        assert!(rate.admits("a", begun + Duration::from_millis(150)));
        assert!((0..1000).all(|_| Rate::new(None).admits("a", begun)));
    }

    #[test]
    fn where_too_many_ask_who_is_new_waits_until_others_have_been_quiet() {
        let (rate, begun) = (Rate::new(Some(10)), Instant::now());
        assert!((0..BUCKETS).all(|who| rate.admits(who, begun)));
        assert!(!rate.admits(BUCKETS, begun), "there is no room");
        assert!(rate.admits(0, begun), "and who was there before goes on");
        assert!(!rate.admits(BUCKETS, begun + Duration::from_millis(999)), "nobody looks for room at each request");
        assert!(rate.admits(BUCKETS, begun + Duration::from_secs(1)));
    }
}
