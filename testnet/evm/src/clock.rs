//! The clock of a served chain: the system's, moved by whoever tests.

use std::time::{SystemTime, UNIX_EPOCH};

/// Time now, with what tests have added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    ahead: u64,
    next: Option<u64>,
}

impl Clock {
    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.next.unwrap_or_else(|| system.saturating_add(self.ahead))
    }

    /// The time of the block that is made now: what was set for it, once.
    pub fn take(&mut self) -> u64 {
        let now = self.now();
        self.next = None;
        now
    }

    /// Moves the clock on; how far it is ahead of the system's afterwards, seconds.
    pub fn advance(&mut self, seconds: u64) -> u64 {
        self.ahead = self.ahead.saturating_add(seconds);
        self.ahead
    }

    /// Sets the time of the next block, and with it the clock from then on.
    pub fn set_next(&mut self, time: u64) {
        let system = Self { ahead: 0, next: None }.now();
        self.ahead = time.saturating_sub(system);
        self.next = Some(time);
    }
}
