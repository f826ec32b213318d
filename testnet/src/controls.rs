//! What a test may ask of the node beyond what a node does: its pace, its clock, and faults on purpose.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tarefa_ledger::engine::Mark;
use tokio::sync::watch;

use crate::node::{INTERVAL_MAX, INTERVAL_MIN};
use crate::view;

/// How milestones come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two.
    pub interval: Duration,
    /// None come by themselves.
    pub paused: bool,
}

/// What is to happen to the blocks that are posted next, or to those of one tag, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Faults {
    /// So many are answered with 201 and forgotten.
    pub drop: u32,
    /// So many are answered with 201 and taken later.
    pub delay: u32,
    /// How much later, milliseconds.
    pub delay_ms: u64,
    /// So many are taken, and no milestone references them unless a later block does.
    pub orphan: u32,
    /// Only blocks whose tag begins with this text, or with these bytes where it is hex with `0x`; all others pass.
    pub tag: String,
}

impl Faults {
    fn concern(&self, raw: &[u8]) -> bool {
        if self.tag.is_empty() {
            return true;
        }
        let wanted = match self.tag.strip_prefix("0x").map(hex::decode) {
            Some(Ok(bytes)) => bytes,
            _ => self.tag.as_bytes().to_vec(),
        };
        view::tag(raw).is_some_and(|tag| tag.starts_with(&wanted))
    }

    fn is_over(&self) -> bool {
        self.drop == 0 && self.delay == 0 && self.orphan == 0
    }
}

/// What happens to one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As usual.
    Taken,
    /// Answered and forgotten.
    Dropped,
    /// Answered and taken after this time.
    Delayed(Duration),
    /// Taken and left behind.
    Orphaned,
}

/// Snapshots of one process: each is a few bytes, so this only stops a loop.
const SNAPSHOTS_MAX: usize = 100_000;
/// Longest delay of a block: beyond it, its parents are below max depth at the usual pace.
const DELAY_MAX: Duration = Duration::from_secs(15);
/// Farthest that the clock may be moved, seconds: fifty years keep timestamps inside 32 bits until 2056.
const OFFSET_MAX: i64 = 50 * 365 * 24 * 3_600;

/// The controls of one node.
#[derive(Debug)]
pub struct Controls {
    pace: watch::Sender<Pace>,
    offset: Mutex<i64>,
    faults: Mutex<Faults>,
    snapshots: Mutex<Vec<Mark>>,
}

/// A wish that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Outside its bounds.
    #[error("the milestone interval {0} ms is outside {min} ms to {max} s", min = INTERVAL_MIN.as_millis(), max = INTERVAL_MAX.as_secs())]
    Interval(u128),
    /// Too far.
    #[error("the clock cannot be moved by {0} s: at most {OFFSET_MAX} s")]
    Offset(i64),
    /// Not taken, or undone.
    #[error("there is no snapshot {0}: take one with --snapshot; going back also forgets the later ones")]
    Snapshot(usize),
    /// Too many.
    #[error("there are {SNAPSHOTS_MAX} snapshots already: going back to one forgets the later ones")]
    Snapshots,
    /// Too long.
    #[error("a block cannot be delayed by {0} ms: at most {max} ms", max = DELAY_MAX.as_millis())]
    Delay(u64),
}

/// Checks an interval.
pub fn check_interval(interval: Duration) -> Result<Duration, ControlError> {
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err(ControlError::Interval(interval.as_millis()))
    }
}

/// Checks an offset of the clock.
pub fn check_offset(seconds: i64) -> Result<i64, ControlError> {
    if seconds.unsigned_abs() > OFFSET_MAX.unsigned_abs() { Err(ControlError::Offset(seconds)) } else { Ok(seconds) }
}

