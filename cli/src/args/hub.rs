//! `tarefa hub`: a payment hub.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::Address;
use clap::{Args as ClapArgs, Subcommand};
use tarefa_channel::{Amount, limits};

use super::wei::Wei;
use super::{Output, duration};

/// `tarefa hub`
#[derive(Debug, Subcommand)]
pub enum Hub {
    /// Deploy a FulgurHub contract, with new keys and terms of its own.
    Deploy(Box<HubDeploy>),
    /// Put money into the hub's on-chain balance, which the collateral of channels comes from.
    Deposit(HubDeposit),
    /// Answer clients and watch the chain until stopped.
    Run(HubRun),
    /// What the hub has on chain, outside of channels, and what its keys have for gas.
    Status(HubStatus),
    /// Pay the hub's on-chain balance out to the treasury: collateral of ended channels, fees.
    Withdraw(HubWithdraw),
    /// Leave a channel against its client's will; the running hub shows the newest state.
    Close(HubClose),
    /// Give the hub another signing key: run it while the hub runs, which goes on with the old one until the new one counts, and once more when it is stopped.
    Rotate(HubRotate),
    /// Announce that a former signing key counts no more: it may have leaked.
    Revoke(HubRevoke),
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
    #[arg(long, default_value_t = limits::GRACE)]
    pub grace: u64,
    /// Seconds that a transaction may wait for its block.
    #[arg(long, default_value_t = limits::INCLUSION)]
    pub inclusion: u64,
    /// Seconds after which a block is final.
    #[arg(long, default_value_t = limits::REORG)]
    pub reorg: u64,
    /// The longest life of a token, seconds.
    #[arg(long, default_value_t = limits::TOKEN_LIFE)]
    pub token_life: u64,
    /// Seconds that clients wait for an answer before they go to the chain; they never wait longer than a minute.
    #[arg(long, default_value_t = limits::PATIENCE, value_parser = clap::value_parser!(u64).range(..=limits::PATIENCE))]
    pub patience: u64,
    /// The fee for a payment into a channel.
    #[arg(long, default_value = "1gwei")]
    pub fee: Wei,
    /// The fee for a payment to an address on chain.
    #[arg(long, default_value = "1000gwei")]
    pub on_fee: Wei,
    /// What gas costs on this chain, as you expect it: fees must be worth it. A higher one later means losses.
    #[arg(long, default_value = "1gwei")]
    pub gas_price: Wei,
    /// The least value of a payment [default, and at least: three times the gas of a redemption].
    #[arg(long)]
    pub dust: Option<Wei>,
    /// What opening a channel costs [default, and at least: the gas of a close].
    #[arg(long)]
    pub opening_fee: Option<Wei>,
    /// The most collateral for a new channel.
    #[arg(long, default_value = "1eth")]
    pub collateral: Wei,
    /// What a payer may have paid and not settled before the hub grants nothing more.
    #[arg(long, default_value = "1eth")]
    pub unsettled: Wei,
    /// Tokens in flight of one payer.
    #[arg(long, default_value_t = limits::LIVE_TOKENS)]
    pub live_tokens: usize,
    /// ERC-20 contracts that channels may be in, besides the native asset. Immutable. All fees are in base units of a channel's asset.
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

/// Gas of a close at a state with its finalise, as the contract's tests measure it: with this, whoever opens a channel only to make the hub
/// close it pays for that \[1.30\]. A claim for each token that is attached and never settled comes on top.
const CLOSE_GAS: u128 = 153_818;

/// Gas of three redemptions with their credits: what is worth less is not worth redeeming.
const DUST_GAS: u128 = 3 * 127_029;

impl HubDeploy {
    /// The fee for an opening.
    ///
    /// # Errors
    /// Where it is less than a close costs.
    pub fn opening_fee(&self) -> Result<Amount, String> {
        self.at_least("--opening-fee", self.opening_fee, CLOSE_GAS, "the gas of a close")
    }

    /// The least value of a payment.
    ///
    /// # Errors
    /// Where it is less than three redemptions cost.
    pub fn dust(&self) -> Result<Amount, String> {
        self.at_least("--dust", self.dust, DUST_GAS, "the gas of three redemptions")
    }

