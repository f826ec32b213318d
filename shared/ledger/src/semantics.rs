//! Whether a transaction changes the ledger: conflict reasons for plain basic outputs (TIP-20, `tangle.md`).

use std::collections::HashMap;

use iota_sdk::types::block::address::Ed25519Address;
use iota_sdk::types::block::output::{InputsCommitment, Output};
use iota_sdk::types::block::payload::TransactionPayload;
use iota_sdk::types::block::payload::transaction::TransactionEssence;
use iota_sdk::types::block::signature::Signature;
use iota_sdk::types::block::unlock::Unlock;

use crate::OutputId;
use crate::build::plain;

/// Why a transaction is not applied; the numbers are those of the node's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Conflict {
    /// An input was spent by an earlier milestone.
    InputSpent = 1,
    /// An input was spent earlier in this milestone.
    InputSpentInThisMilestone = 2,
    /// An input was never created.
    InputNotFound = 3,
    /// Inputs and outputs do not add up.
    SumMismatch = 4,
    /// A signature is wrong, or its key is not the address's.
    InvalidSignature = 5,
    /// An unlock of the wrong kind, or one that refers to a wrong place.
    InvalidUnlock = 9,
    /// The commitment is not that of the inputs.
    InputsCommitment = 10,
}

/// What the ledger knows of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputState {
    /// Can be spent.
    Unspent(Output),
    /// Spent by an earlier milestone.
    Spent,
    /// Spent earlier in this milestone.
    SpentInThisMilestone,
    /// Never created.
    Unknown,
}

/// The ids a transaction spends, in order.
pub fn inputs(transaction: &TransactionPayload) -> Vec<OutputId> {
    let TransactionEssence::Regular(essence) = transaction.essence();
    essence.inputs().iter().map(|input| *input.as_utxo().output_id()).collect()
}

/// The outputs a transaction creates, with their ids.
pub fn outputs(transaction: &TransactionPayload) -> Vec<(OutputId, Output)> {
    let TransactionEssence::Regular(essence) = transaction.essence();
    let id = transaction.id();
    let with_id = |(index, output): (usize, &Output)| {
        let id = OutputId::new(id, index as u16).expect("a parsed transaction has at most 128 outputs");
        (id, output.clone())
    };
    essence.outputs().iter().enumerate().map(with_id).collect()
}

/// Checks a transaction against the ledger. Inputs are resolved first, one by one in order, and the first
/// failing one decides; then commitment, unlocks, sum.
pub fn check(transaction: &TransactionPayload, state: impl Fn(&OutputId) -> InputState) -> Result<(), Conflict> {
    let TransactionEssence::Regular(essence) = transaction.essence();
    let mut spent = Vec::new();
    for id in inputs(transaction) {
        spent.push(match state(&id) {
            InputState::Unspent(output) => output,
            InputState::Spent => return Err(Conflict::InputSpent),
            InputState::SpentInThisMilestone => return Err(Conflict::InputSpentInThisMilestone),
            InputState::Unknown => return Err(Conflict::InputNotFound),
        });
    }
    if *essence.inputs_commitment() != InputsCommitment::new(spent.iter()) {
        return Err(Conflict::InputsCommitment);
    }
    check_unlocks(transaction, &spent)?;
    let sum = |amounts: &mut dyn Iterator<Item = u64>| amounts.map(u128::from).sum::<u128>();
    if sum(&mut spent.iter().map(Output::amount)) != sum(&mut essence.outputs().iter().map(Output::amount)) {
        return Err(Conflict::SumMismatch);
    }
    Ok(())
}

fn check_unlocks(transaction: &TransactionPayload, spent: &[Output]) -> Result<(), Conflict> {
    let hash = transaction.essence().hash();
    let mut unlocked_at: HashMap<[u8; 32], u16> = HashMap::new();
    for (position, (output, unlock)) in spent.iter().zip(transaction.unlocks().iter()).enumerate() {
        let (address, _) = plain(output).ok_or(Conflict::InvalidUnlock)?;
        match unlock {
            Unlock::Signature(unlock) if !unlocked_at.contains_key(&address) => {
                let Signature::Ed25519(signature) = unlock.signature();
                // The SDK's check and not a stricter one: which odd keys count is consensus.
                if signature.is_valid(&hash, &Ed25519Address::new(address)).is_err() {
                    return Err(Conflict::InvalidSignature);
                }
                unlocked_at.insert(address, position as u16);
            }
            Unlock::Reference(unlock) if unlocked_at.get(&address) == Some(&unlock.index()) => {}
            Unlock::Signature(_) | Unlock::Reference(_) | Unlock::Alias(_) | Unlock::Nft(_) => {
                return Err(Conflict::InvalidUnlock);
            }
        }
    }
    Ok(())
}
