//! Chains: aliases, foundries and NFTs keep their identity from output to output (TIP-18).

use std::collections::HashMap;

use iota_sdk::U256;
use iota_sdk::types::block::output::{
    AliasId, AliasOutput, ChainId, FoundryId, FoundryOutput, NftOutput, Output, TokenScheme,
};

use super::balance::Tokens;
use super::unlock::Unlocked;
use super::{Conflict, Context};
use crate::{OutputId, TransactionId};

/// The chains of a transaction by their id, as they go in and as they come out.
pub struct Chains<'a> {
    inputs: HashMap<ChainId, Output>,
    /// In the order of the outputs.
    outputs: Vec<(ChainId, &'a Output)>,
}

impl<'a> Chains<'a> {
    pub fn new(transaction: &TransactionId, context: &Context<'a>) -> Self {
        let inputs = context
            .spent
            .iter()
            .filter_map(|(id, output)| Some((output.chain_id()?.or_from_output_id(id), output.clone())))
            .collect();
        let outputs = context.essence.outputs().iter().enumerate().filter_map(|(index, output)| {
            let id = OutputId::new(*transaction, index as u16).expect("a parsed transaction has at most 128 outputs");
            Some((output.chain_id()?.or_from_output_id(&id), output))
        });
        Self { inputs, outputs: outputs.collect() }
    }

    fn next(&self, id: &ChainId) -> Option<&'a Output> {
        self.outputs.iter().find(|(other, _)| other == id).map(|(_, output)| *output)
    }

    /// The alias with this id as it comes out.
    pub fn next_alias(&self, id: &AliasId) -> Option<&'a AliasOutput> {
        match self.next(&ChainId::Alias(*id))? {
            Output::Alias(alias) => Some(alias),
            _ => None,
        }
    }

    /// Whether a foundry comes out, so that its own rules decide about its tokens.
    pub fn creates_or_keeps(&self, id: &FoundryId) -> bool {
        self.next(&ChainId::Foundry(*id)).is_some()
    }

    /// Checks every transition, creation and destruction.
    pub fn check(&self, context: &Context<'_>, unlocked: &Unlocked, tokens: &Tokens) -> Result<(), Conflict> {
        for (id, current) in &self.inputs {
            let holds = match (current, self.next(id)) {
                (Output::Alias(current), Some(Output::Alias(next))) => self.alias_changes(current, next, context),
                (Output::Nft(current), Some(Output::Nft(next))) => {
                    current.immutable_features() == next.immutable_features()
                }
                (Output::Foundry(current), Some(Output::Foundry(next))) => foundry_changes(current, next, tokens),
                (Output::Foundry(current), None) => foundry_ends(current, tokens),
                (Output::Alias(_) | Output::Nft(_), None) => true,
                _ => false,
            };
            if !holds {
                return Err(Conflict::ChainTransition);
            }
        }
        for (id, created) in self.outputs.iter().filter(|(id, _)| !self.inputs.contains_key(id)) {
            let holds = match created {
                Output::Alias(alias) => alias_begins(alias, unlocked),
                Output::Nft(nft) => nft_begins(nft, unlocked),
                Output::Foundry(foundry) => self.foundry_begins(id, foundry, tokens),
                Output::Basic(_) | Output::Treasury(_) => false,
            };
            if !holds {
                return Err(Conflict::ChainTransition);
            }
        }
        Ok(())
    }

    fn alias_changes(&self, current: &AliasOutput, next: &AliasOutput, context: &Context<'_>) -> bool {
        if current.immutable_features() != next.immutable_features() {
            return false;
        }
        if current.state_index() == next.state_index() {
            // The governor changes who governs and the metadata, nothing of the state.
            return current.amount() == next.amount()
                && current.native_tokens() == next.native_tokens()
                && current.state_metadata() == next.state_metadata()
                && current.foundry_counter() == next.foundry_counter();
        }
        let Some(foundries) = next.foundry_counter().checked_sub(current.foundry_counter()) else { return false };
        let created = context.essence.outputs().iter().filter(|output| match output {
            Output::Foundry(foundry) => {
                foundry.alias_address().alias_id() == next.alias_id()
                    && !self.inputs.contains_key(&ChainId::Foundry(foundry.id()))
            }
            _ => false,
        });
        // The state controller changes the state, and neither who governs nor the metadata.
        current.unlock_conditions() == next.unlock_conditions()
            && current.features().metadata() == next.features().metadata()
            && created.count() as u64 == u64::from(foundries)
    }

    /// A foundry needs a state transition of its alias, which counts it; new ones come in the order of their serials.
    fn foundry_begins(&self, id: &ChainId, foundry: &FoundryOutput, tokens: &Tokens) -> bool {
        let alias_id = foundry.alias_address().alias_id();
        let Some(Output::Alias(current)) = self.inputs.get(&ChainId::Alias(*alias_id)) else { return false };
        let Some(next) = self.next_alias(alias_id) else { return false };
        let new_before = self
            .outputs
            .iter()
            .take_while(|(other, _)| other != id)
            .filter(|(other, output)| match output {
                Output::Foundry(output) => {
                    output.alias_address().alias_id() == alias_id && !self.inputs.contains_key(other)
                }
                _ => false,
            })
            .count() as u64;
        let serial = u64::from(foundry.serial_number());
        let TokenScheme::Simple(scheme) = foundry.token_scheme();
        serial == u64::from(current.foundry_counter()) + new_before + 1
            && foundry.serial_number() <= next.foundry_counter()
            && scheme.melted_tokens().is_zero()
            && scheme.minted_tokens() == count(&tokens.outputs, foundry)
    }
}

fn alias_begins(alias: &AliasOutput, unlocked: &Unlocked) -> bool {
    let issuer = alias.immutable_features().issuer();
    alias.alias_id().is_null() && issuer.is_none_or(|issuer| unlocked.contains_key(issuer.address()))
}

fn nft_begins(nft: &NftOutput, unlocked: &Unlocked) -> bool {
    let issuer = nft.immutable_features().issuer();
    nft.nft_id().is_null() && issuer.is_none_or(|issuer| unlocked.contains_key(issuer.address()))
}

fn count(
    tokens: &std::collections::BTreeMap<iota_sdk::types::block::output::TokenId, U256>,
    foundry: &FoundryOutput,
) -> U256 {
    tokens.get(&foundry.token_id()).copied().unwrap_or_default()
}

fn foundry_changes(current: &FoundryOutput, next: &FoundryOutput, tokens: &Tokens) -> bool {
    let (TokenScheme::Simple(before), TokenScheme::Simple(after)) = (current.token_scheme(), next.token_scheme());
    let minted = after.minted_tokens().checked_sub(before.minted_tokens());
    let melted = after.melted_tokens().checked_sub(before.melted_tokens());
    let (Some(minted), Some(melted)) = (minted, melted) else { return false };
    let (spent, created) = (count(&tokens.inputs, current), count(&tokens.outputs, next));
    let balanced = match created.checked_sub(spent) {
        Some(more) => minted == more && melted.is_zero(),
        // What is missing was melted or burnt.
        None => minted.is_zero() && melted <= spent - created,
    };
    balanced
        && before.maximum_supply() == after.maximum_supply()
        && current.immutable_features() == next.immutable_features()
}

/// All its tokens must be melted with it.
fn foundry_ends(current: &FoundryOutput, tokens: &Tokens) -> bool {
    let TokenScheme::Simple(scheme) = current.token_scheme();
    let circulating = scheme.minted_tokens().checked_sub(scheme.melted_tokens());
    count(&tokens.outputs, current).is_zero() && circulating == Some(count(&tokens.inputs, current))
}
