//! One worker process per task: the executor never runs a guest, nor compiles a module, in its own process.

mod cache;
mod collect;
mod compile;
mod disk;
mod engine;
pub mod job;
mod output;
pub mod probe;
mod raw;
pub mod spawn;
pub mod supervise;
mod walls;
pub mod worker;

use std::collections::HashMap;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tarefa_daemon::role::{Answer, RunGuest};
use tarefa_daemon::run::Perform;
use tarefa_protocol::codec::{self, Bytes};
use tarefa_protocol::executor::Execution;
use tarefa_protocol::message::Submit;
use tarefa_protocol::result::{Limit, Outcome, TaskResult};
use tarefa_protocol::{Millis, TaskId};

use job::{Ended, Job, Kind, Limits, Walls};
use spawn::{End, Spawner};
use supervise::{Report, Stop, Watch, supervise};

/// The engine's own memory beside the guest's: heap, stacks, the loaded module (CPython fits).
const MEMORY_OVERHEAD: u64 = 64 << 20;
/// Descriptors a guest may hold: enough for a few hundred open files.
const OPEN_FILES: u64 = 256;

/// Runs guests for one executor.
pub struct Sandbox {
    spawner: Spawner,
    cache: cache::Cache,
    tasks: PathBuf,
    walls: Walls,
    running: Mutex<HashMap<TaskId, Arc<AtomicBool>>>,
}

/// A run that the executor itself failed at; the guest is not to blame.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The module does not compile or link within the limits.
    #[error("{0}")]
    BadModule(String),
    /// The system refused something.
    #[error("the sandbox: {0}")]
    Io(#[from] io::Error),
    /// A worker ended without saying how.
    #[error("the worker ended unexpectedly: {0}")]
    Worker(String),
    /// The stored task does not decode.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

impl Sandbox {
    /// A sandbox with its scratch and cache below `dir`; workers are started as `program arguments…`.
    pub fn new(dir: &Path, program: PathBuf, arguments: Vec<String>) -> io::Result<Arc<Self>> {
        let tasks = dir.join("tasks");
        // What a crash left behind is of no use: an interrupted task starts again from its inputs.
        match fs::remove_dir_all(&tasks) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&tasks)?,
        }
        let spawner = Spawner::new(program, arguments)?;
        let cache = cache::Cache::new(&dir.join("modules"))?;
        Ok(Arc::new(Self { spawner, cache, tasks, walls: Walls::default(), running: Mutex::default() }))
    }

    /// Starts workers, for the doctor.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Guests that run now.
    pub fn running(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<AtomicBool>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a guest known, so that it can be stopped from now on, whenever its thread begins.
    fn register(&self, task: TaskId) -> Arc<AtomicBool> {
        let cancel = Arc::new(AtomicBool::new(false));
        self.lock().insert(task, cancel.clone());
        cancel
    }

    /// Runs one guest to its end. Blocks the thread.
    pub fn run_blocking(&self, guest: &RunGuest, submit: &[u8]) -> Result<Execution, RunError> {
        self.run_registered(guest, submit, self.register(guest.task))
    }

    fn run_registered(&self, guest: &RunGuest, submit: &[u8], cancel: Arc<AtomicBool>) -> Result<Execution, RunError> {
        let dir = self.tasks.join(guest.task.to_string());
        let result = self.run_in(&dir, guest, submit, cancel);
        self.lock().remove(&guest.task);
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::debug!(%error, dir = %dir.display(), "the task directory was not removed");
        }
        result
    }

    fn run_in(
        &self,
        dir: &Path,
        guest: &RunGuest,
        submit: &[u8],
        cancel: Arc<AtomicBool>,
    ) -> Result<Execution, RunError> {
        let submit: Submit = codec::decode(submit)?;
        let (artifact, compile) = self.cache.artifact(&self.spawner, &submit.module.0, self.walls, &cancel)?;
        lay_out(dir, &submit)?;
        let (stdin, stdout, stderr) = (stream(&submit.manifest.stdin.0)?, stream(&[])?, stream(&[])?);
        let descriptors: Vec<OwnedFd> =
            vec![artifact.into(), stdin.into(), stdout.try_clone()?.into(), stderr.try_clone()?.into()];
        let job = self.job(guest, &submit, dir);
        let watch = Watch {
            time: Duration::from_millis(guest.time_allowed.0),
            disk: Some((
                dir.to_owned(),
                guest.limits.disk_max + input_bytes(&submit),
                self.entries_max(guest, &submit),
            )),
            cancel,
        };
        let report = supervise(self.spawner.start(job, descriptors)?, &watch, None)?;
        let (metered, cpu) = (report.metered, report.usage.total());
        let mut outcome = judge(report)?;
        let mut result = TaskResult {
            outcome: outcome.clone(),
            stdout: Bytes(written(stdout)?),
            stderr: Bytes(written(stderr)?),
            files: vec![],
            salt: salt(),
        };
        match collect::files(dir, &submit.manifest.outputs, guest.limits.result_max, guest.limits.files_max)? {
            Some(files) => result.files = files,
            None => outcome = Outcome::Limit(Limit::Result),
        }
        if size(&result) > guest.limits.result_max {
            outcome = Outcome::Limit(Limit::Result);
            result.files.clear();
            cut(&mut result.stdout.0, guest.limits.result_max / 2);
            cut(&mut result.stderr.0, guest.limits.result_max / 2);
        }
        result.outcome = outcome.clone();
        Ok(Execution {
            outcome,
            metered: millis(metered.unwrap_or_default()),
            cpu: millis(cpu),
            compile: millis(compile),
            result: Bytes(codec::encode(&result)),
            runtime: engine::RUNTIME.to_owned(),
        })
    }

    fn job(&self, guest: &RunGuest, submit: &Submit, root: &Path) -> Job {
        let mut args = vec!["task.wasm".to_owned()];
        args.extend(submit.manifest.args.iter().cloned());
        Job {
            kind: Kind::Run,
            parent_pid: i32::try_from(std::process::id()).unwrap_or(0),
            task_dir: Some(root.to_owned()),
            args,
            env: submit.manifest.env.clone(),
            limits: Limits {
                memory_max: guest.limits.memory_max,
                memory_overhead: MEMORY_OVERHEAD,
                // One thread runs: twice the wall-clock limit can only be passed by something else going wrong.
                cpu_seconds: 2 * guest.time_allowed.0.div_ceil(1_000) + 1,
                open_files: OPEN_FILES,
                file_bytes: guest.limits.disk_max + input_bytes(submit),
                output_bytes: guest.limits.result_max,
                max_functions: compile::MAX_FUNCTIONS,
            },
            walls: self.walls,
        }
    }

    fn entries_max(&self, guest: &RunGuest, submit: &Submit) -> u64 {
        u64::from(guest.limits.files_max) + 4 * submit.manifest.inputs.len() as u64
    }
}

