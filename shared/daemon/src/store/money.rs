//! Addresses, known parties and the wallet's history.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use tarefa_protocol::{Address, LedgerSeconds, PartyId, TaskId};

use super::{StoreError, Tx};

/// One movement of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    /// Ledger time.
    pub at: u32,
    /// `in` or `out`.
    pub direction: String,
    /// Base units.
    pub amount: u64,
    /// Through which transaction.
    pub transaction: String,
    /// What for.
    pub note: String,
}

/// An own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressRow {
    /// Its index below the store's account.
    pub index: u32,
    /// BLAKE2b-256 of its public key.
    pub address: Address,
    /// What it was shown for.
    pub purpose: String,
    /// The task it was quoted for.
    pub task: Option<TaskId>,
}

impl Tx<'_> {
    /// The next address index that was never used.
    pub fn next_address(&self) -> Result<u32, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT coalesce(max(idx) + 1, 0) FROM address")?
            .query_row([], |row| row.get(0))?)
    }

    /// Burns an address index: it is never handed out again. Fails on one that was burnt before.
    pub fn burn_address(
        &self,
        index: u32,
        hash: &[u8; 32],
        purpose: &str,
        task: Option<&TaskId>,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO address (idx, hash, purpose, task) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![index, hash, purpose, task.map(|task| task.0)])?;
        Ok(())
    }

    /// All own addresses: (index, hash).
    pub fn addresses(&self) -> Result<Vec<(u32, [u8; 32])>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT idx, hash FROM address ORDER BY idx")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All own addresses that were ever shown or used, in order.
    pub fn shown_addresses(&self) -> Result<Vec<AddressRow>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT idx, hash, purpose, task FROM address ORDER BY idx")?;
        let rows = statement.query_map([], |row| {
            let hash: [u8; 32] = row.get(1)?;
            let task: Option<[u8; 16]> = row.get(3)?;
            Ok(AddressRow { index: row.get(0)?, address: Address(hash), purpose: row.get(2)?, task: task.map(TaskId) })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The task an address was quoted for.
    pub fn task_of_address(&self, index: u32) -> Result<Option<TaskId>, StoreError> {
        let task: Option<Option<[u8; 16]>> = self
            .connection
            .prepare_cached("SELECT task FROM address WHERE idx = ?1")?
            .query_row([index], |row| row.get(0))
            .optional()?;
        Ok(task.flatten().map(TaskId))
    }

    /// Index of an own address.
    pub fn index_of_address(&self, hash: &[u8; 32]) -> Result<Option<u32>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT idx FROM address WHERE hash = ?1")?
            .query_row([hash], |row| row.get(0))
            .optional()?)
    }

    /// Paid tasks with this party so far.
    pub fn paid_before(&self, party: &PartyId) -> Result<u32, StoreError> {
        let paid: Option<u32> = self
            .connection
            .prepare_cached("SELECT paid FROM known WHERE party = ?1")?
            .query_row([party.0], |row| row.get(0))
            .optional()?;
        Ok(paid.unwrap_or(0))
    }

    /// Counts one more paid task with this party.
    pub fn count_paid(&self, party: &PartyId) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO known (party, paid) VALUES (?1, 1) ON CONFLICT (party) DO UPDATE SET paid = paid + 1",
            )?
            .execute([party.0])?;
        Ok(())
    }

    /// Records a movement of money.
    pub fn add_history(
        &self,
        at: LedgerSeconds,
        direction: &str,
        amount: u64,
        transaction: &[u8; 32],
        note: &str,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO history (at, direction, amount, transaction_id, note) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![at.0, direction, amount as i64, format!("0x{}", hex::encode(transaction)), note])?;
        Ok(())
    }

    /// All movements, oldest first.
    pub fn history(&self) -> Result<Vec<HistoryRow>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT at, direction, amount, transaction_id, note FROM history ORDER BY seq")?;
        let rows = statement.query_map([], |row| {
            let amount: i64 = row.get(2)?;
            Ok(HistoryRow {
                at: row.get(0)?,
                direction: row.get(1)?,
                amount: amount as u64,
                transaction: row.get(3)?,
                note: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
