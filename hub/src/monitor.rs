//! Watches the chain for the hub: shows it every block, begins the rows of new channels, and does by itself what its channels need.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use std::sync::Arc;
use tarefa_chain::{Event, Fate, Flight, Outbox, RpcFault, WatchError, Watcher};
use tarefa_channel::chain::{Chain as _, Ctx};
use tarefa_channel::contract::{Call, Owner};
use tarefa_channel::hub::{HubChannel, HubToken, duties};
use tarefa_channel::id::ChannelKey;
use tarefa_channel::rules::Every;
use tarefa_channel::{ChannelId, Time};

use crate::hub::Hub;
use crate::store::StoreError;

/// The lease that one of several replicas holds to send for all.
const LEASE: &str = "monitor";

/// How long that lease lasts, milliseconds: a replica that is gone is missed for a part of any inclusion margin.
const LEASE_MS: u64 = 10_000;

/// Seconds that tokens and invoices are kept after their last deadline, for receipts that are asked for late.
const KEPT: u64 = 86_400;

/// Looks between two times that old rows are forgotten.
const FORGET_EVERY: u64 = 1000;

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
    looks: u64,
}

impl Monitor {
    /// The monitor of a hub. `name`: random, so that replicas can tell who sends.
    #[must_use]
    pub fn new(hub: Arc<Hub>, watcher: Watcher, outbox: Outbox, name: B256) -> Self {
        Self { hub, watcher, outbox, opened: vec![], name, looks: 0 }
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
        let ended = self.outbox.look(self.watcher.view.head().number).await?;
        for one in &ended {
            match &one.fate {
                Fate::Mined { block, gas, .. } => {
                    tracing::info!(function = one.flight.function, block, gas, "mined");
                }
                fate => tracing::warn!(function = one.flight.function, ?fate, "a call came to nothing"),
            }
        }
        self.looks += 1;
        if self.looks.is_multiple_of(FORGET_EVERY) {
            let before = self.watcher.view.final_time().before(KEPT);
            self.hub.store().transact(move |book| book.forget(before)).await?;
        }
        if !self.watcher.view.is_fresh() || !self.leads().await? {
            return Ok(0);
        }
        self.act().await
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

    /// Whether this replica is the one that sends.
    async fn leads(&self) -> Result<bool, StoreError> {
        let (name, now) = (self.name, self.watcher.view.own_time().0 * 1000);
        self.hub.store().transact(move |book| book.lease(LEASE, name, now, now + LEASE_MS)).await
    }

    /// Sends what channels need now.
    async fn act(&mut self) -> Result<usize, MonitorFault> {
        let view = self.hub.view();
        let terms = self.hub.deployment().terms;
        // As far ahead as the duties look.
        let ahead = terms.offline_bound() + 2 * terms.inclusion + terms.reorg + 2;
        let near: Time = view.now().after(ahead);
        let mut channels: Vec<ChannelId> = view.books().busy().map(|(owner, epoch)| self.id(owner, epoch)).collect();
        channels.extend(self.hub.store().transact(move |book| book.payers_due(near)).await?);
        channels.sort_unstable();
        channels.dedup();
        let mut sent = 0;
        for channel in channels {
            let rows = self.hub.store().transact(move |book| {
                let row = book.channel(channel)?;
                Ok(row.map(|row| Ok::<_, StoreError>((row, book.paid_by(channel)?, book.paid_to(channel)?))))
            });
            let Some(rows) = rows.await? else { continue };
            let (row, mut paying, earned): (HubChannel, Vec<HubToken>, Vec<HubToken>) = rows?;
            paying.retain(|token| row.position.pending.contains(&token.id()));
            let domain = *self.hub.domain();
            let ctx = Ctx { chain: &*view, keys: self.hub.key(), terms: &terms, domain: &domain, rules: Every };
            let calls = duties(&row, &paying, &earned, &ctx);
            sent += self.send(&calls).await?;
        }
        Ok(sent)
    }

    fn id(&self, Owner { client, asset }: Owner, epoch: u32) -> ChannelId {
        let deployment = self.hub.deployment();
        ChannelKey { chain_id: deployment.chain_id, contract: deployment.contract, client, asset, epoch }.id()
    }

    async fn send(&mut self, calls: &[Call]) -> Result<usize, MonitorFault> {
        let mut sent = 0;
        let mut behind = false;
        for call in calls {
            let new = !self.outbox.carries(call);
            let kept = |_: &[Flight]| Ok::<(), StoreError>(());
            match self.outbox.send(call, behind, kept).await {
                Ok(flight) => {
                    behind |= matches!(call, Call::Close { .. });
                    if new {
                        sent += 1;
                        tracing::info!(function = flight.function, nonce = flight.sent.nonce, "sent");
                    }
                }
                // Somebody else was first, most of the time: the next block shows.
                Err(fault) => tracing::warn!(function = call.function(), %fault, "not sent"),
            }
        }
        Ok(sent)
    }

    /// Native money of the hub's signing account, which pays for its calls.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub async fn gas_money(&self) -> Result<U256, RpcFault> {
        self.watcher.rpc().balance(self.outbox.address()).await
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

/// The row of a channel that an event begins.
fn begun(event: &Event) -> Option<HubChannel> {
    let Event::Subscribed { channel, owner, epoch, client_in, hub_in } = event else { return None };
    Some(HubChannel::opened(*owner, *epoch, *channel, *client_in, *hub_in))
}
