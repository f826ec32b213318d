//! What crosses between the executor and its workers: one job down, a few records up.
//!
//! Records are claims: a worker that was taken over can write anything, so the executor measures time and usage itself.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// What a worker process is asked to be. Descriptors travel beside it, in the order named here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Kind {
    /// Descriptors: artifact, stdin, stdout, stderr.
    Run,
    /// Descriptors: wasm file, pipe for the artifact.
    Compile,
    /// No descriptors.
    Probe,
}

/// All a worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// What to be.
    pub kind: Kind,
    /// The worker gives up when its parent is not this process.
    pub parent_pid: i32,
    /// The only directory the worker may open files in; none for compile workers.
    pub task_dir: Option<PathBuf>,
    /// Arguments of the guest, its name first; of a probe worker, the probes.
    pub args: Vec<String>,
    /// Environment of the guest.
    pub env: Vec<(String, String)>,
    /// Limits.
    pub limits: Limits,
    /// Walls.
    pub walls: Walls,
}

/// Limits that the worker puts on itself before it touches the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limits {
    /// Largest linear memory, bytes.
    pub memory_max: u64,
    /// Added to `memory_max` for `RLIMIT_DATA`: the engine's own heap and stacks.
    pub memory_overhead: u64,
    /// Processor time, seconds; a second wall behind the executor's own clock.
    pub cpu_seconds: u64,
    /// Descriptors the guest may hold.
    pub open_files: u64,
    /// Size of one file, bytes.
    pub file_bytes: u64,
    /// Cap of stdout and of stderr, bytes each.
    pub output_bytes: u64,
    /// Function bodies a module may have.
    pub max_functions: u32,
}

/// Which walls to raise; everything but tests and the doctor uses the default.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Walls {
    /// Highest landlock ABI to use; 0 for no landlock.
    pub landlock_abi: u8,
    /// Whether to raise the system-call filter.
    pub seccomp: bool,
}

impl Default for Walls {
    fn default() -> Self {
        Self { landlock_abi: 7, seccomp: true }
    }
}

/// What a worker writes to its status pipe, one JSON object a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Record {
    /// The early walls stand.
    Walled {
        /// What landlock says it enforces.
        landlock: String,
    },
    /// Written right before the first guest instruction.
    Started,
    /// How it ended; the last record.
    Ended(Ended),
    /// One native probe.
    Probe {
        /// Its name.
        name: String,
        /// What the system said.
        result: String,
        /// Whether the wall held.
        refused: bool,
    },
}

/// How a worker says it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// The guest returned or called `proc_exit`.
    Exited {
        /// Its code.
        code: i32,
        /// Whether it was refused memory on the way.
        memory_denied: bool,
    },
    /// The guest trapped.
    Trapped {
        /// The engine's words.
        text: String,
        /// Whether it was refused memory on the way.
        memory_denied: bool,
    },
    /// The guest wrote more than its output limit.
    Flooded,
    /// The module is not acceptable.
    Refused {
        /// Why.
        text: String,
    },
    /// The worker could not do its work.
    Failed {
        /// Why.
        text: String,
    },
    /// The artifact is written.
    Compiled {
        /// Its size.
        bytes: u64,
    },
}

/// Descriptors of one job at most.
const DESCRIPTORS_MAX: usize = 8;
/// Bytes of a job at most: arguments and environment of one message.
const JOB_MAX: u64 = 16 << 20;

/// Sends the job and its descriptors over the socket that is the worker's stdin.
pub fn send(socket: &UnixStream, job: &Job, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let body = serde_json::to_vec(job)?;
    let head = (body.len() as u64).to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors"));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&head)], &mut control, SendFlags::NOSIGNAL)?;
    if sent != head.len() {
        return Err(io::Error::other("short send"));
    }
    (&mut &*socket).write_all(&body)
}

/// The worker's half of [`send`]: every descriptor arrives close-on-exec.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<(Job, Vec<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut head = [0u8; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got =
        recvmsg(socket, &mut [IoSliceMut::new(&mut head)], &mut control, RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL)?;
    if got.bytes != head.len() {
        return Err(io::Error::other("short job header"));
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            fds.extend(list);
        }
    }
    let length = u64::from_le_bytes(head);
    let mut body = Vec::new();
    let socket = File::from(socket.as_fd().try_clone_to_owned()?);
    socket.take(length.min(JOB_MAX)).read_to_end(&mut body)?;
    Ok((serde_json::from_slice(&body)?, fds))
}

/// Writes one record; below `PIPE_BUF` a pipe write is atomic.
pub fn report(mut status: &File, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    status.write_all(&line)
}
