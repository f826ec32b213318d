//! Compiled modules by content, made by the compile worker, named and written by the executor alone.
//!
//! A compromised compile of one module cannot replace another: the worker only returns bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use tarefa_protocol::Digest;

use super::job::{Ended, Job, Kind, Limits, Walls};
use super::spawn::Spawner;
use super::supervise::{Sink, Watch, supervise};
use super::{RunError, compile, engine};

/// Bytes of all artifacts; the least recently used go first.
const CACHE_MAX: u64 = 1 << 30;

pub struct Cache {
    dir: PathBuf,
    compatibility: u64,
}

impl Cache {
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        let engine = engine::engine(false).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { dir: dir.to_owned(), compatibility: engine::compatibility(&engine) })
    }

    /// The artifact of a module, opened for reading, and the time it took to compile.
    pub fn artifact(
        &self,
        spawner: &Spawner,
        wasm: &[u8],
        walls: Walls,
        cancel: &Arc<AtomicBool>,
    ) -> Result<(File, Duration), RunError> {
        let name = format!("{}-{:016x}", Digest::of_content(wasm), self.compatibility);
        let path = self.dir.join(&name);
        if let Some(artifact) = open_own(&path)? {
            // For the order of eviction; losing it costs one compile.
            let _ = artifact.set_modified(SystemTime::now());
            return Ok((artifact, Duration::ZERO));
        }
        let begun = Instant::now();
        let bytes = self.compile(spawner, wasm, walls, cancel)?;
        self.evict(bytes.len() as u64)?;
        let part = self.dir.join(format!("{name}.{}", rustix::process::getpid().as_raw_nonzero()));
        let _ = fs::remove_file(&part);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&part)?;
        file.write_all(&bytes)?;
        fs::rename(&part, &path)?;
        Ok((File::open(&path)?, begun.elapsed()))
    }

    fn compile(
        &self,
        spawner: &Spawner,
        wasm: &[u8],
        walls: Walls,
        cancel: &Arc<AtomicBool>,
    ) -> Result<Vec<u8>, RunError> {
        let mut module = tempfile::tempfile_in(&self.dir)?;
        module.write_all(wasm)?;
        io::Seek::rewind(&mut module)?;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let limits = Limits {
            memory_max: compile::MEMORY,
            memory_overhead: 0,
            cpu_seconds: compile::SECONDS,
            open_files: 16,
            file_bytes: 0,
            output_bytes: 0,
            max_functions: compile::MAX_FUNCTIONS,
        };
        let job = Job {
            kind: Kind::Compile,
            parent_pid: i32::try_from(std::process::id()).unwrap_or(0),
            task_dir: None,
            args: vec![],
            env: vec![],
            limits,
            walls,
        };
        let worker = spawner.start(job, vec![module.into(), write])?;
        let mut bytes = vec![];
        let watch = Watch { time: Duration::from_secs(compile::SECONDS), disk: None, cancel: cancel.clone() };
        let sink = Sink { pipe: read, bytes: &mut bytes, max: compile::MAX_ARTIFACT_BYTES };
        let report = supervise(worker, &watch, Some(sink))?;
        match report.ended {
            Some(Ended::Compiled { bytes: length }) if report.stop.is_none() && length == bytes.len() as u64 => {
                Ok(bytes)
            }
            Some(Ended::Refused { text }) => Err(RunError::BadModule(format!("the module is refused: {text}"))),
            _ => Err(RunError::BadModule(format!(
                "the module does not compile within {} s and {} MiB",
                compile::SECONDS,
                compile::MEMORY >> 20
            ))),
        }
    }

    fn evict(&self, room: u64) -> io::Result<()> {
        let mut files = vec![];
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            files.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if total + room <= CACHE_MAX {
                break;
            }
            fs::remove_file(path)?;
            total -= length;
        }
        Ok(())
    }
}

/// Opens an artifact only if it is ours and nobody else can write it: loading a forged one runs any code.
fn open_own(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    if ours {
        return Ok(Some(file));
    }
    fs::remove_file(path)?;
    Ok(None)
}
