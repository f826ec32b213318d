//! One transaction or call in revm.

use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction, Output};
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::{Database as _, DatabaseCommit as _, ExecuteEvm as _, MainBuilder as _, MainContext as _};

/// Accounts, code and storage.
pub type State = CacheDB<EmptyDB>;

/// Gas of a block, and so the most that one transaction can use.
pub const BLOCK_GAS: u64 = 30_000_000;

/// What somebody asks the chain to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who.
    pub from: Address,
    /// Which contract or account; none makes a contract.
    pub to: Option<Address>,
    /// Native money with it, wei.
    pub value: U256,
    /// Function and arguments, or the code that makes a contract.
    pub input: Bytes,
    /// The most gas it may use.
    pub gas: u64,
    /// What it pays for each unit, wei; none pays nothing.
    pub gas_price: Option<u128>,
    /// Its number among the sender's; none takes the next one.
    pub nonce: Option<u64>,
}

/// What came of an execution.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it went through.
    pub success: bool,
    /// Gas it used, refunds taken off.
    pub gas_used: u64,
    /// The contract it made.
    pub created: Option<Address>,
    /// Its events.
    pub logs: Vec<Log>,
    /// What it returned, or why it reverted.
    pub output: Bytes,
}

/// Why a transaction is not even tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The sender has used this number.
    #[error("nonce too low: next nonce {next}, tx nonce {used}")]
    NonceTooLow {
        /// The sender's next one.
        next: u64,
        /// The transaction's.
        used: u64,
    },
    /// The sender has not used the number before. This chain keeps no transactions waiting.
    #[error("nonce too high: next nonce {next}, tx nonce {used}; send the transactions before it first")]
    NonceTooHigh {
        /// The sender's next one.
        next: u64,
        /// The transaction's.
        used: u64,
    },
    /// The sender does not have what the transaction can cost.
    #[error("insufficient funds for gas * price + value")]
    Funds,
    /// Anything else that revm refuses.
    #[error("invalid transaction: {0}")]
    Invalid(String),
}

fn refused(error: EVMError<std::convert::Infallible>) -> Refused {
    match error {
        EVMError::Transaction(InvalidTransaction::NonceTooLow { tx, state }) => {
            Refused::NonceTooLow { next: state, used: tx }
        }
        EVMError::Transaction(InvalidTransaction::NonceTooHigh { tx, state }) => {
            Refused::NonceTooHigh { next: state, used: tx }
        }
        EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { .. }) => Refused::Funds,
        EVMError::Transaction(other) => Refused::Invalid(other.to_string()),
        other => Refused::Invalid(format!("{other:?}")),
    }
}

/// Executes a request in a block of this number, time and base fee; `keep` writes what it changed.
///
/// # Errors
/// Where the request is not one that can be tried.
pub fn execute(
    state: &mut State,
    chain_id: u64,
    at: (u64, u64, u64),
    request: &Request,
    keep: bool,
) -> Result<Outcome, Refused> {
    let (number, time, base_fee) = at;
    if request.gas > BLOCK_GAS {
        return Err(Refused::Invalid(format!("its gas limit {} is above the block's {BLOCK_GAS}", request.gas)));
    }
    let account = state.basic(request.from).unwrap_or_default().unwrap_or_default();
    let block = BlockEnv {
        number: U256::from(number),
        timestamp: U256::from(time),
        gas_limit: BLOCK_GAS,
        basefee: if request.gas_price.is_some() { base_fee } else { 0 },
        ..BlockEnv::default()
    };
    let transaction = TxEnv {
        caller: request.from,
        gas_limit: request.gas,
        gas_price: request.gas_price.unwrap_or(0),
        kind: request.to.map_or(TxKind::Create, TxKind::Call),
        value: request.value,
        data: request.input.clone(),
        nonce: request.nonce.unwrap_or(account.nonce),
        chain_id: Some(chain_id),
        ..TxEnv::default()
    };
    let mut cfg = CfgEnv::new_with_spec(SpecId::PRAGUE);
    cfg.chain_id = chain_id;
    let mut evm = Context::mainnet().with_db(&mut *state).with_block(block).with_cfg(cfg).build_mainnet();
    let done = evm.transact(transaction).map_err(refused)?;
    drop(evm);
    if keep {
        state.commit(done.state);
    }
    let gas_used = done.result.tx_gas_used();
    Ok(match done.result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = if let Output::Create(_, created) = &output { *created } else { None };
            Outcome { success: true, gas_used, created, logs, output: output.into_data() }
        }
        ExecutionResult::Revert { output, .. } => {
            Outcome { success: false, gas_used, created: None, logs: vec![], output }
        }
        ExecutionResult::Halt { reason, .. } => {
            tracing::debug!(?reason, "a transaction halted");
            Outcome { success: false, gas_used, created: None, logs: vec![], output: Bytes::new() }
        }
    })
}
