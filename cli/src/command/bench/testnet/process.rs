//! The node under test: a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A node that takes longer to say that it is ready does not come.
const READY_MAX: Duration = Duration::from_secs(120);

/// A running node, killed with this value.
pub struct Node {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// How long it took until it was ready.
    pub took: Duration,
}

impl Node {
    /// Starts a node on a data directory, at a free port or the one given.
    pub async fn start(dir: &Path, interval: Duration, address: Option<SocketAddr>) -> Result<Self> {
        let listen = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["testnet", "up", "--json", "--listen", &listen.to_string()])
            .args(["--interval", &format!("{}ms", interval.as_millis())])
            .arg("--data-dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the node cannot be started")?;
        let out = child.stdout.take().context("the node has no output")?;
        let mut lines = BufReader::new(out).lines();
        let line =
            tokio::time::timeout(READY_MAX, lines.next_line()).await.context("the node does not get ready")??;
        let ready: Value = serde_json::from_str(&line.context("the node ended")?)?;
        let took = begun.elapsed();
        let url = ready["node"].as_str().context("the node does not say where it listens")?;
        let address = url.trim_start_matches("http://").parse()?;
        Ok(Self { child, address, took })
    }

    /// Memory that it occupies now, MB.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most memory that it occupied, MB.
    pub fn memory_peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> Result<u64> {
        let pid = self.child.id().context("the node has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let value = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
        let kib: u64 = value.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1_024 / 1_000_000)
    }

    /// Ends it with SIGKILL.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Bytes below a directory, MB. What vanishes meanwhile does not count.
pub fn disk(dir: &Path) -> u64 {
    fn bytes(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => bytes(&entry.path()),
                Ok(meta) => meta.len(),
                Err(_) => 0,
            })
            .sum()
    }
    bytes(dir) / 1_000_000
}
