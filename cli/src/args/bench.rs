//! `tarefa bench`: measurements.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{Output, duration};

/// `tarefa bench`
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// From submit to the result in hand, and the start of a guest.
    Task(BenchTask),
    /// What the dev Tangle takes, in blocks per second, and what that costs in memory.
    Testnet(BenchTestnet),
    /// Payments over a hub: how many a second, what each costs the hub, how long it takes.
    Hub(BenchHub),
    /// What a look at the chain costs a hub, by the number of its channels.
    Chain(BenchChain),
}

/// `tarefa bench task`
#[derive(Debug, Clone, ClapArgs)]
pub struct BenchTask {
    /// Milestone interval.
    #[arg(long, default_value = "250ms", value_parser = duration)]
    pub interval: Duration,
    /// Tasks, one after the other, each at a random moment of the interval.
    #[arg(long, default_value_t = 20)]
    pub tasks: u32,
    /// The wasmtime CLI to compare the warm start with [default: found in PATH, else left out].
    #[arg(long)]
    pub wasmtime: Option<PathBuf>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa bench testnet`
#[derive(Debug, Clone, ClapArgs)]
pub struct BenchTestnet {
    /// Connections at once, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub connections: Vec<usize>,
    /// How long each measurement takes.
    #[arg(long, value_parser = duration, default_value = "10s")]
    pub time: Duration,
    /// Bytes of tagged data in each block.
    #[arg(long, default_value_t = 1024)]
    pub data: usize,
    /// Milestone interval.
    #[arg(long, value_parser = duration, default_value = "1s")]
    pub interval: Duration,
    /// Instead: post so many blocks as fast as they are taken, then kill the node and start it again.
    #[arg(long, conflicts_with = "soak")]
    pub blocks: Option<u64>,
    /// Instead: post for this long, killing the node in the middle, and look whether anything is lost.
    #[arg(long, value_parser = duration)]
    pub soak: Option<Duration>,
    /// Blocks per second of a soak [default: half of what is taken at full speed].
    #[arg(long, requires = "soak")]
    pub rate: Option<u32>,
    /// Where the node's ledger goes, into a new directory that is removed again [default: the system's for temporary files].
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa bench hub`
#[derive(Debug, Clone, ClapArgs)]
pub struct BenchHub {
    /// Payers at once.
    #[arg(long, default_value_t = 8)]
    pub pairs: usize,
    /// Payments that each payer has under way at once, as many tasks as run for it: a loaded hub by default. 1: the dearest for the hub.
    #[arg(long, default_value_t = 16)]
    pub in_flight: usize,
    /// Payments of each payer.
    #[arg(long, default_value_t = 500)]
    pub requests: usize,
    /// Payees that the payers share [default: one each].
    #[arg(long)]
    pub payees: Option<usize>,
    /// Payments one after the other, with nobody else, before the load.
    #[arg(long, default_value_t = 200)]
    pub serial: usize,
    /// What each message between client and hub takes besides, milliseconds.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
    /// Whether a signature of the hub waits for the disk.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub durable: bool,
    /// Whether a signature of a client waits for the disk.
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub client_durable: bool,
    /// Hubs over one store; more than one need --store.
    #[arg(long, default_value_t = 1)]
    pub replicas: usize,
    /// The store that they share: postgres://user@host/name.
    #[arg(long)]
    pub store: Option<String>,
    /// Other channels that the hub's store has, idle.
    #[arg(long, default_value_t = 0)]
    pub channels: usize,
    /// Kill a replica in the middle of the load, with SIGKILL.
    #[arg(long)]
    pub kill: bool,
    /// Show where the hub's time goes.
    #[arg(long)]
    pub profile: bool,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa bench chain`
#[derive(Debug, Clone, ClapArgs)]
pub struct BenchChain {
    /// Open channels, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1000, 100_000])]
    pub channels: Vec<u64>,
    /// Looks of each measurement, one event in each.
    #[arg(long, default_value_t = 1000)]
    pub looks: u32,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}
