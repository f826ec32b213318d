//! Tasks as a user sees them.

use serde::Serialize;
use tarefa_daemon::store::{StoreError, TaskRow, Tx};
use tarefa_protocol::submitter::State;
use tarefa_protocol::{PartyId, TaskId};

use crate::role::Stored;

/// One line about a task.
#[derive(Debug, Clone, Serialize)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// One word for where it stands.
    pub phase: String,
    /// The executor asked.
    pub executor: PartyId,
    /// Ledger time of its submission.
    pub created: u32,
    /// Price, once quoted, base units.
    pub price: Option<u64>,
    /// Billed time, once quoted, milliseconds.
    pub metered_ms: Option<u64>,
    /// Exit status of `tarefa run`, once ended.
    pub exit_status: Option<u8>,
    /// How it ended.
    pub ending: Option<String>,
}

impl From<&TaskRow<Stored>> for TaskView {
    fn from(row: &TaskRow<Stored>) -> Self {
        let (mut price, mut metered_ms, mut exit_status, mut ending) = (None, None, None, None);
        match &row.state.task.state {
            State::Sent | State::Accepted => {}
            State::Quoted(quote) | State::Paid(quote) | State::Paying { quote, .. } => {
                (price, metered_ms) = (Some(quote.price.0), Some(quote.metered.0));
            }
            State::Done { outcome, price: paid, metered } => {
                (price, metered_ms) = (Some(paid.0), Some(metered.0));
                (exit_status, ending) = (Some(outcome.exit_status()), Some(outcome.to_string()));
            }
            State::Failed(failure) => {
                (exit_status, ending) = (Some(failure.exit_status()), Some(failure.to_string()));
            }
        }
        let (id, executor) = (row.id, row.party);
        Self { id, phase: row.phase.clone(), executor, created: row.created.0, price, metered_ms, exit_status, ending }
    }
}

/// All tasks, oldest first.
pub fn all(tx: &Tx<'_>) -> Result<Vec<TaskView>, StoreError> {
    Ok(tx.tasks::<Stored>(None)?.iter().map(TaskView::from).collect())
}

/// One task.
pub fn one(tx: &Tx<'_>, id: &TaskId) -> Result<Option<TaskView>, StoreError> {
    Ok(tx.task::<Stored>(id)?.as_ref().map(TaskView::from))
}