/// A standard stream as a file in memory: never on the disk, and no name that anything could be planted under. What a
/// guest may write to it is capped.
fn stream(content: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("stream", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// What a worker has written to a stream.
fn written(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the inputs in place. Paths were checked when the task was accepted and are checked again here, where they
/// would do harm.
fn lay_out(root: &Path, submit: &Submit) -> Result<(), RunError> {
    fs::create_dir_all(root)?;
    for file in &submit.manifest.inputs {
        tarefa_protocol::message::check_path(&file.path).map_err(|error| RunError::BadModule(error.to_string()))?;
        let path = root.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create_new(path)?.write_all(&file.bytes.0)?;
    }
    Ok(())
}

fn input_bytes(submit: &Submit) -> u64 {
    submit.manifest.inputs.iter().map(|file| file.bytes.0.len() as u64).sum()
}

fn size(result: &TaskResult) -> u64 {
    let files: usize = result.files.iter().map(|file| file.path.len() + file.bytes.0.len()).sum();
    (files + result.stdout.0.len() + result.stderr.0.len()) as u64
}

fn cut(bytes: &mut Vec<u8>, max: u64) {
    bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn salt() -> [u8; 16] {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    salt
}

/// What a run amounts to: what the executor measured and did counts before what the worker claims.
fn judge(report: Report) -> Result<Outcome, RunError> {
    match (report.stop, report.end) {
        (Some(Stop::Limit(limit)), _) => return Ok(Outcome::Limit(limit)),
        (Some(Stop::Cancelled), _) => return Ok(Outcome::Cancelled),
        (Some(Stop::Artifact), _) => return Err(RunError::Worker("it sent too much".into())),
        (None, End::Signaled(libc::SIGXCPU)) => return Ok(Outcome::Limit(Limit::Time)),
        (None, End::Signaled(libc::SIGXFSZ)) => return Ok(Outcome::Limit(Limit::Disk)),
        (None, _) => {}
    }
    match report.ended {
        Some(Ended::Exited { code, memory_denied: true }) if code != 0 => Ok(Outcome::Limit(Limit::Memory)),
        Some(Ended::Exited { code, .. }) => Ok(Outcome::Exited(code as u8)),
        Some(Ended::Trapped { memory_denied: true, .. }) => Ok(Outcome::Limit(Limit::Memory)),
        Some(Ended::Trapped { text, .. }) => Ok(Outcome::Trapped(text)),
        Some(Ended::Flooded) => Ok(Outcome::Limit(Limit::Result)),
        Some(Ended::Refused { text }) => Err(RunError::BadModule(text)),
        Some(Ended::Failed { text }) => Err(RunError::Worker(text)),
        Some(Ended::Compiled { .. }) => Err(RunError::Worker("it compiled instead".into())),
        // Rust aborts when an allocation of the host fails: the data limit struck outside the guest's memory.
        None if report.metered.is_some() && report.end == End::Signaled(libc::SIGABRT) => {
            Ok(Outcome::Limit(Limit::Memory))
        }
        None => Err(RunError::Worker(format!("{:?}", report.end))),
    }
}

/// The sandbox as the daemon's loop uses it.
pub struct Performer(pub Arc<Sandbox>);

impl Perform for Performer {
    fn run(&self, guest: RunGuest, submit: Vec<u8>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let sandbox = self.0.clone();
        let cancel = sandbox.register(guest.task);
        Box::pin(async move {
            let task = guest.task;
            let run = tokio::task::spawn_blocking(move || sandbox.run_registered(&guest, &submit, cancel));
            match run.await {
                Ok(Ok(execution)) => Answer::Executed(Box::new(execution)),
                Ok(Err(RunError::BadModule(text))) => Answer::BadModule(text),
                Ok(Err(error)) => {
                    tracing::error!(%task, %error, "the guest could not be run");
                    Answer::Interrupted
                }
                Err(error) => {
                    tracing::error!(%task, %error, "running the guest panicked");
                    Answer::Interrupted
                }
            }
        })
    }

    fn stop(&self, task: TaskId) {
        if let Some(cancel) = self.0.lock().get(&task) {
            cancel.store(true, Ordering::Relaxed);
        }
    }
}
