//! Time as integers with the unit in the name. Deadlines are ledger time: the timestamp of a milestone.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in ledger time: seconds since 1970 as stamped on a confirmed milestone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LedgerSeconds(pub u32);

impl LedgerSeconds {
    /// This time plus `seconds`, clamped at the end of the 32-bit range.
    #[must_use]
    pub fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time, 0 if it is later.
    pub fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for LedgerSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// Sum, clamped at the end of the range.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000, self.0 % 1_000)
    }
}

/// What a machine may know of the present: everything else is in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Timestamp of the newest confirmed milestone.
    pub time: LedgerSeconds,
    /// Index of the newest confirmed milestone.
    pub milestone: u32,
    /// Observed milestone interval in whole seconds, rounded up, at least 1.
    pub milestone_seconds: u32,
}

impl Now {
    /// The ledger time that `milestones` from now will take at the observed pace.
    pub fn milestones(&self, milestones: u32) -> u32 {
        milestones.saturating_mul(self.milestone_seconds.max(1))
    }
}
