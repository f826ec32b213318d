//! What the daemon sees of the chain, and what it sends there.

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use serde_json::json;
use tarefa_chain::{Event, Fate, Flight};
use tarefa_channel::TokenId;
use tarefa_channel::chain::{Chain as _, Ctx};
use tarefa_channel::client::{Client, ClientError};
use tarefa_channel::contract::{Call, Status};
use tarefa_channel::message::TokenKind;

use super::seat::Seat;
use super::{Daemon, FATES, Input};
use crate::fault::ClientFault;

/// How long before a hub that has not said where the channel stands is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

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
        if self.client.is_none() {
            return Ok(());
        }
        let fresh = self.view().is_fresh();
        if !fresh {
            tracing::warn!(
                "the newest block is old, or this clock is wrong: nothing is signed, but what is seen is defended"
            );
        }
        if fresh && !self.sees && self.channel()?.half.is_some() {
            // It was not sent while nobody saw the chain, so no hub has left it unanswered.
            let resume = |client: &mut Client, ctx: &Ctx<'_, _, _>| {
                client.resume(ctx);
                Ok(())
            };
            self.change(resume, |_, _| Ok(()))?;
        }
        self.sees = fresh;
        if fresh && !self.restoring {
            self.sweep()?;
        }
        // Whoever wants to leave may, also where the hub never says how the channel stands: it can only answer with something newer.
        let leaving = fresh && self.channel()?.leaving;
        let leaves = |call: &Call| leaving && matches!(call, Call::Close { .. } | Call::CloseLast { .. });
        for mut calls in self.due()? {
            if !fresh || self.restoring {
                calls.retain(|call| defends(call) || leaves(call));
            }
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
        // What was ordered was meant for the channel before.
        for (tell, _) in self.orders.drain(..).filter_map(|ordered| ordered.tell) {
            tell.send(Err(ClientError::Ended.into())).ok();
        }
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
        let asked = self.asked_at.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        if let (true, false, Some(seat)) = (self.restoring, asked, &self.seat) {
            self.asked_at = Some(Instant::now());
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
        let (shown, settled) = (self.view().head().number, self.view().settled_head().number);
        let before = self.outbox.flights();
        let ended = self.outbox.look(shown, settled).await;
        let (now, flights) = (self.now(), self.outbox.flights());
        if ended.is_empty() && flights == before {
            return Ok(());
        }
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
        let (above, revoked) = (self.settings.attach_above, self.view().books().has_revoked());
        let metering = client.earning.iter().filter(|(_, earning)| {
            !self.settings.manual && !earning.collecting && earning.token.kind == TokenKind::Metered
        });
        let ripe = metering.filter(|(id, earning)| {
            earning.earned() >= above || revoked && client.is_to_be_collected(**id, &self.ctx())
        });
        let ripe: Vec<TokenId> = ripe.map(|(id, _)| *id).collect();
        ripe.into_iter().for_each(|id| client.collect(id));
        if client != *before {
            self.store.commit(|tx| {
                tx.put_channel(&client)?;
                super::ended(tx, before, &client)
            })?;
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
        let executed = |call: &&Call| matches!(call, Call::AttachToken(_));
        if calls.iter().find(executed).is_some_and(|call| self.outbox.carries(call)) {
            // Nor the newest state before it: there is a newer one at each look.
            return Ok(());
        }
        for call in calls {
            let new = !self.outbox.carries(call);
            let sent = if new { self.submit(call, behind).await.map(drop) } else { Ok(()) };
            match sent {
                Ok(()) => {
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

    /// Sends a call, behind the approvals that it needs; its name, by which its fate is known.
    pub(super) async fn submit(&mut self, call: &Call, mut behind: bool) -> Result<B256, ClientFault> {
        for approval in self.outbox.approvals(call).await? {
            let flight = self.outbox.prepare_approval(approval, behind).await?;
            self.launch(flight, None).await?;
            behind = true;
        }
        let flight = self.outbox.prepare(call, behind).await?;
        self.launch(flight, Some(call)).await
    }

    /// Sends what is signed, once it is stored.
    async fn launch(&mut self, flight: Flight, call: Option<&Call>) -> Result<B256, ClientFault> {
        let name = flight.call;
        let mut all = self.outbox.flights();
        all.push(flight.clone());
        let mut client = self.client.clone();
        if let (Some(client), Some(call)) = (&mut client, call) {
            client.sends(call);
        }
        let noted = client.as_ref().filter(|_| client != self.client);
        self.store.commit(|tx| {
            tx.put_flights(&all)?;
            noted.map_or(Ok(()), |client| tx.put_channel(client))
        })?;
        self.client = client;
        if let Err(fault) = self.outbox.submit(flight).await {
            let left = self.outbox.flights();
            self.store.commit(|tx| tx.put_flights(&left))?;
            return Err(fault.into());
        }
        self.fates.retain(|(other, _)| *other != name);
        Ok(name)
    }
}

/// Whether a call only keeps what is the client's: right also where the newest block is old, or where the hub has still to say how the
/// channel stands.
fn defends(call: &Call) -> bool {
    matches!(
        call,
        Call::Argue { .. } | Call::ArgueRedemption { .. } | Call::Redeem(_) | Call::Credit { .. } | Call::Finalise(_)
    )
}
