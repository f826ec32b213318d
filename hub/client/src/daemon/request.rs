//! What can be asked of the daemon: the seed's operations by their names, and what a user needs besides.

use std::pin::Pin;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tarefa_chain::abi::FulgurHub;
use tarefa_channel::chain::Chain as _;
use tarefa_channel::client::ClientError;
use tarefa_channel::contract::{Call, Owner, Status};
use tarefa_channel::message::{ChannelOffer, Message as _, Voucher};
use tarefa_channel::sign::{HubSignature, Signer as _};
use tarefa_channel::transition::Side;
use tarefa_channel::{Amount, ChannelId, Seq, TokenId};
use tarefa_hub::{Promise, Receipt};

use super::orders::Ordered;
use super::wait::Until;
use super::{Daemon, Input, Tell};
use crate::anchor::Anchor;
use crate::fault::ClientFault;
use crate::link::LinkFault;
use crate::order::{Invoice, Order, voucher_key};

/// Seconds that a payee has to take a token, where nothing else is said.
const LIFETIME: u64 = 300;

fn lifetime() -> u64 {
    LIFETIME
}

/// Something to ask for. In JSON: `{"method": …, "params": …}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Where everything stands.
    Status,
    /// What has happened.
    History,
    /// Opens the channel.
    Subscribe {
        /// What the client puts in.
        deposit: Amount,
        /// The collateral it would like of the hub.
        collateral: Amount,
        /// The most it pays the hub for it.
        max_fee: Amount,
    },
    /// Between on-chain balances.
    TransferOnChainOnChain {
        /// To whom.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// A payment into a channel (OFF), or a token for vouchers (METERED).
    DetachOffChainTokenOffChain {
        /// The payee's channel.
        payee: ChannelId,
        /// How much; METERED: at most.
        amount: Amount,
        /// The payee's invoice.
        invoice: B256,
        /// The invoice's condition; zero for none.
        #[serde(default)]
        condition: B256,
        /// METERED.
        #[serde(default)]
        metered: bool,
        /// Seconds that the payee has to take it.
        #[serde(default = "lifetime")]
        lifetime: u64,
    },
    /// A payment to an address on chain.
    DetachOffChainTokenOnChain {
        /// To whom.
        to: Address,
        /// How much.
        amount: Amount,
        /// Seconds in which it can be executed.
        #[serde(default = "lifetime")]
        lifetime: u64,
    },
    /// A deposit: hot refill, or money from outside into a side of anybody's channel.
    DetachOnChainTokenOffChain {
        /// How much.
        amount: Amount,
        /// Whose channel [default: the client's own].
        client: Option<Address>,
        /// Into the hub's side.
        #[serde(default)]
        hub_side: bool,
        /// From the on-chain balance rather than from outside.
        #[serde(default)]
        from_balance: bool,
    },
    /// A token of this payer with the hub's promise, to hand over by another way than the mailbox.
    SendProofOfDetachment {
        /// The token.
        token: TokenId,
    },
    /// Counts on the next token that was offered, or on one that was handed over.
    PopProofOfDetachment {
        /// What was handed over.
        proof: Option<Box<Promise>>,
    },
    /// Takes a token that the client counts on.
    AttachTokenOffChain {
        /// The token.
        token: TokenId,
    },
    /// Settles a token whose receipt has arrived, or that the contract has paid.
    SettleOffChainOffChainTransfer {
        /// The token.
        token: TokenId,
    },
    /// Fetches the receipt of a token from the hub.
    RetrievePaymentReceipt {
        /// The token.
        token: TokenId,
    },
    /// Waits until a token has arrived at its payee.
    AwaitPayment {
        /// The token.
        token: TokenId,
    },
    /// Redeems a token on chain.
    RedeemToken {
        /// The token.
        token: TokenId,
    },
    /// Takes a token back: at once where the payee has declined it, else after claimBy.
    CancelToken {
        /// The token.
        token: TokenId,
    },
    /// Gives a token up.
    DeclineToken {
        /// The token.
        token: TokenId,
    },
    /// Asks for money: registered with the hub, good for one token.
    Invoice {
        /// At most this much.
        cap: Amount,
        /// Seconds that it is good for.
        #[serde(default = "lifetime")]
        lifetime: u64,
        /// Paid only against a preimage that the payer then has.
        #[serde(default)]
        conditional: bool,
    },
    /// Vouches for more of a METERED token, and waits until the payee has it.
    Voucher {
        /// The token.
        token: TokenId,
        /// In all.
        cumulative: Amount,
    },
    /// Ends the metering of a token: what it has earned is attached.
    Collect {
        /// The token.
        token: TokenId,
    },
    /// Hot withdrawal, to the on-chain balance.
    WithdrawHot {
        /// How much.
        amount: Amount,
    },
    /// Several of what makes a state, in one state: all of them or none.
    Together {
        /// What.
        requests: Vec<Request>,
    },
    /// Leaves: by a last state that both sign (`last`), or on chain against anybody's will.
    Close {
        /// By a last state.
        #[serde(default)]
        last: bool,
    },
    /// Pays the on-chain balance out.
    Withdraw {
        /// How much [default: all].
        amount: Option<Amount>,
    },
}

