//! Whoever asked waits here until what was begun has come to something.

use std::cell::OnceCell;
use std::time::Instant;

use alloy_primitives::B256;
use serde_json::{Value, json};
use tarefa_chain::Fate;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::contract::Status;
use tarefa_channel::{Amount, Seq, StateHash, TokenId};

use super::{Daemon, Tell};
use crate::fault::ClientFault;

/// What somebody waits for.
pub enum Until {
    /// A state is doubly signed: for the order at this place among those of the state.
    Signed(StateHash, usize),
    /// What a token paid for has arrived, or it has come back.
    Paid(TokenId),
    /// A call is in a block.
    Mined(B256),
    /// The channel is open, finally, and the hub knows it.
    Open,
    /// A voucher has been acknowledged.
    Acknowledged(TokenId, Amount),
}

/// Somebody who waits.
pub struct Waiter {
    pub until: Until,
    /// What to say besides.
    pub facts: Value,
    pub deadline: Instant,
    pub tell: Tell,
}

/// A state and its number, once somebody has asked.
type Newest = OnceCell<Option<(StateHash, Seq)>>;

impl Daemon {
    pub(super) fn wait(&mut self, until: Until, facts: Value, tell: Tell) {
        let deadline = Instant::now() + self.pace.wait;
        self.waiters.push(Waiter { until, facts, deadline, tell });
    }

    /// What has come of it; none while nothing has. `newest`: the newest doubly-signed state, for the next who waits too.
    fn outcome(&self, until: &Until, newest: &Newest) -> Option<Result<Value, ClientFault>> {
        match until {
            Until::Signed(hash, _) => {
                let newest = newest.get_or_init(|| {
                    let state = self.client.as_ref().and_then(|client| client.newest.as_ref());
                    state.map(|state| (state.hash(), state.seq))
                });
                newest.filter(|(found, _)| found == hash).map(|(_, seq)| Ok(json!({ "seq": seq })))
            }
            Until::Paid(token) => {
                let client = self.client.as_ref()?;
                let found = self.store.read(|tx| Ok((tx.receipt(*token)?, tx.ended(*token)?)));
                let asked = |words: String| Some(Err(ClientFault::Asked(words)));
                match found {
                    Err(fault) => Some(Err(fault)),
                    Ok((Some(receipt), _)) => Some(Ok(json!({ "receipt": receipt }))),
                    // A payee that has declined may have attached too, and the hub may show that: only what has come back is not paid.
                    Ok((None, Some(Amount::ZERO))) => asked(format!("token {token} was not taken, and has come back")),
                    // The contract has paid it.
                    Ok((None, Some(settled))) => {
                        Some(Ok(json!({ "settled": settled, "preimage": self.view().preimage(*token) })))
                    }
                    Ok((None, None)) => match client.paying.get(token) {
                        None => asked(format!(
                            "this client knows of no token {token} under way: that it was not paid is not known"
                        )),
                        Some(paying) if paying.declined && self.settings.manual => Some(Err(ClientFault::asked(
                            format!("token {token} was declined: take it back before you pay elsewhere"),
                        ))),
                        Some(_) => None,
                    },
                }
            }
            Until::Mined(call) => match &self.fates.iter().find(|(name, _)| name == call)?.1 {
                Fate::Mined { block, gas, .. } => Some(Ok(json!({ "block": block, "gas": gas }))),
                fate => Some(Err(ClientFault::asked(format!("the call came to nothing: {fate:?}")))),
            },
            Until::Open => {
                let client = self.client.as_ref()?;
                let row = self.view().row(client.owner);
                let open = self.seated && row.status == Status::Open && row.epoch == client.epoch;
                open.then(|| Ok(json!({ "channel": client.id, "epoch": client.epoch })))
            }
            Until::Acknowledged(token, amount) => {
                let acknowledged = self.acknowledged.get(token).copied().unwrap_or_default();
                (acknowledged >= *amount).then(|| Ok(json!({ "acknowledged": acknowledged })))
            }
        }
    }

    /// Tells everybody whose wait is over.
    pub(super) fn settle_waiters(&mut self) {
        let (now, newest) = (Instant::now(), Newest::new());
        for waiter in std::mem::take(&mut self.waiters) {
            let outcome = match self.outcome(&waiter.until, &newest) {
                Some(outcome) => outcome,
                None if waiter.tell.is_closed() => continue,
                None if now < waiter.deadline => {
                    self.waiters.push(waiter);
                    continue;
                }
                None => Err(ClientFault::Late),
            };
            let mut facts = waiter.facts;
            let said = outcome.map(|more| {
                if let (Some(facts), Value::Object(more)) = (facts.as_object_mut(), more) {
                    facts.extend(more);
                }
                facts
            });
            // Who asked may be gone.
            waiter.tell.send(said).ok();
        }
    }

    /// Tells those who wait for a state that it will not be.
    pub(super) fn fail(&mut self, hash: StateHash, words: &str) {
        let (failed, left) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| matches!(waiter.until, Until::Signed(of, _) if of == hash));
        self.waiters = left;
        for waiter in failed {
            waiter.tell.send(Err(ClientFault::asked(words))).ok();
        }
    }
}
