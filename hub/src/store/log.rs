//! The log of SQLite, made as long as it becomes: a flush of a file that grows flushes its length too, and takes nearly twice as long.

use rusqlite::Connection;

/// Pages in memory while the log is lengthened: what has no room there is written to the log.
const FEW: i64 = 10;

/// Lengthens the log to this many pages, with a transaction that is rolled back: the database stays as it is. The log begins anew with
/// what is written next, and keeps its length until the file is closed. Does nothing where there is no log.
///
/// # Errors
/// Where the disk is full, or the file in use. The store works all the same.
pub fn lengthen(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        return Ok(());
    }
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let cache: i64 = connection.query_row("PRAGMA cache_size", [], |row| row.get(0))?;
    connection.pragma_update(None, "cache_size", FEW)?;
    let filled = fill(connection, pages * page);
    connection.pragma_update(None, "cache_size", cache)?;
    filled
}

fn fill(connection: &Connection, bytes: i64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch("CREATE TABLE filler (bytes BLOB)")?;
    transaction.execute("INSERT INTO filler VALUES (zeroblob(?))", [bytes])?;
    transaction.rollback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_long_and_the_database_as_before() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE kept (what TEXT); INSERT INTO kept VALUES ('this')").unwrap();
        lengthen(&connection, 500).unwrap();
        let log = place.path().join("store.sqlite-wal");
        let long = std::fs::metadata(&log).unwrap().len();
        assert!(long > 490 * 4096, "{long}");

        connection.execute_batch("INSERT INTO kept VALUES ('that')").unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), long, "what is written next is in what is there");
        let tables = connection.query_row("SELECT group_concat(name) FROM sqlite_schema", [], |row| row.get(0));
        assert_eq!(tables, Ok("kept".to_owned()));

        // As a power cut leaves it: the log with what was in it before.
        let copy = place.path().join("copy.sqlite");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::copy(&log, place.path().join("copy.sqlite-wal")).unwrap();
        let found = Connection::open(&copy).unwrap().query_row("SELECT count(*) FROM kept", [], |row| row.get(0));
        assert_eq!(found, Ok(2));
    }

    #[test]
    fn without_a_log_nothing_happens() {
        lengthen(&Connection::open_in_memory().unwrap(), 500).unwrap();
    }
}
