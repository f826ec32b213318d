//! The executor's role: feeds the task machine, carries its effects to the desk, keeps the offer fresh.

use serde::{Deserialize, Serialize};
use tarefa_daemon::desk::{Desk, Reader};
use tarefa_daemon::role::{Answer, Role, RunGuest};
use tarefa_daemon::store::{StoreError, TaskRow, Tx};
use tarefa_ledger::wallet::NewOrder;
use tarefa_protocol::envelope::Header;
use tarefa_protocol::executor::{self, Closed, Ctx, Effect, Exposure, House, Input, State, Task};
use tarefa_protocol::limits::{MESSAGE_LIFE_S, OFFER_EVERY_S};
use tarefa_protocol::message::{Body, Letter, Reject, Submit};
use tarefa_protocol::offer::Offer;
use tarefa_protocol::time::Now;
use tarefa_protocol::{Digest, LedgerSeconds, PartyId, SealingKey, Tag, TaskId, codec};

use crate::config::Config;

/// Unpaid work older than this does not count any more: pools refill by the hour.
const EXPOSURE_WINDOW_S: u32 = 3_600;

/// Ids tried for one task before it is given up: each one taken cost somebody else an accepted task.
const LOCAL_IDS_MAX: u8 = 8;

/// A task as an executor stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The machine.
    pub task: Task,
    /// Blob with the encoded submit; dropped once the guest has run.
    pub submit: Digest,
}

/// Decides as an executor.
pub struct ExecutorRole {
    config: Config,
    walls: Vec<String>,
    queued: u32,
    running: u32,
    offer: Option<OfferState>,
}

/// The offer announced now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct OfferState {
    made: LedgerSeconds,
    valid_until: LedgerSeconds,
    free: u16,
    sequence: u64,
    sealing_key: SealingKey,
    key_until: LedgerSeconds,
    terms: Digest,
}

const OFFER: &str = "offer";

/// What a user sees of a task.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Seen<'a> {
    Accepted { submitter: PartyId, position: u32 },
    Rejected { submitter: PartyId, reason: &'a str },
    Running,
    Quoted { metered_ms: u64, price: u64, ok: bool },
    Released { received: u64 },
    Closed { why: Closed },
    Refunding { amount: u64 },
}

impl ExecutorRole {
    /// A role with settled configuration; `walls` are the sandbox properties that held.
    pub fn new(config: Config, walls: Vec<String>) -> Self {
        Self { config, walls, queued: 0, running: 0, offer: None }
    }

    /// Guests that run, tasks that wait.
    pub fn load(&self) -> (u32, u32) {
        (self.running, self.queued)
    }

    /// Everything of the offer that a submitter can rely on, as one hash.
    fn terms(&self) -> Digest {
        let terms = (&self.config.price(), &self.config.limits, self.config.slots, &self.walls);
        Digest::of("tarefa/terms", &[&codec::encode(&terms)])
    }

    fn free(&self) -> u16 {
        self.config.slots.saturating_sub(u16::try_from(self.running + self.queued).unwrap_or(u16::MAX))
    }

    fn offer_is_stale(&self, now: Now) -> bool {
        let Some(offer) = &self.offer else { return true };
        now.time.plus(self.config.offer_valid_s / 2) > offer.valid_until
            || offer.terms != self.terms()
            || (offer.free != self.free() && now.time.since(offer.made) >= OFFER_EVERY_S)
    }

