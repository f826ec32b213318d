//! The terms of a hub: grace period, margins, caps, and the deadline arithmetic that follows from them (rule 5).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{Amount, Time};
use crate::message::{Token, TokenKind};

/// What a deployment and its hub promise and demand. Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// G, immutable in the contract: how long a close can be challenged and a redemption argued.
    pub grace: u64,
    /// i: how long a transaction may wait for its block.
    pub inclusion: u64,
    /// r: how much history may be replaced; what is older is final.
    pub reorg: u64,
    /// The furthest `claim_by` ahead: the hub's money is bound no longer.
    pub max_token_life: u64,
    /// How long a client should wait for an answer before it goes to the chain; see [`Terms::waits`].
    pub patience: u64,
    /// Tokens in flight of one payer.
    pub live_tokens: usize,
    /// The hub's fee for a token into a channel.
    pub fee: Amount,
    /// The hub's fee for an ON token; it covers the gas if the hub has to prove the token executed.
    pub on_fee: Amount,
    /// The least value of a token and the least change of an OUT: three times the gas of a redemption.
    pub dust: Amount,
    /// What a payer may have attached and not settled before the hub grants nothing more.
    pub unsettled: Amount,
}

/// A token's deadlines are not what rule 5 asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeadlineError {
    /// `attach_by` has passed.
    #[error("attachBy {attach_by} has passed: it is {now}")]
    Passed {
        /// The deadline.
        attach_by: u64,
        /// Chain time.
        now: u64,
    },
    /// Too little time to redeem after an attach that was not answered.
    #[error("redeemBy {redeem_by} is less than {distance} s after attachBy {attach_by}")]
    Redeem {
        /// The earlier deadline.
        attach_by: u64,
        /// The later one.
        redeem_by: u64,
        /// G + i + r.
        distance: u64,
    },
    /// Too little time to claim after the last redemption.
    #[error("claimBy {claim_by} is less than {distance} s after redeemBy {redeem_by}")]
    Claim {
        /// The earlier deadline.
        redeem_by: u64,
        /// The later one.
        claim_by: u64,
        /// G + i + r.
        distance: u64,
    },
    /// The token would bind the hub's money for too long.
    #[error("claimBy {claim_by} is more than {life} s ahead of {now}")]
    Life {
        /// The deadline.
        claim_by: u64,
        /// Chain time.
        now: u64,
        /// The longest life.
        life: u64,
    },
    /// Not a `uint40`.
    #[error("claimBy {0} is beyond the last time a channel can name")]
    Width(u64),
}

/// Terms under which somebody could not be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TermsError {
    /// Nobody could be away at all.
    #[error(
        "a grace period of {grace} s leaves nobody time: it is more than twice the inclusion margin {inclusion} s and the reorg margin {reorg} s"
    )]
    Grace {
        /// G.
        grace: u64,
        /// i.
        inclusion: u64,
        /// r.
        reorg: u64,
    },
    /// A margin of nothing.
    #[error("the inclusion margin {0} s and the reorg margin {1} s are at least a second")]
    Margin(u64, u64),
    /// No token fits.
    #[error("no token fits a life of {0} s: it is more than twice grace, inclusion and reorg together")]
    Life(u64),
    /// A hub would never count as silent in time.
    #[error("a patience of {0} s is longer than anybody may be away")]
    Patience(u64),
    /// More tokens than a state can hold.
    #[error("{0} live tokens: 1 to {limit}", limit = crate::limits::PENDING)]
    Live(usize),
}

