//! The coordinator: a milestone every interval, whether anything happened or not.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::faucet;
use crate::node::Node;

/// Seconds since 1970 by the system's clock.
pub fn wall_clock() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Issues milestones until stopped.
pub async fn run(node: Arc<Node>, interval: Duration, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(interval);
    // After a pause of the machine one milestone is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        let worker = node.clone();
        let step = tokio::task::spawn_blocking(move || {
            faucet::pay_waiting(&worker);
            worker.issue(wall_clock())
        });
        match step.await {
            Ok(Ok(index)) => tracing::debug!(index, "milestone"),
            Ok(Err(error)) => tracing::error!(%error, "no milestone could be made"),
            Err(error) => tracing::error!(%error, "making a milestone panicked"),
        }
    }
}
