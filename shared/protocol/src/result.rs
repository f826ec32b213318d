//! What a guest produced. *Result* is the guest's; *output* is only ever a ledger output.

use serde::{Deserialize, Serialize};

use crate::codec::Bytes;
use crate::message::TaskFile;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It returned or called `proc_exit` with this code.
    Exited(u8),
    /// It trapped; the engine's words.
    Trapped(String),
    /// It reached a limit and was ended.
    Limit(Limit),
    /// The submitter cancelled while it ran.
    Cancelled,
}

/// Which limit ended a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Metered time.
    Time,
    /// Linear memory or the worker's data segment.
    Memory,
    /// Bytes written to files.
    Disk,
    /// Number of files.
    Files,
    /// Size of stdout, stderr and files together.
    Result,
}

impl Limit {
    /// The word used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Files => "files",
            Self::Result => "result size",
        }
    }
}

impl Outcome {
    /// Exit status that `tarefa run` ends with: the guest's own, 124 for a limit, 134 for a trap as other
    /// wasm runtimes do, 125 for a cancelled one.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::Trapped(_) => 134,
            Self::Limit(_) => 124,
            Self::Cancelled => 125,
        }
    }

    /// Whether the guest did what it should, as far as one bit tells.
    pub fn ok(&self) -> bool {
        *self == Self::Exited(0)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Trapped(why) => write!(f, "trapped: {why}"),
            Self::Limit(limit) => write!(f, "ended by its {} limit", limit.name()),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Everything that comes back to the submitter once it has paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// How the guest ended.
    pub outcome: Outcome,
    /// Its standard output.
    pub stdout: Bytes,
    /// Its standard error.
    pub stderr: Bytes,
    /// Files that matched the manifest's `outputs`, sorted by path.
    pub files: Vec<TaskFile>,
    /// Random: two equal results do not look equal to an observer of their hashes.
    pub salt: [u8; 16],
}
