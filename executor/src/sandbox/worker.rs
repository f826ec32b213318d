//! A worker process: one task, then it ends. Its stdin is a socket with the job and its
//! descriptors, its stdout the status pipe.

use super::engine::{Limiter, engine};
use super::job::{Ended, Job, Kind, Record, receive, report};
use super::output::{CappedFile, Flood};
use super::{compile, probe, raw, walls};
use seccompiler::BpfProgram;
use std::error::Error;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use wasmtime::{Engine, InstancePre, Linker, Store, Trap};
use wasmtime_wasi::cli::InputFile;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Entry of the hidden subcommand. Ends the process.
pub fn main() -> ! {
    let status = match raw::close_from(3).and_then(|()| std::io::stdout().as_fd().try_clone_to_owned()) {
        Ok(fd) => File::from(fd),
        Err(_) => std::process::exit(70),
    };
    let outcome = match serve(&status) {
        Ok(outcome) => outcome,
        Err(e) => Ended::Failed { text: clip(&e.to_string()) },
    };
    let code = if report(&status, &Record::Ended(outcome)).is_ok() { 0 } else { 71 };
    // Nothing is dropped: the kernel frees an address space faster than destructors do.
    std::process::exit(code)
}

fn serve(status: &File) -> Result<Ended> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let ready = Ready::prepare()?;
    let (job, fds) = receive(std::io::stdin().as_fd())?;
    // The parent may have died before the line above the last one.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(job.parent_pid) {
        return Err("the parent is gone".into());
    }
    setsid()?;
    // The socket has done its work: nothing of the parent stays in reach.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    walls::drop_capabilities();
    std::env::set_current_dir("/")?;
    let landlock = walls::early(&job)?;
    let walled = Record::Walled { landlock };
    match job.kind {
        Kind::Run => run(ready, status, &job, fds),
        Kind::Compile => {
            let [wasm, out] = take(fds)?;
            compile::work(&job, &ready.engine, &ready.seccomp, wasm.into(), out.into())
        }
        Kind::Probe => {
            report(status, &walled)?;
            probe::work(&job, &ready.seccomp, status)
        }
    }
}

fn take<const N: usize>(fds: Vec<OwnedFd>) -> Result<[OwnedFd; N]> {
    fds.try_into().map_err(|_| "wrong number of descriptors".into())
}

/// Random bytes of one call: bounds what a guest can make the host allocate.
const RANDOM_MAX: u64 = 1 << 20;

struct State {
    wasi: WasiP1Ctx,
    limiter: Limiter,
}

/// What every run needs and no job changes: made while the worker waits for its job.
struct Ready {
    engine: Engine,
    linker: Linker<State>,
    runtime: tokio::runtime::Runtime,
    seccomp: BpfProgram,
}

impl Ready {
    fn prepare() -> Result<Self> {
        let engine = engine(false)?;
        let mut linker: Linker<State> = Linker::new(&engine);
        p1::add_to_linker_async(&mut linker, |state| &mut state.wasi)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { engine, linker, runtime, seccomp: walls::seccomp_program()? })
    }
}

/// A guest that is loaded but has not run a single instruction.
struct Guest {
    runtime: tokio::runtime::Runtime,
    seccomp: BpfProgram,
    store: Store<State>,
    instance: InstancePre<State>,
}

/// Loads and runs; a module that does not load or link is refused, not failed.
fn run(ready: Ready, status: &File, job: &Job, fds: Vec<OwnedFd>) -> Result<Ended> {
    match Guest::load(ready, job, fds) {
        Ok(guest) => guest.run(status, job),
        Err(error) => Ok(Ended::Refused { text: clip(&format!("{error:#}")) }),
    }
}

impl Guest {
    fn load(ready: Ready, job: &Job, fds: Vec<OwnedFd>) -> wasmtime::Result<Self> {
        let [artifact, stdin, stdout, stderr] = take(fds).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
        let Ready { engine, linker, runtime, seccomp } = ready;
        let module = raw::load_module(&engine, artifact.into())?;
        let instance = linker.instantiate_pre(&module)?;

        let cap = job.limits.output_bytes;
        let mut wasi = WasiCtxBuilder::new();
        // Before `preopened_dir`: the directory copies this flag when it is added.
        wasi.allow_blocking_current_thread(true)
            .max_random_size(RANDOM_MAX)
            .args(&job.args)
            .envs(&job.env)
            .stdin(InputFile::new(stdin.into()))
            .stdout(CappedFile::new(stdout.into(), cap))
            .stderr(CappedFile::new(stderr.into(), cap));
        if let Some(dir) = &job.task_dir {
            wasi.preopened_dir(dir, "/", FsPerms::ReadWrite)?;
        }
        let limiter = Limiter::new(job.limits.memory_max);
        let mut store = Store::new(&engine, State { wasi: wasi.build_p1(), limiter });
        store.limiter(|state| &mut state.limiter);
        Ok(Self { runtime, seccomp, store, instance })
    }

    /// Raises the last wall, tells the executor and runs. A wasm `start` function runs while
    /// instantiating, so the record comes before that and not before `_start`.
    fn run(self, status: &File, job: &Job) -> Result<Ended> {
        if job.walls.seccomp {
            walls::seccomp(&self.seccomp)?;
        }
        report(status, &Record::Started)?;
        let Self { runtime, mut store, instance, .. } = self;
        let ended = runtime.block_on(async {
            let instance = instance.instantiate_async(&mut store).await?;
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            start.call_async(&mut store, ()).await
        });
        Ok(sort(ended, store.data().limiter.denied))
    }
}

/// Sorts what a guest ended with.
fn sort(ended: wasmtime::Result<()>, memory_denied: bool) -> Ended {
    let Err(error) = ended else {
        return Ended::Exited { code: 0, memory_denied };
    };
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Ended::Exited { code: *code, memory_denied };
    }
    if error.downcast_ref::<Flood>().is_some() {
        return Ended::Flooded;
    }
    // Only the innermost cause: the rest is a listing of the guest's frames.
    let text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => format!("{error:#}"),
    };
    Ended::Trapped { text: clip(&text), memory_denied }
}

/// Characters of a text in a record.
const TEXT_MAX: usize = 700;

/// Guest-influenced text stays short enough for one atomic pipe write.
pub fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(TEXT_MAX).collect()
}