impl Daemon {
    /// Serves a request: it is told at once, or waits.
    pub(super) async fn serve(&mut self, request: Request, tell: Tell) {
        let begun = self.begin(request).await;
        self.conclude(begun, tell);
    }

    /// Goes on with a request once the hub has said something to it.
    pub(super) async fn replied(&mut self, reply: Reply, tell: Tell) {
        let begun = match reply {
            Reply::Offer(wanted, answer) => self.accept(&wanted, answer).await,
            Reply::Receipt(token, answer) => self.fetched(token, answer).map(Begun::Done),
        };
        self.conclude(begun, tell);
    }

    fn conclude(&mut self, begun: Result<Begun, ClientFault>, tell: Tell) {
        match begun {
            Ok(Begun::Done(value)) => drop(tell.send(Ok(value))),
            Ok(Begun::Waits(until, facts)) => self.wait(until, facts, tell),
            Ok(Begun::Ordered(orders, facts)) => {
                // What is kept where it is refused goes by itself: an order in its state would be kept with it.
                let alone = orders.iter().any(Order::is_kept);
                let until = Instant::now() + self.pace.wait;
                self.orders.push_back(Ordered { orders, tell: Some((tell, facts)), alone, until });
            }
            Ok(Begun::Elsewhere(work)) => {
                tokio::spawn(async move { tell.send(work.await).ok() });
            }
            Ok(Begun::Asks(work)) => {
                let inbox = self.tell_loop.clone();
                tokio::spawn(async move { inbox.send(Input::Reply(Box::new(work.await), tell)).await.ok() });
            }
            Err(fault) => drop(tell.send(Err(fault))),
        }
    }

    async fn begin(&mut self, request: Request) -> Result<Begun, ClientFault> {
        if let Some(orders) = self.orders_of(&request)? {
            let together = matches!(request, Request::Together { .. });
            return Ok(Begun::Ordered(orders, if together { json!({ "tokens": [] }) } else { json!({}) }));
        }
        match request {
            Request::Status => Ok(Begun::Done(self.status().await?)),
            Request::History => Ok(Begun::Done(json!(self.store.read(|tx| tx.history())?))),
            Request::Subscribe { deposit, collateral, max_fee } => {
                self.subscribe(Opening { deposit, collateral, max_fee })
            }
            Request::TransferOnChainOnChain { to, amount } => {
                self.call(&Call::Transfer { to, asset: self.settings.asset, amount }).await
            }
            Request::DetachOnChainTokenOffChain { amount, client, hub_side, from_balance } => {
                let owner = Owner { client: client.unwrap_or_else(|| self.owner().client), asset: self.settings.asset };
                let side = if hub_side { Side::Hub } else { Side::Client };
                self.call(&Call::Deposit { owner, side, amount, from_balance }).await
            }
            Request::Close { last: false } => {
                let now = self.now();
                let left = self.change(
                    |client, _| {
                        client.leaving = true;
                        Ok(())
                    },
                    |tx, _| tx.note(now, "leaving", &json!({})),
                );
                left?;
                Ok(Begun::Done(json!({ "leaving": true })))
            }
            Request::Withdraw { amount } => {
                let held = self.balance().await?;
                let amount = amount.unwrap_or(held);
                if amount.is_zero() || amount > held {
                    return Err(ClientFault::asked(format!("the on-chain balance is {held}")));
                }
                let begun = self.call(&Call::Withdraw { asset: self.settings.asset, amount }).await?;
                Ok(begun.with("amount", json!(amount)))
            }
            other => self.begin_with_token(other).await,
        }
    }

