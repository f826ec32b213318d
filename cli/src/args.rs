//! The command line.

mod bench;
mod channel;
mod hub;
mod testnet;
mod wei;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use tarefa_protocol::{BaseUnits, PartyId, TaskId};

pub use bench::{Bench, BenchChain, BenchHub, BenchTask, BenchTestnet};
pub use channel::{Backup, Channel, ChannelCommand, ChannelInit, ChannelRun, PayInvoice, Restore};
pub use hub::{Hub, HubClose, HubDeploy, HubDeposit, HubDesk, HubRevoke, HubRotate, HubRun, HubStatus, HubWithdraw};
pub use testnet::{Testnet, TestnetCtl, TestnetDown, TestnetPing, TestnetUp};

/// Where a dev Tangle listens, and where a HORNET does.
pub const DEFAULT_NODE: &str = "http://127.0.0.1:14265";

/// Run WebAssembly tasks on strangers' machines: the Tangle is the only wire, a result is paid for with IOTA.
#[derive(Debug, Parser)]
#[command(name = "tarefa", version, propagate_version = true)]
pub struct Args {
    /// More log lines on stderr: -v info, -vv debug (or RUST_LOG).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole market on this machine: dev Tangle, executor, submitter, one task, one payment.
    Demo(Demo),
    /// Make the keys of a party.
    Init(Init),
    /// The dev Tangle.
    #[command(subcommand)]
    Testnet(Testnet),
    /// Run other people's tasks.
    #[command(subcommand)]
    Executor(Executor),
    /// See who offers what.
    #[command(subcommand)]
    Market(Market),
    /// Submit a task, follow it, pay for it, print its output. Ends with the guest's exit status.
    Run(Run),
    /// Submit a task and print its id; any later command on the same data directory carries it on.
    Submit(Run),
    /// Tasks submitted from this data directory.
    #[command(subcommand)]
    Task(Task),
    /// Money.
    #[command(subcommand)]
    Wallet(Wallet),
    /// Run a payment hub.
    #[command(subcommand)]
    Hub(Hub),
    /// Keep a payment channel with a hub.
    Channel(Channel),
    /// Measure.
    #[command(subcommand)]
    Bench(Bench),
}

/// Output form.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Output {
    /// One JSON object a line on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Which party, on which network.
#[derive(Debug, Clone, ClapArgs)]
pub struct Party {
    /// The node to use.
    #[arg(long, env = "TAREFA_NODE", default_value = DEFAULT_NODE)]
    pub node: String,
    /// Keys and state of this party [default: the user's data directory, by role].
    #[arg(long, env = "TAREFA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Go on though the node has pruned messages that were not read.
    #[arg(long)]
    pub accept_gap: bool,
}

/// `tarefa demo`
#[derive(Debug, ClapArgs)]
pub struct Demo {
    /// Use this node instead of an embedded dev Tangle.
    #[arg(long, requires = "faucet")]
    pub node: Option<String>,
    /// The faucet of that network.
    #[arg(long)]
    pub faucet: Option<String>,
    /// Where the demo's parties live; used again by the next demo.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// What payments travel on: the Tangle, one for a task; or a payment channel, with every way to pay and every way out.
    #[arg(long, value_enum, default_value_t)]
    pub rail: Rail,
    /// The chain of the channel rail.
    #[arg(long, value_enum, default_value_t)]
    pub evm: EvmKind,
    /// The program, for --evm anvil.
    #[arg(long, env = "ANVIL", default_value = "anvil")]
    pub anvil: PathBuf,
    /// Milestone interval of the embedded dev Tangle.
    #[arg(long, default_value = "500ms", value_parser = duration)]
    pub interval: Duration,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// What payments travel on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Rail {
    /// A task on the Tangle, paid once.
    #[default]
    Tangle,
    /// A payment hub and its channels.
    Channel,
}

/// A development chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum EvmKind {
    /// Of this program.
    #[default]
    Embedded,
    /// Foundry's.
    Anvil,
}

