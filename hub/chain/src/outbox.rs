//! Calls on their way into a block for good: each is stored before it is sent, raised while it waits, sent again when a reorganisation drops
//! it, and forgotten once its block is final.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use tarefa_channel::Amount;
use tarefa_channel::contract::{Call, Owner};

use crate::call::transaction;
use crate::rpc::RpcFault;
use crate::send::{Fate, SendFault, Sender, Sent, taken};

/// How long a transaction waits before more is offered for it: several blocks of any chain in use, a small part of the inclusion
/// margin that deadlines are built on.
const RAISE_AFTER: Duration = Duration::from_secs(30);

/// How long before the same bytes are sent again, in case the node has forgotten them.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The same where the node did not take them: one that comes before, which it lacks, may be there by then.
const AGAIN_SOON: Duration = Duration::from_secs(1);

/// Looks in a row that must say the same before a transaction is forgotten, or a number counts as nobody's: nodes behind one address do not
/// all know the same, and one of them may still be on a branch that the others have left.
const SURE: u32 = 10;

/// The function of a flight that calls nothing.
const FILL: &str = "nothing, to fill a number";

/// A call on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// What it is for, as a hash: the same is not sent twice at a time.
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

#[derive(Clone, Debug)]
struct Kept {
    flight: Flight,
    raised: Instant,
    again_at: Instant,
    /// The block that it was told to be in.
    told: Option<u64>,
    /// Looks in a row by which it is over.
    over: u32,
}

impl Kept {
    fn new(flight: Flight, again_at: Instant) -> Self {
        Self { flight, raised: Instant::now(), again_at, told: None, over: 0 }
    }
}

/// The calls of one key to one contract.
#[derive(Debug)]
pub struct Outbox {
    sender: Sender,
    contract: Address,
    flights: Vec<Kept>,
    /// Looks in a row in which the number that comes next was that of no flight.
    gap: u32,
}

/// The name of a call: what it is for, whoever sends it. Of calls that show the newest state it is the same whatever that is: states follow
/// each other faster than blocks, and while one call waits another one would bring nothing more.
fn name(call: &Call) -> Option<B256> {
    let of = |owner: &Owner, rest: &[&[u8]]| {
        let head = [call.function().as_bytes(), owner.client.as_slice(), owner.asset.as_slice()];
        Some(keccak256([head.concat(), rest.concat()].concat()))
    };
    match call {
        Call::Close { owner, .. } => of(owner, &[]),
        Call::ArgueRedemption { owner, tokens, .. } => {
            let ids: Vec<u8> = tokens.iter().flat_map(|token| token.id().0).collect();
            of(owner, &[&ids])
        }
        Call::AttachState { owner, signed } => {
            let booked = &signed.state.balances;
            of(owner, &[b"state", &booked.client_out.0.to_be_bytes(), &booked.hub_out.0.to_be_bytes()])
        }
        Call::AttachToken(attach) => of(&attach.owner, &[b"token", attach.token.id().as_slice()]),
        other => {
            let made = transaction(other)?;
            Some(keccak256([made.value.to_be_bytes::<32>().as_slice(), &made.input].concat()))
        }
    }
}

impl Outbox {
    /// The outbox of a sender, with what an earlier run had on its way.
    #[must_use]
    pub fn new(sender: Sender, contract: Address, flights: Vec<Flight>) -> Self {
        let mut outbox = Self { sender, contract, flights: vec![], gap: 0 };
        outbox.take_over(flights);
        outbox
    }

    /// Goes on with what another process has sent with this key, in place of what this one knew before: that one has raised it since. What was
    /// sent with the key before this one is left alone: it is mined, or what still needs it asks for it again.
    pub fn take_over(&mut self, flights: Vec<Flight>) {
        self.flights.clear();
        let ours = |flight: &Flight| [Address::ZERO, self.sender.address()].contains(&flight.sent.from);
        let flights: Vec<Flight> = flights.into_iter().filter(ours).collect();
        for flight in flights {
            self.sender.after(&flight.sent);
            if self.flights.iter().all(|kept| kept.flight.sent.nonce != flight.sent.nonce) {
                // It may never have been sent.
                self.flights.push(Kept::new(flight, Instant::now()));
            }
        }
    }

