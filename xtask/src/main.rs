//! Developer commands: `cargo xtask --help`.

mod build;
mod crash;
mod guests;
mod sim;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kill both daemons at every commit of a whole task, restart them, and check that nothing was lost or doubled.
    Crash(crash::Args),
    /// Rebuild the guests and compare them with those in the repository.
    Guests(guests::Args),
    /// Check arrows, sizes, headers and the paths in documents.
    Tidy,
    /// Simulate seeded worlds and check their invariants after every step.
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Crash(args) => crash::run(&args),
        Command::Guests(args) => guests::run(&args),
        Command::Tidy => tidy::run(),
        Command::Sim(args) => sim::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
