//! Starting and holding a worker process: one kept ready, signals through a pidfd, one place that reaps.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};

use super::job::{self, Job, Record};
use super::raw::{self, Usage};

/// Bytes of unread records kept: a worker that writes nonsense costs no more.
const PENDING_MAX: usize = 64 << 10;

type Start = Box<dyn FnOnce(&mut Option<Idle>) + Send>;

/// The one thread that starts workers: `PR_SET_PDEATHSIG` fires when the *thread* that spawned ends, so it must
/// live as long as the executor does.
///
/// It keeps one worker ready that waits for its job: loading the binary is most of a start. A worker still runs one
/// job and ends.
#[derive(Clone)]
pub struct Spawner {
    starts: mpsc::Sender<Start>,
}

impl Spawner {
    /// Workers are started as `program arguments…`; the executor's own binary with its hidden subcommand.
    pub fn new(program: PathBuf, arguments: Vec<String>) -> io::Result<Self> {
        let (starts, receive) = mpsc::channel::<Start>();
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            let mut idle: Option<Idle> = None;
            loop {
                if idle.is_none() {
                    // Without a worker in reserve the next job only starts later, and says why if it cannot.
                    idle = Idle::spawn(&program, &arguments).ok();
                }
                let Ok(start) = receive.recv() else { break };
                if idle.as_mut().is_none_or(Idle::has_ended) {
                    let fresh = Idle::spawn(&program, &arguments);
                    idle = fresh.inspect_err(|error| tracing::error!(%error, "no worker can be started")).ok();
                }
                start(&mut idle);
            }
        })?;
        Ok(Self { starts })
    }

    /// Starts a worker on this job. No `pre_exec`, so that std takes `posix_spawn` and not `fork`: everything a
    /// child must do to itself, the worker does in its first lines.
    pub fn start(&self, job: Job, descriptors: Vec<OwnedFd>) -> io::Result<Worker> {
        let (answer, wait) = mpsc::channel();
        let start: Start = Box::new(move |idle| {
            let worker = idle.take().ok_or_else(|| io::Error::other("no worker can be started"));
            // The asker waits below; it is there.
            let _ = answer.send(worker.and_then(|worker| worker.assign(&job, &descriptors)));
        });
        let ended = || io::Error::other("the thread that starts workers has ended");
        self.starts.send(start).map_err(|_| ended())?;
        wait.recv().map_err(|_| ended())?
    }
}

/// A worker that waits for its job.
struct Idle {
    child: Option<Child>,
    pid: Pid,
    pidfd: OwnedFd,
    socket: UnixStream,
    status: File,
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It has no job; it may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Idle {
    fn spawn(program: &Path, arguments: &[String]) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let (status, status_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // The command holds our copies of the child's ends; it must not outlive this statement, or the pipe never ends.
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(status_write))
            .stderr(Stdio::null())
            .spawn()?;
        let pid = Pid::from_child(&child);
        // No race: the child is ours and not reaped, so the number cannot have been given away.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        rustix::io::ioctl_fionbio(&status, true)?;
        Ok(Self { child: Some(child), pid, pidfd, socket, status: status.into() })
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn assign(mut self, job: &Job, descriptors: &[OwnedFd]) -> io::Result<Worker> {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        // A worker that died already shows up when it is reaped.
        let _ = job::send(&self.socket, job, &borrowed);
        // From here on the worker is reaped by whoever watches it.
        self.child = None;
        let (pidfd, status) = (self.pidfd.try_clone()?, self.status.try_clone()?);
        Ok(Worker { pid: self.pid, pidfd, status, hung_up: false, pending: vec![], begun: Instant::now() })
    }
}

/// A running worker.
pub struct Worker {
    /// Its process.
    pub pid: Pid,
    pidfd: OwnedFd,
    status: File,
    hung_up: bool,
    pending: Vec<u8>,
    /// When it was started.
    pub begun: Instant,
}

/// How a worker's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Worker {
    /// Sends a signal; never to another process that got the same number.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Waits for an event for at most `timeout`; true when the process has ended.
    pub fn wait(&mut self, timeout: Duration, more: Option<BorrowedFd<'_>>) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        // Once closed, the pipe would make every poll return at once while the process is still ending.
        if !self.hung_up {
            fds.push(PollFd::new(&self.status, PollFlags::IN));
        }
        if let Some(fd) = &more {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ended = !fds[0].revents().is_empty();
        let hung_up = self.hung_up || fds[1].revents() == PollFlags::HUP;
        drop(fds);
        self.hung_up = hung_up;
        Ok(ended)
    }

    /// Complete records that arrived; a line that is none is skipped.
    pub fn records(&mut self) -> Vec<Record> {
        let mut chunk = [0u8; 4096];
        while let Ok(n @ 1..) = self.status.read(&mut chunk) {
            if self.pending.len() + n > PENDING_MAX {
                self.pending.clear();
                break;
            }
            self.pending.extend_from_slice(&chunk[..n]);
        }
        let mut records = vec![];
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            records.extend(serde_json::from_slice::<Record>(&line));
        }
        records
    }

    /// Looks at the end without reaping, then reaps with the usage: the one place that reaps.
    pub fn reap(self) -> io::Result<(End, Usage)> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
        let end = |status: &WaitIdStatus| match status.terminating_signal() {
            Some(signal) => End::Signaled(signal),
            None => End::Exited(status.exit_status().unwrap_or(-1)),
        };
        let end = status.as_ref().map_or(End::Exited(-1), end);
        Ok((end, raw::reap(self.pid.as_raw_nonzero().get())?))
    }
}
