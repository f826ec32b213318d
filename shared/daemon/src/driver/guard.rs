//! One input's failure never blocks the rest: a savepoint per input, and a panic is caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tarefa_protocol::{MessageId, PartyId};

use crate::desk::Desk;
use crate::role::Role;
use crate::store::StoreError;

/// Runs `act` in a savepoint. What it did is undone when it fails or panics, the failure is put into quarantine, and
/// the commit goes on; only an error of the database itself fails the commit.
pub fn guarded<R: Role>(
    role: &mut R,
    desk: &mut Desk<'_>,
    what: &str,
    act: impl FnOnce(&mut R, &mut Desk<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if let Some(error) = attempt(role, desk, act)? {
        tracing::error!(%error, what, "an input failed: quarantined");
        let (nobody, none) = (PartyId([0; 32]), MessageId([0; 16]));
        desk.tx.quarantine(desk.now.milestone, &nobody, &none, &format!("{what}: {error}"))?;
    }
    Ok(())
}

/// As [`guarded`], and gives the failure to the caller.
pub fn attempt<R: Role>(
    role: &mut R,
    desk: &mut Desk<'_>,
    act: impl FnOnce(&mut R, &mut Desk<'_>) -> Result<(), StoreError>,
) -> Result<Option<StoreError>, StoreError> {
    let (tx, mark) = (desk.tx, desk.queue.mark());
    let result = tx.savepoint(|| {
        let act = AssertUnwindSafe(|| act(role, desk));
        catch_unwind(act).unwrap_or_else(|_| Err(StoreError::Rule("handling it panicked".into())))
    })?;
    match result {
        Ok(()) => Ok(None),
        Err(StoreError::Sqlite(error)) => Err(StoreError::Sqlite(error)),
        Err(error) => {
            desk.queue.undo_to(&mark);
            // What the role counted on the way is not true any more.
            role.reload(&tx)?;
            Ok(Some(error))
        }
    }
}
