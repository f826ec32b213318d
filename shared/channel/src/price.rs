//! What metered time costs: one rounding, from the session's start.

use alloy_primitives::U256;
use thiserror::Error;

use crate::id::Amount;

/// Milliseconds in the second that prices are given for.
const MS_PER_S: u64 = 1000;

/// The price cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PriceError {
    /// More than `uint128`.
    #[error("{price_per_s} per second for {total_ms} ms is more than a channel can hold")]
    TooMuch {
        /// Base units per second.
        price_per_s: u128,
        /// Metered time.
        total_ms: u64,
    },
    /// The tokens before are worth more than the session.
    #[error(
        "earlier tokens carry {earlier}, more than the {total} that the session has cost: a voucher cannot be negative"
    )]
    Overpaid {
        /// Sum over the earlier tokens.
        earlier: u128,
        /// Cost of the session so far.
        total: u128,
    },
}

/// What a session has cost: `ceil(price_per_s · total_ms / 1000)` base units.
///
/// # Errors
/// If it is more than `uint128`.
pub fn session_cost(price_per_s: Amount, total_ms: u64) -> Result<Amount, PriceError> {
    let product = U256::from(price_per_s.0) * U256::from(total_ms);
    let cost = product.div_ceil(U256::from(MS_PER_S));
    let too_much = PriceError::TooMuch { price_per_s: price_per_s.0, total_ms };
    u128::try_from(cost).map(Amount).map_err(|_| too_much)
}

/// The `cumulative` of the next voucher: the session's cost less the amounts of its earlier tokens.
///
/// # Errors
/// If the cost is more than `uint128` or the earlier tokens carry more than it.
pub fn cumulative(price_per_s: Amount, total_ms: u64, earlier: &[Amount]) -> Result<Amount, PriceError> {
    let total = session_cost(price_per_s, total_ms)?;
    let earlier = earlier.iter().fold(U256::ZERO, |sum, amount| sum + U256::from(amount.0));
    let Ok(earlier) = u128::try_from(earlier) else {
        return Err(PriceError::Overpaid { earlier: u128::MAX, total: total.0 });
    };
    total.minus(Amount(earlier)).ok_or(PriceError::Overpaid { earlier, total: total.0 })
}

/// The part of a session's price that is held back until its result can be opened: `share` per cent, rounded down.
///
/// # Panics
/// If the share is above a hundred: the market refuses such an offer when it reads it.
#[must_use]
pub fn held_back(total: Amount, share_percent: u8) -> Amount {
    assert!(share_percent <= 100, "a share of {share_percent} per cent");
    let held = U256::from(total.0) * U256::from(share_percent) / U256::from(100);
    Amount(u128::try_from(held).expect("at most the total"))
}
