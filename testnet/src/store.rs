//! The node's disk: every block in the order in which it was taken, and, milestone by milestone, what became of it.
//!
//! An embedded log-structured store (`fjall`, docs/decisions/0012-ledger-store.md). A write has reached the operating
//! system when its call returns, so it survives kill -9 of the node; a power cut may cost the last moments of a test
//! network.

mod codec;
mod reader;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::config::{BlockSizePolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use tarefa_ledger::OutputId;
use tarefa_ledger::engine::{Changes, Checkpoint, OutputRecord};

pub use reader::Reader;

/// Format of the directory.
const VERSION: u8 = 2;
/// Name of the directory inside the data directory; the first format was a file beside it.
const DIRECTORY: &str = "ledger";
const FIRST_FORMAT: &str = "ledger.sqlite";

/// Memory for pages that were read. Most reads are of blocks that the engine still holds.
const CACHE: u64 = 16 << 20;
/// Memory for what is not in sorted files yet, of each of the two large keyspaces: at full load a second's blocks.
const BUFFER: u64 = 8 << 20;
/// Disk for what is not in sorted files yet: bounds the time of a restart, and is the least that the store allows.
const JOURNAL: u64 = 64 << 20;
/// Least size of a page of blocks: what is read and checked to look up one of them.
const PAGE: u32 = 8 << 10;
/// Threads that write sorted files: with one, the store never gets to it while posts come.
const WORKERS: usize = 2;

/// The store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store says no.
    #[error("the node's ledger on disk: {0}")]
    Store(#[from] fjall::Error),
    /// Not a ledger of this version.
    #[error("the ledger on disk has format {0}, this program reads {VERSION}: use a new --data-dir")]
    Version(u8),
    /// What is stored cannot be what was written.
    #[error("the ledger on disk is damaged: {0}. Use a new --data-dir")]
    Damaged(&'static str),
}

/// How a block was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// By a post, or by the node to tie tips together.
    Block = 0,
    /// With the milestone it carries.
    Milestone = 1,
    /// By a post, and no tip selection is to pick it.
    Orphan = 2,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        [Self::Block, Self::Milestone, Self::Orphan].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The store.
pub struct Store {
    db: Database,
    /// Number → kind and bytes of a block, at once when it is taken.
    blocks: Keyspace,
    /// Block id → what became of it. This and the following with every milestone.
    index: Keyspace,
    unspent: Keyspace,
    spent: Keyspace,
    milestones: Keyspace,
    milestone_ids: Keyspace,
    network: Keyspace,
    /// Something could not be read: nothing is confirmed on unsure ground.
    broken: AtomicBool,
}

impl Store {
    /// Opens or creates the store in a data directory.
    pub fn open(data_dir: &Path) -> Result<Arc<Self>, StoreError> {
        if data_dir.join(FIRST_FORMAT).exists() {
            return Err(StoreError::Version(1));
        }
        let db = Database::builder(data_dir.join(DIRECTORY))
            .cache_size(CACHE)
            .max_journaling_size(JOURNAL)
            .worker_threads(WORKERS)
            .open()?;
        // The parts of a file's index are read as they are needed: a whole one is a megabyte, and ids are looked up all over.
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(BUFFER)
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
        };
        // Numbers are looked for only where they are: a filter would only cost memory.
        let numbered = || options().filter_policy(FilterPolicy::all(FilterPolicyEntry::None));
        let store = Self {
            blocks: db.keyspace("blocks", || numbered().data_block_size_policy(BlockSizePolicy::all(PAGE)))?,
            index: db.keyspace("index", options)?,
            unspent: db.keyspace("unspent", options)?,
            spent: db.keyspace("spent", options)?,
            milestones: db.keyspace("milestones", numbered)?,
            milestone_ids: db.keyspace("milestone_ids", options)?,
            network: db.keyspace("network", options)?,
            db,
            broken: AtomicBool::new(false),
        };
        match store.network.get("version")?.as_deref() {
            None => store.network.insert("version", [VERSION])?,
            Some([VERSION]) => {}
            Some(other) => return Err(StoreError::Version(other.first().copied().unwrap_or(0))),
        }
        Ok(Arc::new(store))
    }

    /// Seed of the network's keys; that of a new network is `seed`.
    pub fn seed(&self, seed: [u8; 32]) -> Result<[u8; 32], StoreError> {
        match self.network.get("seed")? {
            Some(stored) => stored.as_ref().try_into().map_err(|_| StoreError::Damaged("its seed")),
            None => {
                self.network.insert("seed", seed)?;
                Ok(seed)
            }
        }
    }

    /// Where the ledger stood at the last milestone that was committed.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let Some(bytes) = self.network.get("checkpoint")? else { return Ok(None) };
        codec::read_checkpoint(&bytes).map(Some).ok_or(StoreError::Damaged("its checkpoint"))
    }

