//! One file per subcommand.

pub mod bench;
pub mod channel;
pub mod demo;
pub mod executor;
pub mod hub;
pub mod init;
pub mod market;
pub mod run;
pub mod task;
pub mod testnet;
pub mod wallet;

use anyhow::Result;

use crate::args::{Args, Bench, Channel, ChannelCommand, Command, Executor, Hub, Market, Task, Testnet, Wallet};

/// Exit status when tarefa itself failed.
pub const FAILED: u8 = 125;
/// Exit status when an executor rejected the task.
pub const UNANSWERED: u8 = 127;

/// Runs a command to its exit status.
pub fn run(args: Args) -> Result<u8> {
    let mut runtime = match &args.command {
        // A request of a hub or a channel is too short to be handed from thread to thread: waking another one costs more than the work.
        Command::Hub(Hub::Run(_)) | Command::Channel(Channel { command: ChannelCommand::Run(_), .. }) => {
            tokio::runtime::Builder::new_current_thread()
        }
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let status = runtime.block_on(dispatch(args.command));
    // A blocking read of a terminal must not keep the process.
    runtime.shutdown_background();
    status
}

async fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Init(args) => init::run(&args),
        Command::Testnet(Testnet::Up(args)) => testnet::up(args).await,
        Command::Testnet(Testnet::Ctl(args)) => testnet::ctl(args).await,
        Command::Testnet(Testnet::Ping(args)) => testnet::ping(args).await,
        Command::Testnet(Testnet::Down(args)) => testnet::down(args).await,
        Command::Executor(Executor::Run(args)) => executor::run(args).await,
        Command::Executor(Executor::Doctor(output)) => executor::doctor(output),
        Command::Market(Market::Ls(args)) => market::list(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Submit(args) => run::submit(args).await,
        Command::Task(Task::Ls(args)) => task::list(args).await,
        Command::Task(Task::Show(args)) => task::show(args).await,
        Command::Task(Task::Fetch(args)) => task::fetch(args).await,
        Command::Task(Task::Cancel(args)) => task::cancel(args).await,
        Command::Wallet(Wallet::Balance(args)) => wallet::balance(args).await,
        Command::Wallet(Wallet::Address(args)) => wallet::address(args).await,
        Command::Wallet(Wallet::Send(args)) => wallet::send(args).await,
        Command::Wallet(Wallet::History(args)) => wallet::history(args).await,
        Command::Wallet(Wallet::Addresses(args)) => wallet::addresses(args).await,
        Command::Wallet(Wallet::Faucet(args)) => wallet::faucet(args).await,
        Command::Hub(Hub::Deploy(args)) => hub::deploy(args).await,
        Command::Hub(Hub::Deposit(args)) => hub::treasury::deposit(args).await,
        Command::Hub(Hub::Status(args)) => hub::treasury::status(args).await,
        Command::Hub(Hub::Withdraw(args)) => hub::treasury::withdraw(args).await,
        Command::Hub(Hub::Close(args)) => hub::treasury::close(args).await,
        Command::Hub(Hub::Rotate(args)) => hub::treasury::rotate(args).await,
        Command::Hub(Hub::Revoke(args)) => hub::treasury::revoke(args).await,
        Command::Hub(Hub::Run(args)) => hub::run(args).await,
        Command::Channel(args) => channel::run(args).await,
        Command::Bench(Bench::Task(args)) => bench::task(args).await,
        Command::Bench(Bench::Testnet(args)) => bench::testnet(args).await,
        Command::Bench(Bench::Hub(args)) => bench::hub(args).await,
        Command::Bench(Bench::Chain(args)) => bench::chain(&args),
    }
}
