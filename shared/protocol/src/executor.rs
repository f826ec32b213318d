//! The executor's side of one task: accept, run once, quote, release when paid.
//!
//! One variant of [`State`] per thing that has been exchanged. `handle` matches on (state, input) and returns
//! effects; the driver stores the new state and the effects in one commit and only then acts.

use serde::{Deserialize, Serialize};

use crate::codec::Bytes;
use crate::ids::{Address, Digest, PartyId, SealingKey, Tag, TaskId};
use crate::limits::{QUOTE_VALID_S, RERUNS_MAX, RETENTION_MILESTONES};
use crate::message::{Accept, Body, Quote, Reject, RejectCode, Submit};
use crate::money::{BaseUnits, Price};
use crate::offer::{Offer, TaskLimits};
use crate::receipt::{ExecutionReceipt, SignedReceipt};
use crate::result::Outcome;
use crate::rng::Entropy;
use crate::seal::ResultKey;
use crate::time::{LedgerSeconds, Millis, Now};

/// What the machine may use besides its input.
pub struct Ctx<'a> {
    /// Ledger time and pace.
    pub now: Now,
    /// Keys come from here.
    pub entropy: &'a mut Entropy,
    /// An address never shown before; burnt in the same commit when an effect uses it.
    pub next_address: Address,
    /// Signs receipts.
    pub party: &'a ed25519_dalek::SigningKey,
}

/// What a module that does not compile counts as exposure: looking at it was work too.
const BAD_MODULE_EXPOSURE: Millis = Millis(5_000);

/// Bounds on work that may stay unpaid, in metered milliseconds within one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposureLimits {
    /// For one submitter that never paid.
    pub per_stranger: Millis,
    /// For all of these together.
    pub strangers: Millis,
    /// For one submitter that has paid before.
    pub per_payer: Millis,
}

impl Default for ExposureLimits {
    fn default() -> Self {
        // A stranger can waste two minutes, all strangers ten, of every hour; a payer a whole hour.
        Self { per_stranger: Millis(120_000), strangers: Millis(600_000), per_payer: Millis(3_600_000) }
    }
}

impl ExposureLimits {
    /// Unpaid work allowed for one submitter.
    pub fn per_party(&self, known: bool) -> Millis {
        if known { self.per_payer } else { self.per_stranger }
    }

    /// The longest a single task may run: a quarter, so that a few fit beside each other.
    pub fn per_task(&self, known: bool) -> Millis {
        Millis(self.per_party(known).0 / 4)
    }

    /// Whether a task that may run for `allowed` can be started beside what is unpaid or running already.
    pub fn admits(&self, seen: Exposure, allowed: Millis) -> bool {
        seen.of_submitter.plus(allowed) <= self.per_party(seen.known)
            && (seen.known || seen.of_strangers.plus(allowed) <= self.strangers)
    }
}

/// Work done and not (yet) paid, as the store counts it over the last hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposure {
    /// Of this submitter.
    pub of_submitter: Millis,
    /// Of all submitters that never paid.
    pub of_strangers: Millis,
    /// Whether this submitter has paid before.
    pub known: bool,
}

/// The executor as a new task finds it.
pub struct House<'a> {
    /// The offer the submit names, if this executor made it.
    pub offer: Option<&'a Offer>,
    /// Tasks queued or running.
    pub queue: u32,
    /// Most tasks queued or running.
    pub queue_max: u32,
    /// Unpaid work.
    pub exposure: Exposure,
    /// Its bounds.
    pub exposure_limits: ExposureLimits,
}

/// Where the replies of a task go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// Submitter.
    pub party: PartyId,
    /// Its inbox for this task.
    pub tag: Tag,
    /// Its sealing key for this task.
    pub key: SealingKey,
}

/// One task of one submitter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Chosen by the submitter.
    pub id: TaskId,
    /// Where answers go.
    pub reply: ReplyTo,
    /// Where late payments go back to.
    pub refund: Address,
    /// The pinned offer.
    pub offer: Digest,
    /// Its price.
    pub price: Price,
    /// Limits that apply.
    pub limits: TaskLimits,
    /// Longest billed time: the limit, or what the submitter's max price buys.
    pub time_allowed: Millis,
    /// The quote must be out by then.
    pub deadline: LedgerSeconds,
    /// Content hash of the module.
    pub module: Digest,
    /// Hash of what the guest reads.
    pub inputs: Digest,
    /// Work that counts as exposure while unpaid.
    pub unpaid: Millis,
    /// Where it stands.
    pub state: State,
}