    /// Asks the chain again which number comes next: another process may have sent with this key.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn refresh(&mut self) -> Result<(), RpcFault> {
        self.sender.refresh().await
    }

    /// Who sends.
    #[must_use]
    pub fn address(&self) -> Address {
        self.sender.address()
    }

    /// All that is not final yet: to be stored.
    #[must_use]
    pub fn flights(&self) -> Vec<Flight> {
        self.flights.iter().map(|kept| kept.flight.clone()).collect()
    }

    /// How many are in no block yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.flights.iter().filter(|kept| kept.told.is_none()).count()
    }

    /// Whether this call is on its way, and in no block that was told of.
    #[must_use]
    pub fn carries(&self, call: &Call) -> bool {
        let name = name(call);
        self.flights.iter().any(|kept| Some(kept.flight.call) == name && kept.told.is_none())
    }

    /// Signs a call. Whoever asked stores [`Outbox::flights`] and this, then submits it; until then the next one gets the same number.
    /// `behind`: it follows one that is not mined yet, so it cannot be tried first.
    ///
    /// # Errors
    /// Where it would revert, or the node does not answer.
    pub async fn prepare(&self, call: &Call, behind: bool) -> Result<Flight, SendFault> {
        let name = name(call).ok_or(SendFault::NoCall)?;
        let sent = if behind {
            self.sender.prepare_behind(self.contract, call).await?
        } else {
            self.sender.prepare(self.contract, call).await?
        };
        Ok(Flight { call: name, function: call.function().to_owned(), sent })
    }

    /// What has to be approved, one after the other, before a call can take what it takes of an ERC-20 asset; the call goes behind.
    ///
    /// # Errors
    /// Where the account has less, or the node does not answer.
    pub async fn approvals(&self, call: &Call) -> Result<Vec<(Address, Amount)>, SendFault> {
        let Some((asset, amount)) = taken(call) else { return Ok(vec![]) };
        let needed = self.sender.approvals(self.contract, asset, amount, self.waiting() == 0).await?;
        Ok(needed.into_iter().map(|amount| (asset, amount)).collect())
    }

    /// Signs an approval, as [`Outbox::prepare`] signs a call.
    ///
    /// # Errors
    /// Where it would revert, or the node does not answer.
    pub async fn prepare_approval(
        &self,
        (asset, amount): (Address, Amount),
        behind: bool,
    ) -> Result<Flight, SendFault> {
        self.sender.prepare_approval(self.contract, asset, amount, behind).await
    }

    /// Sends what was prepared and stored.
    ///
    /// # Errors
    /// Where the node refuses it: then it was not sent, and whoever stored it stores [`Outbox::flights`] again, without it. Left there it
    /// would hold up everything after it.
    pub async fn submit(&mut self, flight: Flight) -> Result<(), SendFault> {
        let sent = self.sender.submit(flight.sent.clone()).await?;
        self.flights.push(Kept::new(Flight { sent, ..flight }, Instant::now() + AGAIN_AFTER));
        Ok(())
    }

    /// Asks what has become of everything on its way, and says what has ended. `shown`: the newest block of the view, so that nobody who
    /// goes by the view sends it again; `settled`: the newest final one. What the node does not say now, it says at the next look.
    pub async fn look(&mut self, shown: u64, settled: u64) -> Vec<Ended> {
        let mut ended = vec![];
        let mut place = 0;
        while place < self.flights.len() {
            let kept = &mut self.flights[place];
            let fate = match self.sender.fate(&kept.flight.sent).await {
                Ok(fate) => fate,
                Err(fault) => {
                    tracing::warn!(function = kept.flight.function, %fault, "the fate of a call is not known now");
                    place += 1;
                    continue;
                }
            };
            let is_over = match &fate {
                Fate::Waiting => {
                    // Mined and dropped again, perhaps.
                    kept.told = None;
                    Self::nudge(&self.sender, kept).await;
                    false
                }
                Fate::Mined { block, .. } | Fate::Reverted { block } => {
                    if *block <= shown && kept.told != Some(*block) {
                        kept.told = Some(*block);
                        ended.push(Ended { flight: kept.flight.clone(), fate: fate.clone() });
                    }
                    *block <= settled
                }
                Fate::Displaced => true,
            };
            kept.over = if is_over { kept.over + 1 } else { 0 };
            if kept.over < SURE {
                place += 1;
                continue;
            }
            let Kept { flight, .. } = self.flights.remove(place);
            if fate == Fate::Displaced {
                ended.push(Ended { flight, fate });
            }
        }
        self.fill().await;
        ended
    }

    /// Sends nothing to nobody under a number that no flight has and without which none is mined: of another program with this key that has
    /// given up, or one that a node has told too high after a reorganisation.
    async fn fill(&mut self) {
        let numbers = |kept: &Kept| kept.flight.sent.nonce;
        let Some(first) = self.flights.iter().filter(|kept| kept.told.is_none()).map(numbers).min() else {
            self.gap = 0;
            return;
        };
        let Ok(next) = self.sender.mined().await else { return };
        let is_gap = next < first && self.flights.iter().all(|kept| numbers(kept) != next);
        self.gap = if is_gap { self.gap + 1 } else { 0 };
        if self.gap < SURE {
            return;
        }
        self.gap = 0;
        match self.sender.fill(next).await {
            Ok(sent) => {
                tracing::warn!(next, "a number that no call has holds up the others: it is filled");
                let flight = Flight { call: sent.hashes[0], function: FILL.to_owned(), sent };
                self.flights.push(Kept::new(flight, Instant::now() + AGAIN_AFTER));
            }
            Err(fault) => tracing::warn!(next, %fault, "a number that no call has holds up the others"),
        }
    }

    /// Offers more for what waits long, or sends it again.
    async fn nudge(sender: &Sender, kept: &mut Kept) {
        let done = if kept.raised.elapsed() > RAISE_AFTER {
            kept.raised = Instant::now();
            sender.raise(&mut kept.flight.sent).await
        } else if kept.again_at <= Instant::now() {
            let sent = sender.again(&kept.flight.sent).await;
            kept.again_at = Instant::now() + if sent.is_ok() { AGAIN_AFTER } else { AGAIN_SOON };
            sent.map_err(SendFault::from)
        } else {
            Ok(())
        };
        if let Err(fault) = done {
            tracing::warn!(function = kept.flight.function, %fault, "a call waits");
        }
    }
}

