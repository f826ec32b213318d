//! `tarefa testnet`: the dev Tangle and its controls.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{DEFAULT_NODE, Output, duration};

/// `tarefa testnet`
#[derive(Debug, Subcommand)]
pub enum Testnet {
    /// Start a dev Tangle (a Stardust node that confirms by itself, with indexer and faucet) and, if asked, a dev EVM chain.
    Up(TestnetUp),
    /// Read or change the controls of a running dev Tangle: pace, clock, faults on purpose.
    Ctl(TestnetCtl),
    /// Ask a node whether it is there.
    Ping(TestnetPing),
    /// Stop the private Tangle that `up --docker` started.
    Down(TestnetDown),
}

/// `tarefa testnet ping`
#[derive(Debug, ClapArgs)]
pub struct TestnetPing {
    /// The node.
    #[arg(long, default_value = DEFAULT_NODE)]
    pub node: String,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa testnet down`
#[derive(Debug, ClapArgs)]
pub struct TestnetDown {
    /// Where its files are [default: the user's data directory].
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Forget its ledger as well.
    #[arg(long)]
    pub volumes: bool,
}

/// `tarefa testnet ctl`
#[derive(Debug, ClapArgs)]
pub struct TestnetCtl {
    /// The dev Tangle; its control API answers on loopback addresses only.
    #[arg(long, default_value = DEFAULT_NODE)]
    pub node: String,
    /// Make so many milestones now.
    #[arg(long)]
    pub milestones: Option<u32>,
    /// No milestones by themselves any more.
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Milestones by themselves again.
    #[arg(long)]
    pub resume: bool,
    /// Time between milestones, 50ms to 120s.
    #[arg(long, value_parser = duration)]
    pub interval: Option<Duration>,
    /// Seconds that the ledger's clock is ahead of the system's; time never falls.
    #[arg(long, allow_hyphen_values = true)]
    pub time_offset: Option<i64>,
    /// Answer the next N blocks and forget them.
    #[arg(long)]
    pub drop: Option<u32>,
    /// Answer the N blocks after these and take them later.
    #[arg(long, requires = "delay_for")]
    pub delay: Option<u32>,
    /// How much later, 15s at most.
    #[arg(long, value_parser = duration)]
    pub delay_for: Option<Duration>,
    /// Leave the N blocks after these unreferenced.
    #[arg(long)]
    pub orphan: Option<u32>,
    /// Drop, delay and orphan only blocks whose tag begins with this text (or hex with 0x).
    #[arg(long)]
    pub tag: Option<String>,
    /// Remember this moment; the answer says how many snapshots there are.
    #[arg(long)]
    pub snapshot: bool,
    /// Go back to snapshot N: everything later is undone, and later snapshots are forgotten.
    #[arg(long, value_name = "N")]
    pub revert: Option<usize>,
    /// Forget milestones up to this one; the newest 20 always stay.
    #[arg(long, value_name = "INDEX")]
    pub prune: Option<u32>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa testnet up`
#[derive(Debug, ClapArgs)]
pub struct TestnetUp {
    /// Address of REST, indexer and faucet; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:14265")]
    pub listen: SocketAddr,
    /// Address where the faucet also listens alone, as in the official network.
    #[arg(long)]
    pub faucet_listen: Option<SocketAddr>,
    /// Address where the event API (MQTT) also listens for plain TCP; over WebSocket it is on the REST port.
    #[arg(long)]
    pub mqtt_listen: Option<SocketAddr>,
    /// Address of a development EVM chain (JSON-RPC); kept in memory only.
    #[arg(long)]
    pub evm_listen: Option<SocketAddr>,
    /// Its EIP-155 chain id.
    #[arg(long, default_value_t = 31_337, requires = "evm_listen")]
    pub evm_chain_id: u64,
    /// Time after which it makes a block though nothing was sent: clients decide nothing by an old one.
    #[arg(long, default_value = "1s", requires = "evm_listen", value_parser = duration)]
    pub evm_interval: Duration,
    /// Time between milestones, 50ms to 120s.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// Keep the ledger here [default: the user's data directory].
    #[arg(long, conflicts_with = "memory")]
    pub data_dir: Option<PathBuf>,
    /// Keep nothing.
    #[arg(long)]
    pub memory: bool,
    /// Instead: the official private Tangle (two HORNETs, coordinator, indexer, event API, faucet) in containers.
    #[arg(long, conflicts_with_all = ["memory", "faucet_listen", "mqtt_listen", "evm_listen", "seed", "keep"])]
    pub docker: bool,
    /// Only write its files and keys.
    #[arg(long, requires = "docker")]
    pub prepare: bool,
    /// Keep so many milestones and prune what is older [default: all].
    #[arg(long, value_parser = clap::value_parser!(u32).range(20..))]
    pub keep: Option<u32>,
    /// Addresses of a new network that hold 1,000,000 Mi each from the start, at most 100; their mnemonic is printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub rich: u32,
    /// Keys of a new network come from this text, so that ids and addresses repeat [default: random].
    #[arg(long)]
    pub seed: Option<String>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}
