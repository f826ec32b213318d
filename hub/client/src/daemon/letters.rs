//! What waits in the mailbox, and the words of the stream.

use std::time::Duration;

use serde_json::{Value, json};
use tarefa_chain::View;
use tarefa_channel::chain::Ctx;
use tarefa_channel::client::{Attached, Client, ClientError};
use tarefa_channel::message::{Message as _, Voucher};
use tarefa_channel::sign::{Recover, Signature};
use tarefa_channel::{Amount, ChannelId, TokenId};
use tarefa_hub::{Letter, Mailbox, Promise, Receipt, Receipts, Word};

use super::{Daemon, Step};
use crate::fault::ClientFault;

/// How often a voucher is said again until it is acknowledged.
const SAY_AGAIN: Duration = Duration::from_millis(500);

/// How often at most: two minutes, far beyond any credit.
const SAY_MAX: u32 = 240;

/// The body of a word about a voucher.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    Voucher { voucher: Voucher, signature: Signature },
    Acknowledged { token: TokenId, cumulative: Amount },
}

/// Tokens that wait for a client which takes them only when told to: as many as its window has places.
const OFFERED: usize = 256;

/// What a payer vouched for, where its store was lost since: its own signature says so.
fn recount<K: Recover>(client: &mut Client, id: TokenId, shown: Option<(Voucher, Signature)>, ctx: &Ctx<'_, View, K>) {
    let (Some((voucher, signature)), Some(paying)) = (shown, client.paying.get_mut(&id)) else { return };
    let signer = ctx.keys.recover(voucher.digest(ctx.domain), &signature);
    let mine = voucher.token == id && voucher.condition.is_zero() && signer == Some(paying.token.voucher_key);
    if mine && voucher.cumulative > paying.vouched {
        paying.vouched = voucher.cumulative;
    }
}

/// What cannot be taken in is left for another time; only a store that fails ends it.
fn left(taken: Result<(), ClientFault>) -> Result<(), ClientFault> {
    match taken {
        Ok(()) => Ok(()),
        Err(ClientFault::Store(error)) => Err(ClientFault::Store(error)),
        Err(fault) => {
            tracing::info!(%fault, "a letter is left");
            Ok(())
        }
    }
}

impl Daemon {
    pub(super) fn letters(&mut self, mailbox: Mailbox) -> Result<(), ClientFault> {
        for letter in mailbox.letters {
            let taken = match letter {
                Letter::Token(promise) if self.settings.manual => {
                    self.keep_offer(*promise);
                    Ok(())
                }
                Letter::Token(promise) => self.offer(&promise),
                Letter::Receipts(receipts) => self.shown(&receipts, Self::receipt),
                Letter::Declined(receipts) => self.shown(&receipts, Self::declined),
            };
            left(taken)?;
        }
        Ok(())
    }

    /// What a payee did with some tokens of this client; what it knows nothing of costs nothing.
    fn shown(
        &mut self,
        receipts: &Receipts,
        take: impl Fn(&mut Self, &Receipt) -> Result<(), ClientFault>,
    ) -> Result<(), ClientFault> {
        if !receipts.is_possible() {
            return Err(ClientFault::asked("it shows more than one state can have done"));
        }
        for shown in &receipts.tokens {
            if self.channel()?.paying.contains_key(&shown.token) {
                left(take(self, &receipts.of(shown)))?;
            }
        }
        Ok(())
    }

    /// A client that takes tokens only when told to has them wait.
    fn keep_offer(&mut self, promise: Promise) {
        let id = promise.token.id();
        let Ok(client) = self.channel() else { return };
        if self.offered.len() < OFFERED
            && !client.earning.contains_key(&id)
            && promise.token.payee_channel() == Some(client.id)
        {
            self.offered.insert(id, promise);
        }
    }

    /// A token: the client counts on it, if it pays an invoice of its own; else it is declined.
    pub(super) fn offer(&mut self, promise: &Promise) -> Result<(), ClientFault> {
        let Promise { token, grant, hub } = promise;
        let id = token.id();
        if self.channel()?.earning.contains_key(&id) || self.channel()?.unwanted.contains_key(&id) {
            return Ok(());
        }
        // It was attached, declined or redeemed since. Granted again, it is neither counted on nor declined, or this client would have
        // signed both for one token, and its payer could be made to pay twice.
        if self.store.read(|tx| tx.was_offered(id))? {
            return Ok(());
        }
        let now = self.now();
        let invoice = self.store.read(|tx| tx.invoice(token.invoice))?;
        let fits = |invoice: &crate::order::Invoice| {
            let unpaid = invoice.paid.is_none_or(|paid| paid == id);
            // A METERED token has none: what this client would reveal for it, it is not paid for.
            unpaid && token.value <= invoice.cap && token.condition == invoice.condition && now < invoice.expires
        };
        let facts = json!({ "token": id, "value": token.value, "from": token.payer_channel });
        if invoice.is_none() && now < self.lenient_until {
            return Ok(());
        }
        let fits = invoice.filter(fits);
        let offered = match fits {
            None => Err(ClientFault::asked("it pays no invoice of this client")),
            Some(mut invoice) => {
                let preimage = Some(invoice.preimage).filter(|preimage| !preimage.is_zero());
                invoice.paid = Some(id);
                self.change(
                    |client, ctx| client.offered(token, grant, hub, preimage, ctx),
                    |tx, _| {
                        tx.put_invoice(&invoice)?;
                        tx.put_offered(id, token.claim_by, now)?;
                        tx.note(now, "promised", &facts)
                    },
                )
            }
        };
        match offered {
            Ok(()) => {
                self.passed(Step::Promised);
                Ok(())
            }
            Err(ClientFault::Channel(ClientError::Blind)) => offered,
            Err(ClientFault::Store(error)) => Err(ClientFault::Store(error)),
            Err(why) => {
                let facts = json!({ "token": id, "why": why.to_string() });
                self.change(
                    |client, ctx| client.unwanted(token, grant, hub, ctx),
                    |tx, _| {
                        tx.put_offered(id, token.claim_by, now)?;
                        tx.note(now, "unwanted", &facts)
                    },
                )
            }
        }
    }

