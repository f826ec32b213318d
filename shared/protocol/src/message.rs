//! The messages of the market: what each says and who may send it (`market.md`, Messages).

use serde::{Deserialize, Serialize};

use crate::codec::Bytes;
use crate::ids::{Address, Digest, SealingKey, Tag, TaskId};
use crate::limits::{FILES_MAX, TEXT_MAX};
use crate::money::BaseUnits;
use crate::offer::{Offer, TaskLimits};
use crate::receipt::SignedReceipt;
use crate::seal::ResultKey;
use crate::time::{LedgerSeconds, Millis};

/// What one party tells another about one task; sealed together, so an observer learns neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The task; all zero in an offer.
    pub task: TaskId,
    /// What is said.
    pub body: Body,
}

/// Everything that can be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Executor to everyone: what it runs, at what price.
    Offer(Offer),
    /// Submitter to executor: run this. Free until accepted.
    Submit(Box<Submit>),
    /// Executor to submitter: not run; costs nothing.
    Reject(Reject),
    /// Executor to submitter: in the queue.
    Accept(Accept),
    /// Executor to submitter: the locked result, before payment.
    Result {
        /// The result under a key that the release carries.
        locked: Bytes,
    },
    /// Executor to submitter: what it costs and where to pay.
    Quote(Quote),
    /// Executor to submitter, after the payment is included.
    Release {
        /// Opens the locked result.
        key: ResultKey,
        /// What was run, signed.
        receipt: SignedReceipt,
    },
    /// Submitter to executor: not wanted any more. Free while queued; afterwards the metered time is quoted.
    Cancel,
    /// Executor to submitter: closed unpaid, or never started in time; nothing is owed any more.
    Expired,
}

impl Body {
    /// The name used in logs and in the explorer.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::Submit(_) => "submit",
            Self::Reject(_) => "reject",
            Self::Accept(_) => "accept",
            Self::Result { .. } => "result",
            Self::Quote(_) => "quote",
            Self::Release { .. } => "release",
            Self::Cancel => "cancel",
            Self::Expired => "expired",
        }
    }
}

/// A task as it is sent to one executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The offer it relies on ([`Offer::id`]).
    pub offer: Digest,
    /// What to run and with what.
    pub manifest: Manifest,
    /// The WebAssembly module.
    pub module: Bytes,
    /// Replies are sealed to this key, made for this task only.
    pub reply_key: SealingKey,
    /// Replies go to this inbox, random per task.
    pub reply_tag: Tag,
    /// The most the submitter pays; the guest is stopped before it costs more.
    pub max_price: BaseUnits,
    /// Ledger time by which the quote must be referenced.
    pub deadline: LedgerSeconds,
    /// Where late or surplus payments are returned to.
    pub refund: Address,
}

/// What the guest sees, and the limits it runs under.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Arguments after the program name.
    pub args: Vec<String>,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Standard input; empty when absent.
    pub stdin: Bytes,
    /// Files placed into the task's directory before the start.
    pub inputs: Vec<TaskFile>,
    /// Glob patterns of files to bring back.
    pub outputs: Vec<String>,
    /// Requested limits; the offer's apply where they are lower.
    pub limits: TaskLimits,
}

/// A file of a task, by its path below the guest's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFile {
    /// Relative path with `/`, without `..`.
    pub path: String,
    /// Content.
    pub bytes: Bytes,
}

/// A manifest that no executor would run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A path leaves the task's directory or has no clear meaning.
    #[error("`{0}` is not a path inside the task: write it relative, with `/`, without `..` or empty parts")]
    Path(String),
    /// Two inputs with one path.
    #[error("`{0}` is given twice as an input")]
    Twice(String),
    /// Too many files.
    #[error("{0} files: at most {FILES_MAX} are allowed in one task; put them into an archive")]
    TooMany(usize),
    /// An environment variable that the system cannot represent.
    #[error("`{0}` is not the name of an environment variable")]
    Variable(String),
}

impl Manifest {
    /// Checks everything that does not depend on an offer.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.inputs.len() > FILES_MAX || self.outputs.len() > FILES_MAX {
            return Err(ManifestError::TooMany(self.inputs.len().max(self.outputs.len())));
        }
        let mut seen = std::collections::BTreeSet::new();
        for file in &self.inputs {
            check_path(&file.path)?;
            if !seen.insert(&file.path) {
                return Err(ManifestError::Twice(file.path.clone()));
            }
        }
        for pattern in &self.outputs {
            check_path(pattern)?;
        }
        match self.env.iter().find(|(name, _)| name.is_empty() || name.contains(['=', '\0'])) {
            Some((name, _)) => Err(ManifestError::Variable(name.clone())),
            None => Ok(()),
        }
    }

    /// Content hash over everything the guest reads: arguments, environment, stdin and files.
    pub fn input_hash(&self) -> Digest {
        let relevant = (&self.args, &self.env, &self.stdin, &self.inputs);
        Digest::of("tarefa/inputs", &[&crate::codec::encode(&relevant)])
    }
}

/// Refuses a path that is absolute, empty, or climbs.
pub fn check_path(path: &str) -> Result<(), ManifestError> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.is_empty() || path.len() > TEXT_MAX || path.contains(['\\', '\0']) || path.split('/').any(bad_part) {
        return Err(ManifestError::Path(path.chars().take(80).collect()));
    }
    Ok(())
}

/// Why a task is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// The offer is unknown or no longer valid.
    Offer,
    /// The manifest is not acceptable.
    Manifest,
    /// The queue is full.
    Busy,
    /// Too much unpaid work already.
    Exposure,
    /// The module cannot be compiled within the limits.
    Module,
    /// The executor failed twice to run it.
    Failed,
    /// The executor's sandbox is too weak for strangers' work.
    Sandbox,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// For programs.
    pub code: RejectCode,
    /// For people; at most [`TEXT_MAX`] characters.
    pub text: String,
}

impl Reject {
    /// A refusal with its text cut to the limit.
    pub fn new(code: RejectCode, text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self { code, text: text.chars().take(TEXT_MAX).collect() }
    }
}

/// Taken into the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// Tasks before this one.
    pub position: u32,
    /// The limits that will apply.
    pub limits: TaskLimits,
    /// Longest metered time within the submitter's max price.
    pub time_allowed: Millis,
}

/// What a run costs. Says nothing else about the result, so that nothing can be guessed unpaid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The offer the price comes from.
    pub offer: Digest,
    /// Billed time of the guest.
    pub metered: Millis,
    /// `offer.price` of that time.
    pub price: BaseUnits,
    /// An address that was never shown before, to anyone.
    pub address: Address,
    /// A payment counts when booked no later than this (ledger time).
    pub expires: LedgerSeconds,
    /// [`ResultKey::commitment`] of the key that the release will carry.
    pub key_hash: Digest,
    /// Content hash of the locked result.
    pub locked_hash: Digest,
    /// Its size in bytes.
    pub locked_size: u64,
    /// Whether the guest ended with exit code 0.
    pub ok: bool,
}

#[cfg(test)]
mod tests;
