//! From orders to doubly-signed states: one proposal at a time, stored before it is sent, the same bytes until there is an answer.

use std::time::{Duration, Instant};

use serde_json::json;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::client::{Client, ClientError, Paying};
use tarefa_channel::contract::Signed;
use tarefa_channel::hub::Answer;
use tarefa_channel::message::{Op, OpKind, Token};
use tarefa_channel::{StateHash, TokenId};

use super::choose::{attaches, choose};
use super::linger::is_crowded;
use super::orders::Ordered;
use super::wait::{Until, Waiter};
use super::{Daemon, Input, Step};
use crate::fault::ClientFault;
use crate::link::LinkFault;
use crate::order::{Built, Order, build, ends};

/// How long before a hub that did not answer is asked again.
const REST: Duration = Duration::from_millis(300);

/// How long before a refused proposal that must be kept is sent again.
const REFUSED_REST: Duration = Duration::from_secs(5);

/// How long nothing is wished for after the hub has refused it: what it does not see yet, it sees soon.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many times as long at most, where it refuses again and again.
const PATIENCES: u32 = 128;

/// Refused proposals after which an empty state is proposed, which ends them.
const CLEARED: usize = 16;

/// Refused proposals that are kept, each of which could still be signed: beyond, nothing more is proposed. Only closing helps then.
const REFUSED: usize = 64;

/// How long a settlement waits for a payment to ride with.
const SETTLE_IDLE: Duration = Duration::from_secs(1);

