//! The submitter's side of one task: send, check the quote, pay once, open the result.
//!
//! A task is paid at most once, whoever answers: `Paying` is entered from one quote only, and no state after
//! it accepts another.

mod types;

use serde::{Deserialize, Serialize};

pub use types::{Early, Effect, Failure, Input, QuoteError, State};

use crate::ids::{Digest, PartyId, TaskId};
use crate::limits::{
    ANSWER_TIMEOUT_S, MESSAGE_LIFE_S, METERING_TOLERANCE, PAYMENT_MARGIN_MILESTONES, QUOTE_VALID_MAX_S,
};
use crate::message::{Body, Quote, Reject, RejectCode};
use crate::money::BaseUnits;
use crate::offer::KnownOffer;
use crate::receipt::ExecutionReceipt;
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
    /// Until then it may stay silent; counted from when the whole submit was referenced, unknown before.
    pub answer_by: Option<LedgerSeconds>,
    /// Executors asked before.
    pub tried: Vec<PartyId>,
    /// Why the executor asked now is out: the next one is asked at the next tick.
    pub refusal: Option<Failure>,
    /// Content hash of the locked result, once it is here.
    pub locked: Option<Digest>,
    /// Where it stands.
    pub state: State,
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
            answer_by: None,
            tried: vec![],
            refusal: None,
            locked: None,
            state: State::Sent,
        };
        (task, vec![Effect::Submit, Effect::Timer(deadline)])
    }

    /// Moves the task on; what means nothing in a state leaves it as it is.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match std::mem::replace(&mut self.state, State::Sent) {
            State::Sent => self.sent(input, now),
            State::Accepted => self.accepted(input, now),
            State::Quoted(quote) => self.quoted(quote, input, now),
            State::Paying { quote, giving_up, early } => self.paying(quote, giving_up, early, input, now),
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
            // This executor is out; only the tick that asks the next one counts.
            Input::Heard(_) if self.refusal.is_some() => self.stay(State::Sent),
            Input::Heard(body) => self.heard_unpaid(body, now, State::Sent),
            Input::Cancel => self.cancel(),
            Input::Delivered if self.answer_by.is_none() => {
                let answer_by = now.time.plus(ANSWER_TIMEOUT_S);
                self.answer_by = Some(answer_by);
                self.state = State::Sent;
                vec![Effect::Timer(answer_by)]
            }
            Input::Tick { next } if self.refusal.is_some() => self.ask_next(next, now),
            Input::Tick { next } if self.answer_by.is_some_and(|by| now.time >= by) => self.ask_next(next, now),
            Input::Tick { .. } => self.stay_unpaid(State::Sent, now),
            Input::Delivered
            | Input::PaymentSettled { .. }
            | Input::PaymentReturned
            | Input::Opened { .. }
            | Input::NotOpened(_) => self.stay(State::Sent),
        }
    }

    fn accepted(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Heard(body) => self.heard_unpaid(body, now, State::Accepted),
            Input::Cancel => self.cancel(),
            Input::Tick { .. } => self.stay_unpaid(State::Accepted, now),
            Input::Delivered
            | Input::PaymentSettled { .. }
            | Input::PaymentReturned
            | Input::Opened { .. }
            | Input::NotOpened(_) => self.stay(State::Accepted),
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
            | Input::Delivered
            | Input::PaymentSettled { .. }
            | Input::PaymentReturned
            | Input::Opened { .. }
            | Input::NotOpened(_) => self.stay(State::Quoted(quote)),
        }
    }

    fn paying(&mut self, quote: Quote, giving_up: bool, early: Option<Early>, input: Input, now: Now) -> Vec<Effect> {
        match (input, early) {
            (Input::PaymentSettled { .. } | Input::PaymentReturned, Some(Early { key, receipt })) => {
                self.state = State::Paid(quote);
                vec![Effect::Open { key, receipt }]
            }
            (Input::PaymentSettled { booked }, None) if booked <= quote.expires => {
                let until = release_until(&quote);
                self.state = State::Paid(quote);
                vec![Effect::Timer(until)]
            }
            (Input::PaymentSettled { .. } | Input::PaymentReturned, None) => self.fail(Failure::NotPaid),
            (Input::Heard(Body::Release { key, receipt }), None) if key.commitment() == quote.key_hash => {
                // Our own payment is taken back if it can be; which of the two it becomes, the ledger says.
                self.state = State::Paying { quote, giving_up: true, early: Some(Early { key, receipt }) };
                if giving_up { vec![] } else { vec![Effect::GiveUp] }
            }
            // Not posted any more from here on (payment rule 5); the replacement and the payment race fairly.
            (Input::Tick { .. }, early)
                if !giving_up && now.time.plus(now.milestones(PAYMENT_MARGIN_MILESTONES)) > quote.expires =>
            {
                self.state = State::Paying { quote, giving_up: true, early };
                vec![Effect::GiveUp]
            }
            (
                Input::Tick { .. }
                | Input::Heard(_)
                | Input::Delivered
                | Input::Opened { .. }
                | Input::NotOpened(_)
                // Money is under way: what was ordered is taken back only when the quote has expired.
                | Input::Cancel,
                early,
            ) => self.stay(State::Paying { quote, giving_up, early }),
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
            | Input::Delivered
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
                Err(error) => self.bad_quote(error, now),
            },
            Body::Reject(Reject { code, text }) => {
                let failure = Failure::Rejected { text };
                // A module that does not compile here, or a manifest that does not hold, is no better elsewhere.
                if matches!(code, RejectCode::Module | RejectCode::Manifest) {
                    return self.fail(failure);
                }
                self.refused(failure, now)
            }
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
            Some(locked) if locked != quote.locked_hash => self.bad_quote(QuoteError::OtherResult, now),
            // Checked again: the result may have come long after the quote.
            Some(_) => match self.check_quote(&quote, now) {
                Err(error) => self.bad_quote(error, now),
                Ok(()) => {
                    let (address, amount, expires) = (quote.address, quote.price, quote.expires);
                    self.state = State::Paying { quote, giving_up: false, early: None };
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

    /// Nothing was paid, and this executor will not be: another one may do better.
    fn refused(&mut self, failure: Failure, now: Now) -> Vec<Effect> {
        self.refusal = Some(failure);
        self.state = State::Sent;
        let drop = self.locked.take().map(Effect::DropLocked);
        drop.into_iter().chain([Effect::Timer(now.time)]).collect()
    }

    fn bad_quote(&mut self, error: QuoteError, now: Now) -> Vec<Effect> {
        self.refused(Failure::BadQuote(error), now)
    }

    fn ask_next(&mut self, next: Option<Box<KnownOffer>>, now: Now) -> Vec<Effect> {
        let before = self.asked.clone();
        self.tried.push(before.executor);
        let asked = self.tried.len() as u32;
        let refusal = self.refusal.take();
        let mut effects = vec![];
        // One that rejected the task has nothing to cancel.
        if !matches!(refusal, Some(Failure::Rejected { .. })) {
            effects.push(Effect::Cancel(Box::new(before)));
        }
        match next.filter(|next| !self.tried.contains(&next.executor) && now.time < self.deadline) {
            None => effects.extend(self.fail(refusal.unwrap_or(Failure::Unanswered { asked }))),
            Some(next) => {
                self.asked = *next;
                self.asked_at = now.time;
                self.answer_by = None;
                self.state = State::Sent;
                effects.push(Effect::Submit);
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

#[cfg(test)]
mod tests;