    /// A receipt: the token can be settled.
    pub(super) fn receipt(&mut self, receipt: &Receipt) -> Result<(), ClientFault> {
        let id = receipt.token;
        let Some(paying) = self.channel()?.paying.get(&id) else { return Ok(()) };
        if paying.paid.is_some() {
            return Ok(());
        }
        let attached =
            Attached { receipt: receipt.receipt.clone(), signature: receipt.signature, hub: receipt.hub.clone() };
        let preimage = Some(receipt.preimage).filter(|preimage| !preimage.is_zero());
        self.busy_at = std::time::Instant::now();
        let (now, facts) = (self.now(), json!({ "token": id, "preimage": preimage }));
        let shown = receipt.voucher;
        self.change(
            |client, ctx| {
                recount(client, id, shown, ctx);
                client.receipt(id, &attached, preimage, ctx)
            },
            |tx, _| {
                tx.put_receipt(receipt)?;
                tx.note(now, "paid", &facts)
            },
        )?;
        self.passed(Step::Paid);
        self.linger.arrives(id, std::time::Instant::now());
        Ok(())
    }

    /// The payee has given a token up: it can be refunded.
    fn declined(&mut self, receipt: &Receipt) -> Result<(), ClientFault> {
        let id = receipt.token;
        let Some(paying) = self.channel()?.paying.get(&id) else { return Ok(()) };
        if paying.declined {
            return Ok(());
        }
        let attached =
            Attached { receipt: receipt.receipt.clone(), signature: receipt.signature, hub: receipt.hub.clone() };
        let (now, facts) = (self.now(), json!({ "token": id }));
        self.change(|client, ctx| client.declined(id, &attached, ctx), |tx, _| tx.note(now, "declined", &facts))
    }

    /// A word of the stream. Whoever says something is named by the hub; what counts is the signature in it.
    pub(super) fn heard(&mut self, word: &Word) -> Result<(), ClientFault> {
        let Ok(said) = serde_json::from_value::<Said>(word.body.clone()) else { return Ok(()) };
        match said {
            Said::Acknowledged { token, cumulative } => {
                let payee = self.channel()?.paying.get(&token).and_then(|paying| paying.token.payee_channel());
                if payee == Some(word.from) {
                    if let Some(client) = &self.client {
                        self.acknowledged.retain(|id, _| client.paying.contains_key(id));
                    }
                    self.acknowledged.insert(token, cumulative);
                }
            }
            Said::Voucher { voucher, signature } => {
                let token = voucher.token;
                // Nobody else has anything to say about it.
                let payer = self.channel()?.earning.get(&token).map(|earning| earning.token.payer_channel);
                if payer != Some(word.from) {
                    return Ok(());
                }
                let earned = |daemon: &Self| {
                    Ok::<_, ClientFault>(daemon.channel()?.earning.get(&token).map_or(Amount::ZERO, |e| e.earned()))
                };
                if voucher.cumulative > earned(self)? {
                    self.change(|client, ctx| client.vouched(&voucher, &signature, ctx), |_, _| Ok(()))?;
                }
                // A voucher that arrives twice was not heard of: what it has brought is said again.
                let said = Said::Acknowledged { token, cumulative: earned(self)? };
                self.say(word.from, &said, 1);
            }
        }
        Ok(())
    }

    /// Says a voucher until it has reached whoever listens for the payee; where no acknowledgement comes, the user says it again.
    pub(super) fn say_voucher(&self, to: ChannelId, voucher: Voucher, signature: Signature) {
        self.say(to, &Said::Voucher { voucher, signature }, SAY_MAX);
    }

    fn say(&self, to: ChannelId, said: &Said, times: u32) {
        let (Some(seat), Ok(body)) = (&self.seat, serde_json::to_value(said)) else { return };
        let desk = seat.desk.clone();
        // Who floods this client with words does not have it open connections without end.
        let Ok(permit) = std::sync::Arc::clone(&self.speaking).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _permit = permit;
            for _ in 0..times {
                if desk.say(to, &body as &Value).await.is_ok() {
                    return;
                }
                tokio::time::sleep(SAY_AGAIN).await;
            }
        });
    }
}