impl Terms {
    /// Whether honest parties are safe under these terms.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), TermsError> {
        let Self { grace, inclusion, reorg, max_token_life, patience, live_tokens, .. } = *self;
        // Nothing in them is far from what a `uint40` holds, so no sum below can overflow.
        if grace.max(inclusion).max(reorg).max(max_token_life) > Time::MAX.0 || self.offline_bound() == 0 {
            return Err(TermsError::Grace { grace, inclusion, reorg });
        }
        if inclusion == 0 || reorg == 0 {
            return Err(TermsError::Margin(inclusion, reorg));
        }
        if max_token_life <= 2 * self.distance() {
            return Err(TermsError::Life(max_token_life));
        }
        if patience > self.offline_bound() {
            return Err(TermsError::Patience(patience));
        }
        if live_tokens == 0 || live_tokens > crate::limits::PENDING {
            return Err(TermsError::Live(live_tokens));
        }
        Ok(())
    }

    /// The distance between two deadlines of a token: G + i + r.
    #[must_use]
    pub const fn distance(&self) -> u64 {
        self.grace.saturating_add(self.inclusion).saturating_add(self.reorg)
    }

    /// How long before a deadline somebody must have sent what must be on chain by then, and sure to stay: i + r.
    #[must_use]
    pub const fn margin(&self) -> u64 {
        self.inclusion.saturating_add(self.reorg)
    }

    /// How long a client waits for an answer: what the hub asks for, at most [`crate::limits::PATIENCE`] (rule 14).
    #[must_use]
    pub const fn waits(&self) -> u64 {
        let most = crate::limits::PATIENCE;
        if self.patience < most { self.patience } else { most }
    }

    /// How long before something must be sent to the chain the hub is asked, so that its refusal or its silence is known by then: patience and
    /// inclusion.
    #[must_use]
    pub const fn ask(&self) -> u64 {
        self.waits().saturating_add(self.inclusion).saturating_add(1)
    }

    /// How long a party may be away without losing anything: G − 2 i − r.
    #[must_use]
    pub const fn offline_bound(&self) -> u64 {
        self.grace.saturating_sub(self.inclusion.saturating_mul(2).saturating_add(self.reorg))
    }

    /// How long after its announcement the revocation of a hub's signer takes effect (rule 12).
    #[must_use]
    pub const fn revocation_delay(&self) -> u64 {
        self.max_token_life + 2 * self.grace + self.offline_bound()
    }

    /// How long a client asks the hub to sign again what was signed by a signer whose revocation takes effect at `until`: an offline bound
    /// after the announcement. By the chain's clock, so that it does not begin anew with each start of a client; and by then so much is left
    /// that whoever looks once in each offline bound still checkpoints in time.
    #[must_use]
    pub const fn signs_again_before(&self, until: Time) -> Time {
        until.before(self.max_token_life + 2 * self.grace)
    }

    /// The earliest deadlines of a token that its payee may attach until `attach_by`: `(redeem_by, claim_by)`.
    #[must_use]
    pub const fn deadlines(&self, attach_by: Time) -> (Time, Time) {
        let redeem_by = attach_by.after(self.distance());
        (redeem_by, redeem_by.after(self.distance()))
    }

    /// Whether the deadlines keep their distances.
    ///
    /// # Errors
    /// Names the deadline that is too near or too far.
    pub fn check_deadlines(&self, token: &Token, now: Time) -> Result<(), DeadlineError> {
        let Token { attach_by: Time(attach_by), redeem_by: Time(redeem_by), claim_by: Time(claim_by), .. } = *token;
        let distance = self.distance();
        if claim_by > Time::MAX.0 {
            return Err(DeadlineError::Width(claim_by));
        }
        if attach_by <= now.0 {
            return Err(DeadlineError::Passed { attach_by, now: now.0 });
        }
        if attach_by.saturating_add(distance) > redeem_by {
            return Err(DeadlineError::Redeem { attach_by, redeem_by, distance });
        }
        if redeem_by.saturating_add(distance) > claim_by {
            return Err(DeadlineError::Claim { redeem_by, claim_by, distance });
        }
        if claim_by - now.0 > self.max_token_life {
            return Err(DeadlineError::Life { claim_by, now: now.0, life: self.max_token_life });
        }
        Ok(())
    }

    /// Whether something sent now is on chain before a deadline and will stay there (rule 17, 1.23).
    #[must_use]
    pub const fn reaches(&self, now: Time, deadline: Time) -> bool {
        now.until(deadline) > self.margin()
    }

    /// What the hub asks for carrying a token.
    #[must_use]
    pub const fn fee_of(&self, kind: TokenKind) -> Amount {
        match kind {
            TokenKind::On => self.on_fee,
            TokenKind::Off | TokenKind::Metered => self.fee,
        }
    }
}
