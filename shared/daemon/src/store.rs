//! The store: one SQLite file per data directory. Every change happens in [`Store::commit`].

mod blobs;
mod messages;
mod money;
mod schema;
mod tasks;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarefa_protocol::codec::{self, CodecError};

pub use messages::{Incoming, OutgoingPart};
pub use money::{AddressRow, HistoryRow};
pub use tasks::{EventRow, OutboxRow, TaskRow};

/// How long a commit waits for another process that reads the file (a backup, a browser).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A prepared statement is kept for each of the store's queries.
const STATEMENTS: usize = 128;

/// The store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no.
    #[error("the store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value does not decode.
    #[error("the store holds a value that cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// The file belongs to another version of this program.
    #[error("the store has version {found}, this program reads {known}: use the program that wrote it, or a newer one")]
    Version {
        /// In the file.
        found: u32,
        /// Of this program.
        known: u32,
    },
    /// Our own key was used elsewhere.
    #[error(
        "a message signed with our key appeared that this store did not send: a second instance runs with the \
         same mnemonic, or this is an old backup. Stopping before anything is paid twice"
    )]
    SecondInstance,
    /// A wallet operation failed.
    #[error(transparent)]
    Wallet(#[from] tarefa_ledger::wallet::WalletError),
    /// A message cannot be built.
    #[error(transparent)]
    Envelope(#[from] tarefa_protocol::envelope::EnvelopeError),
    /// A rule of the caller was broken; the text says which.
    #[error("{0}")]
    Rule(String),
}

/// The store of one data directory.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    commits: u64,
    fault: Option<Fault>,
}

/// Where a crash test kills the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which commit of this process, from 1.
    pub commit: u64,
    /// After it is durable; else just before.
    pub after: bool,
}

/// Environment variable with the [`Fault`] of a crash test, as `17:before` or `17:after`.
pub const FAULT_VARIABLE: &str = "TAREFA_CRASH_AT";
/// Environment variable with a file that receives the number of commits of this process after each one.
pub const COUNT_VARIABLE: &str = "TAREFA_COMMIT_COUNT";

impl Fault {
    fn from_environment() -> Option<Self> {
        let text = std::env::var(FAULT_VARIABLE).ok()?;
        let (commit, when) = text.split_once(':')?;
        Some(Self { commit: commit.parse().ok()?, after: when == "after" })
    }
}

impl Store {
    /// Opens or creates the store in this file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut store = Self::over(Connection::open(path)?)?;
        store.fault = Fault::from_environment();
        Ok(store)
    }

    /// A store that lives as long as its value.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::over(Connection::open_in_memory()?)
    }

    fn over(connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Full: a commit is on the disk before anything is said about it.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        schema::migrate(&connection)?;
        Ok(Self { connection, commits: 0, fault: None })
    }

    /// Runs `change` in one transaction: all of it is stored, or nothing.
    pub fn commit<R, E: From<StoreError>>(&mut self, change: impl FnOnce(&Tx<'_>) -> Result<R, E>) -> Result<R, E> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let result = change(&Tx { connection: &transaction })?;
        self.commits += 1;
        crash_if(self.fault, self.commits, false);
        transaction.commit().map_err(StoreError::from)?;
        count(self.commits);
        crash_if(self.fault, self.commits, true);
        Ok(result)
    }

    /// Reads without changing anything.
    pub fn read<R>(&self, read: impl FnOnce(&Tx<'_>) -> R) -> R {
        read(&Tx { connection: &self.connection })
    }

    /// Commits of this process so far.
    pub fn commits(&self) -> u64 {
        self.commits
    }
}

/// A crash test counts the commits of an undisturbed run through this file.
fn count(commits: u64) {
    if let Ok(path) = std::env::var(COUNT_VARIABLE) {
        // Only a test reads it; losing it makes that test fail, nothing else.
        let _ = std::fs::write(path, commits.to_string());
    }
}

/// SIGKILL, so that nothing is cleaned up: what a power cut or the kernel's memory killer does.
fn crash_if(fault: Option<Fault>, commit: u64, after: bool) {
    if fault == Some(Fault { commit, after }) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is delivered before this returns on Linux; wait for it anyway.
        loop {
            std::thread::park();
        }
    }
}

/// The store inside a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Tx<'a> {
    connection: &'a Connection,
}

impl Tx<'_> {
    /// Runs `change` in a savepoint: an error undoes only what it did.
    pub fn savepoint<R, E>(&self, change: impl FnOnce() -> Result<R, E>) -> Result<Result<R, E>, StoreError> {
        self.connection.execute_batch("SAVEPOINT input")?;
        let result = change();
        if result.is_err() {
            self.connection.execute_batch("ROLLBACK TO input")?;
        }
        self.connection.execute_batch("RELEASE input")?;
        Ok(result)
    }

    /// A named value.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        use rusqlite::OptionalExtension;
        let bytes: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        bytes.map(|bytes| codec::decode(&bytes).map_err(StoreError::from)).transpose()
    }

    /// Sets a named value.
    pub fn set<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
            .execute(rusqlite::params![key, codec::encode(value)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
