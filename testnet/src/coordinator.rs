//! The coordinator: a milestone every interval, whether anything happened or not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::faucet;
use crate::node::{Node, NodeError};

/// Seconds since 1970 by the system's clock.
pub fn wall_clock() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Makes one milestone now, with what the faucet owes; its index.
pub fn step(node: &Node) -> Result<u32, NodeError> {
    // One at a time: between its payment and its milestone nothing else spends the faucet's coins.
    let _turn = node.turn.lock().unwrap_or_else(PoisonError::into_inner);
    if node.settled.load(Ordering::Acquire) {
        faucet::pay_waiting(node);
    }
    let time = i64::from(wall_clock()) + node.controls.offset();
    node.issue(u32::try_from(time.max(0)).unwrap_or(u32::MAX))
}

/// Issues milestones until stopped.
pub async fn run(node: Arc<Node>, mut stopped: watch::Receiver<bool>) {
    let mut pace = node.controls.pace();
    let mut last = Instant::now();
    loop {
        let now = *pace.borrow_and_update();
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            // A new pace counts from the last milestone.
            changed = pace.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = sleep_until(last + now.interval), if !now.paused => {}
        }
        // From the moment it was due, unless the machine was away: then one milestone is enough.
        let due = last + now.interval;
        last = if due.elapsed() < now.interval { due } else { Instant::now() };
        let worker = node.clone();
        match tokio::task::spawn_blocking(move || step(&worker)).await {
            Ok(Ok(index)) => tracing::debug!(index, "milestone"),
            Ok(Err(error)) => tracing::error!(%error, "no milestone could be made"),
            Err(error) => tracing::error!(%error, "making a milestone panicked"),
        }
    }
}
