//! Whether what was answered with 201 is there and referenced in time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tarefa_ledger::BlockId;

use super::load::Connection;
use super::settled;

/// Connections that look blocks up.
const CONNECTIONS: usize = 4;
/// A block answered while milestone n was the newest is due with milestone n + 2.
const DUE: u32 = 2;

/// What was found.
#[derive(Debug, Default, Clone, Copy)]
pub struct Checked {
    /// Referenced after it was due.
    pub late: u64,
    /// Not referenced.
    pub unreferenced: u64,
    /// Unknown to the node.
    pub lost: u64,
}

impl Checked {
    /// Adds another count to this one.
    pub fn add(&mut self, other: Self) {
        self.late += other.late;
        self.unreferenced += other.unreferenced;
        self.lost += other.lost;
    }
}

/// Waits until everything is due and looks every block up.
pub async fn all(node: SocketAddr, blocks: &[(BlockId, u32)], interval: Duration) -> Result<Checked> {
    tokio::time::sleep(settled(interval)).await;
    let share = blocks.len().div_ceil(CONNECTIONS).max(1);
    let parts: Vec<_> = blocks.chunks(share).map(|part| tokio::spawn(some(node, part.to_vec()))).collect();
    let mut checked = Checked::default();
    for part in parts {
        checked.add(part.await??);
    }
    Ok(checked)
}

async fn some(node: SocketAddr, blocks: Vec<(BlockId, u32)>) -> Result<Checked> {
    let mut connection = Connection::open(node).await?;
    let mut checked = Checked::default();
    for (id, before) in blocks {
        let metadata = connection.get(&format!("/api/core/v2/blocks/{id}/metadata")).await?;
        match metadata.map(|metadata| metadata["referencedByMilestoneIndex"].as_u64()) {
            None => checked.lost += 1,
            Some(None) => checked.unreferenced += 1,
            Some(Some(index)) => checked.late += u64::from(index > u64::from(before + DUE)),
        }
    }
    Ok(checked)
}
