//! Tables and their migrations. A released version's database must open for ever; append, never edit.

use rusqlite::Connection;

use super::StoreError;

/// One entry per version, in order. Rows are updated in place: the hub keeps no history, receipts are in token rows.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE channel (id BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE token (id BLOB PRIMARY KEY, payer BLOB NOT NULL, payee BLOB NOT NULL, claim_by INTEGER NOT NULL,
        body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX token_payer ON token (payer);
    CREATE INDEX token_payee ON token (payee);
    CREATE INDEX token_claim_by ON token (claim_by);
    CREATE TABLE invoice (payee BLOB NOT NULL, invoice BLOB NOT NULL, expires INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (payee, invoice)) STRICT, WITHOUT ROWID;
    CREATE INDEX invoice_expires ON invoice (expires);
"];

/// Brings a database to the newest version.
pub fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let found = found as usize;
    let known = MIGRATIONS.len();
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, statements) in MIGRATIONS.iter().enumerate().skip(found) {
        let next = version + 1;
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {statements}; PRAGMA user_version = {next}; COMMIT"))?;
    }
    Ok(())
}
