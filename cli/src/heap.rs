//! The heap of the process.

/// Heaps that glibc may open. Its default, eight per core, keeps free memory apart in each of them: a dev Tangle, whose
/// blocks are made in one thread and dropped in another, then grows with every block (docs/performance.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Limits the number of heaps; to be called before there are threads. Other allocators need no such limit.
pub fn limit_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "the only way to set it from inside; no pointers are involved")]
    // SAFETY: mallopt takes two integers and is called while there is one thread.
    unsafe {
        // A refusal leaves the default, which works too.
        let _ = libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}
