//! Watches the chain for the hub: shows it every block, begins the rows of new channels, and does by itself what its channels need.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use tarefa_chain::{Event, Fate, Flight, GAS_BEHIND, Outbox, RpcFault, View, WatchError, Watcher};
use tarefa_channel::chain::{Chain as _, Ctx};
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::hub::{HubChannel, HubToken, duties};
use tarefa_channel::id::ChannelKey;
use tarefa_channel::rules::Every;
use tarefa_channel::sign::Signer as _;
use tarefa_channel::{ChannelId, Time};

use crate::hub::Hub;
use crate::store::{Age, Book, StoreError};

/// The lease that one of several replicas holds to send for all.
const LEASE: &str = "monitor";

/// Calls on their way, which whoever sends next goes on with.
const FLIGHTS: &str = "flights";

/// How long that lease lasts, milliseconds: a replica that is gone is missed for a part of any inclusion margin.
const LEASE_MS: u64 = 10_000;

/// Seconds that tokens and invoices are kept after their last deadline, for receipts that are asked for late.
const KEPT: u64 = 86_400;

/// Looks between two searches for rows that can be forgotten: a minute. Such a search takes a look for each page of them.
const FORGET_EVERY: u64 = 120;

/// Looks between two questions of what the signing key's money is enough for: half a minute.
const COUNT_EVERY: u64 = 60;

/// What it takes to enforce a channel without tokens: a close and a finalise, as `docs/performance.md` has them, and what is spared for others.
const DEFENCE_GAS: u64 = 200_000;

/// Fewer than this and the hub says so: two channels that go bad together, at a price that has doubled.
const FEW_DEFENCES: u64 = 4;

/// Why a look has not brought anything.
#[derive(Debug, thiserror::Error)]
pub enum MonitorFault {
    /// The chain.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The chain's node, asked about transactions.
    #[error(transparent)]
    Rpc(#[from] RpcFault),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another replica sends now.
    #[error("another replica sends by now: this one sends nothing more")]
    Deposed,
}

/// One hub's (or replica's) eyes and hands.
pub struct Monitor {
    hub: Arc<Hub>,
    watcher: Watcher,
    outbox: Outbox,
    /// Channels that are final on chain and not in the store yet.
    opened: Vec<HubChannel>,
    /// Tells replicas apart.
    name: B256,
    /// Whether this replica was the one that sends at its last look.
    leads: bool,
    /// Until when nobody else is, milliseconds.
    leads_until: u64,
    looks: u64,
    /// Where the search for old rows has got to.
    forgotten: Option<Age>,
}

impl Monitor {
    /// The monitor of a hub. `name`: random, so that replicas can tell who sends.
    #[must_use]
    pub fn new(hub: Arc<Hub>, watcher: Watcher, outbox: Outbox, name: B256) -> Self {
        Self { hub, watcher, outbox, opened: vec![], name, leads: false, leads_until: 0, looks: 0, forgotten: None }
    }

    /// Looks once: what is new is shown to the hub, stored, and acted on. How many calls were sent.
    ///
    /// # Errors
    /// What does not answer; the next look goes on from there.
    pub async fn look(&mut self) -> Result<usize, MonitorFault> {
        loop {
            let news = self.watcher.look().await?;
            if let Some(from) = news.replaced {
                tracing::warn!(from, "the chain was reorganised");
            }
            for (_, events) in &news.settled {
                self.opened.extend(events.iter().filter_map(begun));
            }
            self.hub.see(self.watcher.view.clone());
            if !news.more {
                break;
            }
        }
        self.begin().await?;
        self.looks += 1;
        if !self.watcher.view.is_fresh() {
            tracing::warn!(
                "the newest block is old, or this clock is wrong: nothing is signed, but what is seen is defended"
            );
        }
        if !self.lead().await? {
            return Ok(0);
        }
        if self.forgotten.is_some() || self.looks.is_multiple_of(FORGET_EVERY) {
            // What stays a little longer is no reason not to defend the rest.
            if let Err(fault) = self.forget().await {
                tracing::warn!(%fault, "old rows are not forgotten");
            }
        }
        self.fates().await?;
        let sent = self.act().await?;
        // After all that has to be in time; the first look counts too.
        if self.looks % COUNT_EVERY == 1
            && let Err(fault) = self.count_defences().await
        {
            tracing::warn!(%fault, "the signing key's money is not counted");
        }
        Ok(sent)
    }