    /// What is about one token.
    async fn begin_with_token(&mut self, request: Request) -> Result<Begun, ClientFault> {
        match request {
            Request::SendProofOfDetachment { token } => {
                let paying = self.channel()?.paying.get(&token).ok_or_else(|| unknown(token))?;
                let (grant, hub) =
                    paying.grant.clone().ok_or_else(|| ClientFault::asked("the hub has not granted it yet"))?;
                Ok(Begun::Done(json!(Promise { token: paying.token.clone(), grant, hub })))
            }
            Request::PopProofOfDetachment { proof } => self.pop(proof.map(|proof| *proof)),
            Request::RetrievePaymentReceipt { token } => self.retrieve(token),
            Request::AwaitPayment { token } => Ok(Begun::Waits(Until::Paid(token), json!({ "token": token }))),
            Request::RedeemToken { token } => {
                let call = self.channel()?.redemption(token, &self.ctx());
                let call = call.ok_or_else(|| ClientFault::asked("it cannot be redeemed (any more)"))?;
                self.call(&call).await
            }
            Request::Invoice { cap, lifetime, conditional } => self.invoice(cap, lifetime, conditional),
            Request::Voucher { token, cumulative } => self.vouch(token, cumulative),
            Request::Collect { token } => {
                let collected = self.change(
                    |client, _| {
                        client.collect(token);
                        Ok(())
                    },
                    |_, _| Ok(()),
                );
                collected?;
                Ok(Begun::Done(json!({ "token": token })))
            }
            _ => Err(ClientFault::asked("no such request")),
        }
    }

    async fn call(&mut self, call: &Call) -> Result<Begun, ClientFault> {
        if self.outbox.carries(call) {
            return Err(ClientFault::asked("the same call is on its way: wait for it"));
        }
        let name = self.submit(call, false).await?;
        Ok(Begun::Waits(Until::Mined(name), json!({})))
    }

    async fn balance(&self) -> Result<Amount, ClientFault> {
        let Owner { client, asset } = self.owner();
        let asked = FulgurHub::balanceOfCall { party: client, asset };
        Ok(Amount(self.watcher.rpc().read(self.settings.deployment.contract, &asked).await?))
    }

    fn subscribe(&self, wanted: Opening) -> Result<Begun, ClientFault> {
        let Owner { client, asset } = self.owner();
        if self.view().row(self.owner()).status != Status::None {
            return Err(ClientFault::asked("there is a channel already"));
        }
        let link = self.link.clone();
        Ok(Begun::Asks(Box::pin(async move {
            let answer = link.offer(client, asset, wanted.collateral).await;
            Reply::Offer(wanted, answer)
        })))
    }

    /// The hub has made an offer.
    async fn accept(
        &mut self,
        wanted: &Opening,
        answer: Result<(ChannelOffer, HubSignature), LinkFault>,
    ) -> Result<Begun, ClientFault> {
        let Owner { client, asset } = self.owner();
        let Opening { deposit, collateral, max_fee } = *wanted;
        let (offer, hub) = answer?;
        let signer = hub.signer(&self.domain, offer.digest(&self.domain), &*self.key);
        let ours = offer.client == client && offer.asset == asset;
        if !ours || !signer.is_some_and(|signer| self.view().trusted(signer)) {
            return Err(ClientError::Signature.into());
        }
        if offer.opening_fee > max_fee {
            return Err(ClientFault::asked(format!(
                "the hub asks {} for the opening, more than {max_fee}",
                offer.opening_fee
            )));
        }
        if offer.hub_amount < collateral {
            let words = format!("the hub puts in {} at most, {collateral} was asked for", offer.hub_amount);
            return Err(ClientFault::Asked(words));
        }
        self.submit(&Call::Subscribe { offer, hub, deposit }, false).await?;
        Ok(Begun::Waits(Until::Open, json!({ "deposit": deposit, "hub": offer.hub_amount, "fee": offer.opening_fee })))
    }

    fn pop(&mut self, proof: Option<Promise>) -> Result<Begun, ClientFault> {
        let promise = proof.or_else(|| self.offered.pop_first().map(|(_, promise)| promise));
        let promise = promise.ok_or_else(|| ClientFault::asked("nothing was offered"))?;
        self.offer(&promise)?;
        let id = promise.token.id();
        let counted = self.channel()?.earning.contains_key(&id);
        Ok(Begun::Done(json!({ "token": id, "value": promise.token.value, "countedOn": counted })))
    }

