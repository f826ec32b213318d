//! The rules for a block that was read (TIP-18, TIP-20, TIP-24), each with the cause that HORNET gives.

use std::collections::HashSet;

use iota_sdk::U256;
use iota_sdk::packable::PackableExt;
use iota_sdk::types::block::output::{Output, Rent};

use super::output::{Kind, LooseOutput};
use super::transaction::{Transaction, Unlock};
use super::{LooseBlock, Payload};
use crate::{ProtocolParameters, network};

const PARENTS_MAX: usize = 8;
/// Inputs, outputs and unlocks of a transaction.
const COUNT_MAX: usize = 128;
/// Kinds of native tokens, in one output and in a transaction.
const TOKENS_MAX: usize = 64;
/// Bytes of a token's id, before its amount.
const TOKEN_ID_LEN: usize = 38;

/// Checks everything that does not need the ledger. The error is the cause alone.
pub fn check(block: &LooseBlock, params: &ProtocolParameters) -> Result<(), String> {
    if block.version != params.protocol_version() {
        return Err(format!("protocolVersion invalid: {}", block.version));
    }
    let transaction = match &block.payload {
        Payload::Transaction(transaction) => Some(transaction),
        _ => None,
    };
    if let Some(transaction) = transaction
        && transaction.network != params.network_id()
    {
        return Err(format!("invalid payload, error: wrong networkID: {}", transaction.network));
    }
    let parents: Vec<&[u8]> = block.parents.iter().map(|parent| &parent[..]).collect();
    count(parents.len(), 1, PARENTS_MAX)
        .and_then(|()| sorted(&parents))
        .map_err(|e| format!("unable to serialize block parents: {e}"))?;
    match transaction {
        None => Ok(()),
        Some(transaction) => check_transaction(transaction, params)
            .map_err(|e| format!("unable to serialize block inner payload: unable to serialize payload: {e}")),
    }
}

fn check_transaction(transaction: &Transaction, params: &ProtocolParameters) -> Result<(), String> {
    let essence = |e: String| format!("{e}: unable to serialize transaction's essence");
    inputs(transaction).map_err(|e| essence(format!("unable to serialize transaction essence inputs: {e}")))?;
    outputs(transaction).map_err(|e| essence(format!("unable to serialize transaction essence outputs: {e}")))?;
    let wanted = transaction.inputs.len();
    count(transaction.unlocks.len(), wanted, wanted)
        .map_err(|e| format!("{e}: unable to serialize transaction's unlocks"))?;
    amounts(transaction, params).map_err(|e| format!("transaction essence is invalid: {e}"))?;
    unlocks(&transaction.unlocks).map_err(|e| format!("invalid unlocks: {e}"))
}

fn count(found: usize, min: usize, max: usize) -> Result<(), String> {
    if found < min {
        return Err(format!("min count of elements within the array not reached: min is {min} but count is {found}"));
    }
    if found > max {
        return Err(format!("max count of elements within the array exceeded: max is {max} but count is {found}"));
    }
    Ok(())
}

/// In order, and none twice.
fn sorted<T: AsRef<[u8]>>(elements: &[T]) -> Result<(), String> {
    for (index, pair) in elements.windows(2).enumerate() {
        let (before, after) = (pair[0].as_ref(), pair[1].as_ref());
        let next = index + 1;
        if before == after {
            return Err(format!("array elements must be unique: element {next} and {index} are duplicates"));
        }
        if before > after {
            return Err(format!(
                "array elements must be in their lexical order (byte wise): element {next} should have been before \
                 element {index}"
            ));
        }
    }
    Ok(())
}

fn inputs(transaction: &Transaction) -> Result<(), String> {
    count(transaction.inputs.len(), 1, COUNT_MAX)?;
    let mut seen: Vec<&([u8; 32], u16)> = vec![];
    for (index, input) in transaction.inputs.iter().enumerate() {
        if usize::from(input.1) >= COUNT_MAX {
            return Err("the referenced UTXO index must be between 0 and 127 (inclusive): input -1: unable to \
                        serialize UTXO input"
                .into());
        }
        if let Some(first) = seen.iter().position(|other| *other == input) {
            return Err(format!("array elements must be unique: element {first} and {index} are duplicates"));
        }
        seen.push(input);
    }
    Ok(())
}

fn outputs(transaction: &Transaction) -> Result<(), String> {
    count(transaction.outputs.len(), 1, COUNT_MAX)?;
    for output in &transaction.outputs {
        let part = |what: &str, e: String| format!("unable to serialize {} {what}: {e}", output.kind.name());
        let ids: Vec<&[u8]> = output.tokens.iter().map(|token| &token[..TOKEN_ID_LEN]).collect();
        count(ids.len(), 0, TOKENS_MAX).and_then(|()| sorted(&ids)).map_err(|e| part("native tokens", e))?;
        let (min, max) = output.kind.conditions();
        count(output.conditions.len(), min, max)
            .and_then(|()| sorted(&output.conditions))
            .and_then(|()| one_of_each(&output.conditions))
            .map_err(|e| part("unlock conditions", e))?;
        for (what, features) in [("features", &output.features), ("immutable features", &output.immutable)] {
            one_of_each(features).and_then(|()| sorted(features)).map_err(|e| part(what, e))?;
        }
    }
    Ok(())
}

/// At most one part of each type; the type is the first byte.
fn one_of_each(parts: &[Vec<u8>]) -> Result<(), String> {
    for (index, pair) in parts.windows(2).enumerate() {
        if pair[0].first() == pair[1].first() {
            let next = index + 1;
            return Err(format!(
                "array elements must be of a unique type: element {next} and {index} have the same type"
            ));
        }
    }
    Ok(())
}

