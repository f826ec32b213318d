//! The node's disk: an append-only log of blocks and milestones in the order they were taken, replayed at the start.
//!
//! One thread writes, many entries per commit. A commit reaches the operating system before it is acknowledged, so
//! it survives kill -9 of the node; a power cut may cost the last moments of a test network.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

/// Entries per commit: bounds the time an acknowledgement waits for others.
const BATCH: usize = 1_000;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A block's bytes.
    Block,
    /// A milestone payload's bytes.
    Milestone,
    /// A block's bytes that no tip selection is to pick.
    Orphan,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Block => 0,
            Self::Milestone => 1,
            Self::Orphan => 2,
        }
    }

    fn of(number: u8) -> Self {
        match number {
            0 => Self::Block,
            2 => Self::Orphan,
            _ => Self::Milestone,
        }
    }
}

/// The log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// SQLite says no.
    #[error("the node's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Not a database of this program.
    #[error("the node's database has version {0}, this program reads 1")]
    Version(u32),
    /// The operating system says no.
    #[error("the node's log thread: {0}")]
    Thread(#[from] std::io::Error),
}

type Entry = (Kind, Vec<u8>, Option<oneshot::Sender<()>>);

/// Appends entries; cheap to clone.
#[derive(Clone)]
pub struct Log {
    entries: Option<mpsc::Sender<Entry>>,
}

/// The log as it was found.
pub struct Opened {
    /// To append.
    pub log: Log,
    /// Seed of the network's keys.
    pub seed: [u8; 32],
    /// Everything appended so far, in order.
    pub entries: Vec<(Kind, Vec<u8>)>,
}

impl Log {
    /// A log that keeps nothing.
    pub fn none() -> Self {
        Self { entries: None }
    }

    /// Opens or creates the log in this file. A new one belongs to the network of `seed`.
    pub fn open(path: &Path, seed: [u8; 32]) -> Result<Opened, LogError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => connection.execute_batch(
                "BEGIN; CREATE TABLE network (seed BLOB NOT NULL) STRICT;
                 CREATE TABLE log (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
                 PRAGMA user_version = 1; COMMIT;",
            )?,
            1 => {}
            other => return Err(LogError::Version(other)),
        }
        let stored: Option<[u8; 32]> =
            connection.query_row("SELECT seed FROM network", [], |row| row.get(0)).optional()?;
        let seed = match stored {
            Some(seed) => seed,
            None => {
                connection.execute("INSERT INTO network (seed) VALUES (?1)", [seed])?;
                seed
            }
        };
        let entries = read(&connection)?;
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new().name("log".into()).spawn(move || write(&connection, &receiver))?;
        Ok(Opened { log: Self { entries: Some(sender) }, seed, entries })
    }

    /// Appends an entry; await the receiver before telling anyone that it is kept.
    pub fn append(&self, kind: Kind, bytes: &[u8]) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        match &self.entries {
            // A writer that has ended drops `done`, and the waiter sees that.
            Some(entries) => drop(entries.send((kind, bytes.to_vec(), Some(done)))),
            None => drop(done.send(())),
        }
        wait
    }
}

fn read(connection: &Connection) -> Result<Vec<(Kind, Vec<u8>)>, LogError> {
    let mut statement = connection.prepare("SELECT kind, bytes FROM log ORDER BY seq")?;
    let rows = statement.query_map([], |row| {
        let kind: u8 = row.get(0)?;
        Ok((Kind::of(kind), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn write(connection: &Connection, receiver: &mpsc::Receiver<Entry>) {
    while let Ok(first) = receiver.recv() {
        let mut batch = vec![first];
        batch.extend(receiver.try_iter().take(BATCH - 1));
        if let Err(error) = store(connection, &batch) {
            tracing::error!(%error, "the node cannot write its database: nothing is acknowledged any more");
            return;
        }
        for (_, _, done) in batch {
            if let Some(done) = done {
                // The client may have gone away.
                let _ = done.send(());
            }
        }
    }
}

fn store(connection: &Connection, batch: &[Entry]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    {
        let mut insert = transaction.prepare_cached("INSERT INTO log (kind, bytes) VALUES (?1, ?2)")?;
        for (kind, bytes, _) in batch {
            insert.execute(params![kind.number(), bytes])?;
        }
    }
    transaction.commit()
}
