//! Records as bytes. Numbers are little-endian except in keys, where their order counts.

use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::output::Output;
use iota_sdk::types::block::payload::Payload;
use std::sync::Arc;
use tarefa_ledger::engine::{
    BlockMeta, Carries, Checkpoint, Inclusion, InclusionState, MilestoneRecord, OutputRecord, Spent,
};
use tarefa_ledger::{BlockId, MilestoneId, OutputId, TransactionId};

/// Reads fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn list<const N: usize, T>(&mut self, each: impl Fn([u8; N]) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        (0..count).map(|_| self.take().and_then(&each)).collect()
    }
}

fn list<T>(to: &mut Vec<u8>, items: &[T], each: impl Fn(&T) -> Vec<u8>) {
    to.extend((items.len() as u32).to_le_bytes());
    items.iter().for_each(|item| to.extend(each(item)));
}

pub fn checkpoint(it: &Checkpoint) -> Vec<u8> {
    [&it.confirmed.to_le_bytes()[..], &it.pruned.to_le_bytes(), &it.next.to_le_bytes()].concat()
}

pub fn read_checkpoint(bytes: &[u8]) -> Option<Checkpoint> {
    let mut fields = Fields(bytes);
    Some(Checkpoint { confirmed: fields.u32()?, pruned: fields.u32()?, next: fields.u64()? })
}

const NOTHING: u8 = 0;
const DATA: u8 = 1;
const TRANSACTION: u8 = 2;
const MILESTONE: u8 = 3;

const UNREFERENCED: u8 = 0;
const NO_TRANSACTION: u8 = 1;
const INCLUDED: u8 = 2;
/// And above: less this, the conflict reason.
const CONFLICTING: u8 = 3;

pub fn meta(it: &BlockMeta) -> Vec<u8> {
    let (carries, milestone) = match it.carries {
        Carries::Nothing => (NOTHING, 0),
        Carries::Data => (DATA, 0),
        Carries::Transaction => (TRANSACTION, 0),
        Carries::Milestone(index) => (MILESTONE, index),
    };
    let state = it.inclusion.map_or(UNREFERENCED, |inclusion| match inclusion.state {
        InclusionState::NoTransaction => NO_TRANSACTION,
        InclusionState::Included => INCLUDED,
        InclusionState::Conflicting(reason) => CONFLICTING.saturating_add(reason),
    });
    let (by, position) = it.inclusion.map_or((0, 0), |inclusion| (inclusion.milestone, inclusion.position));
    let mut bytes = it.sequence.to_le_bytes().to_vec();
    for number in [it.arrived, it.oldest_root, milestone, by, position] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([carries, state, u8::from(it.orphan)]);
    bytes
}

pub fn read_meta(bytes: &[u8]) -> Option<BlockMeta> {
    let mut fields = Fields(bytes);
    let sequence = fields.u64()?;
    let [arrived, oldest_root, index] = [fields.u32()?, fields.u32()?, fields.u32()?];
    let (milestone, position) = (fields.u32()?, fields.u32()?);
    let carries = match fields.u8()? {
        NOTHING => Carries::Nothing,
        DATA => Carries::Data,
        TRANSACTION => Carries::Transaction,
        MILESTONE => Carries::Milestone(index),
        _ => return None,
    };
    let state = match fields.u8()? {
        UNREFERENCED => None,
        NO_TRANSACTION => Some(InclusionState::NoTransaction),
        INCLUDED => Some(InclusionState::Included),
        reason => Some(InclusionState::Conflicting(reason - CONFLICTING)),
    };
    let inclusion = state.map(|state| Inclusion { milestone, position, state });
    Some(BlockMeta { sequence, carries, inclusion, arrived, oldest_root, orphan: fields.u8()? != 0 })
}

pub fn output_id(id: &OutputId) -> Vec<u8> {
    id.pack_to_vec()
}

pub fn read_output_id(bytes: &[u8]) -> Option<OutputId> {
    OutputId::unpack_verified(bytes, &()).ok()
}

pub fn output(it: &OutputRecord) -> Vec<u8> {
    let mut bytes = it.block.as_ref().to_vec();
    bytes.extend(it.booked.to_le_bytes());
    bytes.extend(it.booked_at.to_le_bytes());
    bytes.push(u8::from(it.spent.is_some()));
    if let Some(spent) = &it.spent {
        bytes.extend(spent.transaction.as_ref());
        bytes.extend(spent.milestone.to_le_bytes());
        bytes.extend(spent.at.to_le_bytes());
    }
    bytes.extend(it.output.pack_to_vec());
    bytes
}

pub fn read_output(bytes: &[u8]) -> Option<OutputRecord> {
    let mut fields = Fields(bytes);
    let block = BlockId::new(fields.take()?);
    let (booked, booked_at) = (fields.u32()?, fields.u32()?);
    let spent = match fields.u8()? {
        0 => None,
        _ => {
            let transaction = TransactionId::new(fields.take()?);
            Some(Spent { transaction, milestone: fields.u32()?, at: fields.u32()? })
        }
    };
    let output = Arc::new(Output::unpack_unverified(fields.0).ok()?);
    Some(OutputRecord { output, block, booked, booked_at, spent })
}

pub fn milestone(it: &MilestoneRecord) -> Vec<u8> {
    let payload = Payload::from(it.payload.clone()).pack_to_vec();
    let mut bytes = it.sequence.to_le_bytes().to_vec();
    bytes.extend(it.block.as_ref());
    list(&mut bytes, &it.order, |id| id.as_ref().to_vec());
    list(&mut bytes, &it.created, output_id);
    list(&mut bytes, &it.consumed, output_id);
    bytes.extend(payload);
    bytes
}

pub fn read_milestone(bytes: &[u8]) -> Option<MilestoneRecord> {
    let mut fields = Fields(bytes);
    let sequence = fields.u64()?;
    let block = BlockId::new(fields.take()?);
    let order = fields.list(|id| Some(BlockId::new(id)))?;
    let created = fields.list(|id: [u8; OutputId::LENGTH]| read_output_id(&id))?;
    let consumed = fields.list(|id: [u8; OutputId::LENGTH]| read_output_id(&id))?;
    let Payload::Milestone(payload) = Payload::unpack_unverified(fields.0).ok()? else { return None };
    let (id, timestamp) = (MilestoneId::from(*payload.id()), payload.essence().timestamp());
    Some(MilestoneRecord { id, timestamp, payload: *payload, block, sequence, order, created, consumed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_block_comes_back() {
        let states = [
            None,
            Some(InclusionState::NoTransaction),
            Some(InclusionState::Included),
            Some(InclusionState::Conflicting(12)),
        ];
        for (state, carries) in
            states.into_iter().zip([Carries::Nothing, Carries::Data, Carries::Transaction, Carries::Milestone(77)])
        {
            let inclusion = state.map(|state| Inclusion { milestone: 5, position: 6, state });
            let it = BlockMeta { sequence: u64::MAX, carries, inclusion, arrived: 3, oldest_root: 2, orphan: true };
            assert_eq!(read_meta(&meta(&it)), Some(it));
        }
        assert_eq!(read_meta(b"short"), None);
    }
}
