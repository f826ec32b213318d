//! The clock of a served chain: the system's, moved by whoever tests.

use std::time::{SystemTime, UNIX_EPOCH};

/// Time now, with what tests have added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Seconds before the system's, or behind it after a return to an earlier block.
    ahead: i64,
    next: Option<u64>,
}

fn system() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Clock {
    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.next.unwrap_or_else(|| system().saturating_add_signed(self.ahead))
    }

    /// The time of the block that is made now: what was set for it, once.
    pub fn take(&mut self) -> u64 {
        let now = self.now();
        self.next = None;
        now
    }

    /// Moves the clock on; how far it is ahead of the system's afterwards, seconds.
    pub fn advance(&mut self, seconds: u64) -> i64 {
        self.ahead = self.ahead.saturating_add_unsigned(seconds);
        self.ahead
    }

    /// Sets the time of the next block, and with it the clock from then on.
    pub fn set_next(&mut self, time: u64) {
        self.go_on_from(time);
        self.next = Some(time);
    }

    /// Sets the clock: it goes on from there.
    pub fn go_on_from(&mut self, time: u64) {
        let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        (self.ahead, self.next) = (signed(time) - signed(system()), None);
    }
}