    /// All unspent outputs.
    pub fn unspent(&self) -> Result<Vec<(OutputId, OutputRecord)>, StoreError> {
        let damaged = || StoreError::Damaged("an output");
        let snapshot = self.db.snapshot();
        let read = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner()?;
            let id = codec::read_output_id(&key).ok_or_else(damaged)?;
            Ok((id, codec::read_output(&value).ok_or_else(damaged)?))
        };
        snapshot.iter(&self.unspent).map(read).collect()
    }

    /// Blocks from this number on, in order, each given to `each` with its number.
    pub fn replay<E: From<StoreError>>(
        &self,
        from: u64,
        mut each: impl FnMut(u64, Kind, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let store = |error| E::from(StoreError::Store(error));
        let damaged = || E::from(StoreError::Damaged("a block"));
        for entry in self.db.snapshot().range(&self.blocks, from.to_be_bytes()..) {
            let (key, value) = entry.into_inner().map_err(store)?;
            let number = u64::from_be_bytes(key.as_ref().try_into().map_err(|_| damaged())?);
            let (kind, raw) = value.split_first().ok_or_else(damaged)?;
            each(number, Kind::of(*kind).ok_or_else(damaged)?, raw)?;
        }
        Ok(())
    }

    /// Keeps a block: when this returns, it survives the end of the process.
    pub fn append(&self, sequence: u64, kind: Kind, raw: &[u8]) -> Result<(), StoreError> {
        let mut value = Vec::with_capacity(raw.len() + 1);
        value.push(kind as u8);
        value.extend_from_slice(raw);
        Ok(self.blocks.insert(sequence.to_be_bytes(), value)?)
    }

    /// Keeps what a milestone changed, all or nothing.
    pub fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let mut batch = self.db.batch().durability(Some(PersistMode::Buffer));
        for (sequence, id) in &changes.gone.blocks {
            batch.remove(&self.blocks, sequence.to_be_bytes());
            batch.remove(&self.index, id.as_ref());
        }
        for id in &changes.gone.outputs {
            batch.remove(&self.unspent, codec::output_id(id));
            batch.remove(&self.spent, codec::output_id(id));
        }
        for (index, id) in &changes.gone.milestones {
            batch.remove(&self.milestones, index.to_be_bytes());
            batch.remove(&self.milestone_ids, id.as_ref());
        }
        for (id, meta) in &changes.blocks {
            batch.insert(&self.index, id.as_ref(), codec::meta(meta));
        }
        for (id, record) in &changes.outputs {
            let (now, before) = match record.spent {
                Some(_) => (&self.spent, Some(&self.unspent)),
                None => (&self.unspent, None),
            };
            batch.insert(now, codec::output_id(id), codec::output(record));
            if let Some(before) = before {
                batch.remove(before, codec::output_id(id));
            }
        }
        for record in &changes.milestones {
            let index = record.payload.essence().index().0.to_be_bytes();
            batch.insert(&self.milestones, index, codec::milestone(record));
            batch.insert(&self.milestone_ids, record.id.as_ref(), index);
        }
        batch.insert(&self.network, "checkpoint", codec::checkpoint(&changes.checkpoint));
        Ok(batch.commit()?)
    }

    /// Whether something could not be read.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}