    /// Forgets some of what nobody can ask about any more.
    async fn forget(&mut self) -> Result<(), StoreError> {
        let (view, after) = (self.hub.view(), self.forgotten);
        let before = view.final_time().before(KEPT);
        let over = move |channel: &HubChannel| view.final_row(channel.owner).epoch > channel.epoch;
        let done = self.hub.store().transact(move |book| book.forget(after, before, &over)).await?;
        self.forgotten = done.next;
        Ok(())
    }

    /// What has become of the calls.
    async fn fates(&mut self) -> Result<(), MonitorFault> {
        let (shown, settled) = (self.watcher.view.head().number, self.watcher.view.settled_head().number);
        let before = self.outbox.flights();
        for one in self.outbox.look(shown, settled).await {
            match &one.fate {
                Fate::Mined { block, gas, .. } => tracing::info!(function = one.flight.function, block, gas, "mined"),
                fate => tracing::warn!(function = one.flight.function, ?fate, "a call came to nothing"),
            }
        }
        let after = self.outbox.flights();
        if after != before { self.keep(after).await } else { Ok(()) }
    }

    /// Stores the calls on their way, as the one that still sends: two lists would overwrite each other, and calls be forgotten.
    async fn keep(&mut self, flights: Vec<Flight>) -> Result<(), MonitorFault> {
        let body = serde_json::to_vec(&flights).map_err(unreadable)?;
        let (candidate, now) = (self.candidate(), self.now_ms());
        let kept = self.hub.store().transact(move |book| keep_leading(book, candidate, now, &body));
        let Some(until) = kept.await? else {
            self.leads = false;
            return Err(MonitorFault::Deposed);
        };
        self.leads_until = until;
        Ok(())
    }

    fn candidate(&self) -> Candidate {
        let counts = self.watcher.view.trusted(self.hub.key().address());
        Candidate { name: self.name, counts, shared: self.hub.store().is_shared() }
    }

    fn now_ms(&self) -> u64 {
        self.watcher.view.own_time().0 * 1000
    }

    /// Writes the rows of new channels. Where that fails they stay in line.
    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.opened.is_empty() {
            return Ok(());
        }
        let rows = self.opened.clone();
        let written =
            self.hub.store().transact(move |book| rows.iter().try_for_each(|row| book.open_channel(row).map(drop)));
        written.await?;
        self.opened.clear();
        Ok(())
    }

    /// Whether this replica is the one that sends. Who becomes it goes on with what was on its way.
    async fn lead(&mut self) -> Result<bool, MonitorFault> {
        let (candidate, now) = (self.candidate(), self.now_ms());
        // It may have been another one since, which has sent.
        self.leads &= !candidate.shared || now < self.leads_until;
        let store = self.hub.store();
        let until = match candidate.shared {
            true => store.transact(move |book| candidate.leads_until(book, now)).await?,
            // Who has a store alone has nobody to agree with.
            false => Some(now + LEASE_MS),
        };
        let Some(until) = until else {
            self.leads = false;
            return Ok(false);
        };
        if !self.leads {
            self.outbox.refresh().await?;
            let found = store.read(|book| book.single(FLIGHTS)).await?;
            let flights: Vec<Flight> =
                found.map_or_else(|| Ok(vec![]), |body| serde_json::from_slice(&body)).map_err(unreadable)?;
            self.outbox.take_over(flights);
        }
        (self.leads, self.leads_until) = (true, until);
        Ok(true)
    }

    /// Sends what channels need now.
    async fn act(&mut self) -> Result<usize, MonitorFault> {
        let view = self.hub.view();
        let terms = self.hub.deployment().terms;
        // As far ahead as the duties look.
        let ahead = terms.offline_bound() + 2 * terms.inclusion + terms.reorg + 2;
        let (now, near): (Time, Time) = (view.now(), view.now().after(ahead));
        let mut channels: Vec<ChannelId> = view.books().busy().map(|(owner, epoch)| self.id(owner, epoch)).collect();
        channels.extend(self.hub.store().read(move |book| book.payers_due(now, near)).await?);
        channels.sort_unstable();
        channels.dedup();
        let mut sent = 0;
        for channel in channels {
            // One channel's trouble is not another's.
            match self.defend(channel, &view).await {
                Ok(calls) => sent += calls,
                Err(MonitorFault::Deposed) => return Err(MonitorFault::Deposed),
                Err(fault) => tracing::error!(%channel, %fault, "a channel is not defended"),
            }
        }
        Ok(sent)
    }

