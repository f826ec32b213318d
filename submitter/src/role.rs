//! The submitter's role: feeds the task machine and carries its effects to the desk.

use serde::{Deserialize, Serialize};
use tarefa_daemon::desk::{Desk, Reader};
use tarefa_daemon::driver::money::{order_of_task, task_of_order};
use tarefa_daemon::role::{Answer, Role};
use tarefa_daemon::store::{StoreError, TaskRow, Tx};
use tarefa_ledger::wallet::NewOrder;
use tarefa_protocol::codec::{self, Bytes};
use tarefa_protocol::envelope::Header;
use tarefa_protocol::limits::{MESSAGE_LIFE_S, OFFER_VALID_MAX_S, QUOTE_DEADLINE_S};
use tarefa_protocol::message::{Body, Letter, Manifest, Submit};
use tarefa_protocol::offer::{KnownOffer, rank};
use tarefa_protocol::receipt::SignedReceipt;
use tarefa_protocol::result::TaskResult;
use tarefa_protocol::seal::{self, ResultKey};
use tarefa_protocol::submitter::{Effect, Input, State, Task};
use tarefa_protocol::time::Now;
use tarefa_protocol::{Address, BaseUnits, Digest, LedgerSeconds, PartyId, SealingKey, Tag, TaskId};

/// A task before it is asked of anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The WebAssembly module.
    pub module: Bytes,
    /// What it gets.
    pub manifest: Manifest,
}

/// A task as a submitter stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The machine.
    pub task: Task,
    /// Blob with the encoded draft; dropped once the task has ended.
    pub draft: Digest,
    /// Replies are sealed to this key.
    pub reply_key: SealingKey,
    /// Replies come to this inbox.
    pub reply_tag: Tag,
    /// Late payments come back here.
    pub refund: Address,
    /// Blob with the encoded result, once it is opened.
    pub result: Option<Digest>,
    /// The executor's signed receipt, once it is here.
    pub receipt: Option<SignedReceipt>,
}

/// What a user sees of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Seen {
    /// Sent to an executor.
    Submitted {
        /// Whom.
        executor: String,
        /// Blocks it takes.
        blocks: u32,
    },
    /// In its queue.
    Accepted {
        /// Tasks before this one.
        position: u32,
    },
    /// The locked result is here.
    ResultReceived {
        /// Its size.
        bytes: u64,
    },
    /// A good quote is here.
    Quoted {
        /// Billed time.
        metered_ms: u64,
        /// Base units.
        price: u64,
    },
    /// The payment is included.
    Paid {
        /// Base units.
        price: u64,
    },
    /// The result is open.
    Done {
        /// How the guest ended.
        outcome: String,
        /// Exit status of `tarefa run`.
        exit_status: u8,
    },
    /// It ended without a result.
    Failed {
        /// Why.
        reason: String,
        /// Exit status of `tarefa run`.
        exit_status: u8,
    },
}

/// Decides as a submitter.
#[derive(Debug, Default)]
pub struct SubmitterRole;

impl SubmitterRole {
    /// Asks the executor of `offer` to run `draft`. The id is chosen and stored before anything is sent.
    pub fn submit(
        &mut self,
        desk: &mut Desk<'_>,
        draft: &Draft,
        offer: KnownOffer,
        max_price: BaseUnits,
    ) -> Result<TaskId, StoreError> {
        draft.manifest.check().map_err(|error| StoreError::Rule(error.to_string()))?;
        let id = TaskId(desk.entropy.bytes());
        let now = desk.now;
        let time_max = draft.manifest.limits.min(&offer.offer.limits).time_max;
        let time_max_s = u32::try_from(time_max.0.div_ceil(1_000)).unwrap_or(u32::MAX);
        let deadline = now.time.plus(QUOTE_DEADLINE_S).plus(time_max_s);
        let life = deadline.plus(MESSAGE_LIFE_S).plus(MESSAGE_LIFE_S);
        let reply_key = desk.new_sealing_key(life)?;
        let reply_tag = Tag(desk.entropy.bytes());
        desk.listen(reply_tag, life)?;
        let (_, refund) = desk.fresh_address("refund", None)?;
        let hashes = (Digest::of_content(&draft.module.0), draft.manifest.input_hash());
        let (task, effects) = Task::new(id, offer, max_price, hashes, deadline, now);
        // With the id: two equal tasks do not share a blob, of which one would drop the other's.
        let draft = desk.tx.put_blob(&codec::encode(&(id, draft)))?;
        let mut stored = Stored { task, draft, reply_key, reply_tag, refund, result: None, receipt: None };
        self.carry_out(desk, &mut stored, effects)?;
        save(desk, stored, now.time)?;
        Ok(id)
    }

