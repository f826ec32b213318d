//! The submitter's side of one task: send, check the quote, pay once, open the result.
//!
//! A task is paid at most once, whoever answers: `Paying` is entered from one quote only, and no state after
//! it accepts another.

use serde::{Deserialize, Serialize};

use crate::ids::{Address, Digest, PartyId, TaskId};
use crate::limits::{
    ANSWER_TIMEOUT_S, MESSAGE_LIFE_S, METERING_TOLERANCE, PAYMENT_MARGIN_MILESTONES, QUOTE_VALID_MAX_S,
};
use crate::message::{Body, Quote, Reject};
use crate::money::BaseUnits;
use crate::offer::KnownOffer;
use crate::receipt::{ExecutionReceipt, SignedReceipt};
use crate::result::Outcome;
use crate::seal::ResultKey;
use crate::time::{LedgerSeconds, Millis, Now};

/// One task, asked of one executor after the other until one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Chosen by us.
    pub id: TaskId,
    /// The most it may cost.
    pub max_price: BaseUnits,
    /// The quote must be referenced by then.
    pub deadline: LedgerSeconds,
    /// Content hash of the module.
    pub module: Digest,
    /// Hash of what the guest reads.
    pub inputs: Digest,
    /// The executor asked now, with the offer pinned for it.
    pub asked: KnownOffer,
    /// When it was asked (ledger time).
    pub asked_at: LedgerSeconds,
    /// Executors asked before.
    pub tried: Vec<PartyId>,
    /// Content hash of the locked result, once it is here.
    pub locked: Option<Digest>,
    /// Where it stands.
    pub state: State,
}

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

impl Task {
    /// A new task asked of `asked`; the caller sends the submit.
    pub fn new(
        id: TaskId,
        asked: KnownOffer,
        max_price: BaseUnits,
        hashes: (Digest, Digest),
        deadline: LedgerSeconds,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let (module, inputs) = hashes;
        let task = Self {
            id,
            max_price,
            deadline,
            module,
            inputs,
            asked,
            asked_at: now.time,
            tried: vec![],
            locked: None,
            state: State::Sent,
        };
        (task, vec![Effect::Submit, Effect::Timer(now.time.plus(ANSWER_TIMEOUT_S)), Effect::Timer(deadline)])
    }

