//! `tarefa hub`: a payment hub.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::Address;
use clap::{Args as ClapArgs, Subcommand};

use super::wei::Wei;
use super::{Output, duration};

/// `tarefa hub`
#[derive(Debug, Subcommand)]
pub enum Hub {
    /// Deploy a FulgurHub contract, with new keys and terms of its own.
    Deploy(HubDeploy),
    /// Put money into the hub's on-chain balance, which the collateral of channels comes from.
    Deposit(HubDeposit),
    /// Answer clients and watch the chain until stopped.
    Run(HubRun),
}

/// `tarefa hub deploy`
#[derive(Debug, ClapArgs)]
pub struct HubDeploy {
    /// JSON-RPC of the chain.
    #[arg(long)]
    pub rpc: String,
    /// Where keys, terms and store are [default: the user's data directory].
    #[arg(long, env = "TAREFA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// G: seconds in which a close can be challenged. Immutable in the contract.
    #[arg(long, default_value_t = 86_400)]
    pub grace: u64,
    /// Seconds that a transaction may wait for its block.
    #[arg(long, default_value_t = 600)]
    pub inclusion: u64,
    /// Seconds after which a block is final.
    #[arg(long, default_value_t = 900)]
    pub reorg: u64,
    /// The longest life of a token, seconds.
    #[arg(long, default_value_t = 604_800)]
    pub token_life: u64,
    /// Seconds that clients wait for an answer before they go to the chain.
    #[arg(long, default_value_t = 60)]
    pub patience: u64,
    /// The fee for a payment into a channel.
    #[arg(long, default_value = "1gwei")]
    pub fee: Wei,
    /// The fee for a payment to an address on chain.
    #[arg(long, default_value = "1000gwei")]
    pub on_fee: Wei,
    /// The least value of a payment: three times the gas of a redemption at the price you expect.
    #[arg(long, default_value = "390000gwei")]
    pub dust: Wei,
    /// What opening a channel costs: at least the gas of a close.
    #[arg(long, default_value = "160000gwei")]
    pub opening_fee: Wei,
    /// The most collateral for a new channel.
    #[arg(long, default_value = "1eth")]
    pub collateral: Wei,
    /// What a payer may have paid and not settled before the hub grants nothing more.
    #[arg(long, default_value = "1eth")]
    pub unsettled: Wei,
    /// Tokens in flight of one payer.
    #[arg(long, default_value_t = 8)]
    pub live_tokens: usize,
    /// ERC-20 contracts that channels may be in, besides the native asset. Immutable.
    #[arg(long)]
    pub asset: Vec<Address>,
    /// What the hub begins with, from the treasury.
    #[arg(long, default_value = "0")]
    pub deposit: Wei,
    /// What the signing key gets for the gas of its calls, from the treasury.
    #[arg(long, default_value = "0.1eth")]
    pub gas_money: Wei,
    /// The most that is paid for each gas.
    #[arg(long, default_value = "200gwei")]
    pub gas_ceiling: Wei,
    /// Give the treasury test money first, which only development chains do.
    #[arg(long)]
    pub dev_money: Option<Wei>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa hub deposit`
#[derive(Debug, ClapArgs)]
pub struct HubDeposit {
    /// How much.
    pub amount: Wei,
    /// Where keys, terms and store are [default: the user's data directory].
    #[arg(long, env = "TAREFA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa hub run`
#[derive(Debug, ClapArgs)]
pub struct HubRun {
    /// Where keys, terms and store are [default: the user's data directory].
    #[arg(long, env = "TAREFA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where clients reach it; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9735")]
    pub listen: SocketAddr,
    /// A store that several replicas share, like postgres://user@host/name [default: SQLite in the data directory].
    #[arg(long, env = "TAREFA_HUB_STORE")]
    pub store: Option<String>,
    /// Answer before the disk has it: only to measure what durability costs.
    #[arg(long, hide = true, conflicts_with = "store")]
    pub without_sync: bool,
    /// How often it looks at the chain.
    #[arg(long, default_value = "500ms", value_parser = duration)]
    pub look: Duration,
    /// Requests a second from one network address; 0: as many as it likes.
    #[arg(long, default_value_t = 500)]
    pub rate_per_address: u32,
    /// Requests a second in one session; 0: as many as it likes.
    #[arg(long, default_value_t = 50)]
    pub rate_per_session: u32,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the contract's gas tests have measured.
    const SNAPSHOT: &str = include_str!("../../../hub/contract/snapshots/gas.json");

    #[test]
    fn tag_1_30_the_opening_fee_pays_for_a_close() {
        use clap::CommandFactory as _;
        let command = crate::args::Args::command();
        let hub = command.find_subcommand("hub").and_then(|hub| hub.find_subcommand("deploy")).expect("it is there");
        let fee = hub.get_arguments().find(|argument| argument.get_id() == "opening_fee").expect("it is there");
        let fee: Wei = fee.get_default_values()[0].to_str().expect("text").parse().expect("an amount");
        let gas: serde_json::Value = serde_json::from_str(SNAPSHOT).expect("JSON");
        let gas = |name: &str| gas[name].as_str().expect(name).parse::<u128>().expect("a number");
        let close = gas("close at a state") + gas("finalise without pending tokens");
        assert!(fee.0.0 >= close * 1_000_000_000, "a close costs {close} gas, at one gwei more than {}", fee.0);
    }
}