#[cfg(test)]
mod tests {
    use tarefa_channel::contract::{HubWord, Signed};
    use tarefa_channel::message::{Balances, State};
    use tarefa_channel::sign::{HubSignature, Signature};
    use tarefa_channel::{ChannelId, Seq};

    use super::*;

    fn signed(seq: u64, client_out: u128) -> Signed {
        let balances = Balances { client_out: Amount(client_out), ..Balances::default() };
        let seq = Seq::new(seq).expect("small");
        let state = State { channel: ChannelId(B256::ZERO), seq, last: false, balances, ops: vec![] };
        let hub = HubWord::State(HubSignature { signature: Signature([2; 64]), proof: vec![] });
        Signed { state, client: Signature([1; 64]), hub }
    }

    #[test]
    fn a_call_has_one_name_whatever_the_newest_state_is() {
        let owner = Owner { client: Address::repeat_byte(1), asset: Address::ZERO };
        let other = Owner { client: Address::repeat_byte(2), ..owner };
        let close = |owner, seq| name(&Call::Close { owner, signed: Some(signed(seq, 0)) });
        assert_eq!(close(owner, 1), close(owner, 2));
        assert_ne!(close(owner, 1), close(other, 1));
        let book = |seq, out| name(&Call::AttachState { owner, signed: signed(seq, out) });
        assert_eq!(book(1, 5), book(2, 5));
        assert_ne!(book(1, 5), book(1, 6), "more is booked out");
        // While it closes nothing newer is signed, and what is shown decides who gets what.
        let argue = |seq| name(&Call::Argue { owner, signed: signed(seq, 0) });
        assert_ne!(argue(1), argue(2));
        let pay = |amount| name(&Call::Transfer { to: owner.client, asset: owner.asset, amount: Amount(amount) });
        assert_ne!(pay(1), pay(2));
        assert!(pay(1).is_some() && close(owner, 1).is_some());
    }
}
