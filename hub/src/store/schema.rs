//! Tables and their migrations. A released version's database must open for ever; append, never edit.

use ::postgres::Client;
use rusqlite::Connection;

use super::StoreError;

/// One entry per version, in order. Rows are updated in place: the hub keeps no history, receipts are in token rows.
///
/// Tables have row ids, so that rows of one time are in one page whatever their keys are, and a payment touches few pages. Of tokens only
/// those that wait are in an index by party; a second index with the ids of all would put each payment into one more page of its own.
const MIGRATIONS: [&str; 3] = ["
    CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE channel (id BLOB NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE token (id BLOB NOT NULL PRIMARY KEY, payer BLOB NOT NULL, payee BLOB NOT NULL, claim_by INTEGER NOT NULL,
        stage INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE INDEX token_payer ON token (payer) WHERE stage > 0;
    CREATE INDEX token_payee ON token (payee) WHERE stage = 1;
    CREATE INDEX token_claim_by ON token (claim_by);
    CREATE TABLE invoice (payee BLOB NOT NULL, invoice BLOB NOT NULL, expires INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (payee, invoice)) STRICT;
    CREATE INDEX invoice_expires ON invoice (expires);
", "
    CREATE INDEX token_due ON token (claim_by, payer) WHERE stage = 2;
    CREATE INDEX token_age ON token (claim_by, id);
    DROP INDEX token_claim_by;
", "
    CREATE INDEX token_claim_by ON token (claim_by);
    DROP INDEX token_age;
"];

/// What a server's tables lack after that version (counted from zero): tables of SQLite have a `rowid`, by which rows of one time are in order.
const ON_A_SERVER: (usize, &str) = (
    2,
    "ALTER TABLE token ADD COLUMN rowid BIGSERIAL; DROP INDEX token_claim_by; CREATE INDEX token_claim_by ON token (claim_by, rowid)",
);

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

/// The same for PostgreSQL, under the lock of all replicas: the tables are the same, the names of types are its own.
pub fn migrate_postgres(client: &mut Client, lock: i64) -> Result<(), StoreError> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!(
        "SELECT pg_advisory_xact_lock({lock}); CREATE TABLE IF NOT EXISTS version (number INTEGER NOT NULL)"
    ))?;
    let found: Option<i32> = transaction.query_opt("SELECT number FROM version", &[])?.map(|row| row.get(0));
    let found = found.map_or(0, |number| usize::try_from(number).unwrap_or(usize::MAX));
    let known = MIGRATIONS.len();
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, statements) in MIGRATIONS.iter().enumerate().skip(found) {
        let own = statements.replace(" STRICT", "").replace("BLOB", "BYTEA").replace("INTEGER", "BIGINT");
        transaction.batch_execute(&own)?;
        if version == ON_A_SERVER.0 {
            transaction.batch_execute(ON_A_SERVER.1)?;
        }
    }
    transaction.batch_execute(&format!("DELETE FROM version; INSERT INTO version VALUES ({known})"))?;
    Ok(transaction.commit()?)
}
