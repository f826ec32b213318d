//! SQLite: one file, one hub.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::sql::{Cell, Database, Sql};
use super::{StoreError, log, schema};

/// How long another process may hold the file: all requests wait meanwhile.
const BUSY: Duration = Duration::from_secs(1);

/// Pages kept in memory, in KiB (negative, as SQLite has it): the rows of tens of thousands of busy channels.
const CACHE: i64 = -65_536;

/// Pages of the log that move into the file at once: a page that changes often moves once for all of its changes. 8 MB.
const LOG: i64 = 2000;

/// Statements that stay parsed: more than this program has.
const STATEMENTS: usize = 64;

/// A connection to a file, or to memory.
#[derive(Debug)]
pub struct Sqlite(Connection);

impl Sqlite {
    /// Opens a store, and makes or migrates its tables. `durable`: a commit is on the disk when it returns.
    pub fn new(connection: Connection, durable: bool) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Durable: a signature may leave once the commit returns, and the power may fail right after.
        connection.pragma_update(None, "synchronous", if durable { "full" } else { "off" })?;
        connection.pragma_update(None, "cache_size", CACHE)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // Else a query over a partial index is planned anew for each parameter.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        schema::migrate(&connection)?;
        if let Err(error) = log::lengthen(&connection, LOG) {
            tracing::warn!(%error, "the hub's store could not make room for its log: commits will be slower");
        }
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
