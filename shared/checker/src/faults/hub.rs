//! The hub: replicas without memory over one store.

use std::collections::BTreeMap;

use tarefa_channel::B256;
use tarefa_channel::chain::Ctx;
use tarefa_channel::contract::HubWord;
use tarefa_channel::hub::{Answer, HubChannel, HubToken, Invoice, Proposal, Refusal, Rows, Stage, duties, propose};
use tarefa_channel::id::{Amount, ChannelId, Time, TokenId};
use tarefa_channel::message::{Message as _, Receipt, Token};
use tarefa_channel::rules::Every;

use super::chain::{Chain, Seen};
use super::{ALICE_CLIENT, ALICE_HUB, BOB_CLIENT, BOB_HUB, Crash, TERMS};
use crate::keys::{Key, SIGNER, hub_signs};
use crate::scenario::{ALICES, BOBS, channel, domain};

/// The hub.
#[derive(Clone, Debug)]
pub struct Hub {
    channels: BTreeMap<ChannelId, HubChannel>,
    tokens: BTreeMap<TokenId, HubToken>,
    used: BTreeMap<B256, TokenId>,
    pub away_until: Time,
    pub crash: Crash,
}

impl Rows for Hub {
    fn channel(&self, id: ChannelId) -> Option<HubChannel> {
        self.channels.get(&id).cloned()
    }

    fn token(&self, id: TokenId) -> Option<HubToken> {
        self.tokens.get(&id).cloned()
    }

    fn invoice(&self, _: ChannelId, invoice: B256) -> Option<Invoice> {
        Some(Invoice { cap: Amount(1000), expires: Time::MAX, used: self.used.get(&invoice).copied() })
    }
}

impl Hub {
    pub fn new() -> Self {
        let alice = HubChannel::opened(ALICES, 0, channel(ALICES), ALICE_CLIENT, ALICE_HUB);
        let bob = HubChannel::opened(BOBS, 0, channel(BOBS), BOB_CLIENT, BOB_HUB);
        let channels = [(alice.id, alice), (bob.id, bob)].into();
        Self { channels, tokens: BTreeMap::new(), used: BTreeMap::new(), away_until: Time(0), crash: Crash::None }
    }

    /// A replica decides a proposal; none where it dies before it has answered.
    pub fn decide(&mut self, proposal: &Proposal, seen: &Seen<'_>) -> Option<Result<Answer, Refusal>> {
        let (keys, domain) = (Key(SIGNER), domain());
        let ctx = Ctx { chain: seen, keys: &keys, terms: &TERMS, domain: &domain, rules: Every };
        let accepted = match propose(self, proposal, &ctx) {
            Ok(accepted) => accepted,
            Err(refusal) => return Some(Err(refusal)),
        };
        let crash = std::mem::take(&mut self.crash);
        if crash == Crash::Before {
            return None;
        }
        self.channels.extend(accepted.channels.into_iter().map(|row| (row.id, row)));
        self.tokens.extend(accepted.tokens.into_iter().map(|row| (row.id(), row)));
        self.used.extend(accepted.invoices.into_iter().map(|(_, name, token)| (name, token)));
        (crash == Crash::None).then_some(Ok(accepted.answer))
    }

    /// What waits for a channel's client.
    pub fn letters(&self, of: ChannelId) -> Vec<HubToken> {
        let mine = self.tokens.values().filter(|row| match row.stage {
            Stage::Granted => row.token.payee_channel() == Some(of),
            Stage::Attached { .. } | Stage::Declined(_) => row.token.payer_channel == of,
            Stage::Landed(_) => false,
        });
        mine.cloned().collect()
    }

    /// Its word on the state that a receipt opens.
    pub fn word(&self, receipt: &Receipt) -> HubWord {
        debug_assert!(!receipt.struct_hash().is_zero());
        HubWord::State(hub_signs(receipt, &domain()))
    }

    /// Does on chain what is due.
    pub fn attend(&self, chain: &mut Chain, tokens: &BTreeMap<TokenId, Token>) {
        let mut calls = vec![];
        {
            let seen = Seen { chain, tokens, lag: 0 };
            let (keys, domain) = (Key(SIGNER), domain());
            let ctx = Ctx { chain: &seen, keys: &keys, terms: &TERMS, domain: &domain, rules: Every };
            for row in self.channels.values() {
                let paying = self.tokens.values().filter(|token| row.position.pending.contains(&token.id()));
                let earned = self.tokens.values().filter(|token| token.token.payee_channel() == Some(row.id));
                let (paying, earned): (Vec<_>, Vec<_>) = (paying.cloned().collect(), earned.cloned().collect());
                calls.extend(duties(row, &paying, &earned, &ctx));
            }
        }
        calls.into_iter().for_each(|call| chain.send(SIGNER, call));
    }
}
