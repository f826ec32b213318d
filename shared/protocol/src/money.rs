//! Money: integer base units, the price formula, and the units people write.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Millis;

/// An amount of the ledger's base token in its smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct BaseUnits(pub u64);

/// Accepted units and their factors, the seed's metric names of the IOTA.
const UNITS: [(&str, u64); 5] =
    [("Ti", 1_000_000_000_000), ("Gi", 1_000_000_000), ("Mi", 1_000_000), ("Ki", 1_000), ("i", 1)];

impl BaseUnits {
    /// The sum, or `None` beyond 64 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum, clamped: only for figures that are shown.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for BaseUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0 / 1_000_000;
        let fraction = self.0 % 1_000_000;
        if fraction == 0 {
            return write!(f, "{whole} Mi");
        }
        let digits = format!("{fraction:06}");
        write!(f, "{whole}.{} Mi", digits.trim_end_matches('0'))
    }
}

/// A text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an amount: write base units (1500000) or a unit of i, Ki, Mi, Gi, Ti (1.5Mi)")]
pub struct ParseAmountError {
    text: String,
}

impl FromStr for BaseUnits {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseAmountError { text: text.chars().take(40).collect() };
        let trimmed = text.trim();
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| trimmed.strip_suffix(unit).map(|number| (number.trim_end(), *factor)))
            .unwrap_or((trimmed, 1));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || number.ends_with('.') {
            return Err(error());
        }
        let scale = u32::try_from(fraction.len()).ok().and_then(|n| 10u64.checked_pow(n)).ok_or_else(error)?;
        if factor % scale != 0 {
            return Err(error());
        }
        let whole: u64 = whole.parse().map_err(|_| error())?;
        let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| error())? };
        whole.checked_mul(factor).and_then(|w| w.checked_add(fraction * (factor / scale))).map(Self).ok_or_else(error)
    }
}

/// What an executor asks for on the Tangle rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Base units per second of metered time (`p` of the seed).
    pub per_second: BaseUnits,
    /// The least a task costs: an output below the storage deposit cannot exist.
    pub minimum: BaseUnits,
}

impl Price {
    /// The seed's half mega-iota per second.
    pub const DEFAULT_PER_SECOND: BaseUnits = BaseUnits(500_000);

    /// `max(minimum, ceil(p * t / 1000))`; `None` where that exceeds 64 bits.
    pub fn of(&self, metered: Millis) -> Option<BaseUnits> {
        let exact = u128::from(self.per_second.0) * u128::from(metered.0);
        let rounded_up = u64::try_from(exact.div_ceil(1_000)).ok()?;
        Some(BaseUnits(rounded_up.max(self.minimum.0)))
    }

    /// The longest metered time that costs at most `budget`; `None` where the minimum exceeds it.
    pub fn time_within(&self, budget: BaseUnits) -> Option<Millis> {
        if budget < self.minimum {
            return None;
        }
        if self.per_second.0 == 0 {
            return Some(Millis(u64::MAX));
        }
        let ms = u128::from(budget.0) * 1_000 / u128::from(self.per_second.0);
        Some(Millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests;
