//! `tarefa bench testnet`: rates, size and endurance of the dev Tangle, as a process of its own with the load
//! generator beside it.

mod load;
mod process;
mod soak;
mod verify;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::args::BenchTestnet;
use crate::ui::Ui;
use load::{Load, Pace};
use process::Node;

/// What HORNET 2.0.1 did on a machine with two cores, load generator beside it: connections, blocks accepted and
/// blocks referenced per second (issue 4, point 5).
const HORNET: [(usize, f64, f64); 3] = [(1, 1_450.0, 1_370.0), (4, 1_990.0, 1_870.0), (16, 1_870.0, 1_730.0)];

/// Connections of the measurements that fix no number of them.
const MANY: usize = 16;
/// Figures printed on the way to `--blocks`.
const SAMPLES: u64 = 10;

pub async fn testnet(args: BenchTestnet) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    ensure!(args.data <= load::DATA_MAX, "--data {} does not fit a block: at most {}", args.data, load::DATA_MAX);
    ensure!(!args.connections.contains(&0), "--connections 0 posts nothing");
    let dir = match &args.data_dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let (report, text) = match (args.blocks, args.soak) {
        (Some(blocks), _) => size(&args, blocks, dir.path(), &ui).await?,
        (None, Some(time)) => soak::run(&args, time, dir.path(), &ui).await?,
        (None, None) => rates(&args, dir.path(), &ui).await?,
    };
    ui.answer(&report, &text);
    let failed = ["lost", "unreferenced"].iter().any(|key| report[key].as_u64() != Some(0));
    Ok(if failed { super::super::FAILED } else { 0 })
}

/// Accepted and referenced blocks per second, for each number of connections on a fresh node.
async fn rates(args: &BenchTestnet, dir: &std::path::Path, ui: &Ui) -> Result<(Value, String)> {
    let mut runs = vec![];
    let mut text = vec![];
    for connections in args.connections.iter().copied() {
        ui.waiting(&format!("{connections} connections"));
        let node = Node::start(&dir.join(format!("rate-{connections}")), args.interval, None).await?;
        let load = Load { node: node.address, data: args.data, connections, pace: Pace::Full };
        let posted = load.for_time(args.time).await?;
        let checked = verify::all(node.address, &posted.blocks, args.interval).await?;
        let memory = node.memory()?;
        let seconds = posted.elapsed.as_secs_f64();
        let accepted = posted.blocks.len() as f64 / seconds;
        let referenced =
            (posted.blocks.len() as u64 - checked.late - checked.unreferenced - checked.lost) as f64 / seconds;
        let mut run = json!({
            "connections": connections,
            "accepted_per_s": accepted.round(),
            "referenced_per_s": referenced.round(),
            "post_p50_us": posted.post(50),
            "post_p99_us": posted.post(99),
            "late": checked.late,
            "unreferenced": checked.unreferenced,
            "lost": checked.lost,
            "memory_mb": memory,
        });
        let mut line = format!(
            "{connections} connections: {accepted:.0} accepted/s, {referenced:.0} referenced/s by the next milestone but one, \
             POST p50 {:.2} ms, p99 {:.2} ms, {memory} MB",
            posted.post(50) as f64 / 1_000.0,
            posted.post(99) as f64 / 1_000.0,
        );
        if let Some((_, taken, kept)) = HORNET.iter().find(|(n, ..)| *n == connections) {
            run["accepted_ratio"] = ratio(accepted / taken);
            run["referenced_ratio"] = ratio(referenced / kept);
            line += &format!("; HORNET's × {:.1} and × {:.1}", accepted / taken, referenced / kept);
        }
        runs.push(run);
        text.push(line);
        node.kill().await?;
    }
    let sum = |key: &str| -> u64 { runs.iter().filter_map(|run| run[key].as_u64()).sum() };
    let (lost, unreferenced, late) = (sum("lost"), sum("unreferenced"), sum("late"));
    let report = json!({ "rates": runs, "lost": lost, "unreferenced": unreferenced, "late": late });
    Ok((report, text.join("\n")))
}

/// Memory and speed on the way to a large ledger, and the restart after it.
async fn size(args: &BenchTestnet, blocks: u64, dir: &std::path::Path, ui: &Ui) -> Result<(Value, String)> {
    ensure!(blocks >= SAMPLES, "--blocks {blocks}: at least {SAMPLES}");
    let home = dir.join("size");
    let node = Node::start(&home, args.interval, None).await?;
    let load = Load { node: node.address, data: args.data, connections: MANY, pace: Pace::Full };
    let mut samples = vec![];
    let mut kept = vec![];
    for step in 1..=SAMPLES {
        let posted = load.for_count(blocks / SAMPLES).await?;
        let sample = json!({
            "blocks": blocks / SAMPLES * step,
            "accepted_per_s": (posted.blocks.len() as f64 / posted.elapsed.as_secs_f64()).round(),
            "post_p50_us": posted.post(50),
            "memory_mb": node.memory()?,
        });
        ui.stage("sample", &sample.to_string(), sample.clone());
        samples.push(sample);
        // One in a hundred is looked at again after the restart, and all of the last ones.
        let step = if step == SAMPLES { 1 } else { 100 };
        kept.extend(posted.blocks.iter().step_by(step).copied());
    }
    let peak = node.memory_peak()?;
    node.kill().await?;
    let node = Node::start(&home, args.interval, None).await?;
    let restart = node.took;
    let begun = Instant::now();
    let checked = verify::all(node.address, &kept, args.interval).await?;
    let lookups = kept.len() as f64 / begun.elapsed().saturating_sub(settled(args.interval)).as_secs_f64();
    let disk = process::disk(&home);
    node.kill().await?;
    let report = json!({
        "samples": samples,
        "memory_peak_mb": peak,
        "restart_ms": restart.as_millis() as u64,
        "disk_mb": disk,
        "checked": kept.len(),
        "lookups_per_s": lookups.round(),
        "late": checked.late,
        "unreferenced": checked.unreferenced,
        "lost": checked.lost,
    });
    let last = &samples[samples.len() - 1];
    let text = format!(
        "{blocks} blocks: {} MB of memory (peak {peak}), {disk} MB on disk, {} → {} blocks/s, restart after kill -9 in \
         {:.2} s, {} lost of {} looked at",
        last["memory_mb"],
        samples[0]["accepted_per_s"],
        last["accepted_per_s"],
        restart.as_secs_f64(),
        checked.lost,
        kept.len(),
    );
    Ok((report, text))
}

fn ratio(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

/// Time after which everything posted must be referenced: two milestones and some for a busy machine.
fn settled(interval: Duration) -> Duration {
    interval * 3 + Duration::from_secs(1)
}
