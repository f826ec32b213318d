//! What goes in comes out: base tokens, returned storage deposits, native tokens.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use iota_sdk::U256;
use iota_sdk::types::block::address::Address;
use iota_sdk::types::block::output::{FoundryId, NativeTokens, Output, TokenId};

use super::chain::Chains;
use super::{Conflict, Context};

/// Native tokens of both sides.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Spent.
    pub inputs: BTreeMap<TokenId, U256>,
    /// Created.
    pub outputs: BTreeMap<TokenId, U256>,
}

/// Checks sums, returns and tokens, in this order.
pub fn check(context: &Context<'_>, chains: &Chains<'_>) -> Result<Tokens, Conflict> {
    let spent = context.spent.iter().map(|(_, output)| output);
    if amount(spent.clone()) != amount(context.essence.outputs().iter()) {
        return Err(Conflict::SumMismatch);
    }
    check_returns(context)?;
    let tokens = Tokens { inputs: sum(spent)?, outputs: sum(context.essence.outputs().iter())? };
    let kinds: BTreeSet<&TokenId> = tokens.inputs.keys().chain(tokens.outputs.keys()).collect();
    if kinds.len() > NativeTokens::COUNT_MAX as usize {
        return Err(Conflict::NativeTokens);
    }
    for (id, created) in &tokens.outputs {
        let available = tokens.inputs.get(id).copied().unwrap_or_default();
        // Its foundry, where it is part of the transaction, decides what may be minted.
        if *created > available && !chains.creates_or_keeps(&FoundryId::from(*id)) {
            return Err(Conflict::NativeTokens);
        }
    }
    Ok(tokens)
}

fn amount<'a>(outputs: impl Iterator<Item = &'a Output>) -> u128 {
    outputs.map(|output| u128::from(output.amount())).sum()
}

fn sum<'a>(outputs: impl Iterator<Item = &'a Output>) -> Result<BTreeMap<TokenId, U256>, Conflict> {
    let mut sums = BTreeMap::<TokenId, U256>::new();
    for token in outputs.filter_map(Output::native_tokens).flat_map(|tokens| tokens.iter()) {
        let sum = sums.entry(*token.token_id()).or_default();
        *sum = sum.checked_add(token.amount()).ok_or(Conflict::NativeTokens)?;
    }
    Ok(sums)
}

/// Only simple transfers count as returns: outputs with an address condition, no features, no native tokens.
fn check_returns(context: &Context<'_>) -> Result<(), Conflict> {
    let mut owed: HashMap<Address, u128> = HashMap::new();
    for (_, output) in &context.spent {
        let Some(conditions) = output.unlock_conditions() else { continue };
        if let Some(deposit) = conditions.storage_deposit_return()
            && !conditions.is_expired(context.timestamp)
        {
            *owed.entry(*deposit.return_address()).or_default() += u128::from(deposit.amount());
        }
    }
    for output in context.essence.outputs() {
        if let Output::Basic(basic) = output
            && let Some(owed) = basic.simple_deposit_address().and_then(|address| owed.get_mut(address))
        {
            *owed = owed.saturating_sub(u128::from(basic.amount()));
        }
    }
    if owed.values().all(|rest| *rest == 0) { Ok(()) } else { Err(Conflict::StorageDepositReturn) }
}