    fn retrieve(&self, token: TokenId) -> Result<Begun, ClientFault> {
        let desk = self.seat.as_ref().ok_or_else(|| ClientFault::asked("there is no channel yet"))?.desk.clone();
        Ok(Begun::Asks(Box::pin(async move { Reply::Receipt(token, desk.receipt(token).await) })))
    }

    /// The hub's answer to who asked for a receipt. Nothing is told as a receipt that was not checked against the token.
    fn fetched(&mut self, token: TokenId, answer: Result<Receipt, LinkFault>) -> Result<Value, ClientFault> {
        let answer = answer.and_then(|receipt| match receipt.token == token {
            true => Ok(receipt),
            false => Err(LinkFault::Silent(format!("it shows a receipt of {}", receipt.token))),
        });
        let kept = self.store.read(|tx| tx.receipt(token))?;
        let unpaid = self.channel()?.paying.get(&token).is_some_and(|paying| paying.paid.is_none());
        match (answer, kept) {
            (Ok(shown), None) if unpaid => {
                self.receipt(&shown)?;
                Ok(json!({ "receipt": shown, "from": "hub" }))
            }
            // What was checked when it came; the way to the root of a batch may be another one now.
            (Ok(shown), Some(kept)) if Receipt { hub: kept.hub.clone(), ..shown.clone() } == kept => {
                Ok(json!({ "receipt": kept, "from": "hub" }))
            }
            (_, Some(kept)) => Ok(json!({ "receipt": kept, "from": "store" })),
            (answer, None) => match (self.on_chain(token), answer) {
                (Some(paid), _) => Ok(json!({ "receipt": paid, "from": "chain" })),
                (None, Err(fault)) => Err(fault.into()),
                (None, Ok(_)) => Err(unknown(token)),
            },
        }
    }

    /// What the chain shows of the payment of a token.
    fn on_chain(&self, token: TokenId) -> Option<Value> {
        let found = self.view().redemption(token)?;
        let status = format!("{:?}", found.status).to_lowercase();
        Some(
            json!({ "token": token, "amount": found.amount, "preimage": self.view().preimage(token), "status": status }),
        )
    }

    fn invoice(&mut self, cap: Amount, lifetime: u64, conditional: bool) -> Result<Begun, ClientFault> {
        let desk = self.seat.as_ref().ok_or_else(|| ClientFault::asked("there is no channel yet"))?.desk.clone();
        let (payee, expires) = (self.channel()?.id, self.now().after(lifetime));
        let preimage = if conditional { random()? } else { B256::ZERO };
        let condition = if conditional { B256::from_slice(&Sha256::digest(preimage)) } else { B256::ZERO };
        let invoice = Invoice { id: random()?, payee, cap, expires, condition, preimage, paid: None };
        self.store.commit(|tx| tx.put_invoice(&invoice))?;
        let facts =
            json!({ "invoice": invoice.id, "payee": payee, "cap": cap, "expires": expires, "condition": condition });
        Ok(Begun::Elsewhere(Box::pin(async move {
            let session = desk.session().await?;
            if let Err(fault) = desk.link().invoice(&session, invoice.id, cap, expires).await {
                desk.forget(&fault).await;
                return Err(fault.into());
            }
            Ok(facts)
        })))
    }

    fn vouch(&mut self, token: TokenId, cumulative: Amount) -> Result<Begun, ClientFault> {
        let paying = self.channel()?.paying.get(&token).ok_or_else(|| unknown(token))?;
        let payee = paying.token.payee_channel().ok_or_else(|| unknown(token))?;
        // One voucher at a time: what is not acknowledged may not have arrived (1.28).
        let acknowledged = self.acknowledged.get(&token).copied().unwrap_or_default();
        if paying.vouched > acknowledged && paying.vouched != cumulative {
            let words = format!("the voucher of {} is not acknowledged yet: say it again first", paying.vouched);
            return Err(ClientFault::Asked(words));
        }
        let (seq, index): (Seq, u16) = (paying.token.payer_seq, paying.token.index);
        let key = voucher_key(&self.secret, seq.get(), index)?;
        // The same again: it was not acknowledged, so it is said again.
        let (voucher, signature) = if paying.vouched == cumulative && !cumulative.is_zero() {
            let voucher = Voucher { token, cumulative, usage: B256::ZERO, condition: B256::ZERO };
            (voucher, key.sign(voucher.digest(&self.domain)))
        } else {
            self.change(
                |client, ctx| client.vouch(token, cumulative, B256::ZERO, B256::ZERO, &key, ctx),
                |_, _| Ok(()),
            )?
        };
        self.say_voucher(payee, voucher, signature);
        Ok(Begun::Waits(Until::Acknowledged(token, cumulative), json!({ "token": token })))
    }

