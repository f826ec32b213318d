//! Calls on their way into a block: each is sent once, raised while it waits, and forgotten when the view shows what came of it.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use tarefa_channel::contract::Call;

use crate::call::transaction;
use crate::rpc::RpcFault;
use crate::send::{Fate, SendFault, Sender, Sent};

/// How long a transaction waits before more is offered for it: several blocks of any chain in use, a small part of the inclusion
/// margin that deadlines are built on.
const RAISE_AFTER: Duration = Duration::from_secs(30);

/// How long before the same bytes are sent again, in case the node has forgotten them.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A call on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// Hash of what it calls: the same call is not sent twice.
    pub call: B256,
    /// The function's name.
    pub function: String,
    /// The transaction.
    pub sent: Sent,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The call.
    pub flight: Flight,
    /// What came of it.
    pub fate: Fate,
}

/// Why a call was not sent.
#[derive(Debug, thiserror::Error)]
pub enum OutboxFault<E> {
    /// The chain, or the contract's refusal.
    #[error(transparent)]
    Send(#[from] SendFault),
    /// It could not be stored, so it was not sent.
    #[error(transparent)]
    Store(E),
}

impl<E> From<RpcFault> for OutboxFault<E> {
    fn from(fault: RpcFault) -> Self {
        Self::Send(fault.into())
    }
}

/// The calls of one key to one contract.
#[derive(Debug)]
pub struct Outbox {
    sender: Sender,
    contract: Address,
    flights: Vec<(Flight, Instant, Instant)>,
}

/// The name of a call: what it does, whoever sends it.
fn name(call: &Call) -> Option<B256> {
    let made = transaction(call)?;
    Some(keccak256([made.value.to_be_bytes::<32>().as_slice(), &made.input].concat()))
}

impl Outbox {
    /// The outbox of a sender, with what an earlier run had on its way.
    #[must_use]
    pub fn new(mut sender: Sender, contract: Address, flights: Vec<Flight>) -> Self {
        for flight in &flights {
            sender.after(&flight.sent);
        }
        let now = Instant::now();
        let flights = flights.into_iter().map(|flight| (flight, now, now)).collect();
        Self { sender, contract, flights }
    }

    /// Who sends.
    #[must_use]
    pub fn address(&self) -> Address {
        self.sender.address()
    }

    /// What is on its way.
    #[must_use]
    pub fn flights(&self) -> Vec<Flight> {
        self.flights.iter().map(|(flight, ..)| flight.clone()).collect()
    }

    /// Whether this call is on its way.
    #[must_use]
    pub fn carries(&self, call: &Call) -> bool {
        let name = name(call);
        self.flights.iter().any(|(flight, ..)| Some(flight.call) == name)
    }

    /// Sends a call, unless it is on its way already. `behind`: it follows one that is not mined yet, so it cannot be tried first.
    /// `keep` stores all that is on its way, this one included, before it is sent.
    ///
    /// # Errors
    /// Where it would revert, could not be stored, or the node refuses it: then it was not sent.
    pub async fn send<E>(
        &mut self,
        call: &Call,
        behind: bool,
        keep: impl FnOnce(&[Flight]) -> Result<(), E>,
    ) -> Result<Flight, OutboxFault<E>> {
        let name = name(call).ok_or(SendFault::NoCall)?;
        if let Some((flight, ..)) = self.flights.iter().find(|(flight, ..)| flight.call == name) {
            return Ok(flight.clone());
        }
        let sent = if behind {
            self.sender.prepare_behind(self.contract, call).await?
        } else {
            self.sender.prepare(self.contract, call).await?
        };
        let mut flight = Flight { call: name, function: call.function().to_owned(), sent };
        let mut all = self.flights();
        all.push(flight.clone());
        keep(&all).map_err(OutboxFault::Store)?;
        flight.sent = self.sender.submit(flight.sent).await?;
        let now = Instant::now();
        self.flights.push((flight.clone(), now, now));
        Ok(flight)
    }

    /// Asks what has become of everything on its way, and says what has ended. `shown`: the newest block of the view; what is mined
    /// later stays, so that nobody who goes by the view sends it again.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn look(&mut self, shown: u64) -> Result<Vec<Ended>, RpcFault> {
        let mut ended = vec![];
        let mut place = 0;
        while place < self.flights.len() {
            let (flight, since, tried) = &mut self.flights[place];
            let fate = self.sender.fate(&flight.sent).await?;
            match fate {
                Fate::Waiting => {
                    if since.elapsed() > RAISE_AFTER {
                        *since = Instant::now();
                        if let Err(SendFault::Rpc(fault)) = self.sender.raise(&mut flight.sent).await {
                            return Err(fault);
                        }
                    } else if tried.elapsed() > AGAIN_AFTER {
                        *tried = Instant::now();
                        // A node that takes it no more says so in its fate.
                        self.sender.again(&flight.sent).await.ok();
                    }
                    place += 1;
                }
                Fate::Mined { block, .. } | Fate::Reverted { block } if block > shown => place += 1,
                Fate::Mined { .. } | Fate::Reverted { .. } | Fate::Displaced => {
                    let (flight, ..) = self.flights.remove(place);
                    ended.push(Ended { flight, fate });
                }
            }
        }
        Ok(ended)
    }
}
