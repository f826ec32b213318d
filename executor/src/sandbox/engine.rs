//! One engine configuration for the compile worker, the task worker and the cache key.

use std::hash::{DefaultHasher, Hash, Hasher};
use wasmtime::{Config, Engine, OptLevel, Result, StoreLimits, StoreLimitsBuilder};

/// Stack of guest code: what native programs have by default is 8 MiB, wasm frames are small.
const WASM_STACK: usize = 1 << 20;
/// Stack of the fiber it runs on, with room for the host's calls.
const FIBER_STACK: usize = 2 << 20;

/// The engine, the same in every process of this binary.
pub fn engine(deterministic: bool) -> Result<Engine> {
    let mut config = Config::new();
    // `threads`, `gc`, `parallel-compilation` and `backtrace` are left out as crate features, so
    // `wasm_threads`, `wasm_exceptions`, `wasm_gc` and `parallel_compilation` do not exist here.
    config
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .concurrency_support(false)
        .gc_support(false)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(deterministic);
    Engine::new(&config)
}

/// Name and version of the engine, as receipts show it.
pub const RUNTIME: &str = "wasmtime 48.0.8";

/// Part of the cache key: changes whenever an artifact would not load.
pub fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Store limits that remember a denied growth, so that the receipt can name the reason.
pub struct Limiter {
    inner: StoreLimits,
    /// Whether a growth was refused.
    pub denied: bool,
}

impl Limiter {
    /// At most `memory_max` bytes in one memory.
    pub fn new(memory_max: u64) -> Self {
        let inner = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(memory_max).unwrap_or(usize::MAX))
            .memories(1)
            .tables(16)
            .table_elements(1_000_000)
            .instances(1)
            .build();
        Self { inner, denied: false }
    }
}

impl wasmtime::ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let allowed = self.inner.memory_growing(current, desired, maximum)?;
        self.denied |= !allowed;
        Ok(allowed)
    }

    /// The host could not provide the memory (`RLIMIT_DATA`, for one).
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.denied = true;
        self.inner.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.inner.table_growing(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        self.inner.instances()
    }
    fn tables(&self) -> usize {
        self.inner.tables()
    }
    fn memories(&self) -> usize {
        self.inner.memories()
    }
}
