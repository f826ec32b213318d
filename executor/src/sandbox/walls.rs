//! The walls around a worker that the operating system keeps: rlimits, landlock, seccomp.

use super::job::{Job, Limits};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rlimit::Resource;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Cond, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// `RLIMIT_DATA` and not `RLIMIT_AS`: wasmtime reserves 4 GiB of `PROT_NONE` per memory.
pub fn rlimits(limits: &Limits) -> std::io::Result<()> {
    let data = limits.memory_max.saturating_add(limits.memory_overhead);
    // SIGXCPU at the soft limit names the reason; SIGKILL follows a second later.
    Resource::CPU.set(limits.cpu_seconds, limits.cpu_seconds + 1)?;
    for (resource, value) in [
        (Resource::CORE, 0),
        (Resource::DATA, data),
        (Resource::FSIZE, limits.file_bytes),
        (Resource::NOFILE, limits.open_files),
        (Resource::MEMLOCK, 0),
        (Resource::MSGQUEUE, 0),
        (Resource::SIGPENDING, 64),
    ] {
        resource.set(value, value)?;
    }
    Ok(())
}

fn abi(number: u8) -> ABI {
    match number {
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        _ => ABI::V7,
    }
}

/// Restricts this thread (and every thread it starts later) to the files below `dir`.
/// ABI 1 is required; what later ABIs add is taken when the kernel has it.
pub fn landlock(dir: Option<&Path>, newest: u8) -> Result<String> {
    let newest = abi(newest);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?;
    // No rule ever allows a port or a scope: handling them is refusing them.
    if newest >= ABI::V4 {
        ruleset = ruleset.handle_access(AccessNet::from_all(newest))?;
    }
    if newest >= ABI::V6 {
        ruleset = ruleset.scope(Scope::from_all(newest))?;
    }
    let mut created = ruleset.create()?;
    if let Some(dir) = dir {
        created = created.add_rule(PathBeneath::new(PathFd::new(dir)?, task_rights(newest)))?;
    }
    let status = created.restrict_self()?;
    Ok(format!("{:?} {:?}", status.ruleset, status.landlock))
}

/// Files, directories and symbolic links; no devices, sockets, pipes, no execution.
fn task_rights(newest: ABI) -> BitFlags<AccessFs> {
    let wanted = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::Refer
        | AccessFs::Truncate;
    wanted & AccessFs::from_all(newest)
}

/// System calls a task worker makes after its module is loaded, whatever their arguments.
const PLAIN: &[(&str, &[i64])] = &[
    (
        "files by descriptor",
        &[
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_readv,
            libc::SYS_writev,
            libc::SYS_pread64,
            libc::SYS_pwrite64,
            libc::SYS_preadv,
            libc::SYS_pwritev,
            libc::SYS_preadv2,
            libc::SYS_pwritev2,
            libc::SYS_lseek,
            libc::SYS_close,
            libc::SYS_fstat,
            libc::SYS_ftruncate,
            libc::SYS_fallocate,
            libc::SYS_fadvise64,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_getdents64,
            libc::SYS_utimensat,
        ],
    ),
    (
        "files by name, below a directory descriptor (landlock decides where)",
        &[
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_newfstatat,
            libc::SYS_statx,
            libc::SYS_readlinkat,
            libc::SYS_mkdirat,
            libc::SYS_unlinkat,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_linkat,
            libc::SYS_symlinkat,
        ],
    ),
    ("memory", &[libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk]),
    ("time", &[libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep]),
    (
        "waiting (tokio parks on a futex; epoll only if the I/O driver is on)",
        &[libc::SYS_futex, libc::SYS_sched_yield, libc::SYS_restart_syscall],
    ),
    ("random", &[libc::SYS_getrandom]),
    (
        "traps and end",
        &[
            libc::SYS_rt_sigreturn,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigaction,
            libc::SYS_sigaltstack,
            libc::SYS_exit,
            libc::SYS_exit_group,
        ],
    ),
    ("self", &[libc::SYS_getpid, libc::SYS_gettid]),
];

fn arg(index: u8, op: Op, value: u64) -> Result<Cond> {
    Ok(Cond::new(index, Len::Dword, op, value)?)
}

/// Compiles the allow-list. Everything else fails with `EPERM`.
pub fn seccomp_program() -> Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        PLAIN.iter().flat_map(|(_, calls)| calls.iter()).map(|call| (*call, Vec::new())).collect();

    // No new executable memory: the module is loaded before the filter.
    let no_exec = || -> Result<Vec<SeccompRule>> {
        Ok(vec![SeccompRule::new(vec![arg(2, Op::MaskedEq(libc::PROT_EXEC as u64), 0)?])?])
    };
    rules.insert(libc::SYS_mmap, no_exec()?);
    rules.insert(libc::SYS_mprotect, no_exec()?);

    // `F_SETOWN` and `F_SETSIG` would send signals to others, so commands are named.
    let mut fcntl = Vec::new();
    for command in [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_SETFD, libc::F_DUPFD_CLOEXEC] {
        fcntl.push(SeccompRule::new(vec![arg(1, Op::Eq, command as u64)?])?);
    }
    rules.insert(libc::SYS_fcntl, fcntl);

    // `abort` signals its own process and nobody else's.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![arg(0, Op::Eq, own)?])?]);

    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    Ok(SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?)
}

/// Applies the allow-list to every thread of this process.
pub fn seccomp(program: &BpfProgram) -> Result<()> {
    Ok(seccompiler::apply_filter_all_threads(program)?)
}

/// Gives up every capability, which matters where the executor runs as root. Best effort: without the right to
/// do so there is nothing to give up, and the walls after this one do not rely on it.
pub fn drop_capabilities() {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    // The doctor's probes show what a failure means.
    let _ = set_capabilities(None, none);
}

/// Everything that can be raised before the module is loaded; single-threaded still.
pub fn early(job: &Job) -> Result<String> {
    rlimits(&job.limits)?;
    rustix::thread::set_no_new_privs(true)?;
    match job.walls.landlock_abi {
        0 => Ok("off".into()),
        newest => landlock(job.task_dir.as_deref(), newest),
    }
}
