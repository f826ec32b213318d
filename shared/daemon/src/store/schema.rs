//! Tables and their migrations. A released version's database must open for ever; append, never edit.

use rusqlite::Connection;

use super::StoreError;

/// One entry per version, in order.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    -- Own addresses that were ever shown or used; an index is burnt by its row.
    CREATE TABLE address (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, purpose TEXT NOT NULL, task BLOB) STRICT;
    -- Secrets of sealing keys; deleted after retention so that old messages cannot be opened any more.
    CREATE TABLE sealing (public BLOB PRIMARY KEY, secret BLOB NOT NULL, expires INTEGER NOT NULL) STRICT;
    CREATE TABLE inbox_tag (tag BLOB PRIMARY KEY, expires INTEGER NOT NULL) STRICT;
    -- Parts of unfinished messages.
    CREATE TABLE part_in (
        sender BLOB NOT NULL, message BLOB NOT NULL, idx INTEGER NOT NULL, total INTEGER NOT NULL,
        chunk BLOB NOT NULL, not_after INTEGER NOT NULL, PRIMARY KEY (sender, message, idx)) STRICT;
    -- Messages acted on; kept until nobody can send them again.
    CREATE TABLE inbox (sender BLOB NOT NULL, message BLOB NOT NULL, not_after INTEGER NOT NULL,
        PRIMARY KEY (sender, message)) STRICT;
    CREATE TABLE quarantine (id INTEGER PRIMARY KEY, milestone INTEGER NOT NULL, sender BLOB NOT NULL,
        message BLOB NOT NULL, reason TEXT NOT NULL) STRICT;
    -- Messages sent, and their parts until a milestone references them.
    CREATE TABLE sent (message BLOB PRIMARY KEY, not_after INTEGER NOT NULL) STRICT;
    CREATE TABLE part_out (seq INTEGER PRIMARY KEY AUTOINCREMENT, message BLOB NOT NULL, task BLOB NOT NULL, tag BLOB NOT NULL,
        data BLOB NOT NULL, not_after INTEGER NOT NULL) STRICT;
    CREATE INDEX part_out_task ON part_out (task);
    CREATE TABLE task (id BLOB PRIMARY KEY, party BLOB NOT NULL, state BLOB NOT NULL, phase TEXT NOT NULL, created INTEGER NOT NULL,
        updated INTEGER NOT NULL, unpaid_ms INTEGER NOT NULL) STRICT;
    CREATE INDEX task_phase ON task (phase);
    CREATE TABLE blob (hash BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    -- Effects that run once; a row dies in the commit that stores its answer.
    CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, task BLOB NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE timer (task BLOB NOT NULL, due INTEGER NOT NULL, PRIMARY KEY (task, due)) STRICT;
    CREATE INDEX timer_due ON timer (due);
    CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT, task BLOB NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
    CREATE INDEX event_task ON event (task);
    CREATE TABLE offer (id BLOB PRIMARY KEY, executor BLOB NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
        valid_until INTEGER NOT NULL) STRICT;
    CREATE INDEX offer_executor ON offer (executor, sequence);
    -- Parties we have done paid work with, for ranking, exposure and room for their messages.
    CREATE TABLE known (party BLOB PRIMARY KEY, paid INTEGER NOT NULL) STRICT;
    CREATE TABLE history (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, direction TEXT NOT NULL, amount INTEGER NOT NULL,
        transaction_id TEXT NOT NULL, note TEXT NOT NULL) STRICT;
"];

/// Brings the file to this program's version.
pub fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StoreError::Version { found, known });
    }
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {migration} PRAGMA user_version = {}; COMMIT;", version + 1))?;
    }
    Ok(())
}
