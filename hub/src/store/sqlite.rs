//! SQLite: one file, one hub.

use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::sql::{Cell, Database, Sql};
use super::{StoreError, schema};

/// How long another process may hold the file: a backup that copies it.
const BUSY: Duration = Duration::from_secs(5);

/// Pages kept in memory, in KiB (negative, as SQLite has it): the rows of tens of thousands of busy channels.
const CACHE: i64 = -65_536;

/// Bytes of the file that are read without copying: a connection forgets its pages whenever another one has written, so the reader would copy
/// them again at each look.
const MAPPED: i64 = 1 << 30;

/// A connection to a file, or to memory.
pub struct Sqlite(Connection);

impl Sqlite {
    /// Opens a store, and makes or migrates its tables. `durable`: a commit is on the disk when it returns.
    pub fn new(connection: Connection, durable: bool) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Durable: a signature may leave once the commit returns, and the power may fail right after.
        connection.pragma_update(None, "synchronous", if durable { "full" } else { "off" })?;
        connection.pragma_update(None, "cache_size", CACHE)?;
        connection.pragma_update(None, "mmap_size", MAPPED)?;
        schema::migrate(&connection)?;
        Ok(Self(connection))
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl Sql for Sqlite {
    fn bodies(&self, query: &'static str, keys: &[Cell<'_>]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.0.prepare_cached(query)?;
        let found = statement.query_map(rusqlite::params_from_iter(keys), |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn run(&self, statement: &'static str, keys: &[Cell<'_>]) -> Result<usize, StoreError> {
        Ok(self.0.prepare_cached(statement)?.execute(rusqlite::params_from_iter(keys))?)
    }
}

impl Database for Sqlite {
    fn begin(&self) -> Result<(), StoreError> {
        self.batch("BEGIN IMMEDIATE")
    }

    fn begin_read(&self) -> Result<(), StoreError> {
        self.batch("BEGIN")
    }

    fn batch(&self, statements: &str) -> Result<(), StoreError> {
        // Parsed once each: they come several times in every transaction.
        for statement in statements.split("; ") {
            self.0.prepare_cached(statement)?.raw_execute()?;
        }
        Ok(())
    }

    fn recover(&self) {
        if !self.0.is_autocommit()
            && let Err(error) = self.batch("ROLLBACK")
        {
            tracing::error!(%error, "the hub's store could not roll back");
        }
    }
}