    /// Sends what one channel needs.
    async fn defend(&mut self, channel: ChannelId, view: &View) -> Result<usize, MonitorFault> {
        let redeeming: Vec<_> = view.books().redeeming(channel).collect();
        let rows = self.hub.store().read(move |book| {
            let Some(row) = book.channel(channel)? else { return Ok(None) };
            let earned = redeeming.iter().filter_map(|token| book.token(*token).transpose());
            Ok(Some((row, book.paid_by(channel)?, earned.collect::<Result<Vec<HubToken>, _>>()?)))
        });
        let Some((row, mut paying, earned)) = rows.await? else { return Ok(0) };
        paying.retain(|token| row.position.pending.contains(&token.id()));
        let (domain, terms) = (*self.hub.domain(), self.hub.deployment().terms);
        let ctx = Ctx { chain: view, keys: self.hub.key(), terms: &terms, domain: &domain, rules: Every };
        let calls = duties(&row, &paying, &earned, &ctx);
        self.send(&calls).await
    }

    fn id(&self, Owner { client, asset }: Owner, epoch: u32) -> ChannelId {
        let deployment = self.hub.deployment();
        ChannelKey { chain_id: deployment.chain_id, contract: deployment.contract, client, asset, epoch }.id()
    }

    async fn send(&mut self, calls: &[Call]) -> Result<usize, MonitorFault> {
        let mut sent = 0;
        let mut behind = false;
        for call in calls {
            if self.outbox.carries(call) {
                behind |= matches!(call, Call::Close { .. });
                continue;
            }
            let flight = match self.outbox.prepare(call, behind).await {
                Ok(flight) => flight,
                // Somebody else was first, most of the time: the next block shows.
                Err(fault) => {
                    tracing::warn!(function = call.function(), %fault, "not sent");
                    continue;
                }
            };
            let mut all = self.outbox.flights();
            all.push(flight.clone());
            self.keep(all).await?;
            match self.outbox.submit(flight).await {
                Ok(()) => {
                    behind |= matches!(call, Call::Close { .. });
                    sent += 1;
                    tracing::info!(function = call.function(), "sent");
                }
                Err(fault) => {
                    tracing::warn!(function = call.function(), %fault, "not sent");
                    self.keep(self.outbox.flights()).await?;
                }
            }
        }
        Ok(sent)
    }

    /// How many channels the money of the signing key would enforce at the price of now, each with as many tokens to claim as it may have. What
    /// counts is what a node wants to see for calls that wait together: most of it is not spent.
    async fn count_defences(&self) -> Result<(), RpcFault> {
        let rpc = self.watcher.rpc();
        let (money, fees) = tokio::try_join!(rpc.balance(self.outbox.address()), rpc.fees())?;
        let claims = U256::from(self.hub.deployment().terms.live_tokens) * U256::from(GAS_BEHIND);
        let each = (claims + U256::from(DEFENCE_GAS)) * U256::from(fees.most.max(1));
        let defences: u64 = (money / each).saturating_to();
        if defences < FEW_DEFENCES {
            let address = self.outbox.address();
            tracing::warn!(%address, defences, "the signing key's money enforces few channels: send it more");
        }
        self.hub.metrics().count_defences(defences);
        Ok(())
    }

    /// Looks for ever. A fault is told and tried again: the hub signs nothing once its view is old.
    pub async fn run(mut self, every: Duration) {
        loop {
            if let Err(fault) = self.look().await {
                tracing::warn!(%fault, "the hub's monitor");
            }
            tokio::time::sleep(every).await;
        }
    }
}

/// A replica that may be the one that sends.
#[derive(Clone, Copy)]
struct Candidate {
    name: B256,
    /// Whether its key is the hub's: what only the hub may call, and what it signs again for a call, is in vain otherwise.
    counts: bool,
    /// Others write to its store.
    shared: bool,
}

