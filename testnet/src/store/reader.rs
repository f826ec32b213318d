//! The store as the engine's archive.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Keyspace, Readable, UserValue};
use tarefa_ledger::engine::{Archive, BlockMeta, MilestoneRecord, OutputRecord};
use tarefa_ledger::{BlockId, MilestoneId, OutputId};

use super::{Store, codec};

/// Reads a store.
pub struct Reader(pub Arc<Store>);

impl Reader {
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Option<UserValue> {
        self.sure(keyspace.get(key).map_err(|error| error.to_string())).flatten()
    }

    /// What was read; a failure is noted for those who write.
    fn sure<T>(&self, read: Result<T, String>) -> Option<T> {
        read.inspect_err(|error| {
            tracing::error!(error, "the ledger on disk cannot be read: nothing is taken or confirmed any more");
            self.0.broken.store(true, Ordering::Release);
        })
        .ok()
    }

    fn parsed<T>(&self, read: Option<T>, what: &str) -> Option<T> {
        self.sure(read.ok_or_else(|| format!("{what} is damaged")))
    }
}

impl Archive for Reader {
    fn meta(&self, id: &BlockId) -> Option<BlockMeta> {
        let bytes = self.get(&self.0.index, id.as_ref())?;
        self.parsed(codec::read_meta(&bytes), "what became of a block")
    }

    fn raw(&self, sequence: u64) -> Option<Arc<[u8]>> {
        let bytes = self.get(&self.0.blocks, &sequence.to_be_bytes())?;
        self.parsed(bytes.get(1..).map(Arc::from), "a block")
    }

    fn output(&self, id: &OutputId) -> Option<OutputRecord> {
        let key = codec::output_id(id);
        let bytes = self.get(&self.0.unspent, &key).or_else(|| self.get(&self.0.spent, &key))?;
        self.parsed(codec::read_output(&bytes), "an output")
    }

    fn milestone(&self, index: u32) -> Option<MilestoneRecord> {
        let bytes = self.get(&self.0.milestones, &index.to_be_bytes())?;
        self.parsed(codec::read_milestone(&bytes), "a milestone")
    }

    fn milestone_index(&self, id: &MilestoneId) -> Option<u32> {
        let bytes = self.get(&self.0.milestone_ids, id.as_ref())?;
        self.parsed(bytes.as_ref().try_into().ok().map(u32::from_be_bytes), "the index of a milestone")
    }

    fn sequences(&self, range: Range<u64>, most: usize) -> Vec<u64> {
        let range = range.start.to_be_bytes()..range.end.to_be_bytes();
        let snapshot = self.0.db.snapshot();
        let number = |entry: fjall::Guard| {
            let key = self.sure(entry.key().map_err(|error| error.to_string()))?;
            self.parsed(key.as_ref().try_into().ok().map(u64::from_be_bytes), "the number of a block")
        };
        snapshot.range(&self.0.blocks, range).take(most).map_while(number).collect()
    }
}