    /// Moves the task on; what means nothing in a state leaves it as it is.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match std::mem::replace(&mut self.state, State::Sent) {
            State::Sent => self.sent(input, now),
            State::Accepted => self.accepted(input, now),
            State::Quoted(quote) => self.quoted(quote, input, now),
            State::Paying { quote, giving_up } => self.paying(quote, giving_up, input, now),
            State::Paid(quote) => self.paid(quote, input, now),
            ended @ (State::Done { .. } | State::Failed(_)) => {
                self.state = ended;
                vec![]
            }
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Done { .. } | State::Failed(_))
    }

    fn sent(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Heard(body) => self.heard_unpaid(body, now, State::Sent),
            Input::Cancel => self.cancel(),
            Input::Tick { next } if now.time >= self.asked_at.plus(ANSWER_TIMEOUT_S) => self.ask_next(next, now),
            Input::Tick { .. } => self.stay_unpaid(State::Sent, now),
            Input::PaymentSettled { .. } | Input::PaymentReturned | Input::Opened { .. } | Input::NotOpened(_) => {
                self.stay(State::Sent)
            }
        }
    }

    fn accepted(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Heard(body) => self.heard_unpaid(body, now, State::Accepted),
            Input::Cancel => self.cancel(),
            Input::Tick { .. } => self.stay_unpaid(State::Accepted, now),
            Input::PaymentSettled { .. } | Input::PaymentReturned | Input::Opened { .. } | Input::NotOpened(_) => {
                self.stay(State::Accepted)
            }
        }
    }

    fn quoted(&mut self, quote: Quote, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Heard(Body::Result { locked }) => {
                let mut effects = self.keep(locked.0);
                effects.extend(self.pay_or_wait(quote, now));
                effects
            }
            Input::Heard(Body::Expired) => self.fail(Failure::NotPaid),
            Input::Cancel => self.cancel(),
            Input::Tick { .. } => self.stay_unpaid(State::Quoted(quote), now),
            Input::Heard(_)
            | Input::PaymentSettled { .. }
            | Input::PaymentReturned
            | Input::Opened { .. }
            | Input::NotOpened(_) => self.stay(State::Quoted(quote)),
        }
    }

    fn paying(&mut self, quote: Quote, giving_up: bool, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::PaymentSettled { booked } if booked <= quote.expires => {
                let until = release_until(&quote);
                self.state = State::Paid(quote);
                vec![Effect::Timer(until)]
            }
            Input::PaymentSettled { .. } | Input::PaymentReturned => self.fail(Failure::NotPaid),
            // Not posted any more from here on (payment rule 5); the replacement and the payment race fairly.
            Input::Tick { .. } if !giving_up && now.time.plus(now.milestones(PAYMENT_MARGIN_MILESTONES)) > quote.expires => {
                self.state = State::Paying { quote, giving_up: true };
                vec![Effect::GiveUp]
            }
            Input::Tick { .. }
            | Input::Heard(_)
            | Input::Opened { .. }
            | Input::NotOpened(_)
            // Money is under way: what was ordered is taken back only when the quote has expired.
            | Input::Cancel => self.stay(State::Paying { quote, giving_up }),
        }
    }

    fn paid(&mut self, quote: Quote, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Heard(Body::Release { key, receipt }) if key.commitment() == quote.key_hash => {
                self.state = State::Paid(quote);
                vec![Effect::Open { key, receipt }]
            }
            Input::Opened { receipt, result } => match self.check_receipt(&quote, &receipt, result) {
                Ok(()) => {
                    let (price, metered) = (quote.price, quote.metered);
                    self.state = State::Done { outcome: receipt.outcome, price, metered };
                    vec![]
                }
                Err(why) => self.fail(Failure::BadResult(why)),
            },
            Input::NotOpened(why) => self.fail(Failure::BadResult(why)),
            Input::Tick { .. } if now.time >= release_until(&quote) => self.fail(Failure::NotReleased),
            Input::Heard(_)
            | Input::Tick { .. }
            | Input::Cancel
            | Input::PaymentSettled { .. }
            | Input::PaymentReturned => self.stay(State::Paid(quote)),
        }
    }

    fn check_receipt(&self, quote: &Quote, receipt: &ExecutionReceipt, result: Digest) -> Result<(), String> {
        let facts = [
            ("task", receipt.task == self.id),
            ("executor", receipt.executor == self.asked.executor),
            ("module", receipt.module == self.module),
            ("inputs", receipt.inputs == self.inputs),
            ("result", receipt.result == result),
            ("time", receipt.metered == quote.metered),
            ("price", receipt.price == quote.price),
        ];
        match facts.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(format!("the receipt contradicts the {what}")),
            None => Ok(()),
        }
    }

    /// Messages before any money moved.
    fn heard_unpaid(&mut self, body: Body, now: Now, unchanged: State) -> Vec<Effect> {
        match body {
            Body::Accept(_) => self.stay(State::Accepted),
            Body::Result { locked } => {
                self.state = State::Accepted;
                self.keep(locked.0)
            }
            Body::Quote(quote) => match self.check_quote(&quote, now) {
                Ok(()) => self.pay_or_wait(quote, now),
                Err(error) => self.fail(Failure::BadQuote(error)),
            },
            Body::Reject(Reject { text, .. }) => self.fail(Failure::Rejected { text }),
            Body::Expired => self.fail(Failure::NoQuote(self.deadline)),
            Body::Offer(_) | Body::Submit(_) | Body::Release { .. } | Body::Cancel => self.stay(unchanged),
        }
    }

    /// The quote against the pinned offer, the limit, the clock and the delivered result.
    fn check_quote(&self, quote: &Quote, now: Now) -> Result<(), QuoteError> {
        if quote.offer != self.asked.id {
            return Err(QuoteError::OtherOffer);
        }
        let passed = Millis(u64::from(now.time.since(self.asked_at)) * 1_000).plus(METERING_TOLERANCE);
        if quote.metered > passed {
            return Err(QuoteError::TooLong { metered: quote.metered, passed });
        }
        let expected = self.asked.offer.price.of(quote.metered).unwrap_or(BaseUnits(u64::MAX));
        if quote.price != expected {
            return Err(QuoteError::NotTheOffer { price: quote.price, metered: quote.metered, expected });
        }
        if quote.price > self.max_price {
            return Err(QuoteError::AboveMax { price: quote.price, max: self.max_price });
        }
        if now.time.plus(now.milestones(PAYMENT_MARGIN_MILESTONES)) > quote.expires {
            return Err(QuoteError::TooSoon { expires: quote.expires, now: now.time });
        }
        if quote.expires > now.time.plus(QUOTE_VALID_MAX_S) {
            return Err(QuoteError::TooLate { expires: quote.expires, now: now.time });
        }
        Ok(())
    }

    fn pay_or_wait(&mut self, quote: Quote, now: Now) -> Vec<Effect> {
        match self.locked {
            None => self.stay(State::Quoted(quote)),
            Some(locked) if locked != quote.locked_hash => self.fail(Failure::BadQuote(QuoteError::OtherResult)),
            // Checked again: the result may have come long after the quote.
            Some(_) => match self.check_quote(&quote, now) {
                Err(error) => self.fail(Failure::BadQuote(error)),
                Ok(()) => {
                    let (address, amount, expires) = (quote.address, quote.price, quote.expires);
                    self.state = State::Paying { quote, giving_up: false };
                    let margin = now.milestones(PAYMENT_MARGIN_MILESTONES);
                    let last_post = LedgerSeconds(expires.0.saturating_sub(margin));
                    let pay = Effect::Pay { address, amount, expires };
                    vec![pay, Effect::Timer(last_post.plus(1)), Effect::Timer(expires.plus(1))]
                }
            },
        }
    }

    fn keep(&mut self, locked: Vec<u8>) -> Vec<Effect> {
        if self.locked.is_some() {
            return vec![];
        }
        self.locked = Some(Digest::of_content(&locked));
        vec![Effect::KeepLocked(locked)]
    }

    fn ask_next(&mut self, next: Option<Box<KnownOffer>>, now: Now) -> Vec<Effect> {
        let silent = self.asked.clone();
        self.tried.push(silent.executor);
        let asked = self.tried.len() as u32;
        let mut effects = vec![Effect::Cancel(Box::new(silent))];
        match next.filter(|next| !self.tried.contains(&next.executor) && now.time < self.deadline) {
            None => effects.extend(self.fail(Failure::Unanswered { asked })),
            Some(next) => {
                self.asked = *next;
                self.asked_at = now.time;
                effects.extend([Effect::Submit, Effect::Timer(now.time.plus(ANSWER_TIMEOUT_S))]);
            }
        }
        effects
    }

    fn cancel(&mut self) -> Vec<Effect> {
        self.state = State::Failed(Failure::Cancelled);
        vec![Effect::Cancel(Box::new(self.asked.clone()))]
    }

    fn stay_unpaid(&mut self, state: State, now: Now) -> Vec<Effect> {
        if now.time < self.deadline {
            return self.stay(state);
        }
        self.state = State::Failed(Failure::NoQuote(self.deadline));
        vec![Effect::Cancel(Box::new(self.asked.clone()))]
    }

    fn stay(&mut self, state: State) -> Vec<Effect> {
        self.state = state;
        vec![]
    }

    fn fail(&mut self, failure: Failure) -> Vec<Effect> {
        self.state = State::Failed(failure);
        vec![]
    }
}

/// Until then a paid quote may be answered with the key; what the executor keeps its own messages for.
fn release_until(quote: &Quote) -> LedgerSeconds {
    quote.expires.plus(MESSAGE_LIFE_S)
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

#[cfg(test)]
mod tests;
