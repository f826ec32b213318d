//! One SQLite file with one writer. Requests that arrive together are decided one after the other in one transaction (a savepoint
//! each) and answered after its commit, so that a hundred of them cost one flush of the disk.

mod book;
mod group;
mod row;
mod schema;

use std::path::Path;

use rusqlite::Connection;

pub use book::Book;
pub use group::GROUP;

/// Why the store did not do something. The hub then signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite.
    #[error("the hub's store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row that does not read as what it is.
    #[error("the hub's store has an unreadable {what}: {why}; restore it from a backup")]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a newer program.
    #[error("the hub's store is of version {found}, this program knows up to {known}: use the newer program")]
    Newer {
        /// Of the file.
        found: usize,
        /// The newest known one.
        known: usize,
    },
    /// The transaction that held this request failed, so nothing of it is kept.
    #[error("the hub's store could not commit: {0}")]
    Commit(String),
    /// The work of this request panicked; nothing of it is kept.
    #[error("a request made the hub panic; nothing of it is kept")]
    Panic,
    /// The writer has ended.
    #[error("the hub's store is closed")]
    Closed,
}

/// The hub's store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    writer: group::Writer,
}

impl Store {
    /// Opens a store, and makes or migrates its tables.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::of(Connection::open(path)?)
    }

    /// A store that is gone with the process: for tests.
    ///
    /// # Errors
    /// Never in practice.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::of(Connection::open_in_memory()?)
    }

    fn of(connection: Connection) -> Result<Self, StoreError> {
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Durable: a signature may leave once the commit returns, and the power may fail right after.
        connection.pragma_update(None, "synchronous", "full")?;
        schema::migrate(&connection)?;
        Ok(Self { writer: group::Writer::start(connection) })
    }

    /// Does some work in one transaction. What it returns arrives only after the commit; where it fails, nothing of it is kept.
    ///
    /// # Errors
    /// The work's own, or that nothing could be kept.
    pub async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Book<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.submit(work)?.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Commits since it was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}
