//! Writing a result where the user finds it: `./tarefa-<id>/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tarefa_daemon::store::{StoreError, Tx};
use tarefa_protocol::TaskId;
use tarefa_protocol::codec;
use tarefa_protocol::message::check_path;
use tarefa_protocol::result::TaskResult;

use crate::role::Stored;

/// A result that cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// No such task here.
    #[error("there is no task {0} in this data directory; `tarefa task ls` lists them")]
    Unknown(TaskId),
    /// The task has no result (yet).
    #[error("task {0} has no result yet: it is {1}")]
    NoResult(TaskId, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refuses.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// The opened result of a task.
pub fn result(tx: &Tx<'_>, id: &TaskId) -> Result<(TaskResult, Stored), FilesError> {
    let row = tx.task::<Stored>(id)?.ok_or(FilesError::Unknown(*id))?;
    let missing = || FilesError::NoResult(*id, row.phase.clone());
    let hash = row.state.result.ok_or_else(missing)?;
    let bytes = tx.blob(&hash)?.ok_or_else(missing)?;
    Ok((codec::decode(&bytes).map_err(StoreError::from)?, row.state))
}

/// Writes stdout, stderr, exit code, receipt and files below `dir`; again over an earlier copy.
pub fn write(dir: &Path, result: &TaskResult, stored: &Stored) -> Result<(), FilesError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        let write = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, bytes)
        };
        write().map_err(|reason| FilesError::Io { path: path.clone(), reason })
    };
    put("stdout", &result.stdout.0)?;
    put("stderr", &result.stderr.0)?;
    put("exit_code", format!("{}\n", result.outcome.exit_status()).as_bytes())?;
    if let Some(receipt) = &stored.receipt
        && let Ok(verified) = receipt.verify()
    {
        let json = serde_json::json!({
            "receipt": verified,
            "signed_bytes": hex::encode(&receipt.receipt.0),
            "signature": hex::encode(&receipt.signature.0),
        });
        let text = serde_json::to_string_pretty(&json).map_err(|error| StoreError::Rule(error.to_string()))?;
        put("receipt.json", text.as_bytes())?;
    }
    for file in &result.files {
        // The executor made these names: none may leave the directory.
        if check_path(&file.path).is_ok() {
            put(&format!("outputs/{}", file.path), &file.bytes.0)?;
        }
    }
    Ok(())
}
