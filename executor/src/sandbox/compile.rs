//! The compile worker: wasm bytes in, artifact bytes out, nothing else in reach.

use super::job::{Ended, Job};
use super::walls;
use seccompiler::BpfProgram;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;

/// Bytes of a module: CPython has 26 MiB.
pub const MAX_WASM_BYTES: u64 = 64 << 20;
/// Bytes of an artifact: eight times the largest module.
pub const MAX_ARTIFACT_BYTES: u64 = 512 << 20;
/// Function bodies of a module: CPython has 11,448, a compile bomb 200,000.
pub const MAX_FUNCTIONS: u32 = 50_000;
/// Memory of a compile worker.
pub const MEMORY: u64 = 2 << 30;
/// Time of a compile worker, seconds: CPython takes 3.
pub const SECONDS: u64 = 60;

/// Counts function bodies by the section header, before anything is compiled.
fn functions(wasm: &[u8]) -> Result<u32, Box<dyn Error>> {
    let mut count = 0u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::CodeSectionStart { count: n, .. } => count = count.saturating_add(n),
            Payload::Version { encoding, .. } if encoding != wasmparser::Encoding::Module => {
                return Err("a component, not a module".into());
            }
            _ => {}
        }
    }
    Ok(count)
}

/// Compiles the module in `wasm` into `out`.
pub fn work(
    job: &Job,
    engine: &Engine,
    seccomp: &BpfProgram,
    wasm: File,
    mut out: File,
) -> Result<Ended, Box<dyn Error>> {
    if job.walls.seccomp {
        walls::seccomp(seccomp)?;
    }
    let mut bytes = Vec::new();
    wasm.take(MAX_WASM_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_WASM_BYTES {
        return Ok(Ended::Refused { text: format!("more than {MAX_WASM_BYTES} bytes") });
    }
    match functions(&bytes) {
        Ok(n) if n > job.limits.max_functions => {
            return Ok(Ended::Refused { text: format!("{n} functions, at most {}", job.limits.max_functions) });
        }
        Ok(_) => {}
        Err(e) => return Ok(Ended::Refused { text: super::worker::clip(&e.to_string()) }),
    }
    match engine.precompile_module(&bytes) {
        Ok(artifact) => {
            out.write_all(&artifact)?;
            Ok(Ended::Compiled { bytes: artifact.len() as u64 })
        }
        Err(e) => Ok(Ended::Refused { text: super::worker::clip(&format!("{e:#}")) }),
    }
}
