//! What the store asks of a database: the same statements for SQLite and PostgreSQL, numbered parameters in order of appearance.

use super::StoreError;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// A hash or a row.
    Bytes(&'a [u8]),
    /// A time.
    Number(i64),
    /// A key of the table of single values.
    Text(&'a str),
}

/// A database inside a transaction.
pub trait Sql {
    /// The only column of the rows found, which is of bytes.
    fn bodies(&self, query: &'static str, keys: &[Cell<'_>]) -> Result<Vec<Vec<u8>>, StoreError>;
    /// Carries a statement out; how many rows it has touched.
    fn run(&self, statement: &'static str, keys: &[Cell<'_>]) -> Result<usize, StoreError>;
}

/// A database with its transactions.
pub trait Database: Sql + Send {
    /// Begins a transaction that no other writer's overlaps.
    fn begin(&self) -> Result<(), StoreError>;
    /// Begins a transaction that only reads, and sees one moment.
    fn begin_read(&self) -> Result<(), StoreError>;
    /// Statements without parameters: savepoints, and the end.
    fn batch(&self, statements: &str) -> Result<(), StoreError>;
    /// After a failure: no transaction is half open, and the connection is whole again where that can be had.
    fn recover(&self);
}
