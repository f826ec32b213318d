//! What the contract stores.

use alloy_primitives::{B256, U256};

use crate::id::{Amount, ChannelId, Seq, StateHash, Time};
use crate::message::{Opening, State};

use super::Revert;

/// Whether a channel runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// There is none, or it is final.
    #[default]
    None,
    /// It runs.
    Open,
    /// Somebody closes it.
    Closing,
}

/// A channel: slots 0 to 3 of the specification's layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    /// Closing: newer states are enforced before this time.
    pub closes_at: Time,
    /// The number of the enforced state.
    pub seq: Seq,
    /// Whether it runs.
    pub status: Status,
    /// The epoch of the channel that runs, or of the next one.
    pub epoch: u32,
    /// Deposits to the client's side, and credited redemptions.
    pub client_in: Amount,
    /// What the client has taken out.
    pub client_out: Amount,
    /// Deposits to the hub's side.
    pub hub_in: Amount,
    /// What the hub has taken out, and credited redemptions.
    pub hub_out: Amount,
    /// Executed ON tokens.
    pub on_out: Amount,
    /// The enforced state; zero for the implicit one.
    pub enforced: StateHash,
    /// Redemptions that are started and not ended.
    pub redeeming: u32,
}

impl Row {
    /// What the channel holds.
    #[must_use]
    pub fn locked(&self) -> Amount {
        let sum = |amounts: &[Amount]| amounts.iter().map(|amount| U256::from(amount.0)).sum::<U256>();
        // Nothing goes out that did not come in, and what is in fits one balance: every call that raises a counter checks that.
        let locked = sum(&[self.client_in, self.hub_in]) - sum(&[self.client_out, self.hub_out, self.on_out]);
        Amount(u128::try_from(locked).expect("deposits are bounded, and redemptions move as much in as out"))
    }

    /// Whether this is the enforced state.
    pub(super) fn enforces(&self, state: &State) -> bool {
        self.seq > Seq::ZERO && state.hash() == self.enforced
    }

    /// Checks that an opening is the one of the enforced state.
    pub(super) fn check_opening(&self, channel: ChannelId, opening: Option<&Opening>) -> Result<(), Revert> {
        match opening {
            None if self.seq == Seq::ZERO => Ok(()),
            Some(opening) if self.seq > Seq::ZERO && opening.hash(channel, self.seq) == self.enforced => Ok(()),
            None | Some(_) => Err(Revert::BadOpening),
        }
    }
}

/// How far a redemption (or the execution of an ON token) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RedemptionStatus {
    /// It can be defeated until it is credited.
    Pending,
    /// Paid.
    Credited,
    /// The enforced state had paid or declined the token already.
    Void,
    /// An ON token was paid.
    Executed,
}

impl Redemption {
    /// Whether it is paid: it is when its time has come, whoever writes that down and when. So nobody can hold up a payer
    /// whose token was redeemed.
    #[must_use]
    pub fn is_credited(&self, now: Time) -> bool {
        match self.status {
            RedemptionStatus::Credited => true,
            RedemptionStatus::Pending => now >= self.credit_at,
            RedemptionStatus::Void | RedemptionStatus::Executed => false,
        }
    }
}

/// A redemption, by token id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Redemption {
    /// Whom it pays, as the token names it.
    pub payee: B256,
    /// How much.
    pub amount: Amount,
    /// When it can be credited.
    pub credit_at: Time,
    /// The payee sequence that defeats it.
    pub payee_seq: Seq,
    /// How far it is.
    pub status: RedemptionStatus,
}
