//! `tarefa bench task`: from submit to the result in hand, and the warm start of a guest.

mod chain;
mod hub;
mod start;
mod testnet;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tarefa_protocol::BaseUnits;
use tarefa_protocol::codec::Bytes;
use tarefa_protocol::message::Manifest;
use tarefa_submitter::{Draft, view};
use tarefa_testnet::Config;

use super::{market, wallet};
use crate::args::{self, BenchTask};
use crate::guests;
use crate::session::Session;
use crate::ui::Ui;

pub use chain::chain;
pub use hub::hub;
pub use testnet::testnet;

/// A single task that takes longer than this is stuck.
const TASK_MAX: Duration = Duration::from_secs(60);
/// Tasks before the first that counts: they fill the module cache and make the payer known.
const WARM_UP: u32 = 2;

/// The executor, ended with the benchmark.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn task(args: BenchTask) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    ensure!(args.tasks > 0, "--tasks 0 measures nothing");
    let dir = tempfile::tempdir()?;
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    let data_dir = Some(dir.path().join("testnet"));
    let config = Config { interval: args.interval, data_dir, seed, ..Config::default() };
    let tangle = tarefa_testnet::start(config).await?;
    let node = tangle.url();
    let program = std::env::current_exe()?;
    let executor = Command::new(&program)
        .args(["executor", "run", "--allow-weak-sandbox", "--json", "--node", &node, "--data-dir"])
        .arg(dir.path().join("executor"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("the executor cannot be started")?;
    let executor = Daemon(executor);
    let party = args::Party { node, data_dir: Some(dir.path().join("submitter")), accept_gap: false };
    let mut session = Session::open(&party, &ui).await?;
    wallet::ask_faucet(&session, &party.node).await?;
    let mut took = vec![];
    for n in 0..WARM_UP + args.tasks {
        let elapsed = one(&mut session, args.interval, &ui).await?;
        if n >= WARM_UP {
            took.push(elapsed);
            ui.waiting(&format!("task {} of {}", n + 1 - WARM_UP, args.tasks));
        }
    }
    session.close().await?;
    drop(executor);
    tangle.stop().await;
    took.sort_unstable();
    let mut report = json!({
        "interval_ms": args.interval.as_millis() as u64,
        "tasks": args.tasks,
        "p50_ms": percentile(&took, 50),
        "p95_ms": percentile(&took, 95),
        "max_ms": percentile(&took, 100),
    });
    let mut text = format!(
        "submit to result in hand, {} tasks, milestones every {} ms: p50 {} ms, p95 {} ms",
        args.tasks,
        args.interval.as_millis(),
        report["p50_ms"],
        report["p95_ms"]
    );
    add_start(&mut report, &mut text, args.wasmtime, dir.path())?;
    ui.answer(&report, &text);
    Ok(0)
}

/// One task at a random moment of the milestone interval, as a user's would be.
async fn one(session: &mut Session, interval: Duration, ui: &Ui) -> Result<Duration> {
    let Some(offer) = market::wait_for(session, |_| true).await?.into_iter().next() else {
        bail!("the executor offers nothing");
    };
    let mut random = [0u8; 4];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    tokio::time::sleep(interval.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))).await;
    let module = guests::by_name("primes").context("the primes guest is missing")?;
    let manifest = Manifest { args: vec!["1000".into()], ..Manifest::default() };
    let draft = Draft { module: Bytes(module.to_vec()), manifest };
    let begun = Instant::now();
    let max_price = BaseUnits(10_000_000);
    let id =
        session.ask(move |driver| driver.command(|role, desk| role.submit(desk, &draft, offer, max_price))).await?;
    while begun.elapsed() < TASK_MAX {
        let event = tokio::time::timeout(TASK_MAX, session.event()).await.context("the task is stuck")??;
        if event.task != id {
            continue;
        }
        let task = session.ask(move |driver| driver.store().read(|tx| view::one(tx, &id))).await?;
        match task.and_then(|task| Some((task.exit_status?, task.ending))) {
            Some((0, _)) => return Ok(begun.elapsed()),
            Some((status, ending)) => bail!("task {id} ended with {status}: {}", ending.unwrap_or_default()),
            None => {}
        }
    }
    ui.say(&format!("task {id} did not end"));
    bail!("task {id} took longer than {} s", TASK_MAX.as_secs())
}

/// The nearest-rank percentile in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Adds the start of a guest, against the wasmtime CLI where there is one.
fn add_start(report: &mut Value, text: &mut String, wasmtime: Option<PathBuf>, dir: &std::path::Path) -> Result<()> {
    let measured = start::measure(wasmtime.as_deref(), dir)?;
    report["start_p50_us"] = json!(measured.ours.as_micros() as u64);
    *text += &format!("\nwarm start to exit of a guest: p50 {:.1} ms", measured.ours.as_secs_f64() * 1_000.0);
    match measured.wasmtime {
        Some(theirs) => {
            let ratio = measured.ours.as_secs_f64() / theirs.as_secs_f64();
            report["wasmtime_p50_us"] = json!(theirs.as_micros() as u64);
            report["start_ratio"] = json!((ratio * 1_000.0).round() / 1_000.0);
            *text +=
                &format!(", wasmtime CLI with its cache {:.1} ms, ratio {ratio:.2}", theirs.as_secs_f64() * 1_000.0);
        }
        None => *text += "; no wasmtime CLI found to compare with (give --wasmtime)",
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let ms: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!((percentile(&ms, 50), percentile(&ms, 95), percentile(&ms, 100)), (10, 19, 20));
        assert_eq!(percentile(&ms[..1], 50), 1);
    }
}