/// What has been exchanged so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Accepted; waits for a slot.
    Queued {
        /// Failures of the executor so far.
        failures: u8,
    },
    /// The guest was started; it may or may not run after a crash, hence `Interrupted`.
    Running {
        /// Failures of the executor so far.
        failures: u8,
        /// A cancel arrived: its end is quoted as it is.
        cancelled: bool,
    },
    /// Locked result and quote are out; waits for the payment.
    Quoted(Box<Quoted>),
    /// The key is out.
    Released {
        /// Everything received at the quote's address.
        received: BaseUnits,
        /// The price.
        price: BaseUnits,
    },
    /// Nothing more happens, except refunds.
    Closed {
        /// Why.
        why: Closed,
        /// Refunds made so far, for unique order names.
        refunds: u32,
    },
}

/// What a quote is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// As sent.
    pub quote: Quote,
    /// Opens the locked result.
    pub key: ResultKey,
    /// Goes out with the key.
    pub receipt: SignedReceipt,
    /// Received in time.
    pub received: BaseUnits,
    /// Received after the quote expired.
    pub late: BaseUnits,
}

/// Why a task ended without a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// Cancelled in the queue; free.
    Cancelled,
    /// No slot before its deadline; free.
    TooLate,
    /// The executor failed to run it; not billed.
    ExecutorFailed,
    /// The module cannot be run here; not billed.
    BadModule,
    /// Quoted and not paid in time.
    Unpaid,
}

/// What can happen to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A slot is free.
    Start,
    /// The guest ended.
    Executed(Box<Execution>),
    /// The process that ran the guest is gone: crash, kill or failure of this executor.
    Interrupted,
    /// The module does not compile within the limits.
    BadModule(String),
    /// An output that counts was created at the quoted address.
    Received {
        /// Its amount.
        amount: BaseUnits,
        /// When it was booked.
        booked: LedgerSeconds,
    },
    /// The submitter does not want it any more.
    Cancel,
    /// A timer of this task is due.
    Tick,
}

/// A guest's run as the sandbox reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// How it ended.
    pub outcome: Outcome,
    /// From *started* to process exit, minus stops.
    pub metered: Millis,
    /// Processor time.
    pub cpu: Millis,
    /// Compile time: not billed, counts as exposure.
    pub compile: Millis,
    /// The encoded [`crate::result::TaskResult`].
    pub result: Bytes,
    /// Engine and version.
    pub runtime: String,
}

/// What the driver must do after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this to the submitter.
    Reply(Body),
    /// Run the guest. Never repeated: after a crash the driver feeds [`Input::Interrupted`].
    Run,
    /// End the guest that runs.
    Stop,
    /// Burn [`Ctx::next_address`], and report outputs that appear there.
    Watch,
    /// The quote is final: outputs at its address may be spent.
    Unwatch(Address),
    /// Pay back. The order name is unique.
    Refund {
        /// Unique per task.
        number: u32,
        /// Where to.
        to: Address,
        /// How much.
        amount: BaseUnits,
    },
    /// Feed [`Input::Tick`] at this ledger time.
    Timer(LedgerSeconds),
}

/// Takes a submit into the queue, or says why not.
pub fn accept(
    id: TaskId,
    from: PartyId,
    submit: &Submit,
    house: &House<'_>,
    ctx: &Ctx<'_>,
) -> Result<(Task, Vec<Effect>), Reject> {
    let offer = house.offer.filter(|offer| ctx.now.time <= offer.valid_until).ok_or_else(|| {
        Reject::new(RejectCode::Offer, "the offer is unknown here or has expired: look for a newer one")
    })?;
    submit.manifest.check().map_err(|error| Reject::new(RejectCode::Manifest, error.to_string()))?;
    let limits = submit.manifest.limits.min(&offer.limits);
    let budget = offer.price.time_within(submit.max_price).ok_or_else(|| {
        let text = format!("max price {} is below the minimum of {}", submit.max_price, offer.price.minimum);
        Reject::new(RejectCode::Manifest, text)
    })?;
    if house.queue >= house.queue_max {
        return Err(Reject::new(RejectCode::Busy, format!("{} tasks are queued here already", house.queue)));
    }
    check_exposure(house)?;
    if submit.deadline <= ctx.now.time {
        return Err(Reject::new(RejectCode::Manifest, "its deadline has passed already"));
    }
    let time_allowed = limits.time_max.min(budget).min(house.exposure_limits.per_task(house.exposure.known));
    let task = Task {
        id,
        reply: ReplyTo { party: from, tag: submit.reply_tag, key: submit.reply_key },
        refund: submit.refund,
        offer: submit.offer,
        price: offer.price,
        limits,
        time_allowed,
        deadline: submit.deadline,
        module: Digest::of_content(&submit.module.0),
        inputs: submit.manifest.input_hash(),
        unpaid: Millis(0),
        state: State::Queued { failures: 0 },
    };
    let accepted = Accept { position: house.queue, limits, time_allowed };
    Ok((task, vec![Effect::Reply(Body::Accept(accepted)), Effect::Timer(submit.deadline)]))
}

