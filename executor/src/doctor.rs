//! `tarefa executor doctor`: tries every wall from inside, with native code, and says which held.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use crate::sandbox::job::{Job, Kind, Limits, Walls};
use crate::sandbox::probe::PROBES;
use crate::sandbox::spawn::Spawner;
use crate::sandbox::supervise::{Watch, supervise};

/// A probe ends at once or not at all.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried.
    pub probe: String,
    /// The property it stands for.
    pub property: &'static str,
    /// Whether strangers' work needs it.
    pub required: bool,
    /// Whether the system refused it.
    pub held: bool,
    /// What the system said.
    pub said: String,
}

/// Runs every probe in a worker of its own, behind the walls of a guest.
pub fn examine(spawner: &Spawner, dir: &Path) -> io::Result<Vec<Finding>> {
    let inside = dir.join("inside");
    std::fs::create_dir_all(&inside)?;
    let victim = dir.join("outside");
    std::fs::write(&victim, b"a guest must not read or change this")?;
    let victim = victim.to_string_lossy().into_owned();
    PROBES
        .iter()
        .map(|(name, property, required)| probe(spawner, &inside, &victim, (name, property, *required)))
        .collect()
}

fn probe(
    spawner: &Spawner,
    dir: &Path,
    victim: &str,
    (name, property, required): (&'static str, &'static str, bool),
) -> io::Result<Finding> {
    let limits = Limits {
        memory_max: 64 << 20,
        memory_overhead: 64 << 20,
        cpu_seconds: 5,
        open_files: 64,
        file_bytes: 1 << 20,
        output_bytes: 1 << 20,
        max_functions: 0,
    };
    let job = Job {
        kind: Kind::Probe,
        parent_pid: i32::try_from(std::process::id()).unwrap_or(0),
        task_dir: Some(dir.to_owned()),
        args: vec![name.to_owned(), victim.to_owned()],
        env: vec![],
        limits,
        walls: Walls::default(),
    };
    let watch = Watch { time: PROBE_TIME, disk: None, cancel: Arc::new(AtomicBool::new(false)) };
    let report = supervise(spawner.start(job, vec![])?, &watch, None)?;
    let (held, said) = match report.probes.into_iter().find(|(probed, ..)| probed == name) {
        Some((_, said, refused)) => (refused, said),
        // A probe that took its process with it got through, or the walls could not be raised at all.
        None => (false, format!("no answer: {:?} {:?}", report.end, report.ended)),
    };
    Ok(Finding { probe: name.to_owned(), property, required, held, said })
}

/// Properties that held in every probe that stands for them.
pub fn held(findings: &[Finding]) -> Vec<String> {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.property).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| findings.iter().all(|finding| finding.property != *name || finding.held));
    names.into_iter().map(str::to_owned).collect()
}

/// Required properties that did not hold.
pub fn missing(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.required && !finding.held).collect()
}
