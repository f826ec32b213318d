//! The hub: replicas without memory over one store.

use std::collections::BTreeMap;

use tarefa_channel::contract::HubWord;
use tarefa_channel::hub::{HubToken, duties};
use tarefa_channel::id::{Time, TokenId};
use tarefa_channel::message::{Message as _, Receipt, Token};

use super::Crash;
use super::chain::Chain;
use super::disks::{Disks, Sight};
use crate::keys::{SIGNER, hub_signs};
use crate::scenario::{ALICES, BOBS, channel, domain};

/// The hub's process.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    pub away_until: Time,
    pub crash: Crash,
}

impl Hub {
    /// Its word on the state that a receipt opens.
    pub fn word(receipt: &Receipt) -> HubWord {
        debug_assert!(!receipt.struct_hash().is_zero());
        HubWord::State(hub_signs(receipt, domain()))
    }

    /// Does on chain what is due.
    pub fn attend(disks: &mut dyn Disks, chain: &mut Chain, tokens: &BTreeMap<TokenId, Token>) {
        let sight = Sight { chain: chain.clone(), tokens: tokens.clone(), lag: 0 };
        let mut calls = vec![];
        for owner in [ALICES, BOBS] {
            let row = disks.channel(channel(owner));
            let mut paying = disks.paying(row.id);
            paying.retain(|token| row.position.pending.contains(&token.id()));
            let earned = tokens.values().filter(|token| token.payee_channel() == Some(row.id));
            let earned: Vec<HubToken> = earned.filter_map(|token| disks.token(token.id())).collect();
            calls.extend(sight.ask(|ctx| duties(&row, &paying, &earned, ctx)));
        }
        calls.into_iter().for_each(|call| chain.send(SIGNER, call));
    }
}
