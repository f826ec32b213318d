//! Whether a transaction changes the ledger: TIP-18, TIP-20 and TIP-22 in the order in which HORNET decides
//! (`tangle.md`), which is what tells one conflict reason from another.

mod balance;
mod chain;
mod unlock;

use iota_sdk::types::block::output::{InputsCommitment, Output};
use iota_sdk::types::block::payload::TransactionPayload;
use iota_sdk::types::block::payload::transaction::{RegularTransactionEssence, TransactionEssence};

use crate::OutputId;
use chain::Chains;

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
    /// An input is locked until a later time.
    Timelock = 6,
    /// Native tokens appear from nowhere, or are too many kinds.
    NativeTokens = 7,
    /// A storage deposit is not returned.
    StorageDepositReturn = 8,
    /// An unlock of the wrong kind, or one that refers to a wrong place.
    InvalidUnlock = 9,
    /// The commitment is not that of the inputs.
    InputsCommitment = 10,
    /// A sender feature names an address that is not unlocked.
    UnverifiedSender = 11,
    /// An alias, foundry or NFT changes as it must not.
    ChainTransition = 12,
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

/// A transaction with the outputs it spends.
struct Context<'a> {
    essence: &'a RegularTransactionEssence,
    spent: Vec<(OutputId, Output)>,
    timestamp: u32,
}

/// Checks a transaction as of a milestone's `timestamp`. Inputs are resolved first, one by one in order, and the
/// first failing one decides; then timelocks, commitment, unlocks, senders, sums, returns, tokens, chains.
pub fn check(
    transaction: &TransactionPayload,
    timestamp: u32,
    state: impl Fn(&OutputId) -> InputState,
) -> Result<(), Conflict> {
    let TransactionEssence::Regular(essence) = transaction.essence();
    let mut spent = Vec::new();
    for id in inputs(transaction) {
        spent.push(match state(&id) {
            InputState::Unspent(output) => (id, output),
            InputState::Spent => return Err(Conflict::InputSpent),
            InputState::SpentInThisMilestone => return Err(Conflict::InputSpentInThisMilestone),
            InputState::Unknown => return Err(Conflict::InputNotFound),
        });
    }
    let context = Context { essence, spent, timestamp };
    context.check_timelocks()?;
    if *essence.inputs_commitment() != InputsCommitment::new(context.spent.iter().map(|(_, output)| output)) {
        return Err(Conflict::InputsCommitment);
    }
    let chains = Chains::new(&transaction.id(), &context);
    let unlocked = unlock::unlock(transaction, &context, &chains)?;
    for output in essence.outputs() {
        let sender = output.features().and_then(|features| features.sender());
        if sender.is_some_and(|sender| !unlocked.contains_key(sender.address())) {
            return Err(Conflict::UnverifiedSender);
        }
    }
    let tokens = balance::check(&context, &chains)?;
    chains.check(&context, &unlocked, &tokens)
}

impl Context<'_> {
    fn check_timelocks(&self) -> Result<(), Conflict> {
        let locked = |(_, output): &(OutputId, Output)| {
            output.unlock_conditions().is_some_and(|conditions| conditions.is_time_locked(self.timestamp))
        };
        if self.spent.iter().any(locked) { Err(Conflict::Timelock) } else { Ok(()) }
    }
}