    fn announce(&mut self, desk: &mut Desk<'_>) -> Result<(), StoreError> {
        let now = desk.now.time;
        let valid_until = now.plus(self.config.offer_valid_s);
        let before: Option<OfferState> = desk.tx.get(OFFER)?;
        // Another number of free slots keeps the sealing key; a renewal or other terms make a new one. The secret is
        // kept as long as tasks that rely on the offer may come.
        let needed_until = valid_until.plus(2 * self.config.offer_valid_s);
        let kept = before.filter(|offer| {
            offer.key_until >= needed_until && offer.terms == self.terms() && offer.free != self.free()
        });
        let (sealing_key, key_until) = match kept {
            Some(offer) => (offer.sealing_key, offer.key_until),
            None => {
                let key_until = needed_until.plus(self.config.offer_valid_s);
                (desk.new_sealing_key(key_until)?, key_until)
            }
        };
        let state = OfferState {
            made: now,
            valid_until,
            free: self.free(),
            sequence: before.map_or(1, |offer| offer.sequence + 1),
            sealing_key,
            key_until,
            terms: self.terms(),
        };
        let offer = Offer {
            sealing_key,
            price: self.config.price(),
            limits: self.config.limits,
            slots: self.config.slots,
            free: state.free,
            walls: self.walls.clone(),
            valid_until,
            sequence: state.sequence,
        };
        desk.tx.add_own_offer(&desk.keys.party_id(), &offer)?;
        desk.tx.set(OFFER, &state)?;
        let letter = Letter { task: TaskId([0; 16]), body: Body::Offer(offer) };
        desk.announce(Tag::offers(), &letter, valid_until)?;
        self.offer = Some(state);
        Ok(())
    }

    fn submitted(&mut self, desk: &mut Desk<'_>, id: TaskId, from: PartyId, submit: &Submit) -> Result<(), StoreError> {
        let (local, row) = find(desk, id, &from)?;
        if row.is_some() {
            return Ok(());
        }
        let offer = desk.tx.offer(&submit.offer)?;
        let house = House {
            offer: offer.as_ref(),
            queue: self.queued + self.running,
            queue_max: self.config.queue_max,
            exposure: exposure(desk, &from)?,
            exposure_limits: self.config.exposure,
        };
        let (_, next_address) = desk.next_address()?;
        let ctx = Ctx { now: desk.now, entropy: desk.entropy, next_address, party: desk.keys.party() };
        match executor::accept(id, from, submit, &house, &ctx) {
            Ok((task, effects)) => {
                let blob = desk.tx.put_blob(&codec::encode(submit))?;
                desk.event(&local, &Seen::Accepted { submitter: from, position: house.queue })?;
                let mut row = new_row(local, Stored { task, submit: blob }, desk.now.time);
                self.queued += 1;
                self.carry_out(desk, &mut row, effects, None)?;
                save(desk, row)
            }
            Err(reject) => {
                desk.event(&local, &Seen::Rejected { submitter: from, reason: &reject.text })?;
                refuse(desk, id, from, submit, reject)
            }
        }
    }

    /// Feeds one input to one task and carries out what it says.
    fn feed(&mut self, desk: &mut Desk<'_>, id: &TaskId, input: Input) -> Result<(), StoreError> {
        let Some(mut row) = desk.tx.task::<Stored>(id)? else { return Ok(()) };
        let before = phase(&row.state.task.state);
        let (index, next_address) = desk.next_address()?;
        let mut ctx = Ctx { now: desk.now, entropy: desk.entropy, next_address, party: desk.keys.party() };
        let effects = row.state.task.handle(input, &mut ctx);
        let after = phase(&row.state.task.state);
        self.count(before, after);
        if before != after {
            note(desk, &row.id, &row.state.task)?;
        }
        self.carry_out(desk, &mut row, effects, Some(index))?;
        if matches!(before, "queued" | "running") && !row.state.task.is_active() {
            desk.tx.drop_blob(&row.state.submit)?;
        }
        if before != "released" && after == "released" {
            desk.tx.count_paid(&row.party)?;
        }
        save(desk, row)
    }

    fn count(&mut self, before: &str, after: &str) {
        for (phase, step) in [(before, -1i64), (after, 1)] {
            let counter = match phase {
                "queued" => &mut self.queued,
                "running" => &mut self.running,
                _ => continue,
            };
            *counter = u32::try_from(i64::from(*counter) + step).unwrap_or(0);
        }
    }