impl Daemon {
    /// Proposes the next state, if something is ordered or wished for and none is under way.
    pub(super) fn push(&mut self) -> Result<(), ClientFault> {
        self.drop_unwanted();
        let stored = match self.next_state() {
            Err(ClientFault::Store(error)) => Err(ClientFault::Store(error)),
            Err(fault) => {
                tracing::warn!(%fault, "no state was proposed");
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        stored?;
        self.store.release()?;
        self.post();
        Ok(())
    }

    /// Orders that nobody waits for any more are not carried out: whoever asked may have asked again, or paid otherwise.
    fn drop_unwanted(&mut self) {
        let (wanted, late) = std::mem::take(&mut self.orders).into_iter().partition(Ordered::is_wanted);
        self.orders = wanted;
        let room = self.room(&[]);
        for ordered in late {
            let words = if ordered.pays() > room {
                let most = self.settings.deployment.terms.live_tokens;
                format!(
                    "the hub allows {most} payments under way: there was no room for this in time, and nothing was signed"
                )
            } else {
                "another state is under way for too long: nothing was signed for this".to_owned()
            };
            if let Some((tell, _)) = ordered.tell {
                tell.send(Err(ClientFault::Asked(words))).ok();
            }
        }
    }

    /// How many payments the hub would let the next state begin, with these operations in it. The others wait until some have arrived: all
    /// would be refused for one too many.
    fn room(&self, ops: &[Op]) -> usize {
        let pending = self.client.as_ref().map_or(0, |client| client.position.pending.len());
        let ended = ops.iter().filter(|op| ends(op)).count();
        self.settings.deployment.terms.live_tokens.saturating_sub(pending.saturating_sub(ended))
    }

    fn next_state(&mut self) -> Result<(), ClientFault> {
        if self.restoring || self.client.as_ref().is_none_or(|client| client.half.is_some()) {
            return Ok(());
        }
        if !self.view().is_fresh() {
            return Ok(());
        }
        let wishes = self.wishes()?;
        let impatient = Instant::now() >= self.patient_until;
        let refused = self.channel()?.refused.len();
        let clears = self.clears && impatient && refused > 0;
        if refused >= REFUSED {
            for (tell, _) in self.orders.drain(..).filter_map(|ordered| ordered.tell) {
                tell.send(Err(ClientFault::asked("the hub refuses whatever is proposed: `close` leaves it"))).ok();
            }
            return Ok(());
        }
        let idle = self.orders.is_empty() && wishes.is_empty() && !clears;
        let crowded = refused >= CLEARED;
        if crowded && (idle || !impatient) {
            return Ok(());
        }
        if !clears && !crowded && self.lingers(&wishes) {
            return Ok(());
        }
        // A state without operations, once both have signed it, ends all that were refused before it, and has a signature of now. Not for
        // that where the hub refuses again and again: its state is checkpointed then, and more refused ones would stand in the way.
        let (wishes, mut taken) = if crowded { Default::default() } else { self.choose(wishes) };
        let empties = clears || crowded;
        if taken.is_empty() && wishes.is_empty() && !empties && !(impatient && self.is_to_be_signed_again()?) {
            return Ok(());
        }
        self.attached = wishes.iter().any(attaches);
        let proposed = self.sign(&taken, &wishes);
        match proposed {
            Ok((hash, tokens)) => {
                let mut tokens = tokens.into_iter();
                for (place, ordered) in taken.iter_mut().enumerate() {
                    let made: Vec<TokenId> = tokens.by_ref().take(ordered.pays()).map(|token| token.id()).collect();
                    let Some((tell, mut facts)) = ordered.tell.take() else { continue };
                    match &*made {
                        tokens if facts["tokens"].is_array() => facts["tokens"] = json!(tokens),
                        [token] => facts["token"] = json!(token),
                        _ => {}
                    }
                    self.wait(Until::Signed(hash, place), facts, tell);
                }
                self.ordered = taken;
                Ok(())
            }
            Err(ClientFault::Store(error)) => Err(ClientFault::Store(error)),
            // Which of them does not fit shows when each goes alone.
            Err(_) if taken.len() > 1 || !taken.is_empty() && !wishes.is_empty() => {
                taken.iter_mut().for_each(|ordered| ordered.alone = true);
                taken.into_iter().rev().for_each(|ordered| self.orders.push_front(ordered));
                Ok(())
            }
            Err(fault) => {
                if taken.is_empty() {
                    self.patient_until = Instant::now() + PATIENCE;
                }
                let words = fault.to_string();
                for (tell, _) in taken.into_iter().filter_map(|ordered| ordered.tell) {
                    tell.send(Err(ClientFault::asked(words.clone()))).ok();
                }
                Err(fault)
            }
        }
    }

    /// Whether the next state waits for receipts.
    fn lingers(&mut self, wishes: &[Op]) -> bool {
        let Some(client) = &self.client else { return false };
        let is_awaited = |paying: &Paying| paying.paid.is_none() && !paying.declined;
        self.linger.retain(|token| {
            client.position.pending.contains(&token) && client.paying.get(&token).is_some_and(is_awaited)
        });
        self.linger.waits(is_crowded(&self.orders, wishes, self.room(wishes)), Instant::now())
    }

    /// Whether the newest state needs another signature of the hub. Looked at only where some key was revoked: most hubs never do that.
    fn is_to_be_signed_again(&self) -> Result<bool, ClientFault> {
        Ok(self.view().books().has_revoked() && self.channel()?.is_to_be_signed_again(&self.ctx()))
    }

    /// What goes into the next state, of what is wished for and ordered.
    fn choose(&mut self, wishes: Vec<Op>) -> (Vec<Op>, Vec<Ordered>) {
        let room = self.room(&wishes);
        choose(&mut self.orders, wishes, self.attached, room)
    }

    /// What the channel would like by itself.
    fn wishes(&self) -> Result<Vec<Op>, ClientFault> {
        let idle = Instant::now() < self.patient_until;
        if idle || self.settings.manual && self.orders.is_empty() {
            return Ok(vec![]);
        }
        let mut wishes = self.channel()?.wishes(&self.ctx());
        // A settlement alone costs the hub as much as a payment: it rides with the next one, if that comes soon.
        if self.orders.is_empty() && self.busy_at.elapsed() < SETTLE_IDLE && wishes.iter().all(ends) {
            return Ok(vec![]);
        }
        if self.settings.manual {
            // What is deposited or over belongs into any state; attaching and declining is up to the user.
            wishes.retain(|op| op.kind == OpKind::In);
        }
        Ok(wishes)
    }

    fn sign(&mut self, taken: &[Ordered], wishes: &[Op]) -> Result<(StateHash, Vec<Token>), ClientFault> {
        let orders: Vec<Order> = taken.iter().flat_map(|ordered| ordered.orders.clone()).collect();
        let terms = self.settings.deployment.terms;
        let Built { ops, tokens, last } = build(&orders, self.channel()?, &terms, self.now(), &self.secret)?;
        // What is wished for comes first: it may free what is then spent.
        let named = |wish: &Op| !ops.iter().any(|op| op.token == wish.token && op.kind == wish.kind);
        let mut all: Vec<Op> = wishes.iter().filter(|wish| named(wish)).copied().collect();
        all.truncate(tarefa_channel::limits::OPS.saturating_sub(ops.len()));
        all.extend(ops);
        let facts = json!({ "ops": all, "last": last });
        let now = self.now();
        let proposed = tokens.clone();
        let hash = self.change(
            |client, ctx| client.propose(all, proposed, last, ctx).map(|proposal| proposal.state.hash()),
            |tx, client| {
                let seq = client.half.as_ref().map(|half| half.proposal.state.seq);
                tx.note(now, "proposed", &json!({ "seq": seq, "state": facts }))
            },
        )?;
        self.passed(Step::Proposed);
        tokens.iter().for_each(|token| self.linger.begins(token.id(), Instant::now()));
        Ok((hash, tokens))
    }

    /// Sends the proposal under way, until it is answered or another one is under way.
    fn post(&mut self) {
        let under_way = self.client.as_ref().and_then(|client| client.half.as_ref());
        let signature = under_way.map(|half| half.proposal.client);
        if self.posting.as_ref().map(|(posted, _)| *posted) == signature {
            return;
        }
        if let Some((_, posting)) = self.posting.take() {
            posting.abort();
        }
        let (Some(signature), Some(half)) = (signature, under_way) else { return };
        let hash = half.proposal.state.hash();
        let (link, tell, proposal) = (self.link.clone(), self.tell_loop.clone(), half.proposal.clone());
        let posting = tokio::spawn(async move {
            let mut answers = 0;
            loop {
                let answer = link.propose(&proposal).await;
                let rest = match &answer {
                    // The channel is new, and the hub does not see it yet.
                    Err(LinkFault::Refused { status: 404, .. }) => REST,
                    Ok(_) | Err(LinkFault::Refused { .. }) => {
                        // Where an answer does not count another replica is asked next, each of them once without a rest.
                        answers += usize::from(answer.is_ok());
                        let rest = if answer.is_ok() && answers <= link.replicas() { REST } else { REFUSED_REST };
                        if tell.send(Input::Answer(hash, answer)).await.is_err() {
                            return;
                        }
                        rest
                    }
                    Err(_) => {
                        link.turn();
                        REST
                    }
                };
                tokio::time::sleep(rest).await;
            }
        });
        self.posting = Some((signature, posting));
    }

    /// The hub's answer.
    pub(super) fn answered(&mut self, state: StateHash, answer: Result<Answer, LinkFault>) -> Result<(), ClientFault> {
        let half = self.client.as_ref().and_then(|client| client.half.as_ref());
        if half.is_none_or(|half| half.proposal.state.hash() != state) {
            return Ok(());
        }
        let now = self.now();
        match answer {
            Ok(answer) => {
                let note = |client: &Client| json!({ "seq": client.seq(), "client": client.position.balances.client, "hub": client.position.balances.hub });
                let taken = self.change(
                    |client, ctx| client.answered(&answer, ctx),
                    |tx, client| tx.note(now, "signed", &note(client)),
                );
                match taken {
                    Ok(()) => {
                        self.passed(Step::Signed);
                        self.ordered.clear();
                        self.refusals = 0;
                        self.clears = false;
                        Ok(())
                    }
                    // The answer came while the chain was not seen: it is asked for again.
                    Err(ClientFault::Channel(ClientError::Blind)) => Ok(()),
                    // Asked again, another replica may answer better: one that has another key, say.
                    Err(fault) => {
                        self.link.turn();
                        Err(fault)
                    }
                }
            }
            Err(LinkFault::Refused { status, words, newest }) => {
                // The hub has signed a state that it said it would not, or one that this store has lost.
                let client = self.channel()?;
                let unknown =
                    |newest: &Signed| newest.state.seq > client.seq() && client.is_doubly_signed(newest, &self.ctx());
                if newest.as_deref().is_some_and(unknown) {
                    self.store.commit(|tx| tx.set_restoring(true))?;
                    self.restoring = true;
                }
                self.refused(state, status, &words)
            }
            Err(_) => Ok(()),
        }
    }

    fn refused(&mut self, state: StateHash, status: u16, words: &str) -> Result<(), ClientFault> {
        let (now, facts) = (self.now(), json!({ "status": status, "why": words }));
        let half = self.channel()?.half.as_ref();
        let pays = half.is_some_and(|half| half.proposal.state.ops.iter().any(|op| op.kind == OpKind::Detach));
        let last = half.is_some_and(|half| half.proposal.state.last);
        self.change(
            |client, _| {
                client.refused();
                Ok(())
            },
            |tx, _| tx.note(now, "refused", &facts),
        )?;
        if self.channel()?.half.is_some() {
            // It attaches: kept until the hub signs it or a redemption takes its place. Or it is the last: then the channel is closed without the hub.
            let more = if last { "; unless it signs soon after all, the channel is closed on chain" } else { "" };
            self.fail(state, &format!("the hub refuses: {words}{more}"));
            return Ok(());
        }
        let ordered = std::mem::take(&mut self.ordered);
        if ordered.is_empty() {
            self.refusals += 1;
            let times = 2u32.saturating_pow(self.refusals - 1).min(PATIENCES);
            self.patient_until = Instant::now() + PATIENCE * times;
        }
        let together = ordered.len() > 1 || ordered.first().is_some_and(|first| !first.alone);
        if !together {
            // The next state ends it; until that is signed, the hub could still sign this one.
            let more = if pays { "; do not pay by another way before `refused` in `status` is 0" } else { "" };
            self.clears |= pays;
            self.fail(state, &format!("the hub refuses: {words}{more}"));
            return Ok(());
        }
        // Which of them it refuses shows when each goes alone. Who waited for one waits for it still; who has gone waits for nothing.
        for (place, Ordered { orders, until, .. }) in ordered.into_iter().enumerate() {
            let waits = |waiter: &Waiter| matches!(waiter.until, Until::Signed(of, at) if of == state && at == place);
            let waiter = self.waiters.iter().position(waits).map(|found| self.waiters.swap_remove(found));
            let tell = waiter.map(|waiter| (waiter.tell, waiter.facts));
            self.orders.push_back(Ordered { orders, tell, alone: true, until });
        }
        Ok(())
    }
}
