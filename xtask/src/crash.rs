//! `cargo xtask crash`: SIGKILL at every commit boundary of both daemons over a whole task.
//!
//! The store counts its commits. An undisturbed run says how many there are; then every one of them is hit, once
//! just before it is durable and once just after. The process is started again, and the task must end with one
//! payment, one result, and no address used for two things.

mod channel;
mod cheat;
mod scenario;
mod server;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail, ensure};
use scenario::{Boundary, Scenario, Victim};

/// Runs may differ by a commit or two, since milestones fall differently: a boundary is tried so often before it
/// counts as not hit.
const TRIES: u32 = 4;
/// Undisturbed runs to count commits in.
const CALM_RUNS: usize = 3;
/// The short form hits every so manieth boundary.
const SHORT_STEP: usize = 5;
/// The same for channels, which have more of them.
const SHORT_STEP_CHANNELS: usize = 11;
/// The same for their server, which is killed for one scenario at a time, a quarter of a minute each.
const SHORT_STEP_STORE: usize = 13;
/// Scenarios at once: they mostly wait for milestones.
const PARALLEL: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Only some of the boundaries, evenly spread.
    #[arg(long)]
    short: bool,
    /// The hub and the clients of channels, instead of the market on the Tangle.
    #[arg(long)]
    channels: bool,
    /// The database server behind the hub of channels: through `hub/with-postgres.sh`.
    #[arg(long, conflicts_with = "channels")]
    store: bool,
    /// The binary to test [default: build it].
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(path) => path.clone(),
        None => crate::build::tarefa()?,
    };
    if args.channels {
        return channels(&binary, if args.short { SHORT_STEP_CHANNELS } else { 1 });
    }
    if args.store {
        return store(&binary, if args.short { SHORT_STEP_STORE } else { 1 });
    }
    let calm = calm(&binary)?;
    println!(
        "a whole task takes {:?} commits of the executor and {:?} of the submitter",
        calm.executor, calm.submitter
    );
    let mut boundaries = vec![];
    for (victim, commits) in [(Victim::Executor, &calm.executor), (Victim::Submitter, &calm.submitter)] {
        for commit in 1..=*commits.end() {
            boundaries.extend([false, true].map(|after| Boundary { victim, commit, after }));
        }
    }
    let all = boundaries.len();
    if args.short {
        boundaries = boundaries.into_iter().step_by(SHORT_STEP).collect();
    }
    let failures = in_parallel(&boundaries, |boundary| hit(&binary, *boundary, calm.is_certain(boundary)));
    ensure!(failures == 0, "{failures} of {} boundaries failed", boundaries.len());
    println!(
        "{} of {all} boundaries hit; each ended with one payment, one result, no address used twice",
        boundaries.len()
    );
    Ok(())
}

/// Hits boundaries, several at once; how many failed.
fn in_parallel<B: Sync + std::fmt::Display>(boundaries: &[B], hit: impl Fn(&B) -> Result<()> + Sync) -> usize {
    let queue = std::sync::Mutex::new(boundaries.iter());
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut queue| queue.next());
                    let Ok(Some(boundary)) = next else { return };
                    if let Err(error) = hit(boundary) {
                        println!("FAILED {boundary}: {error:#}");
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    failures.into_inner()
}

/// Commits of undisturbed runs, from the fewest to the most: two things may or may not fall into one milestone.
struct Calm {
    executor: RangeInclusive<u64>,
    submitter: RangeInclusive<u64>,
}

impl Calm {
    /// Whether every run gets as far as this boundary.
    fn is_certain(&self, boundary: &Boundary) -> bool {
        let commits = match boundary.victim {
            Victim::Executor => &self.executor,
            Victim::Submitter => &self.submitter,
        };
        boundary.commit <= *commits.start()
    }
}

fn calm(binary: &Path) -> Result<Calm> {
    let runs = (0..CALM_RUNS).map(|_| Scenario::new(binary)?.run(None)).collect::<Result<Vec<_>>>()?;
    let range = |commits: &dyn Fn(&scenario::Outcome) -> u64| {
        let all: Vec<u64> = runs.iter().map(commits).collect();
        all.iter().min().copied().unwrap_or(0)..=all.iter().max().copied().unwrap_or(0)
    };
    let calm = Calm { executor: range(&|run| run.executor), submitter: range(&|run| run.submitter) };
    ensure!(*calm.executor.start() >= 5 && *calm.submitter.start() >= 5, "so few commits cannot be a whole task");
    Ok(calm)
}