    fn carry_out(
        &mut self,
        desk: &mut Desk<'_>,
        row: &mut TaskRow<Stored>,
        effects: Vec<Effect>,
        next_index: Option<u32>,
    ) -> Result<(), StoreError> {
        let task = &row.state.task;
        let not_after = desk.now.time.plus(MESSAGE_LIFE_S);
        for effect in effects {
            match effect {
                Effect::Reply(body) => {
                    let reader = Reader { party: task.reply.party, key: task.reply.key, tag: task.reply.tag };
                    desk.send(&reader, &Letter { task: task.id, body }, not_after)?;
                }
                Effect::Run => desk.run_once(&RunGuest {
                    task: row.id,
                    submit: row.state.submit,
                    limits: task.limits,
                    time_allowed: task.time_allowed,
                })?,
                Effect::Stop => desk.stop(row.id),
                Effect::Watch => {
                    let (index, _) = desk.fresh_address("quote", Some(&row.id))?;
                    if next_index != Some(index) {
                        return Err(StoreError::Rule("the quoted address is not the one that was burnt".into()));
                    }
                    desk.watch(index);
                }
                Effect::Unwatch(address) => desk.unwatch(&address)?,
                Effect::Refund { number, to, amount } => {
                    desk.event(&row.id, &Seen::Refunding { amount: amount.0 })?;
                    let name = format!("refund:{}:{number}", row.id);
                    desk.pay(NewOrder { name, to: to.0, amount: amount.0, expires: None });
                }
                Effect::Timer(at) => desk.tx.add_timer(&row.id, at)?,
            }
        }
        Ok(())
    }
}

/// Work of this party, and of all that never paid, that is unpaid or running.
fn exposure(desk: &Desk<'_>, party: &PartyId) -> Result<Exposure, StoreError> {
    let since = LedgerSeconds(desk.now.time.0.saturating_sub(EXPOSURE_WINDOW_S));
    let (of_submitter, of_strangers) = desk.tx.unpaid_work(party, since)?;
    Ok(Exposure { of_submitter, of_strangers, known: desk.tx.paid_before(party)? > 0 })
}

fn refuse(desk: &mut Desk<'_>, id: TaskId, to: PartyId, submit: &Submit, reject: Reject) -> Result<(), StoreError> {
    let reader = Reader { party: to, key: submit.reply_key, tag: submit.reply_tag };
    let not_after = desk.now.time.plus(MESSAGE_LIFE_S);
    desk.send(&reader, &Letter { task: id, body: Body::Reject(reject) }, not_after)
}

/// The row of a submitter's task, or the id to keep it under. Submitters choose ids, so two may choose the same, one of
/// them in bad faith: whoever comes second is kept under an id of ours. Messages carry the submitter's own.
fn find(desk: &Desk<'_>, id: TaskId, party: &PartyId) -> Result<(TaskId, Option<TaskRow<Stored>>), StoreError> {
    for attempt in 0..LOCAL_IDS_MAX {
        let local = if attempt == 0 { id } else { local_id(id, party, attempt) };
        match desk.tx.task::<Stored>(&local)? {
            Some(row) if row.party != *party => {}
            row => return Ok((local, row)),
        }
    }
    Err(StoreError::Rule(format!("others hold every id that task {id} could be kept under")))
}

fn local_id(id: TaskId, party: &PartyId, attempt: u8) -> TaskId {
    let Digest(hash) = Digest::of("tarefa/local-task", &[&party.0, &id.0, &[attempt]]);
    let mut local = [0; 16];
    local.copy_from_slice(&hash[..16]);
    TaskId(local)
}

fn new_row(id: TaskId, state: Stored, now: LedgerSeconds) -> TaskRow<Stored> {
    TaskRow { id, party: state.task.reply.party, phase: String::new(), created: now, unpaid: state.task.unpaid, state }
}

fn save(desk: &Desk<'_>, mut row: TaskRow<Stored>) -> Result<(), StoreError> {
    row.phase = phase(&row.state.task.state).to_owned();
    row.unpaid = row.state.task.unpaid;
    desk.tx.save_task(&row, desk.now.time)
}

/// One word for a state, as the store indexes it.
pub fn phase(state: &State) -> &'static str {
    match state {
        State::Queued { .. } => "queued",
        State::Running { .. } => "running",
        State::Quoted(_) => "quoted",
        State::Released { .. } => "released",
        State::Closed { .. } => "closed",
    }
}

