//! Which requests become operations of the next state, and who waits for them.

use std::time::Instant;

use alloy_primitives::B256;
use serde_json::Value;
use tarefa_channel::client::ClientError;
use tarefa_channel::message::{Op, OpKind, TokenKind};
use tarefa_channel::{Amount, limits};

use super::request::unknown;
use super::{Daemon, Request, Tell};
use crate::fault::ClientFault;
use crate::order::{Order, Pay};

/// Orders of one state: half of its operations. The other half is for what it settles.
pub const ORDERED: usize = limits::OPS / 2;

/// Requests that wait for their state. They bound what the daemon keeps for them: each is of [`ORDERED`] orders at most.
const WAITING: usize = 4096;

/// Orders that go into one state, and who waits for them.
pub struct Ordered {
    /// One, or several that were asked for together: all of them or none.
    pub orders: Vec<Order>,
    /// Whoever is told of the state, and of what besides.
    pub tell: Option<(Tell, Value)>,
    /// In a state of its own: with others it was refused.
    pub alone: bool,
    /// Until then; later nobody expects it any more.
    pub until: Instant,
}

impl Ordered {
    /// Whether somebody still waits for it, and not too long.
    pub fn is_wanted(&self) -> bool {
        Instant::now() < self.until && self.tell.as_ref().is_some_and(|(tell, _)| !tell.is_closed())
    }

    /// How many payments it makes.
    pub fn pays(&self) -> usize {
        self.orders.iter().filter(|order| order.pays()).count()
    }

    /// The tokens that it ends, whose room its own payments have.
    pub fn ends(&self) -> impl Iterator<Item = B256> {
        self.orders.iter().filter_map(Order::ends)
    }
}

impl Daemon {
    /// What a request wants of the next state; none where it is about something else.
    pub(super) fn orders_of(&self, request: &Request) -> Result<Option<Vec<Order>>, ClientFault> {
        let orders = match request {
            Request::Together { requests } => self.together(requests)?,
            request => match self.order_of(request)? {
                Some(order) => vec![order],
                None => return Ok(None),
            },
        };
        let client = self.channel()?;
        if client.leaving || client.is_ending() {
            return Err(ClientError::Ended.into());
        }
        if self.orders.len() >= WAITING {
            return Err(ClientFault::asked("too many orders wait for a state already: try again later"));
        }
        Ok(Some(orders))
    }

    fn together(&self, requests: &[Request]) -> Result<Vec<Order>, ClientFault> {
        if requests.is_empty() || requests.len() > ORDERED {
            let words = format!("{} requests together: one state has room for 1 to {ORDERED}", requests.len());
            return Err(ClientFault::Asked(words));
        }
        let mut orders = vec![];
        for (place, request) in requests.iter().enumerate() {
            let order =
                self.order_of(request).map_err(|fault| ClientFault::asked(format!("request {place}: {fault}")))?;
            let order =
                order.ok_or_else(|| ClientFault::asked(format!("request {place} makes no state: ask for it alone")))?;
            orders.push(order);
        }
        let most = self.settings.deployment.terms.live_tokens;
        let pays = orders.iter().filter(|order| order.pays()).count();
        if pays > most {
            let words = format!("{pays} payments together: the hub allows {most} under way");
            return Err(ClientFault::Asked(words));
        }
        // A refused state that attaches, or is the last, is kept and may still be signed: what is spent in it would be neither spent nor free,
        // and what can only be had of the hub would close the channel.
        if orders.iter().any(Order::is_kept) && !orders.iter().all(Order::may_be_kept) {
            let words = "what attaches or ends the channel goes together with attaches, declines and settlements only";
            return Err(ClientFault::asked(words));
        }
        Ok(orders)
    }

    fn order_of(&self, request: &Request) -> Result<Option<Order>, ClientFault> {
        Ok(Some(match *request {
            Request::DetachOffChainTokenOffChain { payee, amount, invoice, condition, metered, lifetime } => {
                if metered && !condition.is_zero() {
                    return Err(ClientFault::asked(
                        "a metered payment reveals nothing: pay this invoice at once, or ask for another",
                    ));
                }
                let kind = if metered { TokenKind::Metered } else { TokenKind::Off };
                Order::Pay(Pay { kind, payee: payee.0, value: amount, invoice, condition, lifetime })
            }
            Request::DetachOffChainTokenOnChain { to, amount, lifetime } => Order::Pay(Pay::on(to, amount, lifetime)),
            Request::WithdrawHot { amount } => Order::Op(Op::of(OpKind::OutClient, amount)),
            Request::Close { last: true } => Order::Last,
            Request::AttachTokenOffChain { token } => {
                let earning = self.channel()?.earning.get(&token).ok_or_else(|| unknown(token))?;
                Order::Op(Op::on(OpKind::Attach, token, earning.earned()))
            }
            Request::SettleOffChainOffChainTransfer { token } => {
                let client = self.channel()?;
                client.paying.get(&token).ok_or_else(|| unknown(token))?;
                let words = "there is no receipt of it yet, and no execution or redemption that is final";
                Order::Op(client.settlement(token, &self.ctx()).ok_or_else(|| ClientFault::asked(words))?)
            }
            Request::CancelToken { token } => Order::Op(Op::on(OpKind::Refund, token, Amount::ZERO)),
            Request::DeclineToken { token } => Order::Op(Op::on(OpKind::Decline, token, Amount::ZERO)),
            _ => return Ok(None),
        }))
    }
}