    async fn status(&self) -> Result<Value, ClientFault> {
        let view = self.view();
        let row = view.row(self.owner());
        let mut status = json!({
            "address": self.owner().client,
            "asset": self.settings.asset,
            "contract": self.settings.deployment.contract,
            "block": view.head().number,
            "fresh": view.is_fresh(),
            "onChain": format!("{:?}", row.status).to_lowercase(),
            "closesAt": row.closes_at,
            "onChainBalance": self.balance().await?,
            "gasMoney": self.watcher.rpc().balance(self.owner().client).await?.to_string(),
            "callsUnderWay": self.outbox.waiting(),
            "restoring": self.restoring,
        });
        if let Some(client) = &self.client {
            let balances = &client.position.balances;
            // What was refused is kept, for it could still be signed; it is not in flight.
            let halves = client.half.iter().map(|half| &half.position);
            let flying: Vec<TokenId> =
                halves.chain([&client.position]).flat_map(|position| position.pending.iter().copied()).collect();
            let paying = client.paying.iter().filter(|(id, _)| flying.contains(id)).map(|(id, paying)| {
                json!({ "token": id, "kind": paying.token.kind, "value": paying.token.value, "granted": paying.grant.is_some(),
                    "vouched": paying.vouched, "paid": paying.paid, "preimage": paying.preimage.or(view.preimage(*id)), "declined": paying.declined, "claimBy": paying.token.claim_by })
            });
            let earning = client.earning.iter().map(|(id, earning)| {
                json!({ "token": id, "kind": earning.token.kind, "value": earning.token.value, "earned": earning.earned(),
                    "redemption": view.redemption(*id).map(|found| format!("{:?}", found.status)) })
            });
            status["channel"] = json!({
                "id": client.id, "epoch": client.epoch, "current": row.epoch == client.epoch, "seq": client.seq(),
                "last": client.is_last(), "leaving": client.leaving, "client": balances.client, "hub": balances.hub,
                "pending": balances.pending, "clientOut": balances.client_out, "executedOut": row.client_out,
                "underWay": client.half.is_some(), "refused": client.refused.len(), "paying": paying.collect::<Vec<_>>(), "earning": earning.collect::<Vec<_>>(),
                "anchor": Anchor::of(client).map(|anchor| anchor.to_string()),
            });
            status["offered"] = json!(self.offered.keys().collect::<Vec<_>>());
        }
        Ok(status)
    }
}

/// What a request has begun.
enum Begun {
    Done(Value),
    Waits(Until, Value),
    Ordered(Vec<Order>, Value),
    /// Needs nothing of the daemon any more.
    Elsewhere(Pin<Box<dyn Future<Output = Result<Value, ClientFault>> + Send>>),
    /// Goes on once the hub has said something: a silent one holds up nothing else.
    Asks(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

/// What the hub has said to somebody's request.
#[expect(clippy::large_enum_variant, reason = "it travels in a box")]
pub enum Reply {
    Offer(Opening, Result<(ChannelOffer, HubSignature), LinkFault>),
    Receipt(TokenId, Result<Receipt, LinkFault>),
}

/// What somebody wants to open a channel with.
#[derive(Clone, Copy)]
pub struct Opening {
    deposit: Amount,
    collateral: Amount,
    max_fee: Amount,
}

impl Begun {
    /// With something more to say at the end.
    fn with(self, name: &str, value: Value) -> Self {
        match self {
            Self::Waits(until, mut facts) => {
                facts[name] = value;
                Self::Waits(until, facts)
            }
            other => other,
        }
    }
}

pub(super) fn unknown(token: TokenId) -> ClientFault {
    ClientFault::asked(format!("this channel has no token {token}"))
}

fn random() -> Result<B256, ClientFault> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| ClientFault::asked(error.to_string()))?;
    Ok(B256::new(bytes))
}
