//! One writer over a SQLite file, or over PostgreSQL where several replicas share it. Requests that arrive together are decided one after
//! the other in one transaction and answered after its commit, so that a hundred of them cost one flush of the disk. Where one fails,
//! each of them is decided again by itself.

mod book;
mod cache;
pub mod crash;
mod group;
pub mod log;
mod postgres;
pub mod row;
mod schema;
mod seal;
mod sql;
mod sqlite;

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

pub use book::{Age, Book, Forgotten};
pub use group::GROUP;
pub use seal::{HubKey, Sealed};

/// Why the store did not do something. The hub then signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite.
    #[error("the hub's store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL.
    #[error("the hub's store: {}", said(.0))]
    Postgres(#[from] ::postgres::Error),
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
    /// Opened outside a runtime of tokio.
    #[error("the hub's store must be opened inside a tokio runtime, whose tasks it joins")]
    Runtime,
}

/// What the server says, or what was in the way.
fn said(error: &::postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// The hub's store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    writer: group::Writer,
    reader: Reader,
}

/// Who reads.
#[derive(Clone, Debug)]
enum Reader {
    /// Whoever asks, between two transactions of the writer: a file's pages are in memory.
    Asker(Arc<Mutex<group::Shelf<sqlite::Sqlite>>>),
    /// A thread that waits for the server.
    Thread(group::Writer),
}

impl Store {
    /// Opens a store, and makes or migrates its tables.
    ///
    /// # Errors
    /// Where the file cannot be used, or outside a tokio runtime.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::file(path, true)
    }

    /// A store that loses its last commits with the power: only to measure what durability costs.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub fn open_without_sync(path: &Path) -> Result<Self, StoreError> {
        Self::file(path, false)
    }

    fn file(path: &Path, durable: bool) -> Result<Self, StoreError> {
        Self::of(Connection::open(path)?, durable)
    }

    /// A store that is gone with the process: for tests.
    ///
    /// # Errors
    /// Outside a tokio runtime.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::of(Connection::open_in_memory()?, true)
    }

    fn of(connection: Connection, durable: bool) -> Result<Self, StoreError> {
        let shelf = group::Shelf::new(sqlite::Sqlite::new(connection, durable)?, false);
        Ok(Self { writer: group::Writer::task(Arc::clone(&shelf))?, reader: Reader::Asker(shelf) })
    }

    /// A store that replicas share, by an address like `postgres://user@host/name`. Connects without encryption: the server is on this
    /// machine or on a network of its own.
    ///
    /// # Errors
    /// Where the server cannot be used.
    pub async fn shared(address: &str) -> Result<Self, StoreError> {
        let address = address.to_owned();
        // The client has a runtime of its own, so it cannot begin on a thread of this one.
        let connect =
            move || Ok::<_, StoreError>((postgres::Postgres::new(&address)?, postgres::Postgres::new(&address)?));
        let (writer, reader) = tokio::task::spawn_blocking(connect).await.map_err(|_| StoreError::Panic)??;
        let (writer, reader) = (group::Writer::thread(writer), group::Writer::reader(reader));
        Ok(Self { writer, reader: Reader::Thread(reader) })
    }

    /// Whether other replicas write to it too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.reader, Reader::Thread(_))
    }

    /// Does some work in one transaction. What it returns arrives only after the commit; where it fails, nothing of it is kept. The work may be
    /// undone and done again, where another request of the same transaction fails.
    ///
    /// # Errors
    /// The work's own, or that nothing could be kept.
    pub async fn transact<T: Send + 'static>(
        &self,
        work: impl Fn(&Book<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.transact_then(work, |_| ()).await
    }

    /// The same, with something that follows once it is kept, whether or not anybody still waits for the answer.
    ///
    /// # Errors
    /// As [`Store::transact`].
    pub async fn transact_then<T: Send + 'static>(
        &self,
        work: impl Fn(&Book<'_>) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.submit(work, then)?.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Reads something that is committed; writes nothing.
    ///
    /// # Errors
    /// The work's own, or that the store is closed.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&Book<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.reader {
            Reader::Asker(shelf) => group::read_now(shelf, work),
            Reader::Thread(reader) => reader.submit(work, |_| ())?.await.unwrap_or(Err(StoreError::Closed)),
        }
    }

    /// Commits since it was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}
