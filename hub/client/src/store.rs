//! What a client has stored, before it says anything: one SQLite file, durable at each commit.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarefa_chain::Flight;
use tarefa_channel::client::Client;
use tarefa_channel::{Amount, Time, TokenId};
use tarefa_hub::Receipt;
use tarefa_hub::store::crash::Points;
use tarefa_hub::store::{log, row};

use crate::anchor::Anchor;
use crate::fault::ClientFault;
use crate::order::Invoice;

/// One entry per version, in order; append, never edit.
const MIGRATIONS: [&str; 3] = ["
    CREATE TABLE single (key TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE invoice (id BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE receipt (token BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE history (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, facts TEXT NOT NULL) STRICT;
", "
    CREATE TABLE offered (token BLOB PRIMARY KEY, claim_by INTEGER NOT NULL) STRICT;
    CREATE INDEX offered_claim_by ON offered (claim_by);
", "
    CREATE TABLE ended (token BLOB PRIMARY KEY, settled BLOB NOT NULL) STRICT;
"];

/// Pages of the log that move into the file at once. 4 MB: hundreds of payments.
const LOG: i64 = 1000;

/// Entries of the history that are kept: months of an ordinary client, tens of megabytes of a busy one.
const HISTORY: i64 = 100_000;

/// Entries of the history that are shown at once.
const SHOWN: u32 = 1000;

const CHANNEL: &str = "channel";
const FLIGHTS: &str = "flights";
const RESTORING: &str = "restoring";
const LENIENT: &str = "lenient";
const ANCHOR: &str = "anchor";

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the chain's clock.
    pub at: Time,
    /// What.
    pub what: String,
    /// About what, how much.
    pub facts: Value,
}

/// A row as a backup has it: table, key, body.
pub(crate) type Row = (String, Vec<u8>, Vec<u8>);

/// A client's store.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    points: Points,
    /// Changes wait for [`Store::release`].
    held: bool,
}

/// What one transaction reads and writes.
pub struct Tx<'a>(&'a Connection);

impl Inner {
    fn begin(&self) -> Result<(), ClientFault> {
        // Changes that are held have begun it already.
        if self.connection.is_autocommit() {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        Ok(())
    }

    fn undo(&self) -> Result<(), ClientFault> {
        if !self.connection.is_autocommit() {
            self.connection.prepare_cached("ROLLBACK")?.execute([])?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ClientFault> {
        self.points.before();
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.points.after();
        Ok(())
    }
}

impl Store {
    /// Opens a store, and makes or migrates its tables.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub fn open(path: &Path) -> Result<Self, ClientFault> {
        // It has what the client would reveal: for its user alone, whatever the directory allows. SQLite's other files take after it.
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        made.map_err(|error| ClientFault::asked(format!("{} cannot be opened: {error}", path.display())))?;
        Self::of(Connection::open(path)?)
    }

    /// A store that is gone with the process: for measuring and tests.
    ///
    /// # Errors
    /// Never in practice.
    pub fn in_memory() -> Result<Self, ClientFault> {
        Self::of(Connection::open_in_memory()?)
    }

    fn of(connection: Connection) -> Result<Self, ClientFault> {
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Durable: what is signed may be sent once the commit returns, and the power may fail right after.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG)?;
        let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let found = found as usize;
        if found > MIGRATIONS.len() {
            return Err(ClientFault::Row(format!("it is of version {found}: use the newer program")));
        }
        for (version, statements) in MIGRATIONS.iter().enumerate().skip(found) {
            let next = version + 1;
            connection
                .execute_batch(&format!("BEGIN IMMEDIATE; {statements}; PRAGMA user_version = {next}; COMMIT"))?;
        }
        if let Err(error) = log::lengthen(&connection, LOG) {
            tracing::warn!(%error, "the store could not make room for its log: commits will be slower");
        }
        let inner = Inner { connection, points: Points::from_environment(), held: false };
        Ok(Self { inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something in one transaction: all of it is durable afterwards, or nothing. While changes are held they are one transaction:
    /// where one fails nothing of it is kept, and whoever holds them must begin again from what is stored.
    ///
    /// # Errors
    /// The change's own, or that nothing could be kept.
    pub fn commit<T>(&self, change: impl FnOnce(&Tx<'_>) -> Result<T, ClientFault>) -> Result<T, ClientFault> {
        let mut inner = self.inner();
        inner.begin()?;
        let done = catch_unwind(AssertUnwindSafe(|| change(&Tx(&inner.connection)))).unwrap_or_else(|panic| {
            // Else the next change would carry along what this one has left half done.
            inner.undo().ok();
            resume_unwind(panic)
        });
        let done = done.and_then(|done| {
            if !inner.held {
                inner.end()?;
            }
            Ok(done)
        });
        if done.is_err() {
            // What went wrong first says more.
            inner.undo().ok();
        }
        done
    }

    /// From now on changes are durable only once they are released: one flush of the disk for all of them. Nothing may be said meanwhile
    /// that they are about.
    pub fn hold(&self) {
        self.inner().held = true;
    }

    /// Makes what was held durable.
    ///
    /// # Errors
    /// Where nothing of it could be kept.
    pub fn release(&self) -> Result<(), ClientFault> {
        let mut inner = self.inner();
        inner.held = false;
        if inner.connection.is_autocommit() {
            return Ok(());
        }
        let ended = inner.end();
        if ended.is_err() {
            // Else the next change would carry it along.
            inner.undo().ok();
        }
        ended
    }

    /// Reads something.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read<T>(&self, read: impl FnOnce(&Tx<'_>) -> Result<T, ClientFault>) -> Result<T, ClientFault> {
        read(&Tx(&self.inner().connection))
    }
}

impl Tx<'_> {
    fn body(&self, query: &str, key: impl rusqlite::ToSql) -> Result<Option<Vec<u8>>, ClientFault> {
        Ok(self.0.prepare_cached(query)?.query_row([key], |row| row.get(0)).optional()?)
    }

    fn put(&self, key: &str, body: &[u8]) -> Result<(), ClientFault> {
        let put = "INSERT INTO single (key, body) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body";
        self.0.prepare_cached(put)?.execute(params![key, body])?;
        Ok(())
    }

    /// The channel.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn channel(&self) -> Result<Option<Client>, ClientFault> {
        let body = self.body("SELECT body FROM single WHERE key = ?1", CHANNEL)?;
        Ok(body.map(|body| row::read(&body, "channel")).transpose()?)
    }

    /// Keeps the channel as it is now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_channel(&self, client: &Client) -> Result<(), ClientFault> {
        self.put(CHANNEL, &row::write(client))
    }

    /// Calls on their way.
    ///
    /// # Errors
    /// Where they cannot be read. They are JSON inside: their bytes are other people's types.
    pub fn flights(&self) -> Result<Vec<Flight>, ClientFault> {
        let body = self.body("SELECT body FROM single WHERE key = ?1", FLIGHTS)?;
        let read = |body: Vec<u8>| serde_json::from_slice(&body).map_err(|error| ClientFault::Row(error.to_string()));
        body.map_or_else(|| Ok(vec![]), read)
    }

    /// Keeps the calls on their way.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn put_flights(&self, flights: &[Flight]) -> Result<(), ClientFault> {
        let body = serde_json::to_vec(flights).map_err(|error| ClientFault::Row(error.to_string()))?;
        self.put(FLIGHTS, &body)
    }

    /// Whether a backup was restored and the hub has not said yet where the channel stands.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn is_restoring(&self) -> Result<bool, ClientFault> {
        Ok(self.body("SELECT body FROM single WHERE key = ?1", RESTORING)?.is_some_and(|body| body == [1]))
    }

    /// Says so.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn set_restoring(&self, restoring: bool) -> Result<(), ClientFault> {
        self.put(RESTORING, &[u8::from(restoring)])
    }

    /// What the user has noted of the channel's newest state, while it is restored.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn anchor(&self) -> Result<Option<Anchor>, ClientFault> {
        let body = self.body("SELECT body FROM single WHERE key = ?1", ANCHOR)?;
        Ok(body.map(|body| row::read(&body, "anchor")).transpose()?)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn set_anchor(&self, anchor: &Anchor) -> Result<(), ClientFault> {
        self.put(ANCHOR, &row::write(anchor))
    }

    /// Until when tokens for unknown invoices are left alone.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn lenient_until(&self) -> Result<Time, ClientFault> {
        let body = self.body("SELECT body FROM single WHERE key = ?1", LENIENT)?;
        Ok(Time(body.and_then(|body| Some(u64::from_be_bytes(body.try_into().ok()?))).unwrap_or(0)))
    }

    /// Says until when.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn set_lenient_until(&self, until: Time) -> Result<(), ClientFault> {
        self.put(LENIENT, &until.0.to_be_bytes())
    }

    /// One of the client's own invoices.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn invoice(&self, id: B256) -> Result<Option<Invoice>, ClientFault> {
        let body = self.body("SELECT body FROM invoice WHERE id = ?1", id.as_slice())?;
        Ok(body.map(|body| row::read(&body, "invoice")).transpose()?)
    }

    /// Keeps an invoice as it is now.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_invoice(&self, invoice: &Invoice) -> Result<(), ClientFault> {
        let put = "INSERT INTO invoice (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
        self.0.prepare_cached(put)?.execute(params![invoice.id.as_slice(), row::write(invoice)])?;
        Ok(())
    }

    /// A receipt that has arrived.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn receipt(&self, token: TokenId) -> Result<Option<Receipt>, ClientFault> {
        let body = self.body("SELECT body FROM receipt WHERE token = ?1", token.as_slice())?;
        Ok(body.map(|body| row::read(&body, "receipt")).transpose()?)
    }

    /// Whether a token was offered before, and counted on or given up.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn was_offered(&self, token: TokenId) -> Result<bool, ClientFault> {
        let query = "SELECT 1 FROM offered WHERE token = ?1";
        Ok(self.0.prepare_cached(query)?.exists([token.as_slice()])?)
    }

    /// Notes that a token was offered, until it cannot be claimed any more. Forgets some of those that are as old.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_offered(&self, token: TokenId, claim_by: Time, now: Time) -> Result<(), ClientFault> {
        let time = |time: Time| i64::try_from(time.0).unwrap_or(i64::MAX);
        let put = "INSERT INTO offered (token, claim_by) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.0.prepare_cached(put)?.execute(params![token.as_slice(), time(claim_by)])?;
        // Two for each that comes: in the end all of them.
        let forget = "DELETE FROM offered WHERE token IN
            (SELECT token FROM offered WHERE claim_by < ?1 ORDER BY claim_by LIMIT 2)";
        self.0.prepare_cached(forget)?.execute([time(now)])?;
        Ok(())
    }

    /// What a token of which there is no receipt was settled with; zero where it came back.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn ended(&self, token: TokenId) -> Result<Option<Amount>, ClientFault> {
        let body = self.body("SELECT settled FROM ended WHERE token = ?1", token.as_slice())?;
        let read = |body: Vec<u8>| {
            let bytes = body.try_into().map_err(|_| ClientFault::Row("a settlement is not of 16 bytes".to_owned()))?;
            Ok(Amount(u128::from_be_bytes(bytes)))
        };
        body.map(read).transpose()
    }

    /// Keeps that.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_ended(&self, token: TokenId, settled: Amount) -> Result<(), ClientFault> {
        let put = "INSERT INTO ended (token, settled) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.0.prepare_cached(put)?.execute(params![token.as_slice(), settled.0.to_be_bytes()])?;
        Ok(())
    }

    /// Keeps a receipt.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put_receipt(&self, receipt: &Receipt) -> Result<(), ClientFault> {
        let put = "INSERT INTO receipt (token, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.0.prepare_cached(put)?.execute(params![receipt.token.as_slice(), row::write(receipt)])?;
        Ok(())
    }

    /// Writes something down.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn note(&self, at: Time, what: &str, facts: &Value) -> Result<(), ClientFault> {
        let put = "INSERT INTO history (at, what, facts) VALUES (?1, ?2, ?3)";
        let at = i64::try_from(at.0).unwrap_or(i64::MAX);
        self.0.prepare_cached(put)?.execute(params![at, what, facts.to_string()])?;
        let oldest = self.0.last_insert_rowid() - HISTORY;
        self.0.prepare_cached("DELETE FROM history WHERE number <= ?1")?.execute([oldest])?;
        Ok(())
    }

    /// What has happened, the newest last: the last thousand entries.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn history(&self) -> Result<Vec<Entry>, ClientFault> {
        let query = "SELECT at, what, facts FROM history ORDER BY number DESC LIMIT ?1";
        let mut statement = self.0.prepare_cached(query)?;
        let found = statement.query_map([SHOWN], |row| {
            let (at, what, facts): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((u64::try_from(at).unwrap_or(0), what, facts))
        })?;
        let mut entries = vec![];
        for row in found {
            let (at, what, facts) = row?;
            let facts = serde_json::from_str(&facts).map_err(|error| ClientFault::Row(error.to_string()))?;
            entries.push(Entry { at: Time(at), what, facts });
        }
        entries.reverse();
        Ok(entries)
    }

    /// Everything, for a backup.
    pub(crate) fn all(&self) -> Result<Vec<Row>, ClientFault> {
        let query =
            "SELECT 'single', CAST(key AS BLOB), body FROM single UNION ALL SELECT 'invoice', id, body FROM invoice
             UNION ALL SELECT 'receipt', token, body FROM receipt
             UNION ALL SELECT 'offered', token, CAST(claim_by AS BLOB) FROM offered
             UNION ALL SELECT 'ended', token, settled FROM ended";
        let mut statement = self.0.prepare(query)?;
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Puts one row of a backup back.
    pub(crate) fn put_back(&self, table: &str, key: &[u8], body: &[u8]) -> Result<(), ClientFault> {
        let put = match table {
            "single" => "INSERT INTO single (key, body) VALUES (CAST(?1 AS TEXT), ?2)",
            "invoice" => "INSERT INTO invoice (id, body) VALUES (?1, ?2)",
            "receipt" => "INSERT INTO receipt (token, body) VALUES (?1, ?2)",
            "ended" => "INSERT INTO ended (token, settled) VALUES (?1, ?2)",
            "offered" => "INSERT INTO offered (token, claim_by) VALUES (?1, CAST(CAST(?2 AS TEXT) AS INTEGER))",
            other => return Err(ClientFault::Row(format!("a backup has no table {other:?}"))),
        };
        self.0.execute(put, params![key, body])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noted(store: &Store) -> Vec<String> {
        store.read(|tx| tx.history()).expect("it reads").into_iter().map(|entry| entry.what).collect()
    }

    fn note(tx: &Tx<'_>, what: &str) -> Result<(), ClientFault> {
        tx.note(Time(1), what, &json!({}))
    }

    #[test]
    fn of_a_change_that_panics_or_fails_nothing_is_kept() {
        let store = Store::in_memory().expect("it opens");
        let panics = || {
            store.commit(|tx| -> Result<(), ClientFault> {
                note(tx, "half done")?;
                panic!("on purpose")
            })
        };
        catch_unwind(AssertUnwindSafe(panics)).expect_err("it goes on");
        assert!(noted(&store).is_empty());
        let fails = store.commit(|tx| {
            note(tx, "half done")?;
            Err::<(), _>(ClientFault::asked("no"))
        });
        fails.expect_err("its own error");
        store.commit(|tx| note(tx, "done")).expect("it is kept");
        assert_eq!(noted(&store), ["done"]);
    }

    #[test]
    fn the_file_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("channel.sqlite");
        let store = Store::open(&path).expect("it opens");
        store.commit(|tx| note(tx, "something")).expect("kept");
        for name in ["channel.sqlite", "channel.sqlite-wal"] {
            let mode = std::fs::metadata(place.path().join(name)).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
        }
    }

    #[test]
    fn what_is_held_is_kept_together_or_not_at_all() {
        let store = Store::in_memory().expect("it opens");
        store.hold();
        store.commit(|tx| note(tx, "first")).expect("held");
        store.commit(|_| Err::<(), _>(ClientFault::asked("no"))).expect_err("its own error");
        store.release().expect("nothing is left");
        assert!(noted(&store).is_empty(), "the first went with the second");
        store.hold();
        store.commit(|tx| note(tx, "first")).expect("held");
        store.commit(|tx| note(tx, "second")).expect("held");
        store.release().expect("both");
        assert_eq!(noted(&store).len(), 2);
    }
}