fn check_exposure(house: &House<'_>) -> Result<(), Reject> {
    let (seen, limits) = (house.exposure, house.exposure_limits);
    let over = if seen.known {
        seen.of_submitter >= limits.per_payer
    } else {
        seen.of_submitter >= limits.per_stranger || seen.of_strangers >= limits.strangers
    };
    if over {
        let text = format!("{} of work is unpaid already: pay open quotes, or try later", seen.of_submitter);
        return Err(Reject::new(RejectCode::Exposure, text));
    }
    Ok(())
}

impl Task {
    /// Moves the task on. An input that means nothing in a state leaves it as it is: everything that arrives
    /// may arrive twice.
    pub fn handle(&mut self, input: Input, ctx: &mut Ctx<'_>) -> Vec<Effect> {
        match std::mem::replace(&mut self.state, State::Queued { failures: 0 }) {
            State::Queued { failures } => self.queued(failures, input, ctx),
            State::Running { failures, cancelled } => self.running(failures, cancelled, input, ctx),
            State::Quoted(quoted) => self.quoted(quoted, input, ctx),
            State::Released { received, price } => self.released(received, price, input),
            State::Closed { why, refunds } => self.closed(why, refunds, input),
        }
    }

    /// Whether the task holds a place in the queue or a slot.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Queued { .. } | State::Running { .. })
    }

    /// Whether only a late payment can still change it.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Released { .. } | State::Closed { .. })
    }

    fn queued(&mut self, failures: u8, input: Input, ctx: &mut Ctx<'_>) -> Vec<Effect> {
        match input {
            Input::Start => {
                // All it may run counts as unpaid from now on; its quote will say what it really was.
                self.unpaid = self.time_allowed;
                self.state = State::Running { failures, cancelled: false };
                vec![Effect::Run]
            }
            Input::Cancel => self.close(Closed::Cancelled, vec![]),
            Input::Tick if ctx.now.time >= self.deadline => {
                self.close(Closed::TooLate, vec![Effect::Reply(Body::Expired)])
            }
            Input::Tick | Input::Executed(_) | Input::Interrupted | Input::BadModule(_) | Input::Received { .. } => {
                self.state = State::Queued { failures };
                vec![]
            }
        }
    }

    fn running(&mut self, failures: u8, cancelled: bool, input: Input, ctx: &mut Ctx<'_>) -> Vec<Effect> {
        match input {
            Input::Executed(execution) => self.quote(*execution, ctx),
            Input::Interrupted if cancelled => self.close(Closed::Cancelled, vec![]),
            Input::Interrupted if failures < RERUNS_MAX => {
                self.unpaid = Millis(0);
                self.state = State::Queued { failures: failures + 1 };
                vec![]
            }
            Input::Interrupted => {
                self.unpaid = Millis(0);
                let text = "the executor failed twice while running this task; nothing is owed";
                let reject = Reject::new(RejectCode::Failed, text);
                self.close(Closed::ExecutorFailed, vec![Effect::Reply(Body::Reject(reject))])
            }
            Input::BadModule(text) => {
                self.unpaid = BAD_MODULE_EXPOSURE;
                let reject = Reject::new(RejectCode::Module, text);
                self.close(Closed::BadModule, vec![Effect::Reply(Body::Reject(reject))])
            }
            Input::Cancel if !cancelled => {
                self.state = State::Running { failures, cancelled: true };
                vec![Effect::Stop]
            }
            Input::Cancel | Input::Start | Input::Received { .. } | Input::Tick => {
                self.state = State::Running { failures, cancelled };
                vec![]
            }
        }
    }

    fn quote(&mut self, run: Execution, ctx: &mut Ctx<'_>) -> Vec<Effect> {
        // The guest is stopped at the allowed time; what the stop itself takes is not the submitter's cost.
        let metered = run.metered.min(self.time_allowed);
        self.unpaid = metered.plus(run.compile);
        let Some(price) = self.price.of(metered) else {
            return self.close(Closed::ExecutorFailed, vec![Effect::Reply(Body::Expired)]);
        };
        let key = ResultKey(ctx.entropy.bytes());
        let locked = key.lock(&run.result.0);
        let quote = Quote {
            offer: self.offer,
            metered,
            price,
            address: ctx.next_address,
            expires: ctx.now.time.plus(QUOTE_VALID_S),
            key_hash: key.commitment(),
            locked_hash: Digest::of_content(&locked),
            locked_size: locked.len() as u64,
            ok: run.outcome.ok(),
        };
        let receipt = ExecutionReceipt {
            task: self.id,
            executor: PartyId(ctx.party.verifying_key().to_bytes()),
            module: self.module,
            inputs: self.inputs,
            result: Digest::of_content(&run.result.0),
            outcome: run.outcome,
            metered,
            cpu: run.cpu,
            price,
            limits: self.limits,
            runtime: run.runtime,
        }
        .sign(ctx.party);
        let until = quote.expires.plus(ctx.now.milestones(RETENTION_MILESTONES));
        self.state = State::Quoted(Box::new(Quoted {
            quote: quote.clone(),
            key,
            receipt,
            received: BaseUnits(0),
            late: BaseUnits(0),
        }));
        vec![
            Effect::Watch,
            Effect::Reply(Body::Result { locked: Bytes(locked) }),
            Effect::Reply(Body::Quote(quote)),
            Effect::Timer(until),
        ]
    }

    fn quoted(&mut self, mut quoted: Box<Quoted>, input: Input, ctx: &mut Ctx<'_>) -> Vec<Effect> {
        match input {
            Input::Received { amount, booked } if booked <= quoted.quote.expires => {
                quoted.received = quoted.received.saturating_add(amount);
                if quoted.received < quoted.quote.price {
                    self.state = State::Quoted(quoted);
                    return vec![];
                }
                self.unpaid = Millis(0);
                self.state = State::Released { received: quoted.received, price: quoted.quote.price };
                let release = Body::Release { key: quoted.key.clone(), receipt: quoted.receipt.clone() };
                vec![Effect::Reply(release), Effect::Unwatch(quoted.quote.address)]
            }
            Input::Received { amount, .. } => {
                quoted.late = quoted.late.saturating_add(amount);
                self.state = State::Quoted(quoted);
                vec![]
            }
            Input::Tick if ctx.now.time > quoted.quote.expires => {
                let mut effects = vec![Effect::Unwatch(quoted.quote.address), Effect::Reply(Body::Expired)];
                let paid = quoted.received.saturating_add(quoted.late);
                let refunds = u32::from(paid >= self.price.minimum);
                if refunds == 1 {
                    effects.push(Effect::Refund { number: 0, to: self.refund, amount: paid });
                }
                self.state = State::Closed { why: Closed::Unpaid, refunds };
                effects
            }
            Input::Tick
            | Input::Cancel
            | Input::Start
            | Input::Executed(_)
            | Input::Interrupted
            | Input::BadModule(_) => {
                self.state = State::Quoted(quoted);
                vec![]
            }
        }
    }

    fn released(&mut self, received: BaseUnits, price: BaseUnits, input: Input) -> Vec<Effect> {
        let received = match input {
            // A surplus is kept and shown; the submitter sent it to an address it had already paid.
            Input::Received { amount, .. } => received.saturating_add(amount),
            Input::Start
            | Input::Executed(_)
            | Input::Interrupted
            | Input::BadModule(_)
            | Input::Cancel
            | Input::Tick => received,
        };
        self.state = State::Released { received, price };
        vec![]
    }

    fn closed(&mut self, why: Closed, refunds: u32, input: Input) -> Vec<Effect> {
        let mut effects = vec![];
        let mut refunds = refunds;
        if let Input::Received { amount, .. } = input
            && amount >= self.price.minimum
        {
            effects.push(Effect::Refund { number: refunds, to: self.refund, amount });
            refunds += 1;
        }
        self.state = State::Closed { why, refunds };
        effects
    }

    fn close(&mut self, why: Closed, effects: Vec<Effect>) -> Vec<Effect> {
        self.state = State::Closed { why, refunds: 0 };
        effects
    }
}

#[cfg(test)]
mod tests;
