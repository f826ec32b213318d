//! The only file with `unsafe`: descriptors, rusage, loading compiled code, native probes.
#![allow(unsafe_code, reason = "system calls and code loading that have no safe wrapper")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::time::Duration;
use wasmtime::{Engine, Module};

/// Closes every descriptor from `first` up. Call it before anything is open that must stay.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called first thing in a worker, when no Rust object owns a descriptor >= `first`.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Loads an artifact this executor compiled itself.
pub fn load_module(engine: &Engine, artifact: File) -> wasmtime::Result<Module> {
    // SAFETY: the executor only hands over files it wrote itself, that nobody else can write.
    unsafe { Module::deserialize_open_file(engine, artifact) }
}

/// Usage of a process that was reaped.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Processor time in its own code.
    pub user: Duration,
    /// Processor time in the kernel on its behalf.
    pub system: Duration,
    /// Largest resident memory, KiB.
    pub max_rss_kib: i64,
}

impl Usage {
    /// Processor time altogether.
    pub fn total(&self) -> Duration {
        self.user + self.system
    }
}

/// Reaps `pid` (already seen dead through `waitid(WNOWAIT)`) and returns its usage.
pub fn reap(pid: i32) -> io::Result<Usage> {
    let mut status = 0;
    // SAFETY: `rusage` is plain data; all-zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } != pid {
        return Err(io::Error::last_os_error());
    }
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs()) + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    Ok(Usage { user: time(usage.ru_utime), system: time(usage.ru_stime), max_rss_kib: usage.ru_maxrss })
}

fn done(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Native probes: each does the forbidden thing with the raw system call, to a file made for it where it needs one.
/// `Ok` means the wall is missing; every probe is harmless then, and they are still never run without walls.
pub fn probe(name: &str, outside: &CStr, parent: i32) -> io::Result<i64> {
    let nul = std::ptr::null::<libc::c_char>();
    let bin = c"/bin/true".as_ptr();
    // SAFETY: every pointer is a NUL-terminated string, NULL, or a live local.
    unsafe {
        match name {
            "read-outside" => done(libc::open(outside.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC).into()),
            "write-outside" => done(libc::open(outside.as_ptr(), libc::O_WRONLY).into()),
            "truncate-outside" => done(libc::truncate(outside.as_ptr(), 0).into()),
            "chmod-outside" => done(libc::chmod(outside.as_ptr(), 0o600).into()),
            "list-root" => done(libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY).into()),
            "parent-mem" => {
                let path = format!("/proc/{parent}/environ\0");
                done(libc::open(path.as_ptr().cast(), libc::O_RDONLY).into())
            }
            "socket-inet" => done(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into()),
            "connect-tcp" => {
                let fd = done(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into())?;
                let mut to: libc::sockaddr_in = std::mem::zeroed();
                to.sin_family = libc::AF_INET as u16;
                to.sin_port = 9u16.to_be();
                to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
                let len = size_of::<libc::sockaddr_in>() as u32;
                let r = done(libc::connect(fd as i32, (&raw const to).cast(), len).into());
                // A refused connection means the packet went out: no wall.
                match r {
                    Err(e) if e.raw_os_error() == Some(libc::ECONNREFUSED) => Ok(0),
                    other => other,
                }
            }
            "socket-udp" => done(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).into()),
            "socket-unix" => done(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).into()),
            "io-uring" => {
                // struct io_uring_params has 120 bytes.
                let mut params = [0u64; 15];
                done(libc::syscall(libc::SYS_io_uring_setup, 2, params.as_mut_ptr()))
            }
            "exec" => done(libc::execve(bin, [bin, nul].as_ptr(), [nul].as_ptr()).into()),
            // SEIZE and not ATTACH, which would stop the executor itself where no wall stands.
            "ptrace-parent" => done(libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0)),
            "signal-parent" => done(libc::kill(parent, 0).into()),
            "pidfd-parent" => done(libc::syscall(libc::SYS_pidfd_open, parent, 0)),
            "fcntl-setown" => done(libc::fcntl(0, libc::F_SETOWN, parent).into()),
            "prlimit-parent" => {
                let mut lim: libc::rlimit = std::mem::zeroed();
                done(libc::prlimit(parent, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut lim).into())
            }
            "fork" => {
                let pid = libc::fork();
                if pid == 0 {
                    libc::_exit(0);
                }
                done(pid.into())
            }
            "thread" => Ok(std::thread::Builder::new().spawn(|| ()).map(|_| 0)?),
            "map-exec" => {
                let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
                let p = libc::mmap(std::ptr::null_mut(), 4096, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
                if p == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(0) }
            }
            // Both move only this process into a namespace of its own; nothing is mounted.
            "user-namespace" => done(libc::unshare(libc::CLONE_NEWUSER).into()),
            "mount-namespace" => done(libc::unshare(libc::CLONE_NEWNS).into()),
            _ => Err(io::Error::other("no such probe")),
        }
    }
}