    fn at_least(&self, name: &str, asked: Option<Wei>, gas: u128, what: &str) -> Result<Amount, String> {
        let price = self.gas_price.0;
        let least = gas.checked_mul(price.0).map(Amount).ok_or_else(|| format!("--gas-price {price}: too large"))?;
        match asked {
            None => Ok(least),
            Some(Wei(asked)) if asked >= least => Ok(asked),
            Some(Wei(asked)) => Err(format!(
                "{name} {asked} is less than {what}, {least} at --gas-price {price}: ask for more, or give the price that you expect"
            )),
        }
    }
}

/// Which hub a command is about, and how it tells what it did.
#[derive(Debug, ClapArgs)]
pub struct HubDesk {
    /// Where keys, terms and store are [default: the user's data directory].
    #[arg(long, env = "TAREFA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa hub deposit`
#[derive(Debug, ClapArgs)]
pub struct HubDeposit {
    /// How much.
    pub amount: Wei,
    /// The asset of it, which the contract is approved to take [default: the native one].
    #[arg(long, default_value_t = Address::ZERO)]
    pub asset: Address,
    /// Which hub, and how it is told.
    #[command(flatten)]
    pub desk: HubDesk,
}

/// `tarefa hub status`
#[derive(Debug, ClapArgs)]
pub struct HubStatus {
    /// The asset of it [default: the native one].
    #[arg(long, default_value_t = Address::ZERO)]
    pub asset: Address,
    /// Which hub, and how it is told.
    #[command(flatten)]
    pub desk: HubDesk,
}

/// `tarefa hub withdraw`
#[derive(Debug, ClapArgs)]
pub struct HubWithdraw {
    /// How much [default: all].
    pub amount: Option<Wei>,
    /// The asset of it [default: the native one].
    #[arg(long, default_value_t = Address::ZERO)]
    pub asset: Address,
    /// Which hub, and how it is told.
    #[command(flatten)]
    pub desk: HubDesk,
}

/// `tarefa hub close`
#[derive(Debug, ClapArgs)]
pub struct HubClose {
    /// Whose channel.
    pub client: Address,
    /// The asset of it [default: the native one].
    #[arg(long, default_value_t = Address::ZERO)]
    pub asset: Address,
    /// Which hub, and how it is told.
    #[command(flatten)]
    pub desk: HubDesk,
}

/// `tarefa hub rotate`
#[derive(Debug, ClapArgs)]
pub struct HubRotate {
    /// What the new signing key gets for the gas of its calls, from the treasury.
    #[arg(long, default_value = "0.1eth")]
    pub gas_money: Wei,
    /// Which hub, and how it is told.
    #[command(flatten)]
    pub desk: HubDesk,
}

/// `tarefa hub revoke`
#[derive(Debug, ClapArgs)]
pub struct HubRevoke {
    /// The key's address.
    pub signer: Address,
    /// Which hub, and how it is told.
    #[command(flatten)]
    pub desk: HubDesk,
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
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    /// What the contract's gas tests have measured.
    const SNAPSHOT: &str = include_str!("../../../hub/contract/snapshots/gas.json");

    fn deploy(more: &[&str]) -> Box<HubDeploy> {
        let args = ["tarefa", "hub", "deploy", "--rpc", "http://127.0.0.1:1"];
        match Args::try_parse_from(args.iter().chain(more)).expect("they are right").command {
            Command::Hub(Hub::Deploy(deploy)) => deploy,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tag_1_30_the_opening_fee_pays_for_a_close() {
        let gas: serde_json::Value = serde_json::from_str(SNAPSHOT).expect("JSON");
        let gas = |name: &str| gas[name].as_str().expect(name).parse::<u128>().expect("a number");
        assert_eq!(CLOSE_GAS, gas("close at a state") + gas("finalise without pending tokens"));
        assert_eq!(DUST_GAS, 3 * (gas("redeem") + gas("credit")));
        let gwei = 1_000_000_000;
        assert_eq!(deploy(&[]).opening_fee(), Ok(Amount(CLOSE_GAS * gwei)));
        assert_eq!(deploy(&["--gas-price", "30gwei"]).opening_fee(), Ok(Amount(30 * CLOSE_GAS * gwei)));
        assert_eq!(deploy(&["--opening-fee", "153818gwei"]).opening_fee(), Ok(Amount(CLOSE_GAS * gwei)));
        let error = deploy(&["--opening-fee", "153817.999999999gwei"]).opening_fee().expect_err("one wei short");
        assert!(error.contains("--opening-fee 153817999999999") && error.contains("153818000000000"), "{error}");
        let error = deploy(&["--opening-fee", "1eth", "--gas-price", "7000gwei"]).opening_fee().expect_err("dear gas");
        assert!(error.contains("--gas-price 7000000000000"), "{error}");
        assert!(deploy(&["--dust", "1"]).dust().is_err());
        assert_eq!(deploy(&["--dust", "1", "--gas-price", "0"]).dust(), Ok(Amount(1)), "who pays nothing for gas");
        assert!(
            deploy(&["--gas-price", "100000000000000000000eth"]).dust().is_err_and(|error| error.contains("large"))
        );
    }
}
