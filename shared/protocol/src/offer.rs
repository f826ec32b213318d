//! What an executor offers, and the table of limits with their defaults.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{Digest, PartyId, SealingKey};
use crate::money::Price;
use crate::time::{LedgerSeconds, Millis};

/// Announced to everyone and honoured until `valid_until`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Tasks are sealed to this key.
    pub sealing_key: SealingKey,
    /// Price on the Tangle rail.
    pub price: Price,
    /// The most any task gets.
    pub limits: TaskLimits,
    /// Guests at once.
    pub slots: u16,
    /// Of these free when the offer was made.
    pub free: u16,
    /// Names of the sandbox walls that were probed and held.
    pub walls: Vec<String>,
    /// Last ledger time at which a submit may rely on it.
    pub valid_until: LedgerSeconds,
    /// Rises with every offer of one executor.
    pub sequence: u64,
}

impl Offer {
    /// The name a submit pins: hash of the executor and the whole offer.
    pub fn id(&self, executor: &PartyId) -> Digest {
        Digest::of("tarefa/offer", &[&executor.0, &codec::encode(self)])
    }
}

/// What one task may use. Every limit has a non-zero default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Linear memory of the guest, bytes.
    pub memory_max: u64,
    /// Metered time.
    pub time_max: Millis,
    /// Result (stdout, stderr and files together), bytes.
    pub result_max: u64,
    /// Bytes the guest may write into its directory.
    pub disk_max: u64,
    /// Files and directories the guest may create there.
    pub files_max: u32,
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self {
            // Enough for CPython with room to work (it needs 128 MiB).
            memory_max: 256 * 1024 * 1024,
            // Half the quote deadline: a queue of one task of full length still fits.
            time_max: Millis(300_000),
            // Fits one message after sealing.
            result_max: 8 * 1024 * 1024,
            // Scratch space of a small data set.
            disk_max: 64 * 1024 * 1024,
            // Listing them stays under a millisecond.
            files_max: 1_024,
        }
    }
}

impl TaskLimits {
    /// The lower of two tables, line by line.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            memory_max: self.memory_max.min(other.memory_max),
            time_max: self.time_max.min(other.time_max),
            result_max: self.result_max.min(other.result_max),
            disk_max: self.disk_max.min(other.disk_max),
            files_max: self.files_max.min(other.files_max),
        }
    }
}

/// An offer as a submitter keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownOffer {
    /// Who made it.
    pub executor: PartyId,
    /// Its id.
    pub id: Digest,
    /// What it says.
    pub offer: Offer,
    /// Payments to this executor that were answered with a release.
    pub paid_before: u32,
}

/// Best first: more paid history, then lower price per second, then lower minimum, then free slots.
pub fn rank(offers: &mut [KnownOffer]) {
    offers.sort_by_key(|known| {
        let price = known.offer.price;
        (
            std::cmp::Reverse(known.paid_before.min(PAID_HISTORY_CAP)),
            price.per_second,
            price.minimum,
            std::cmp::Reverse(known.offer.free),
            known.executor,
        )
    });
}

/// Beyond this many paid tasks two executors count as equally known and the price decides.
const PAID_HISTORY_CAP: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::BaseUnits;

    fn known(executor: u8, paid_before: u32, per_second: u64) -> KnownOffer {
        let offer = Offer {
            sealing_key: SealingKey([0; 32]),
            price: Price { per_second: BaseUnits(per_second), minimum: BaseUnits(1) },
            limits: TaskLimits::default(),
            slots: 1,
            free: 1,
            walls: vec![],
            valid_until: LedgerSeconds(1),
            sequence: 0,
        };
        let executor = PartyId([executor; 32]);
        KnownOffer { executor, id: offer.id(&executor), offer, paid_before }
    }

    #[test]
    fn history_counts_before_price_up_to_the_cap() {
        let mut offers = [known(1, 0, 1), known(2, 1, 9), known(3, 50, 5), known(4, 3, 4)];
        rank(&mut offers);
        let order: Vec<u8> = offers.iter().map(|o| o.executor.0[0]).collect();
        assert_eq!(order, [4, 3, 2, 1]);
    }

    #[test]
    fn the_same_terms_of_another_executor_are_another_offer() {
        assert_ne!(known(1, 0, 1).id, known(2, 0, 1).id);
    }
}
