//! How much anybody may ask: a bucket each, filled with time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Buckets that are kept; beyond, the full ones are forgotten, which changes nothing for their owners.
const BUCKETS: usize = 65_536;

/// Seconds of asking that may come at once.
const BURST: f64 = 4.0;

/// Requests of each asker.
#[derive(Debug)]
pub struct Rate<K> {
    per_second: f64,
    buckets: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Hash + Eq> Rate<K> {
    /// So many requests a second for each; none: as many as they like.
    #[must_use]
    pub fn new(per_second: Option<u32>) -> Self {
        Self { per_second: per_second.map_or(f64::INFINITY, f64::from), buckets: Mutex::default() }
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
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS {
            buckets.retain(|_, bucket| filled(*bucket) < full);
        }
        let left = buckets.get(&who).map_or(full, |bucket| filled(*bucket));
        let admitted = left >= 1.0;
        buckets.insert(who, (if admitted { left - 1.0 } else { left }, now));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