/// `tarefa init`
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// executor or submitter.
    #[arg(default_value = "submitter", value_parser = ["executor", "submitter"])]
    pub role: String,
    /// Where to.
    #[arg(long, env = "TAREFA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Use this mnemonic, read from a file (24 words), instead of a new one.
    #[arg(long)]
    pub mnemonic_file: Option<PathBuf>,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa executor`
#[derive(Debug, Subcommand)]
pub enum Executor {
    /// Offer this machine and run tasks until stopped.
    Run(ExecutorRun),
    /// Try every wall of the sandbox from inside.
    Doctor(Output),
}

/// `tarefa executor run`
#[derive(Debug, ClapArgs)]
pub struct ExecutorRun {
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// A TOML file with any of the settings; flags win over it.
    #[arg(long, env = "TAREFA_EXECUTOR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Price per second of metered time, like 0.5Mi.
    #[arg(long, env = "TAREFA_PRICE_PER_SECOND")]
    pub price_per_second: Option<BaseUnits>,
    /// Least price of a task.
    #[arg(long, env = "TAREFA_MINIMUM")]
    pub minimum: Option<BaseUnits>,
    /// Guests at once [default: one per core].
    #[arg(long, env = "TAREFA_SLOTS")]
    pub slots: Option<u16>,
    /// Run strangers' tasks though a required wall of the sandbox is missing.
    #[arg(long)]
    pub allow_weak_sandbox: bool,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa market`
#[derive(Debug, Subcommand)]
pub enum Market {
    /// List the executors that offer now, best first.
    Ls(PartyOutput),
}

/// A party and an output form.
#[derive(Debug, Clone, ClapArgs)]
pub struct PartyOutput {
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa run` and `tarefa submit`
#[derive(Debug, Clone, ClapArgs)]
pub struct Run {
    /// The module: a .wasm file, or demo:wordcount, demo:primes, demo:exit3, demo:spin.
    pub module: String,
    /// Arguments of the guest.
    #[arg(last = true)]
    pub args: Vec<String>,
    /// A file the guest gets: HOST or HOST:GUEST.
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub input: Vec<String>,
    /// Files to bring back, as a glob below the guest's root.
    #[arg(long, value_name = "GLOB")]
    pub output_file: Vec<String>,
    /// An environment variable of the guest.
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A file as the guest's standard input.
    #[arg(long)]
    pub stdin: Option<PathBuf>,
    /// The most to pay [default: the offer's price for the whole time limit].
    #[arg(long)]
    pub max_price: Option<BaseUnits>,
    /// Time limit of the guest.
    #[arg(long, value_parser = duration)]
    pub time_max: Option<Duration>,
    /// Memory limit of the guest, MiB.
    #[arg(long)]
    pub memory_max: Option<u64>,
    /// Ask this executor only [default: the best offer].
    #[arg(long)]
    pub executor: Option<PartyId>,
    /// Where to put the result [default: ./tarefa-ID].
    #[arg(long)]
    pub result_dir: Option<PathBuf>,
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa task`
#[derive(Debug, Subcommand)]
pub enum Task {
    /// List them.
    Ls(PartyOutput),
    /// Everything known of one.
    Show(OneTask),
    /// Follow one to its end and write its result.
    Fetch(Fetch),
    /// Cancel one that is not paid yet.
    Cancel(OneTask),
}

/// One task.
#[derive(Debug, Clone, ClapArgs)]
pub struct OneTask {
    /// Its id.
    pub id: TaskId,
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa task fetch`
#[derive(Debug, Clone, ClapArgs)]
pub struct Fetch {
    /// Which task.
    #[command(flatten)]
    pub task: OneTask,
    /// Where to put the result [default: ./tarefa-ID].
    #[arg(long)]
    pub result_dir: Option<PathBuf>,
}

/// `tarefa wallet`
#[derive(Debug, Subcommand)]
pub enum Wallet {
    /// What there is.
    Balance(Balance),
    /// A new address of one's own; each call gives another one.
    Address(PartyOutput),
    /// Send money and wait until it is booked.
    Send(Send),
    /// All movements.
    History(Balance),
    /// Every own address that was ever shown or used, and what for.
    Addresses(Balance),
    /// Ask a faucet for funds and wait until they are booked.
    Faucet(Faucet),
}

/// `tarefa wallet balance`
#[derive(Debug, Clone, ClapArgs)]
pub struct Balance {
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// As of the last milestone that was stored, without asking the node. For any role.
    #[arg(long)]
    pub offline: bool,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa wallet send`
#[derive(Debug, Clone, ClapArgs)]
pub struct Send {
    /// Bech32 address of the receiver.
    pub to: String,
    /// How much, like 1.5Mi or 1500000.
    pub amount: BaseUnits,
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// `tarefa wallet faucet`
#[derive(Debug, Clone, ClapArgs)]
pub struct Faucet {
    /// The faucet [default: the node, which is right for a dev Tangle].
    #[arg(long)]
    pub faucet: Option<String>,
    /// Which party, on which network.
    #[command(flatten)]
    pub party: Party,
    /// Output form.
    #[command(flatten)]
    pub output: Output,
}

/// A duration like 50ms, 1s or 2m.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration: write a number and ms, s or m, like 250ms");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let number: u64 = text[..split].parse().map_err(|_| bad())?;
    let factor = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "5", "s", "1h", "-1s", "1.5s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