/// What the outputs of an essence must hold.
fn amounts(transaction: &Transaction, params: &ProtocolParameters) -> Result<(), String> {
    let supply = params.token_supply();
    let (mut sum, mut tokens, mut chains) = (0u64, HashSet::new(), HashSet::new());
    for (index, output) in transaction.outputs.iter().enumerate() {
        if output.amount == 0 {
            return Err(format!("deposit amount must be greater than zero: output {index}"));
        }
        if output.amount > supply {
            return Err(format!("an output can not deposit more than the total supply: output {index}"));
        }
        sum = sum
            .checked_add(output.amount)
            .filter(|sum| *sum <= supply)
            .ok_or_else(|| format!("accumulated output balance exceeds total supply: output {index}"))?;
        rent(index, output, params)?;
        for (position, token) in output.tokens.iter().enumerate() {
            if token[TOKEN_ID_LEN..].iter().all(|byte| *byte == 0) {
                return Err(format!(
                    "native token must be a value bigger than zero: output {index}, native token index {position}"
                ));
            }
            tokens.insert(&token[..TOKEN_ID_LEN]);
        }
        times(output)?;
        identity(index, output)?;
        if let Some(id) = output.chain_id()
            && !chains.insert(id.clone())
        {
            return Err(format!(
                "non unique chain constrained outputs: output with chainID 0x{} already exist on the output side",
                hex::encode(id)
            ));
        }
    }
    if tokens.len() > TOKENS_MAX {
        return Err("max native tokens count exceeded".into());
    }
    Ok(())
}

fn rent(index: usize, output: &LooseOutput, params: &ProtocolParameters) -> Result<(), String> {
    // Its structure was read above, so that the SDK can read it too; where not, it says why when it parses the block.
    let Ok(parsed) = Output::unpack_unverified(&output.raw[..]) else { return Ok(()) };
    let needed = parsed.rent_cost(params.rent_structure());
    let got = output.amount;
    if got < needed {
        return Err(format!("virtual byte rent costs not covered: needed {needed} but only got {got}: output {index}"));
    }
    let Some(returned) = output.deposit_return() else { return Ok(()) };
    let least = network::plain_output_minimum(params);
    if returned > got {
        return Err(format!(
            "storage deposit return amount exceeds target output's deposit: output {index}, target output's deposit \
             {got} < storage deposit {returned}"
        ));
    }
    if returned < least {
        return Err(format!(
            "storage deposit return amount is less than the min storage deposit needed for the return output: output \
             {index}, needed {least}, have {returned}"
        ));
    }
    Ok(())
}

fn times(output: &LooseOutput) -> Result<(), String> {
    for condition in &output.conditions {
        let zero = condition.len() >= 4 && condition[condition.len() - 4..] == [0; 4];
        match condition.first() {
            Some(2) if zero => return Err("timelock condition is zero".into()),
            Some(3) if zero => return Err("expiration condition is zero".into()),
            _ => {}
        }
    }
    Ok(())
}

fn identity(index: usize, output: &LooseOutput) -> Result<(), String> {
    let is_new = output.chain == [0; 32];
    match output.kind {
        Kind::Basic => Ok(()),
        Kind::Alias if is_new => {
            let what = match (output.state_index, output.foundry_counter) {
                (0, 0) => return Ok(()),
                (0, _) => "foundry counter not zero",
                _ => "state index not zero",
            };
            Err(format!("alias output is not empty state: output {index}, {what}"))
        }
        Kind::Alias => {
            for (condition, who) in [(4, "StateController"), (5, "GovernanceController")] {
                if output.is_named_in(condition) {
                    return Err(format!(
                        "alias output's AliasID corresponds to state and/or governance controller: output {index}, \
                         AliasID={who}"
                    ));
                }
            }
            Ok(())
        }
        Kind::Nft if !is_new && output.is_named_in(0) => {
            Err(format!("NFT output's ID corresponds to address field: output {index}"))
        }
        Kind::Nft => Ok(()),
        Kind::Foundry => scheme(output.scheme).map_err(|e| format!("simple token scheme's {e}: output {index}")),
    }
}

fn scheme([minted, melted, maximum]: [U256; 3]) -> Result<(), String> {
    if maximum.is_zero() {
        return Err("maximum supply is invalid: less than equal zero".into());
    }
    let counters = "minted/melted tokens counters are invalid: minted/melted delta";
    match minted.checked_sub(melted) {
        None => Err(format!("{counters} less than zero: -{}", melted - minted)),
        Some(delta) if delta > maximum => {
            Err(format!("{counters} more than maximum supply: {delta} (delta) vs. {maximum} (max supply)"))
        }
        Some(_) => Ok(()),
    }
}

fn unlocks(unlocks: &[Unlock]) -> Result<(), String> {
    let mut signatures: Vec<(usize, &[u8])> = vec![];
    for (index, unlock) in unlocks.iter().enumerate() {
        let (to, chains) = match unlock {
            Unlock::Signature(bytes) => {
                if let Some((first, _)) = signatures.iter().find(|(_, other)| other == bytes) {
                    return Err(format!(
                        "signature unlock must be unique: signature unlock at index {index} is the same as {first}"
                    ));
                }
                signatures.push((index, bytes));
                continue;
            }
            Unlock::Reference(to) => (*to, false),
            Unlock::Chain(to) => (*to, true),
        };
        if usize::from(to) >= index {
            return Err(format!("invalid referential unlock: {index} references non existent unlock {to}"));
        }
        if !chains && !matches!(unlocks[usize::from(to)], Unlock::Signature(_)) {
            return Err(format!(
                "invalid referential unlock: {index} references existing referential unlock {to} but it does not \
                 support chaining"
            ));
        }
    }
    Ok(())
}