/// Checks faults.
pub fn check_faults(faults: Faults) -> Result<Faults, ControlError> {
    let is_long = u128::from(faults.delay_ms) > DELAY_MAX.as_millis();
    if is_long { Err(ControlError::Delay(faults.delay_ms)) } else { Ok(faults) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controls {
    /// Controls of a node with this interval, which was checked.
    pub fn new(interval: Duration) -> Self {
        let pace = watch::channel(Pace { interval, paused: false }).0;
        Self { pace, offset: Mutex::default(), faults: Mutex::default(), snapshots: Mutex::default() }
    }

    /// The pace, to follow.
    pub fn pace(&self) -> watch::Receiver<Pace> {
        self.pace.subscribe()
    }

    /// Changes the interval from the next milestone on.
    pub fn set_interval(&self, interval: Duration) -> Result<(), ControlError> {
        let interval = check_interval(interval)?;
        self.pace.send_modify(|pace| pace.interval = interval);
        Ok(())
    }

    /// Stops milestones, or lets them come again.
    pub fn set_paused(&self, paused: bool) {
        self.pace.send_modify(|pace| pace.paused = paused);
    }

    /// Seconds that the ledger's clock is ahead of the system's.
    pub fn offset(&self) -> i64 {
        *lock(&self.offset)
    }

    /// Moves the ledger's clock. Time never falls: set back, it stands still until it is reached again.
    pub fn set_offset(&self, seconds: i64) -> Result<(), ControlError> {
        *lock(&self.offset) = check_offset(seconds)?;
        Ok(())
    }

    /// Remembers a place in the ledger's history; its number, from 1.
    pub fn remember(&self, mark: Mark) -> Result<usize, ControlError> {
        let mut snapshots = lock(&self.snapshots);
        if snapshots.len() >= SNAPSHOTS_MAX {
            return Err(ControlError::Snapshots);
        }
        snapshots.push(mark);
        Ok(snapshots.len())
    }

    /// The place with this number.
    pub fn snapshot(&self, number: usize) -> Result<Mark, ControlError> {
        let found = number.checked_sub(1).and_then(|at| lock(&self.snapshots).get(at).copied());
        found.ok_or(ControlError::Snapshot(number))
    }

    /// Forgets the later ones: what they name is undone.
    pub fn forget_after(&self, number: usize) {
        lock(&self.snapshots).truncate(number);
    }

    /// How many there are.
    pub fn snapshots(&self) -> usize {
        lock(&self.snapshots).len()
    }

    /// Faults that are still to come.
    pub fn faults(&self) -> Faults {
        lock(&self.faults).clone()
    }

    /// Replaces the faults to come.
    pub fn set_faults(&self, faults: Faults) -> Result<(), ControlError> {
        *lock(&self.faults) = check_faults(faults)?;
        Ok(())
    }

    /// The fate of the next block.
    pub fn fate(&self, raw: &[u8]) -> Fate {
        let mut faults = lock(&self.faults);
        if faults.is_over() || !faults.concern(raw) {
            return Fate::Taken;
        }
        if let Some(left) = faults.drop.checked_sub(1) {
            faults.drop = left;
            return Fate::Dropped;
        }
        if let Some(left) = faults.delay.checked_sub(1) {
            faults.delay = left;
            return Fate::Delayed(Duration::from_millis(faults.delay_ms));
        }
        if let Some(left) = faults.orphan.checked_sub(1) {
            faults.orphan = left;
            return Fate::Orphaned;
        }
        Fate::Taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_happen_in_order_and_run_out() {
        let controls = Controls::new(INTERVAL_MIN);
        controls.set_faults(Faults { drop: 1, delay: 1, delay_ms: 20, orphan: 2, ..Faults::default() }).expect("valid");
        let fates: Vec<Fate> = (0..5).map(|_| controls.fate(b"")).collect();
        let delayed = Fate::Delayed(Duration::from_millis(20));
        assert_eq!(fates, [Fate::Dropped, delayed, Fate::Orphaned, Fate::Orphaned, Fate::Taken]);
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let controls = Controls::new(INTERVAL_MIN);
        controls.set_interval(Duration::from_millis(1)).expect_err("too fast");
        controls.set_offset(i64::MIN).expect_err("too far");
        controls.set_faults(Faults { delay: 1, delay_ms: 3_600_000, ..Faults::default() }).expect_err("too long");
        assert_eq!(*controls.pace().borrow(), Pace { interval: INTERVAL_MIN, paused: false });
        assert_eq!((controls.offset(), controls.faults()), (0, Faults::default()));
    }
}