fn note(desk: &mut Desk<'_>, id: &TaskId, task: &Task) -> Result<(), StoreError> {
    let seen = match &task.state {
        State::Queued { .. } => return Ok(()),
        State::Running { .. } => Seen::Running,
        State::Quoted(quoted) => {
            Seen::Quoted { metered_ms: quoted.quote.metered.0, price: quoted.quote.price.0, ok: quoted.quote.ok }
        }
        State::Released { received, .. } => Seen::Released { received: received.0 },
        State::Closed { why, .. } => Seen::Closed { why: *why },
    };
    desk.event(id, &seen)
}

impl Role for ExecutorRole {
    fn standing_tags(&self, party: &PartyId) -> Vec<Tag> {
        vec![Tag::inbox_of(party)]
    }

    fn opened(&mut self, desk: &mut Desk<'_>, header: &Header, letter: Letter) -> Result<(), StoreError> {
        match letter.body {
            Body::Submit(submit) => self.submitted(desk, letter.task, header.sender, &submit),
            Body::Cancel => {
                let (local, row) = find(desk, letter.task, &header.sender)?;
                if row.is_some() { self.feed(desk, &local, Input::Cancel) } else { Ok(()) }
            }
            Body::Offer(_)
            | Body::Reject(_)
            | Body::Accept(_)
            | Body::Result { .. }
            | Body::Quote(_)
            | Body::Release { .. }
            | Body::Expired => Ok(()),
        }
    }

    fn settled(&mut self, _: &mut Desk<'_>, _: &str, _: u32) -> Result<(), StoreError> {
        Ok(())
    }

    fn returned(&mut self, _: &mut Desk<'_>, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn received(&mut self, desk: &mut Desk<'_>, task: TaskId, amount: u64, booked: u32) -> Result<(), StoreError> {
        let amount = tarefa_protocol::BaseUnits(amount);
        self.feed(desk, &task, Input::Received { amount, booked: LedgerSeconds(booked) })
    }

    fn timer(&mut self, desk: &mut Desk<'_>, task: TaskId) -> Result<(), StoreError> {
        self.feed(desk, &task, Input::Tick)
    }

    fn delivered(&mut self, _: &mut Desk<'_>, _: TaskId) -> Result<(), StoreError> {
        Ok(())
    }

    fn answered(&mut self, desk: &mut Desk<'_>, task: TaskId, answer: Answer) -> Result<(), StoreError> {
        let input = match answer {
            Answer::Executed(execution) => Input::Executed(execution),
            Answer::BadModule(text) => Input::BadModule(text),
            Answer::Interrupted => Input::Interrupted,
        };
        self.feed(desk, &task, input)
    }

    fn wants_tick(&self, now: Now) -> bool {
        // Before the first milestone is read there is no ledger time to promise anything by.
        now.time.0 > 0 && ((self.queued > 0 && self.running < u32::from(self.config.slots)) || self.offer_is_stale(now))
    }

    fn tick(&mut self, desk: &mut Desk<'_>) -> Result<(), StoreError> {
        if self.queued > 0 && self.running < u32::from(self.config.slots) {
            for row in desk.tx.tasks::<Stored>(Some("queued"))? {
                if self.running >= u32::from(self.config.slots) {
                    break;
                }
                // Others may pass a task whose submitter has too much unpaid: it waits for a payment.
                let seen = exposure(desk, &row.party)?;
                if self.config.exposure.admits(seen, row.state.task.time_allowed) {
                    self.feed(desk, &row.id, Input::Start)?;
                }
            }
        }
        if self.offer_is_stale(desk.now) {
            self.announce(desk)?;
        }
        Ok(())
    }

    fn reload(&mut self, store: &Tx<'_>) -> Result<(), StoreError> {
        self.queued = store.count_tasks(&["queued"])?;
        self.running = store.count_tasks(&["running"])?;
        self.offer = store.get(OFFER)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