fn hit(binary: &Path, boundary: Boundary, certain: bool) -> Result<()> {
    for _ in 0..TRIES {
        if Scenario::new(binary)?.run(Some(boundary))?.hit {
            return Ok(());
        }
    }
    if certain {
        bail!("not hit in {TRIES} runs");
    }
    println!("{boundary}: only some runs have so many commits, and none of {TRIES} did");
    Ok(())
}

/// The same for hub and clients over the life of two channels.
fn channels(binary: &Path, step: usize) -> Result<()> {
    let runs = (0..CALM_RUNS).map(|_| channel::Scenario::new(binary)?.run(None)).collect::<Result<Vec<_>>>()?;
    let least = channel::PARTIES.map(|party| runs.iter().map(|run| run.commits[party as usize]).min().unwrap_or(0));
    let most = channel::PARTIES.map(|party| runs.iter().map(|run| run.commits[party as usize]).max().unwrap_or(0));
    println!("two channels take {least:?} to {most:?} commits of hub, Alice and Bob");
    ensure!(least.iter().all(|commits| *commits >= 8), "so few commits cannot be two channels");
    let mut boundaries = vec![];
    for (party, commits) in channel::PARTIES.into_iter().zip(most) {
        for commit in 1..=commits {
            boundaries.extend([false, true].map(|after| channel::Boundary { party, server: false, commit, after }));
        }
    }
    let all = boundaries.len();
    let chosen: Vec<channel::Boundary> = boundaries.into_iter().step_by(step).collect();
    let hits = AtomicUsize::new(0);
    let failures = in_parallel(&chosen, |boundary| {
        for _ in 0..TRIES {
            if channel::Scenario::new(binary)?.run(Some(*boundary))?.hit {
                hits.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        ensure!(boundary.commit > least[boundary.party as usize], "not hit in {TRIES} runs");
        println!("{boundary}: only some runs have so many commits, and none of {TRIES} did");
        Ok(())
    });
    concluded(all, chosen.len(), failures, hits.into_inner())
}

/// The same for the server of the hub's store, while the hub goes on.
fn store(binary: &Path, step: usize) -> Result<()> {
    let databases = AtomicUsize::new(0);
    let scenario = || {
        let name = format!("crash{}", databases.fetch_add(1, Ordering::Relaxed));
        anyhow::Ok(channel::Scenario::new(binary)?.over(server::Server::new(&name)?))
    };
    let [commits, ..] = scenario()?.run(None)?.commits;
    println!("two channels take {commits} commits of a hub over a server");
    ensure!(commits >= 8, "so few commits cannot be two channels");
    let at = |commit| {
        [false, true].map(|after| channel::Boundary { party: channel::Party::Hub, server: true, commit, after })
    };
    let boundaries: Vec<channel::Boundary> = (1..=commits).flat_map(at).collect();
    let (mut tried, mut failures, mut hits) = (0, 0, 0);
    for boundary in boundaries.iter().step_by(step) {
        tried += 1;
        for _ in 0..TRIES {
            match scenario()?.run(Some(*boundary)) {
                Ok(outcome) if !outcome.hit => continue,
                Ok(_) => hits += 1,
                Err(error) => {
                    println!("FAILED {boundary}: {error:#}");
                    failures += 1;
                }
            }
            break;
        }
    }
    concluded(boundaries.len(), tried, failures, hits)
}

fn concluded(all: usize, tried: usize, failures: usize, hits: usize) -> Result<()> {
    ensure!(failures == 0, "{failures} of {tried} boundaries failed");
    // Polls fall differently in each run, so the last commits of one are not those of another.
    ensure!(hits * 10 >= tried * 8, "only {hits} of {tried} boundaries were hit");
    println!(
        "{tried} of {all} boundaries tried, {hits} hit; each ended with both channels final and every unit where it belongs"
    );
    Ok(())
}
