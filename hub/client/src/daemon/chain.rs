//! What the daemon sees of the chain, and what it sends there.

use serde_json::json;
use tarefa_chain::{Event, Fate};
use tarefa_channel::TokenId;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::client::Client;
use tarefa_channel::contract::{Call, Status};
use tarefa_channel::message::TokenKind;

use super::seat::Seat;
use super::{Daemon, FATES, Input};
use crate::fault::ClientFault;

impl Daemon {
    /// Looks at the chain and does what is due. A chain that does not answer is told: nothing is decided once the view is old.
    pub(super) async fn look(&mut self) -> Result<(), ClientFault> {
        match self.see().await {
            Err(ClientFault::Store(error)) => Err(ClientFault::Store(error)),
            Err(fault) => {
                tracing::warn!(%fault, "the channel's view of the chain");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn see(&mut self) -> Result<(), ClientFault> {
        loop {
            let news = self.watcher.look().await?;
            if let Some(from) = news.replaced {
                tracing::warn!(from, "the chain was reorganised");
            }
            for (_, events) in &news.settled {
                events.iter().try_for_each(|event| self.began(event))?;
            }
            if !news.more {
                break;
            }
        }
        self.take_seat();
        self.fates().await?;
        if self.client.is_none() || !self.view().is_fresh() {
            return Ok(());
        }
        self.sweep()?;
        for calls in self.due()? {
            self.carry(&calls).await?;
        }
        Ok(())
    }

    /// The channel that an event begins, finally.
    fn began(&mut self, event: &Event) -> Result<(), ClientFault> {
        let Event::Subscribed { channel, owner, epoch, client_in, hub_in } = event else { return Ok(()) };
        let known = self.client.as_ref().is_some_and(|client| client.epoch >= *epoch);
        if *owner != self.owner() || known {
            return Ok(());
        }
        let client = Client::opened(*owner, *epoch, *channel, *client_in, *hub_in);
        let (now, facts) = (self.now(), json!({ "channel": channel, "deposit": client_in, "hub": hub_in }));
        self.store.commit(|tx| {
            tx.put_channel(&client)?;
            tx.note(now, "opened", &facts)
        })?;
        self.client = Some(client);
        Ok(())
    }

    /// A seat at the hub for the channel that there is.
    fn take_seat(&mut self) {
        let Some(channel) = self.client.as_ref().map(|client| client.id) else { return };
        if self.seat.as_ref().is_none_or(|seat| seat.channel() != channel) {
            let key = std::sync::Arc::clone(&self.key);
            self.seated = false;
            self.seat = Some(Seat::new(self.link.clone(), key, self.domain, channel, &self.tell_loop));
        }
        if let (true, Some(seat)) = (self.restoring, &self.seat) {
            let (desk, tell) = (seat.desk.clone(), self.tell_loop.clone());
            tokio::spawn(async move {
                let Ok(session) = desk.session().await else { return };
                if let Ok(standing) = desk.link().newest(&session).await {
                    tell.send(Input::Standing(Box::new(standing))).await.ok();
                }
            });
        }
    }

    /// What has become of the calls.
    async fn fates(&mut self) -> Result<(), ClientFault> {
        let ended = self.outbox.look(self.watcher.view.head().number).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let (now, flights) = (self.now(), self.outbox.flights());
        self.store.commit(|tx| {
            tx.put_flights(&flights)?;
            ended.iter().try_for_each(|one| {
                let (what, facts) = match &one.fate {
                    Fate::Mined { block, gas, price, .. } => {
                        let wei = u128::from(*gas) * price;
                        ("mined", json!({ "function": one.flight.function, "block": block, "gas": gas, "wei": wei.to_string() }))
                    }
                    fate => ("failed", json!({ "function": one.flight.function, "why": format!("{fate:?}") })),
                };
                tx.note(now, what, &facts)
            })
        })?;
        for one in ended {
            self.fates.push_back((one.flight.call, one.fate));
        }
        while self.fates.len() > FATES {
            self.fates.pop_front();
        }
        Ok(())
    }

    /// Puts in order what the chain has decided.
    fn sweep(&mut self) -> Result<(), ClientFault> {
        let before = self.channel()?;
        let mut client = before.clone();
        client.look(&self.ctx());
        client.sweep(&self.ctx());
        let above = self.settings.attach_above;
        let ripe: Vec<TokenId> = client
            .earning
            .iter()
            .filter(|(_, earning)| {
                !self.settings.manual && !earning.collecting && earning.token.kind == TokenKind::Metered
            })
            .filter(|(_, earning)| earning.earned() >= above)
            .map(|(id, _)| *id)
            .collect();
        ripe.into_iter().for_each(|id| client.collect(id));
        if client != *before {
            self.store.commit(|tx| tx.put_channel(&client))?;
            self.client = Some(client);
        }
        Ok(())
    }

    /// The calls that are due: each list in its order.
    fn due(&self) -> Result<Vec<Vec<Call>>, ClientFault> {
        let (client, ctx) = (self.channel()?, self.ctx());
        let mut due = vec![client.duties(&ctx)];
        let row = self.view().row(client.owner);
        if row.status == Status::Open && row.epoch == client.epoch {
            due.push(client.withdrawal(&ctx).into_iter().collect());
            let on = client.paying.iter().filter(|(_, paying)| paying.token.kind == TokenKind::On);
            due.extend(on.map(|(id, _)| client.execution(*id, &ctx)));
        }
        Ok(due)
    }

    /// Sends calls, each stored before.
    async fn carry(&mut self, calls: &[Call]) -> Result<(), ClientFault> {
        let mut behind = false;
        for call in calls {
            let new = !self.outbox.carries(call);
            match self.submit(call, behind).await {
                Ok(_) => {
                    // What follows needs it mined first.
                    behind |= matches!(call, Call::Close { .. } | Call::Argue { .. });
                    if new {
                        tracing::info!(function = call.function(), "sent");
                    }
                }
                Err(ClientFault::Store(error)) => return Err(ClientFault::Store(error)),
                // Somebody else was first, most of the time: the next block shows.
                Err(fault) => tracing::warn!(function = call.function(), %fault, "not sent"),
            }
        }
        Ok(())
    }

    /// Sends a call; its name, by which its fate is known.
    pub(super) async fn submit(&mut self, call: &Call, behind: bool) -> Result<alloy_primitives::B256, ClientFault> {
        let store = &self.store;
        let kept = |flights: &[tarefa_chain::Flight]| store.commit(|tx| tx.put_flights(flights));
        let flight = self.outbox.send(call, behind, kept).await?;
        self.fates.retain(|(name, _)| *name != flight.call);
        Ok(flight.call)
    }
}