    /// Cancels a task; one that is being paid goes on.
    pub fn cancel(&mut self, desk: &mut Desk<'_>, id: &TaskId) -> Result<(), StoreError> {
        self.feed(desk, id, Input::Cancel)
    }

    fn feed(&mut self, desk: &mut Desk<'_>, id: &TaskId, input: Input) -> Result<(), StoreError> {
        let Some(row) = desk.tx.task::<Stored>(id)? else { return Ok(()) };
        let mut stored = row.state;
        let mut inputs = vec![input];
        // Opening a result answers at once; everything else answers with a later input.
        while let Some(input) = inputs.pop() {
            let before = phase(&stored.task.state);
            let effects = stored.task.handle(input, desk.now);
            if before != phase(&stored.task.state) {
                note(desk, &stored.task)?;
            }
            inputs.extend(self.carry_out(desk, &mut stored, effects)?);
        }
        if stored.task.is_ended() {
            desk.tx.drop_blob(&stored.draft)?;
            if matches!(stored.task.state, State::Done { .. }) {
                desk.tx.count_paid(&stored.task.asked.executor)?;
            }
        }
        save(desk, stored, row.created)
    }

    fn carry_out(
        &mut self,
        desk: &mut Desk<'_>,
        stored: &mut Stored,
        effects: Vec<Effect>,
    ) -> Result<Option<Input>, StoreError> {
        let id = stored.task.id;
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Submit => send_submit(desk, stored)?,
                Effect::Cancel(asked) => {
                    let party = asked.executor;
                    let reader = Reader { party, key: asked.offer.sealing_key, tag: Tag::inbox_of(&party) };
                    let not_after = desk.now.time.plus(MESSAGE_LIFE_S);
                    desk.send(&reader, &Letter { task: id, body: Body::Cancel }, not_after)?;
                }
                Effect::KeepLocked(locked) => {
                    desk.event(&id, &Seen::ResultReceived { bytes: locked.len() as u64 })?;
                    desk.tx.put_blob(&locked)?;
                }
                Effect::DropLocked(hash) => desk.tx.drop_blob(&hash)?,
                Effect::Pay { address, amount, expires } => desk.pay(NewOrder {
                    name: order_of_task(&id),
                    to: address.0,
                    amount: amount.0,
                    expires: Some(expires.0),
                }),
                Effect::GiveUp => desk.give_up(&order_of_task(&id)),
                Effect::Open { key, receipt } => answer = Some(open(desk, stored, &key, receipt)?),
                Effect::Timer(at) => desk.tx.add_timer(&id, at)?,
            }
        }
        Ok(answer)
    }

    fn next_offer(&self, desk: &Desk<'_>, id: &TaskId) -> Result<Option<Box<KnownOffer>>, StoreError> {
        let Some(row) = desk.tx.task::<Stored>(id)? else { return Ok(None) };
        let task = &row.state.task;
        let mut offers = desk.tx.offers(desk.now.time)?;
        rank(&mut offers);
        let next = offers
            .into_iter()
            .find(|offer| offer.executor != task.asked.executor && !task.tried.contains(&offer.executor));
        Ok(next.map(Box::new))
    }
}

fn send_submit(desk: &mut Desk<'_>, stored: &Stored) -> Result<(), StoreError> {
    let task = &stored.task;
    let bytes =
        desk.tx.blob(&stored.draft)?.ok_or_else(|| StoreError::Rule("the stored task has lost its draft".into()))?;
    let (_, draft): (TaskId, Draft) = codec::decode(&bytes)?;
    let submit = Submit {
        offer: task.asked.id,
        manifest: draft.manifest,
        module: draft.module,
        reply_key: stored.reply_key,
        reply_tag: stored.reply_tag,
        max_price: task.max_price,
        deadline: task.deadline,
        refund: stored.refund,
    };
    let party = task.asked.executor;
    let reader = Reader { party, key: task.asked.offer.sealing_key, tag: Tag::inbox_of(&party) };
    let letter = Letter { task: task.id, body: Body::Submit(Box::new(submit)) };
    desk.send(&reader, &letter, task.deadline)?;
    let blocks = desk.tx.parts_left(&task.id)?;
    desk.event(&task.id, &Seen::Submitted { executor: party.to_string(), blocks })
}

/// Opens the locked result and checks the receipt; what is good is kept.
fn open(desk: &Desk<'_>, stored: &mut Stored, key: &ResultKey, receipt: SignedReceipt) -> Result<Input, StoreError> {
    let locked = match stored.task.locked {
        Some(hash) => desk.tx.blob(&hash)?,
        None => None,
    };
    let Some(locked) = locked else { return Ok(Input::NotOpened("the locked result is not here".into())) };
    let plain = match key.open(&locked) {
        Ok(plain) => plain,
        Err(error) => return Ok(Input::NotOpened(error.to_string())),
    };
    let verified = match receipt.verify() {
        Ok(verified) => verified,
        Err(error) => return Ok(Input::NotOpened(error.to_string())),
    };
    if let Err(error) = codec::decode::<TaskResult>(&plain) {
        return Ok(Input::NotOpened(error.to_string()));
    }
    let result = desk.tx.put_blob(&plain)?;
    if let Some(hash) = stored.task.locked {
        desk.tx.drop_blob(&hash)?;
    }
    stored.result = Some(result);
    stored.receipt = Some(receipt);
    Ok(Input::Opened { receipt: Box::new(verified), result })
}

