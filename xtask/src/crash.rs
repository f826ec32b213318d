//! `cargo xtask crash`: SIGKILL at every commit boundary of both daemons over a whole task.
//!
//! The store counts its commits. An undisturbed run says how many there are; then every one of them is hit, once
//! just before it is durable and once just after. The process is started again, and the task must end with one
//! payment, one result, and no address used for two things.

mod scenario;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use scenario::{Boundary, Scenario, Victim};

/// Runs may differ by a commit or two, since milestones fall differently: a boundary is tried so often before it
/// counts as not hit.
const TRIES: u32 = 4;
/// The short form hits every so manieth boundary.
const SHORT_STEP: usize = 5;
/// Scenarios at once: they mostly wait for milestones.
const PARALLEL: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    /// Only every fifth boundary.
    #[arg(long)]
    short: bool,
    /// The binary to test [default: build it].
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(path) => path.clone(),
        None => crate::build::tarefa()?,
    };
    let calm = Scenario::new(&binary)?.run(None)?;
    println!("a whole task takes {} commits of the executor and {} of the submitter", calm.executor, calm.submitter);
    ensure!(calm.executor >= 5 && calm.submitter >= 5, "so few commits cannot be a whole task");
    let mut boundaries = vec![];
    for (victim, commits) in [(Victim::Executor, calm.executor), (Victim::Submitter, calm.submitter)] {
        for commit in 1..=commits {
            boundaries.extend([false, true].map(|after| Boundary { victim, commit, after }));
        }
    }
    let all = boundaries.len();
    if args.short {
        boundaries = boundaries.into_iter().step_by(SHORT_STEP).collect();
    }
    let queue = std::sync::Mutex::new(boundaries.iter());
    let failures = std::sync::Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut queue| queue.next());
                    let Ok(Some(boundary)) = next else { return };
                    if let Err(error) = hit(&binary, *boundary)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{boundary}: {error:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    for failure in &failures {
        println!("FAILED {failure}");
    }
    if !failures.is_empty() {
        bail!("{} of {} boundaries failed", failures.len(), boundaries.len());
    }
    println!(
        "{} of {all} boundaries hit; each ended with one payment, one result, no address used twice",
        boundaries.len()
    );
    Ok(())
}

fn hit(binary: &std::path::Path, boundary: Boundary) -> Result<()> {
    for _ in 0..TRIES {
        if Scenario::new(binary)?.run(Some(boundary))?.hit {
            return Ok(());
        }
    }
    bail!("not hit in {TRIES} runs")
}
