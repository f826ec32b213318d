//! `--soak`: half the peak rate for a long time, kill -9 in the middle, and nothing may be lost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tarefa_ledger::BlockId;

use super::load::{Load, Pace, Posted};
use super::process::{self, Node};
use super::verify::{self, Checked};
use super::{MANY, settled};
use crate::args::BenchTestnet;
use crate::ui::Ui;

/// Shortest soak: two halves of two rounds each.
const TIME_MIN: Duration = Duration::from_secs(60);
/// Length of a round, after which all its blocks are looked up while the next is posted.
const ROUND: Duration = Duration::from_secs(15);
/// How long the peak is measured.
const PEAK: Duration = Duration::from_secs(10);
/// One block in so many is looked at again at the very end.
const AGAIN: usize = 50;

struct Soak<'a> {
    args: &'a BenchTestnet,
    rate: u32,
    ui: &'a Ui,
    begun: Instant,
    posted: u64,
    posting: Duration,
    checked: Checked,
    again: Vec<(BlockId, u32)>,
    memory: Vec<(u64, u64)>,
}

pub async fn run(args: &BenchTestnet, time: Duration, dir: &Path, ui: &Ui) -> Result<(Value, String)> {
    ensure!(time >= TIME_MIN, "--soak {} s is too short: at least {} s", time.as_secs(), TIME_MIN.as_secs());
    let rate = match args.rate {
        Some(rate) => rate,
        None => peak(args, &dir.join("peak")).await? / 2,
    };
    ensure!(rate > 0, "--rate 0 posts nothing");
    ui.say(&format!("{rate} blocks/s for {} s", time.as_secs()));
    let home = dir.join("soak");
    let mut soak = Soak {
        args,
        rate,
        ui,
        begun: Instant::now(),
        posted: 0,
        posting: Duration::ZERO,
        checked: Checked::default(),
        again: vec![],
        memory: vec![],
    };
    let node = Node::start(&home, args.interval, None).await?;
    let address = node.address;
    soak.half(&node, time / 2).await?;
    // While blocks are being posted, so that some are answered right before it.
    let load = soak.load(&node);
    let posting = tokio::spawn(async move { load.until_gone().await });
    tokio::time::sleep(ROUND / 5).await;
    node.kill().await?;
    let Posted { blocks: last_words, elapsed, .. } = posting.await??;
    soak.posting += elapsed;
    ensure!(!last_words.is_empty(), "nothing was posted before the node was killed");
    let node = Node::start(&home, args.interval, Some(address)).await?;
    let restart = node.took;
    soak.posted += last_words.len() as u64;
    // Those must all be known; what was not referenced before is referenced after.
    let checked = verify::all(node.address, &last_words, args.interval + restart).await?;
    soak.checked.lost += checked.lost;
    soak.checked.unreferenced += checked.unreferenced;
    ui.stage(
        "killed",
        &format!("back after {} ms, {} blocks of the last seconds looked up", restart.as_millis(), last_words.len()),
        json!({ "restart_ms": restart.as_millis() as u64, "looked_up": last_words.len(), "lost": checked.lost }),
    );
    soak.half(&node, time / 2).await?;
    let again = verify::all(node.address, &soak.again, args.interval).await?;
    soak.checked.lost += again.lost;
    soak.checked.unreferenced += again.unreferenced;
    let disk = process::disk(&home);
    node.kill().await?;
    Ok(soak.report(restart, disk))
}

async fn peak(args: &BenchTestnet, dir: &Path) -> Result<u32> {
    let node = Node::start(dir, args.interval, None).await?;
    let load = Load { node: node.address, data: args.data, connections: MANY, pace: Pace::Full };
    let posted = load.for_time(PEAK).await?;
    node.kill().await?;
    Ok((posted.blocks.len() as f64 / posted.elapsed.as_secs_f64()) as u32)
}

impl Soak<'_> {
    fn load(&self, node: &Node) -> Load {
        let pace = Pace::PerSecond(self.rate);
        Load { node: node.address, data: self.args.data, connections: MANY, pace }
    }

    /// Posts in rounds; each round is looked up while the next is posted.
    async fn half(&mut self, node: &Node, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut checking: Option<tokio::task::JoinHandle<Result<Checked>>> = None;
        while Instant::now() < end {
            let posted = self.load(node).for_time(ROUND).await?;
            if let Some(checking) = checking.take() {
                self.checked.add(checking.await??);
            }
            self.posted += posted.blocks.len() as u64;
            self.posting += posted.elapsed;
            self.again.extend(posted.blocks.iter().step_by(AGAIN).copied());
            let (seconds, memory) = (self.begun.elapsed().as_secs(), node.memory()?);
            self.memory.push((seconds, memory));
            let facts =
                json!({ "seconds": seconds, "blocks": self.posted, "memory_mb": memory, "lost": self.checked.lost });
            self.ui.stage("soak", &facts.to_string(), facts.clone());
            let (address, interval) = (node.address, self.args.interval);
            checking = Some(tokio::spawn(async move { verify::all(address, &posted.blocks, interval).await }));
        }
        if let Some(checking) = checking {
            self.checked.add(checking.await??);
        }
        tokio::time::sleep(settled(self.args.interval)).await;
        Ok(())
    }

    fn report(self, restart: Duration, disk: u64) -> (Value, String) {
        let most = self.memory.iter().map(|(_, memory)| *memory).max().unwrap_or(0);
        let report = json!({
            "seconds": self.begun.elapsed().as_secs(),
            "rate": self.rate,
            "posted_per_s": (self.posted as f64 / self.posting.as_secs_f64()).round(),
            "blocks": self.posted,
            "memory_mb": self.memory,
            "memory_max_mb": most,
            "restart_ms": restart.as_millis() as u64,
            "disk_mb": disk,
            "late": self.checked.late,
            "unreferenced": self.checked.unreferenced,
            "lost": self.checked.lost,
        });
        let text = format!(
            "{} blocks, {} per second ({} wanted), in {} s, killed in the middle and back after {} ms: {} lost, {} never referenced, {} late, at most \
             {most} MB of memory, {disk} MB on disk",
            self.posted,
            report["posted_per_s"],
            self.rate,
            report["seconds"],
            restart.as_millis(),
            self.checked.lost,
            self.checked.unreferenced,
            self.checked.late,
        );
        (report, text)
    }
}
