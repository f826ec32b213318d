//! Unlocks: every input by a signature, or by reference to an input that was unlocked before it (TIP-18, TIP-20).

use std::collections::HashMap;

use iota_sdk::types::block::address::{Address, AliasAddress, NftAddress};
use iota_sdk::types::block::output::{AliasId, AliasOutput, NftId, Output};
use iota_sdk::types::block::payload::TransactionPayload;
use iota_sdk::types::block::signature::Signature;
use iota_sdk::types::block::unlock::Unlock;

use super::chain::Chains;
use super::{Conflict, Context};
use crate::OutputId;

/// Unlocked addresses, each with the index of the input that unlocked it.
pub type Unlocked = HashMap<Address, u16>;

/// Unlocks all inputs in order.
pub fn unlock(
    transaction: &TransactionPayload,
    context: &Context<'_>,
    chains: &Chains<'_>,
) -> Result<Unlocked, Conflict> {
    let hash = transaction.essence().hash();
    let mut unlocked = Unlocked::new();
    for (index, ((id, output), unlock)) in context.spent.iter().zip(transaction.unlocks().iter()).enumerate() {
        let index = index as u16;
        let owner = owner(id, output, context, chains)?;
        match (unlock, &owner) {
            (Unlock::Signature(unlock), Address::Ed25519(address)) if !unlocked.contains_key(&owner) => {
                let Signature::Ed25519(signature) = unlock.signature();
                // The SDK's check and not a stricter one: which odd keys count is consensus.
                signature.is_valid(&hash, address).map_err(|_| Conflict::InvalidSignature)?;
                unlocked.insert(owner, index);
            }
            (Unlock::Reference(unlock), Address::Ed25519(_)) if unlocked.get(&owner) == Some(&unlock.index()) => {}
            (Unlock::Alias(unlock), Address::Alias(_)) if unlocked.get(&owner) == Some(&unlock.index()) => {}
            (Unlock::Nft(unlock), Address::Nft(_)) if unlocked.get(&owner) == Some(&unlock.index()) => {}
            _ => return Err(Conflict::InvalidUnlock),
        }
        if let Some(address) = unlocks_itself(id, output, chains) {
            unlocked.insert(address, index);
        }
    }
    Ok(unlocked)
}

/// Whose unlock an input needs at this time and for this transition.
fn owner(id: &OutputId, output: &Output, context: &Context<'_>, chains: &Chains<'_>) -> Result<Address, Conflict> {
    match output {
        Output::Basic(basic) => Ok(*basic.unlock_conditions().locked_address(basic.address(), context.timestamp)),
        Output::Nft(nft) => Ok(*nft.unlock_conditions().locked_address(nft.address(), context.timestamp)),
        Output::Foundry(foundry) => Ok(Address::Alias(*foundry.alias_address())),
        Output::Alias(alias) => match chains.next_alias(&alias_id(id, alias)) {
            // Only the governor destroys.
            None => Ok(*alias.governor_address()),
            Some(next) if next.state_index() == alias.state_index() => Ok(*alias.governor_address()),
            Some(next) if Some(next.state_index()) == alias.state_index().checked_add(1) => {
                Ok(*alias.state_controller_address())
            }
            Some(_) => Err(Conflict::ChainTransition),
        },
        Output::Treasury(_) => Err(Conflict::InvalidUnlock),
    }
}

/// The address that spending this output unlocks: an NFT's, and an alias's in a state transition only.
fn unlocks_itself(id: &OutputId, output: &Output, chains: &Chains<'_>) -> Option<Address> {
    match output {
        Output::Nft(nft) => Some(Address::Nft(NftAddress::new(nft_id(id, nft.nft_id())))),
        Output::Alias(alias) => {
            let alias_id = alias_id(id, alias);
            let next = chains.next_alias(&alias_id)?;
            (next.state_index() != alias.state_index()).then(|| Address::Alias(AliasAddress::new(alias_id)))
        }
        Output::Basic(_) | Output::Foundry(_) | Output::Treasury(_) => None,
    }
}

/// The id of an alias: derived from its first output.
pub fn alias_id(id: &OutputId, alias: &AliasOutput) -> AliasId {
    alias.alias_id().or_from_output_id(id)
}

/// The id of an NFT: derived from its first output.
pub fn nft_id(id: &OutputId, nft: &NftId) -> NftId {
    nft.or_from_output_id(id)
}
