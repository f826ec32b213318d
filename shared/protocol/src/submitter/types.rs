//! What a submitter's task is made of: states, failures, inputs, effects.

use serde::{Deserialize, Serialize};

use crate::ids::{Address, Digest};
use crate::limits::ANSWER_TIMEOUT_S;
use crate::message::{Body, Quote};
use crate::money::BaseUnits;
use crate::offer::KnownOffer;
use crate::receipt::{ExecutionReceipt, SignedReceipt};
use crate::result::Outcome;
use crate::seal::ResultKey;
use crate::time::{LedgerSeconds, Millis};

/// What has been exchanged so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The submit is on its way.
    Sent,
    /// In the executor's queue.
    Accepted,
    /// A good quote is here, its locked result is not yet.
    Quoted(Quote),
    /// The payment order is with the wallet.
    Paying {
        /// What is paid.
        quote: Quote,
        /// The order is being taken back because the quote expired.
        giving_up: bool,
        /// The right key came first: somebody else paid the address.
        early: Option<Early>,
    },
    /// Paid; waits for the key.
    Paid(Quote),
    /// Opened, verified, kept.
    Done {
        /// How the guest ended.
        outcome: Outcome,
        /// What was paid.
        price: BaseUnits,
        /// Billed time.
        metered: Millis,
    },
    /// Ended without a result.
    Failed(Failure),
}

/// A release that came before our own payment was booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// Opens the result.
    pub key: ResultKey,
    /// Its receipt.
    pub receipt: SignedReceipt,
}

/// Why a task ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// Nobody answered in time.
    #[error("nobody answered within {ANSWER_TIMEOUT_S} s ({asked} asked): is an executor running? `tarefa market ls`")]
    Unanswered {
        /// Executors asked.
        asked: u32,
    },
    /// The executor said no.
    #[error("the executor rejected the task: {text}")]
    Rejected {
        /// Its words.
        text: String,
    },
    /// The quote does not hold against the pinned offer.
    #[error("the quote was refused: {0}")]
    BadQuote(QuoteError),
    /// No quote before the deadline.
    #[error("no quote before the deadline at ledger time {0}; nothing was paid")]
    NoQuote(LedgerSeconds),
    /// The wallet could not pay in time.
    #[error("the payment was not booked before the quote expired; what was sent late is refunded by the executor")]
    NotPaid,
    /// Paid, and the executor kept the key.
    #[error("paid, but the executor has not released the result; the paid quote is kept as evidence")]
    NotReleased,
    /// Paid, and the key does not open a result that fits the quote.
    #[error("paid, but the released result is wrong: {0}")]
    BadResult(String),
    /// We cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// A quote that is not paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum QuoteError {
    /// Above the submitter's limit.
    #[error("it asks {price}, above --max-price {max}")]
    AboveMax {
        /// Asked.
        price: BaseUnits,
        /// Allowed.
        max: BaseUnits,
    },
    /// Not the price of the pinned offer for that time.
    #[error("it asks {price} for {metered}, the offer says {expected}")]
    NotTheOffer {
        /// Asked.
        price: BaseUnits,
        /// Billed time.
        metered: Millis,
        /// By the offer.
        expected: BaseUnits,
    },
    /// Another offer than the pinned one.
    #[error("it relies on another offer than the one this task pinned")]
    OtherOffer,
    /// More time than has passed.
    #[error("it bills {metered}, but only {passed} have passed since the task was sent")]
    TooLong {
        /// Billed.
        metered: Millis,
        /// Passed on the ledger, with tolerance.
        passed: Millis,
    },
    /// Too close to its expiry to pay safely.
    #[error("it expires at {expires}, too soon to pay safely (ledger time is {now})")]
    TooSoon {
        /// Its expiry.
        expires: LedgerSeconds,
        /// Ledger time.
        now: LedgerSeconds,
    },
    /// So far away that the payment could hang for ever.
    #[error("it expires at {expires}, further away than any honest quote (ledger time is {now})")]
    TooLate {
        /// Its expiry.
        expires: LedgerSeconds,
        /// Ledger time.
        now: LedgerSeconds,
    },
    /// The locked result is not the one the quote is about.
    #[error("it is about another result than the one that was delivered")]
    OtherResult,
}

/// What can happen to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The executor we asked says something.
    Heard(Body),
    /// The payment transaction is included.
    PaymentSettled {
        /// When it was booked.
        booked: LedgerSeconds,
    },
    /// The order was taken back: its money is ours again.
    PaymentReturned,
    /// The driver opened the result with the released key.
    Opened {
        /// The receipt, its signature verified.
        receipt: Box<ExecutionReceipt>,
        /// Content hash of the plain result.
        result: Digest,
    },
    /// The released key did not open it.
    NotOpened(String),
    /// Every part of the submit is referenced.
    Delivered,
    /// The user does not want it any more.
    Cancel,
    /// A timer is due; the next executor to ask, if there is one.
    Tick {
        /// Best offer of an executor not tried yet.
        next: Option<Box<KnownOffer>>,
    },
}

/// What the driver must do after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send the stored submit to the executor asked now, sealed for it.
    Submit,
    /// Tell the executor of this offer that it is not wanted any more.
    Cancel(Box<KnownOffer>),
    /// Keep the locked result.
    KeepLocked(Vec<u8>),
    /// The locked result of an executor that is out: it is not needed any more.
    DropLocked(Digest),
    /// Order a payment; the order's name is the task id, so there is one for ever.
    Pay {
        /// Where to.
        address: Address,
        /// How much.
        amount: BaseUnits,
        /// No use after this ledger time.
        expires: LedgerSeconds,
    },
    /// Spend the payment's inputs to ourselves instead.
    GiveUp,
    /// Open the locked result with this key, then feed [`Input::Opened`] or [`Input::NotOpened`].
    Open {
        /// The released key.
        key: ResultKey,
        /// Its receipt.
        receipt: SignedReceipt,
    },
    /// Feed [`Input::Tick`] at this ledger time.
    Timer(LedgerSeconds),
}

impl Failure {
    /// Exit status of `tarefa run`: 127 nobody answered, 126 rejected, 125 everything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Unanswered { .. } => 127,
            Self::Rejected { .. } => 126,
            Self::BadQuote(_)
            | Self::NoQuote(_)
            | Self::NotPaid
            | Self::NotReleased
            | Self::BadResult(_)
            | Self::Cancelled => 125,
        }
    }
}
