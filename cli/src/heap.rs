//! The heap of the process.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Read by glibc when a process starts; other C libraries know nothing of it.
const VARIABLE: &str = "MALLOC_ARENA_MAX";
/// Heaps that glibc may open. Its default, eight per core, keeps free memory apart in each of them: a dev Tangle, whose
/// blocks are made in one thread and dropped in another, then grows with every block (docs/performance.md).
const ARENAS: &str = "2";

/// Limits the number of heaps of a dev Tangle, by becoming the same program with the limit set. Whoever has set
/// another one keeps it.
pub fn limit() {
    let is_node = std::env::args_os().skip(1).take(2).eq(["testnet", "up"].map(OsStr::new));
    if !is_node || std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // It returns only where the system refuses, and then the default has to do.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, ARENAS).exec();
    }
}