fn save(desk: &Desk<'_>, state: Stored, created: LedgerSeconds) -> Result<(), StoreError> {
    let row = TaskRow {
        id: state.task.id,
        party: state.task.asked.executor,
        phase: phase(&state.task.state).to_owned(),
        created,
        unpaid: Default::default(),
        state,
    };
    desk.tx.save_task(&row, desk.now.time)
}

/// One word for a state, as the store indexes it.
pub fn phase(state: &State) -> &'static str {
    match state {
        State::Sent => "sent",
        State::Accepted => "accepted",
        State::Quoted(_) => "quoted",
        State::Paying { .. } => "paying",
        State::Paid(_) => "paid",
        State::Done { .. } => "done",
        State::Failed(_) => "failed",
    }
}

fn note(desk: &mut Desk<'_>, task: &Task) -> Result<(), StoreError> {
    let seen = match &task.state {
        State::Sent | State::Accepted | State::Quoted(_) => return Ok(()),
        State::Paying { quote, .. } => Seen::Quoted { metered_ms: quote.metered.0, price: quote.price.0 },
        State::Paid(quote) => Seen::Paid { price: quote.price.0 },
        State::Done { outcome, .. } => Seen::Done { outcome: outcome.to_string(), exit_status: outcome.exit_status() },
        State::Failed(failure) => Seen::Failed { reason: failure.to_string(), exit_status: failure.exit_status() },
    };
    desk.event(&task.id, &seen)
}

impl Role for SubmitterRole {
    fn standing_tags(&self, _: &PartyId) -> Vec<Tag> {
        vec![Tag::offers()]
    }

    fn opened(&mut self, desk: &mut Desk<'_>, header: &Header, letter: Letter) -> Result<(), StoreError> {
        if let Body::Offer(offer) = &letter.body {
            let now = desk.now.time;
            let timely = offer.valid_until >= now && offer.valid_until <= now.plus(OFFER_VALID_MAX_S);
            // An offer that could not be paid, or whose key cannot be sealed to, would only fail later.
            let usable = offer.price.minimum.0 >= desk.least_output
                && seal::seal(&offer.sealing_key, b"", b"", desk.entropy).is_ok();
            if header.recipient.is_none() && timely && usable {
                desk.tx.add_offer(&header.sender, offer)?;
            }
            return Ok(());
        }
        let Some(row) = desk.tx.task::<Stored>(&letter.task)? else { return Ok(()) };
        // Only the executor asked now is heard: an earlier one that answers late was told that it is not wanted.
        if row.state.task.asked.executor != header.sender {
            return Ok(());
        }
        if let Body::Accept(accept) = &letter.body {
            desk.event(&letter.task, &Seen::Accepted { position: accept.position })?;
        }
        self.feed(desk, &letter.task, Input::Heard(letter.body))
    }

    fn settled(&mut self, desk: &mut Desk<'_>, order: &str, booked: u32) -> Result<(), StoreError> {
        match task_of_order(order) {
            Some(task) => self.feed(desk, &task, Input::PaymentSettled { booked: LedgerSeconds(booked) }),
            None => Ok(()),
        }
    }

    fn returned(&mut self, desk: &mut Desk<'_>, order: &str) -> Result<(), StoreError> {
        match task_of_order(order) {
            Some(task) => self.feed(desk, &task, Input::PaymentReturned),
            None => Ok(()),
        }
    }

    fn received(&mut self, _: &mut Desk<'_>, _: TaskId, _: u64, _: u32) -> Result<(), StoreError> {
        Ok(())
    }

    fn timer(&mut self, desk: &mut Desk<'_>, task: TaskId) -> Result<(), StoreError> {
        let next = self.next_offer(desk, &task)?;
        self.feed(desk, &task, Input::Tick { next })
    }

    fn delivered(&mut self, desk: &mut Desk<'_>, task: TaskId) -> Result<(), StoreError> {
        self.feed(desk, &task, Input::Delivered)
    }

    fn answered(&mut self, _: &mut Desk<'_>, _: TaskId, _: Answer) -> Result<(), StoreError> {
        Ok(())
    }

    fn wants_tick(&self, _: Now) -> bool {
        false
    }

    fn tick(&mut self, _: &mut Desk<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn reload(&mut self, _: &Tx<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}
