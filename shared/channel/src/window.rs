//! The payee's window: which payee sequences a state has consumed.

use alloy_primitives::U256;
use thiserror::Error;

use crate::id::Seq;
use crate::limits::WINDOW;
use crate::message::Balances;

/// A payee sequence cannot be consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// It is consumed already.
    #[error("payee sequence {0} is consumed already")]
    Seen(u64),
    /// It is too far above the floor: an older one must be attached or declined first.
    #[error("payee sequence {0} is beyond the window that begins at {1}: attach or decline an older token first")]
    Beyond(u64, u64),
}

/// Whether a state has consumed this payee sequence.
#[must_use]
pub fn holds(balances: &Balances, payee_seq: Seq) -> bool {
    match payee_seq.get().checked_sub(balances.floor.get()) {
        None => true,
        Some(above) => above < WINDOW && balances.window.bit(bit(above)),
    }
}

/// Consumes a payee sequence; the floor rises over all that are consumed, so equal sets have equal windows.
///
/// # Errors
/// If it is consumed already or beyond the window.
pub fn consume(balances: &mut Balances, payee_seq: Seq) -> Result<(), WindowError> {
    if holds(balances, payee_seq) {
        return Err(WindowError::Seen(payee_seq.get()));
    }
    let above = payee_seq.get() - balances.floor.get();
    if above >= WINDOW {
        return Err(WindowError::Beyond(payee_seq.get(), balances.floor.get()));
    }
    balances.window.set_bit(bit(above), true);
    let risen = balances.window.trailing_ones();
    if risen == WINDOW as usize {
        balances.window = U256::ZERO;
    } else {
        balances.window >>= risen;
    }
    balances.floor =
        balances.floor.forward(risen as u64).ok_or(WindowError::Beyond(payee_seq.get(), balances.floor.get()))?;
    Ok(())
}

fn bit(above: u64) -> usize {
    usize::try_from(above).expect("below 256")
}
