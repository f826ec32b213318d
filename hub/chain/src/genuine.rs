//! Whether a contract is the one that this program knows: its code byte by byte, and what was written into it when it was made.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use tarefa_channel::eip712::Domain;

use crate::abi::FulgurHub;

/// `PUSH32`: the compiler leaves 32 zero bytes behind it for each immutable value.
const PUSH32: u8 = 0x7f;
/// `PUSH1`: up to `PUSH32`, each with one byte more behind it.
const PUSH1: u8 = 0x60;

/// What the contract says of itself, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Says {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Where it is.
    pub contract: Address,
    /// Its `TREASURY()`.
    pub treasury: Address,
    /// Its `GRACE()`, seconds.
    pub grace: u64,
    /// Its `REVOCATION_DELAY()`, seconds.
    pub delay: u64,
}

/// OpenZeppelin's short string: the text on the left, its length in the last byte.
fn short(text: &str) -> B256 {
    let mut word = B256::right_padding_from(text.as_bytes());
    word[31] = u8::try_from(text.len()).unwrap_or(u8::MAX);
    word
}

fn number(number: u64) -> B256 {
    U256::from(number).into()
}

/// Whether `code` is the contract's, with immutable values that fit what it says. A contract that only has the same functions could keep
/// what is put into it; one with another signing domain would refuse every challenge.
#[must_use]
pub fn is_genuine(code: &Bytes, says: &Says) -> bool {
    let expected: &[u8] = &FulgurHub::DEPLOYED_BYTECODE;
    let domain = Domain::new(says.chain_id, says.contract);
    let immutables = [
        number(says.grace),
        number(says.delay),
        says.treasury.into_word(),
        domain.separator(),
        number(says.chain_id),
        says.contract.into_word(),
        keccak256("FulgurHub"),
        keccak256("1"),
        short("FulgurHub"),
        short("1"),
    ];
    if code.len() != expected.len() {
        return false;
    }
    let mut place = 0;
    while place < expected.len() {
        let operation = expected[place];
        let operand =
            usize::from(operation.saturating_sub(PUSH1 - 1)) * usize::from((PUSH1..=PUSH32).contains(&operation));
        let end = (place + 1 + operand).min(expected.len());
        let (ours, theirs) = (&expected[place + 1..end], &code[place + 1..end]);
        let immutable = operation == PUSH32 && ours.len() == 32 && ours.iter().all(|byte| *byte == 0);
        let fits = if immutable { immutables.iter().any(|word| word[..] == *theirs) } else { ours == theirs };
        if code[place] != operation || !fits {
            return false;
        }
        place = end;
    }
    true
}
