//! The warm start of a guest: our worker process with all its walls against the wasmtime CLI with its cache, in turn.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tarefa_daemon::role::RunGuest;
use tarefa_executor::Sandbox;
use tarefa_protocol::codec::{self, Bytes};
use tarefa_protocol::message::{Manifest, Submit};
use tarefa_protocol::offer::TaskLimits;
use tarefa_protocol::{Address, BaseUnits, Digest, LedgerSeconds, Millis, SealingKey, Tag, TaskId};

use super::super::executor::WORKER;
use crate::guests;

/// Runs of each that count, after as many to warm up as a cache needs.
const RUNS: usize = 40;
const WARM_UP: usize = 3;

/// Medians.
pub struct Measured {
    /// Our sandbox.
    pub ours: Duration,
    /// The CLI, where there is one.
    pub wasmtime: Option<Duration>,
}

pub fn measure(wasmtime: Option<&Path>, dir: &Path) -> Result<Measured> {
    let wasmtime = match wasmtime {
        Some(path) => Some(path.to_owned()),
        None => in_path("wasmtime"),
    };
    let module = guests::by_name("primes").context("the primes guest is missing")?;
    let file = dir.join("primes.wasm");
    std::fs::write(&file, module)?;
    let sandbox = Sandbox::new(&dir.join("start"), "/proc/self/exe".into(), vec![WORKER.to_owned()])?;
    let submit = codec::encode(&submit(module));
    let (mut ours, mut theirs) = (vec![], vec![]);
    for n in 0..WARM_UP + RUNS {
        let begun = Instant::now();
        let guest = RunGuest {
            task: TaskId([u8::try_from(n).unwrap_or(0); 16]),
            submit: Digest([0; 32]),
            limits: TaskLimits::default(),
            time_allowed: Millis(10_000),
        };
        let execution = sandbox.run_blocking(&guest, &submit)?;
        let took = begun.elapsed();
        ensure!(execution.outcome.ok(), "the guest ended with {}", execution.outcome);
        let other = wasmtime.as_deref().map(|program| cli(program, &file)).transpose()?;
        if n >= WARM_UP {
            ours.push(took);
            theirs.extend(other);
        }
    }
    Ok(Measured { ours: median(ours).context("no runs")?, wasmtime: median(theirs) })
}

fn submit(module: &[u8]) -> Submit {
    Submit {
        offer: Digest([0; 32]),
        manifest: Manifest { args: vec!["10".into()], ..Manifest::default() },
        module: Bytes(module.to_vec()),
        reply_key: SealingKey([0; 32]),
        reply_tag: Tag([0; 16]),
        max_price: BaseUnits(0),
        deadline: LedgerSeconds(0),
        refund: Address([0; 32]),
    }
}

fn cli(program: &Path, file: &Path) -> Result<Duration> {
    let begun = Instant::now();
    let status = Command::new(program)
        .args(["run", "-C", "cache=y"])
        .arg(file)
        .arg("10")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    ensure!(status.success(), "{} ended with {status}", program.display());
    Ok(begun.elapsed())
}

fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn median(mut durations: Vec<Duration>) -> Option<Duration> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}
