//! Unspent outputs as an indexer asks for them: by kind or by address, in the order in which they were booked.

use std::collections::{BTreeSet, HashMap};

use iota_sdk::types::block::address::Address;
use iota_sdk::types::block::output::unlock_condition::UnlockCondition;
use iota_sdk::types::block::output::{ChainId, Output};

use crate::OutputId;

/// Position of an output: timestamp of the milestone that booked it, then its id.
pub type Position = (u32, OutputId);

/// The index.
#[derive(Debug, Default)]
pub struct Unspent {
    by_kind: HashMap<u8, BTreeSet<Position>>,
    by_address: HashMap<Address, BTreeSet<Position>>,
    by_chain: HashMap<ChainId, Position>,
}

impl Unspent {
    pub(super) fn add(&mut self, position: Position, output: &Output) {
        self.by_kind.entry(output.kind()).or_default().insert(position);
        for address in addresses(output) {
            self.by_address.entry(address).or_default().insert(position);
        }
        if let Some(chain) = output.chain_id() {
            self.by_chain.insert(chain.or_from_output_id(&position.1), position);
        }
    }

    pub(super) fn remove(&mut self, position: &Position, output: &Output) {
        if let Some(positions) = self.by_kind.get_mut(&output.kind()) {
            positions.remove(position);
        }
        if let Some(chain) = output.chain_id().map(|chain| chain.or_from_output_id(&position.1))
            && self.by_chain.get(&chain) == Some(position)
        {
            // Unless the next state of the chain has taken its place already.
            self.by_chain.remove(&chain);
        }
        for address in addresses(output) {
            if let Some(positions) = self.by_address.get_mut(&address) {
                positions.remove(position);
                if positions.is_empty() {
                    self.by_address.remove(&address);
                }
            }
        }
    }

    /// All of one kind (basic 3, alias 4, foundry 5, NFT 6), oldest first.
    pub fn of_kind(&self, kind: u8) -> impl Iterator<Item = &Position> {
        self.by_kind.get(&kind).into_iter().flatten()
    }

    /// The output that an alias, foundry or NFT is in now.
    pub fn of_chain(&self, chain: &ChainId) -> Option<&Position> {
        self.by_chain.get(chain)
    }

    /// All that name an address in any unlock condition, oldest first.
    pub fn naming<'a>(&'a self, address: &Address) -> impl Iterator<Item = &'a Position> + use<'a> {
        self.by_address.get(address).into_iter().flatten()
    }
}

fn addresses(output: &Output) -> Vec<Address> {
    let conditions = output.unlock_conditions().map(|conditions| conditions.iter());
    conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| match condition {
            UnlockCondition::Address(condition) => Some(*condition.address()),
            UnlockCondition::StorageDepositReturn(condition) => Some(*condition.return_address()),
            UnlockCondition::Expiration(condition) => Some(*condition.return_address()),
            UnlockCondition::StateControllerAddress(condition) => Some(*condition.address()),
            UnlockCondition::GovernorAddress(condition) => Some(*condition.address()),
            UnlockCondition::ImmutableAliasAddress(condition) => Some(Address::Alias(*condition.alias_address())),
            UnlockCondition::Timelock(_) => None,
        })
        .collect()
}
