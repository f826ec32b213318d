//! The methods.

use alloy_primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy_sol_types::{Revert, SolError as _};
use serde_json::{Value, json};

use super::json::{self, quantity};
use super::parse::{block, filter, number, request, typed};
use super::{Fault, Served};
use crate::chain::SendError;
use crate::execute::{Outcome, Refused};

/// Priority fee that is suggested, wei: any is enough where every transaction gets its own block.
const TIP: u64 = 1;
/// Blocks of which `eth_feeHistory` tells.
const HISTORY: u64 = 1024;
/// Percentiles that it tells of each: there are a hundred.
const PERCENTILES: usize = 100;
/// Latest time that contracts of channels know: 40 bits of seconds.
const LATEST: u64 = (1 << 40) - 1;

fn reverted(outcome: &Outcome) -> Fault {
    let reason = Revert::abi_decode(&outcome.output).map(|revert| format!(": {}", revert.reason)).unwrap_or_default();
    Fault {
        code: 3,
        message: format!("execution reverted{reason}"),
        data: Some(format!("0x{}", hex::encode(&outcome.output))),
    }
}

fn refused(refused: &Refused) -> Fault {
    Fault::new(-32000, refused.to_string())
}

impl Served {
    pub(super) fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        if let Some(answer) = self.about_the_chain(method, params) {
            return answer;
        }
        if let Some(answer) = self.about_accounts(method, params) {
            return answer;
        }
        match self.for_tests(method, params) {
            Some(answer) => answer,
            None => Err(Fault::new(-32601, format!("this development chain has no method {method}"))),
        }
    }

    fn about_the_chain(&mut self, method: &str, params: &[Value]) -> Option<Result<Value, Fault>> {
        let chain = &mut self.chain;
        let (base_fee, id) = (chain.config().base_fee, chain.config().chain_id);
        Some(match method {
            "eth_chainId" => Ok(quantity(id)),
            "net_version" => Ok(json!(id.to_string())),
            "web3_clientVersion" => Ok(json!(concat!("tarefa-evm/", env!("CARGO_PKG_VERSION")))),
            "eth_syncing" => Ok(json!(false)),
            "eth_blockNumber" => Ok(quantity(chain.head().number)),
            "eth_gasPrice" => Ok(quantity(base_fee + TIP)),
            "eth_maxPriorityFeePerGas" => Ok(quantity(TIP)),
            "eth_feeHistory" => self.fee_history(params),
            "eth_getBlockByNumber" => block(chain, params.first()).map(|number| {
                let full = params.get(1).and_then(Value::as_bool).unwrap_or(false);
                chain.block(number).map_or(Value::Null, |block| json::block(block, base_fee, full))
            }),
            "eth_getBlockByHash" => typed::<B256>(params, 0, "a block hash").map(|hash| {
                let full = params.get(1).and_then(Value::as_bool).unwrap_or(false);
                chain.block_by_hash(hash).map_or(Value::Null, |block| json::block(block, base_fee, full))
            }),
            "eth_getTransactionByHash" => typed::<B256>(params, 0, "a transaction hash").map(|hash| {
                let found = chain.transaction(hash);
                found.map_or(Value::Null, |(block, place, mined)| json::transaction(block, place, mined))
            }),
            "eth_getTransactionReceipt" => typed::<B256>(params, 0, "a transaction hash").map(|hash| {
                let found = chain.transaction(hash);
                found.map_or(Value::Null, |(block, place, mined)| json::receipt(block, place, mined))
            }),
            "eth_getLogs" => {
                filter(chain, params).map(|filter| chain.logs(&filter).iter().map(json::log).collect::<Vec<_>>().into())
            }
            _ => return None,
        })
    }

    fn about_accounts(&mut self, method: &str, params: &[Value]) -> Option<Result<Value, Fault>> {
        let account = || typed::<Address>(params, 0, "an address");
        Some(match method {
            "eth_accounts" => Ok(json!([])),
            "eth_getBalance" => account().map(|address| json!(self.chain.balance(address))),
            "eth_getTransactionCount" => account().map(|address| quantity(self.chain.nonce(address))),
            "eth_getCode" => account().map(|address| json!(self.chain.code(address))),
            "eth_call" => request(params).and_then(|request| {
                let outcome = self.chain.call(&request, self.clock.now()).map_err(|error| refused(&error))?;
                if outcome.success { Ok(json!(outcome.output)) } else { Err(reverted(&outcome)) }
            }),
            "eth_estimateGas" => request(params).and_then(|request| {
                let gas = self.chain.estimate(&request, self.clock.now()).map_err(|error| refused(&error))?;
                gas.map(quantity).map_err(|outcome| reverted(&outcome))
            }),
            "eth_sendRawTransaction" => typed::<Bytes>(params, 0, "a signed transaction").and_then(|raw| {
                let now = self.clock.now();
                let hash = self.chain.send(&raw, now).map_err(|error| match error {
                    SendError::Bad(bad) => Fault::params(bad.to_string()),
                    SendError::Refused(why) => refused(&why),
                })?;
                self.clock.take();
                Ok(json!(hash))
            }),
            _ => return None,
        })
    }

    fn for_tests(&mut self, method: &str, params: &[Value]) -> Option<Result<Value, Fault>> {
        Some(match method {
            "evm_increaseTime" => number(params, 0, "a number of seconds").and_then(|seconds| {
                // Many blocks in a second run ahead of the clock; time goes on from the newest.
                let now = self.clock.now();
                let behind = self.chain.head().time.saturating_sub(now);
                if now.saturating_add(behind).saturating_add(seconds) > LATEST {
                    return Err(Fault::params(format!("{seconds} seconds are more than there are before {LATEST}")));
                }
                Ok(json!(self.clock.advance(seconds + behind)))
            }),
            "evm_setNextBlockTimestamp" => number(params, 0, "a time in seconds since 1970").and_then(|time| {
                let before = self.chain.head().time;
                if time <= before || time > LATEST {
                    let words =
                        format!("{time} is not after the newest block, which is of {before}, or after {LATEST}");
                    return Err(Fault::params(words));
                }
                self.clock.set_next(time);
                Ok(Value::Null)
            }),
            "evm_mine" => {
                let now = self.clock.take();
                self.chain.mine(now);
                Ok(json!("0x0"))
            }
            "evm_snapshot" => Ok(quantity(self.chain.snapshot())),
            "evm_revert" => number(params, 0, "a snapshot").and_then(|id| {
                self.chain.revert(id).map_err(|error| Fault::new(-32000, error.to_string()))?;
                // As anvil has it: time goes on from the newest block that is left. Whoever compares it with the system's clock, as a hub
                // does, calls evm_increaseTime after it has gone back far.
                self.clock.go_on_from(self.chain.head().time);
                Ok(json!(true))
            }),
            "anvil_setBalance" | "hardhat_setBalance" => {
                typed::<Address>(params, 0, "an address").and_then(|address| {
                    let balance: U256 = typed(params, 1, "an amount of wei")?;
                    self.chain.set_balance(address, balance);
                    Ok(Value::Null)
                })
            }
            _ => return None,
        })
    }

    fn fee_history(&self, params: &[Value]) -> Result<Value, Fault> {
        let count = number(params, 0, "a number of blocks")?.clamp(1, HISTORY);
        let newest = block(&self.chain, params.get(1))?.min(self.chain.head().number);
        let oldest = newest.saturating_sub(count - 1);
        let blocks = usize::try_from(newest - oldest + 1).unwrap_or(1);
        let percentiles = match params.get(2) {
            Some(Value::Array(list)) if list.len() > PERCENTILES => {
                return Err(Fault::params(format!("at most {PERCENTILES} percentiles")));
            }
            Some(Value::Array(list)) => list.len(),
            _ => 0,
        };
        let fees = vec![U64::from(self.chain.config().base_fee); blocks + 1];
        let mut history = json!({
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": fees,
            "gasUsedRatio": vec![0.0; blocks],
        });
        if percentiles > 0 {
            history["reward"] = json!(vec![vec![U64::from(TIP); percentiles]; blocks]);
        }
        Ok(history)
    }
}