impl Candidate {
    /// Until when it is the one that sends, milliseconds; none where another one is. Where its key counts it is that for longer each time it
    /// looks. Else it only stands in where nobody was it for a while, and gives the others time to take it from there: most calls anybody may send.
    fn leads_until(self, book: &Book<'_>, now_ms: u64) -> Result<Option<u64>, StoreError> {
        let until = now_ms + LEASE_MS;
        if !self.shared {
            return Ok(Some(until));
        }
        if !self.counts
            && let Some((holder, until)) = book.leased(LEASE)?
            && until + LEASE_MS > now_ms
        {
            return Ok((holder == self.name && until > now_ms).then_some(until));
        }
        Ok(book.lease(LEASE, self.name, now_ms, until)?.then_some(until))
    }
}

/// Keeps the list of calls if this replica is the one that sends; until when it is.
fn keep_leading(book: &Book<'_>, candidate: Candidate, now_ms: u64, list: &[u8]) -> Result<Option<u64>, StoreError> {
    let until = candidate.leads_until(book, now_ms)?;
    if until.is_some() {
        book.put_single(FLIGHTS, list)?;
    }
    Ok(until)
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError::Unreadable { what: "list of calls on their way", why: error.to_string() }
}

/// The row of a channel that an event begins.
fn begun(event: &Event) -> Option<HubChannel> {
    let Event::Subscribed { channel, owner, epoch, client_in, hub_in } = event else { return None };
    Some(HubChannel::opened(*owner, *epoch, *channel, *client_in, *hub_in))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn only_the_replica_that_sends_keeps_its_list_of_calls() {
        let store = Store::in_memory().expect("it opens");
        let keeps = async |name: u8, now: u64, list: &'static [u8]| {
            let work = move |book: &Book<'_>| {
                let candidate = Candidate { name: B256::with_last_byte(name), counts: true, shared: true };
                let kept = keep_leading(book, candidate, now, list)?;
                Ok((kept.is_some(), book.single(FLIGHTS)?.unwrap_or_default()))
            };
            store.transact(work).await.expect("it works")
        };
        assert_eq!(keeps(1, 1000, b"first").await, (true, b"first".to_vec()));
        assert_eq!(keeps(2, 1000 + LEASE_MS - 1, b"other").await, (false, b"first".to_vec()), "the first one sends");
        assert_eq!(keeps(1, 1000 + LEASE_MS - 1, b"second").await, (true, b"second".to_vec()));
        assert_eq!(keeps(2, 1000 + LEASE_MS, b"other").await, (false, b"second".to_vec()), "for longer by that");
        assert_eq!(keeps(2, 1000 + 2 * LEASE_MS, b"other").await, (true, b"other".to_vec()));
        assert_eq!(keeps(1, 1000 + 2 * LEASE_MS, b"late").await, (false, b"other".to_vec()), "deposed");
    }

    #[tokio::test]
    async fn a_replica_whose_key_does_not_count_sends_only_where_no_other_one_does() {
        let store = Store::in_memory().expect("it opens");
        let leads = async |name: u8, counts: bool, now: u64| {
            let candidate = Candidate { name: B256::with_last_byte(name), counts, shared: true };
            store.transact(move |book| candidate.leads_until(book, now)).await.expect("it works")
        };
        const OLD: u8 = 1;
        const NEW: u8 = 2;
        let first = 1000 + LEASE_MS;
        assert_eq!(leads(OLD, false, 1000).await, Some(first), "there is no other");
        assert_eq!(leads(OLD, false, first - 1).await, Some(first), "not for longer");
        assert_eq!(leads(OLD, false, first).await, None, "the others have their turn");
        assert_eq!(leads(OLD, false, first + LEASE_MS - 1).await, None);
        let second = first + 2 * LEASE_MS;
        assert_eq!(leads(OLD, false, first + LEASE_MS).await, Some(second), "who did not come");
        assert_eq!(leads(NEW, true, second - 1).await, None, "two at once would spend the same numbers");
        assert_eq!(leads(NEW, true, second).await, Some(second + LEASE_MS));
        assert_eq!(leads(NEW, true, second + 1).await, Some(second + 1 + LEASE_MS), "as long as it looks");
        assert_eq!(leads(OLD, false, second + LEASE_MS).await, None);
        assert_eq!(
            leads(OLD, true, second + 1 + LEASE_MS).await,
            Some(second + 1 + 2 * LEASE_MS),
            "its key counts by now"
        );
    }
}
