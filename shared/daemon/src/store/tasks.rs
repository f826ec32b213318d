//! Tasks, their timers, events and effects that run once.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarefa_protocol::codec;
use tarefa_protocol::{LedgerSeconds, Millis, PartyId, TaskId};

use super::{StoreError, Tx};

/// A task as the store indexes it; `state` is the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow<T> {
    /// Its id.
    pub id: TaskId,
    /// The other side.
    pub party: PartyId,
    /// One word for where it stands.
    pub phase: String,
    /// Ledger time of its first commit.
    pub created: LedgerSeconds,
    /// Work that is unpaid.
    pub unpaid: Millis,
    /// The machine.
    pub state: T,
}

/// An effect that runs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// Its task.
    pub task: TaskId,
    /// What to run.
    pub body: Vec<u8>,
}

/// Something a user may want to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Rises.
    pub seq: i64,
    /// Of which task.
    pub task: TaskId,
    /// Ledger time.
    pub at: u32,
    /// What happened.
    pub json: String,
}

impl Tx<'_> {
    /// Stores a task's machine.
    pub fn save_task<T: Serialize>(&self, row: &TaskRow<T>, now: LedgerSeconds) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO task (id, party, state, phase, created, updated, unpaid_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET party = ?2, state = ?3, phase = ?4, updated = ?6, unpaid_ms = ?7",
            )?
            .execute(params![
                row.id.0,
                row.party.0,
                codec::encode(&row.state),
                row.phase,
                row.created.0,
                now.0,
                i64::try_from(row.unpaid.0).unwrap_or(i64::MAX)
            ])?;
        Ok(())
    }

    /// A task by its id.
    pub fn task<T: DeserializeOwned>(&self, id: &TaskId) -> Result<Option<TaskRow<T>>, StoreError> {
        let row = self
            .connection
            .prepare_cached(&format!("{SELECT_TASK} WHERE id = ?1"))?
            .query_row([id.0], raw_task)
            .optional()?;
        row.map(decode_task).transpose()
    }

    /// Tasks in this phase, oldest first; all tasks for `None`.
    pub fn tasks<T: DeserializeOwned>(&self, phase: Option<&str>) -> Result<Vec<TaskRow<T>>, StoreError> {
        let sql = format!("{SELECT_TASK} WHERE ?1 IS NULL OR phase = ?1 ORDER BY created, rowid");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([phase], raw_task)?;
        rows.map(|row| decode_task(row?)).collect()
    }

    /// Number of tasks in one of these phases.
    pub fn count_tasks(&self, phases: &[&str]) -> Result<u32, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM task WHERE phase = ?1")?;
        let mut total = 0;
        for phase in phases {
            total += statement.query_row([phase], |row| row.get::<_, u32>(0))?;
        }
        Ok(total)
    }

    /// Unpaid work since `since`: (of this party, of all parties that never paid).
    pub fn unpaid_work(&self, party: &PartyId, since: LedgerSeconds) -> Result<(Millis, Millis), StoreError> {
        let (own, strangers): (i64, i64) = self
            .connection
            .prepare_cached(
                "SELECT coalesce(sum(unpaid_ms) FILTER (WHERE party = ?1), 0),
                        coalesce(sum(unpaid_ms) FILTER (WHERE party NOT IN (SELECT party FROM known)), 0)
                 FROM task WHERE updated >= ?2",
            )?
            .query_row(params![party.0, since.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((Millis(own as u64), Millis(strangers as u64)))
    }

    /// Feeds a timer input to this task at `due`.
    pub fn add_timer(&self, task: &TaskId, due: LedgerSeconds) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO timer (task, due) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![task.0, due.0])?;
        Ok(())
    }

    /// Takes the timers due at `now`.
    pub fn take_timers(&self, now: LedgerSeconds) -> Result<Vec<TaskId>, StoreError> {
        let mut statement = self.connection.prepare_cached("DELETE FROM timer WHERE due <= ?1 RETURNING task")?;
        let rows = statement.query_map([now.0], |row| row.get(0).map(TaskId))?;
        let mut tasks: Vec<TaskId> = rows.collect::<Result<_, _>>()?;
        tasks.sort_unstable();
        tasks.dedup();
        Ok(tasks)
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Result<Option<LedgerSeconds>, StoreError> {
        let due: Option<u32> =
            self.connection.prepare_cached("SELECT min(due) FROM timer")?.query_row([], |row| row.get(0))?;
        Ok(due.map(LedgerSeconds))
    }

    /// Stores an effect that runs once.
    pub fn add_once<T: Serialize>(&self, task: &TaskId, body: &T) -> Result<OutboxRow, StoreError> {
        let body = codec::encode(body);
        self.connection
            .prepare_cached("INSERT INTO outbox (task, body) VALUES (?1, ?2)")?
            .execute(params![task.0, body])?;
        Ok(OutboxRow { id: self.connection.last_insert_rowid(), task: *task, body })
    }

    /// Effects without an answer.
    pub fn outbox(&self) -> Result<Vec<OutboxRow>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, task, body FROM outbox ORDER BY id")?;
        let rows = statement
            .query_map([], |row| Ok(OutboxRow { id: row.get(0)?, task: TaskId(row.get(1)?), body: row.get(2)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes an effect with its answer; `false` if it was answered before.
    pub fn answered(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self.connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id])? == 1)
    }

    /// Records an event.
    pub fn add_event(&self, task: &TaskId, at: LedgerSeconds, json: String) -> Result<EventRow, StoreError> {
        self.connection
            .prepare_cached("INSERT INTO event (task, at, json) VALUES (?1, ?2, ?3)")?
            .execute(params![task.0, at.0, json])?;
        Ok(EventRow { seq: self.connection.last_insert_rowid(), task: *task, at: at.0, json })
    }

    /// Events of a task in order.
    pub fn events(&self, task: &TaskId) -> Result<Vec<EventRow>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT seq, task, at, json FROM event WHERE task = ?1 ORDER BY seq")?;
        let rows = statement.query_map([task.0], |row| {
            Ok(EventRow { seq: row.get(0)?, task: TaskId(row.get(1)?), at: row.get(2)?, json: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

const SELECT_TASK: &str = "SELECT id, party, phase, created, unpaid_ms, state FROM task";

fn raw_task(row: &Row<'_>) -> rusqlite::Result<TaskRow<Vec<u8>>> {
    let unpaid: i64 = row.get(4)?;
    Ok(TaskRow {
        id: TaskId(row.get(0)?),
        party: PartyId(row.get(1)?),
        phase: row.get(2)?,
        created: LedgerSeconds(row.get(3)?),
        unpaid: Millis(unpaid as u64),
        state: row.get(5)?,
    })
}

fn decode_task<T: DeserializeOwned>(raw: TaskRow<Vec<u8>>) -> Result<TaskRow<T>, StoreError> {
    let state = codec::decode(&raw.state)?;
    let TaskRow { id, party, phase, created, unpaid, .. } = raw;
    Ok(TaskRow { id, party, phase, created, unpaid, state })
}
