//! Where clients and hub keep what they must not lose: in memory here, in files where their crates run the same faults.

use std::collections::BTreeMap;

use tarefa_channel::B256;
use tarefa_channel::chain::Ctx;
use tarefa_channel::client::Client;
use tarefa_channel::hub::{Answer, HubChannel, HubToken, Invoice, Proposal, Refusal, Rows, Stage, propose};
use tarefa_channel::id::{Amount, ChannelId, Time, TokenId};
use tarefa_channel::message::Token;
use tarefa_channel::rules::Every;

use super::chain::{Chain, Seen};
use super::{ALICE_CLIENT, ALICE_HUB, BOB_CLIENT, BOB_HUB, TERMS};
use crate::keys::{Key, SIGNER};
use crate::scenario::{ALICES, BOBS, channel, domain};

/// Where a process dies while it does something next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crash {
    /// It goes on.
    #[default]
    None,
    /// What it did is lost.
    Before,
    /// What it did is stored, and nobody was told.
    After,
}

/// What one of the hub's replicas sees of the chain.
#[derive(Clone, Debug)]
pub struct Sight {
    pub(super) chain: Chain,
    pub(super) tokens: BTreeMap<TokenId, Token>,
    pub(super) lag: usize,
}

impl Sight {
    /// Asks something of it, with the hub's key and terms.
    pub fn ask<T>(&self, question: impl FnOnce(&Ctx<'_, Seen<'_>, Key, Every>) -> T) -> T {
        let seen = Seen { chain: &self.chain, tokens: &self.tokens, lag: self.lag };
        let (keys, domain) = (Key(SIGNER), domain());
        question(&Ctx { chain: &seen, keys: &keys, terms: &TERMS, domain, rules: Every })
    }
}

/// The stores of the hub and of both clients.
pub trait Disks {
    /// The hub decides a proposal and keeps what comes of it. A crash comes, and is over, where there is something to keep: then there is no
    /// answer, and the hub begins again.
    fn decide(&mut self, proposal: &Proposal, sight: Sight, crash: &mut Crash) -> Option<Result<Answer, Refusal>>;

    /// What waits for a channel's client at the hub.
    fn letters(&mut self, of: ChannelId) -> Vec<HubToken>;

    /// The hub's row of a channel.
    fn channel(&mut self, id: ChannelId) -> HubChannel;

    /// The tokens that a channel pays with, as the hub has them.
    fn paying(&mut self, id: ChannelId) -> Vec<HubToken>;

    /// A token, as the hub has it.
    fn token(&mut self, id: TokenId) -> Option<HubToken>;

    /// A client keeps itself.
    fn keep(&mut self, alice: bool, client: &Client);

    /// A client as it begins again.
    fn client(&mut self, alice: bool) -> Client;
}

/// What the hub begins with.
#[must_use]
pub fn opened_at_the_hub() -> [HubChannel; 2] {
    let row = |owner, client_in, hub_in| HubChannel::opened(owner, 0, channel(owner), client_in, hub_in);
    [row(ALICES, ALICE_CLIENT, ALICE_HUB), row(BOBS, BOB_CLIENT, BOB_HUB)]
}

/// What Alice and Bob begin with.
#[must_use]
pub fn opened() -> [Client; 2] {
    let client = |owner, client_in, hub_in| Client::opened(owner, 0, channel(owner), client_in, hub_in);
    [client(ALICES, ALICE_CLIENT, ALICE_HUB), client(BOBS, BOB_CLIENT, BOB_HUB)]
}

/// An invoice for whatever Alice pays.
#[must_use]
pub fn invoice(used: Option<TokenId>) -> Invoice {
    Invoice { cap: Amount(1000), expires: Time::MAX, used }
}

/// Disks that never fail and take no time.
#[derive(Clone, Debug)]
pub struct Memory {
    channels: BTreeMap<ChannelId, HubChannel>,
    tokens: BTreeMap<TokenId, HubToken>,
    used: BTreeMap<B256, TokenId>,
    clients: [Client; 2],
}

impl Default for Memory {
    fn default() -> Self {
        let channels = opened_at_the_hub().map(|row| (row.id, row)).into();
        Self { channels, tokens: BTreeMap::new(), used: BTreeMap::new(), clients: opened() }
    }
}

impl Rows for Memory {
    fn channel(&self, id: ChannelId) -> Option<HubChannel> {
        self.channels.get(&id).cloned()
    }

    fn token(&self, id: TokenId) -> Option<HubToken> {
        self.tokens.get(&id).cloned()
    }

    fn invoice(&self, _: ChannelId, name: B256) -> Option<Invoice> {
        Some(invoice(self.used.get(&name).copied()))
    }
}

impl Disks for Memory {
    fn decide(&mut self, proposal: &Proposal, sight: Sight, crash: &mut Crash) -> Option<Result<Answer, Refusal>> {
        let accepted = match sight.ask(|ctx| propose(self, proposal, ctx)) {
            Ok(accepted) => accepted,
            Err(refusal) => return Some(Err(refusal)),
        };
        let crash = std::mem::take(crash);
        if crash == Crash::Before {
            return None;
        }
        self.channels.extend(accepted.channels.into_iter().map(|row| (row.id, row)));
        self.tokens.extend(accepted.tokens.into_iter().map(|row| (row.id(), row)));
        self.used.extend(accepted.invoices.into_iter().map(|(_, name, token)| (name, token)));
        (crash == Crash::None).then_some(Ok(accepted.answer))
    }

    fn letters(&mut self, of: ChannelId) -> Vec<HubToken> {
        let mine = self.tokens.values().filter(|row| match row.stage {
            Stage::Granted => row.token.payee_channel() == Some(of),
            Stage::Attached { .. } | Stage::Declined(_) => row.token.payer_channel == of,
            Stage::Landed(_) => false,
        });
        mine.cloned().collect()
    }

    fn channel(&mut self, id: ChannelId) -> HubChannel {
        self.channels[&id].clone()
    }

    fn paying(&mut self, id: ChannelId) -> Vec<HubToken> {
        self.tokens.values().filter(|row| row.token.payer_channel == id).cloned().collect()
    }

    fn token(&mut self, id: TokenId) -> Option<HubToken> {
        self.tokens.get(&id).cloned()
    }

    fn keep(&mut self, alice: bool, client: &Client) {
        self.clients[usize::from(!alice)] = client.clone();
    }

    fn client(&mut self, alice: bool) -> Client {
        self.clients[usize::from(!alice)].clone()
    }
}
