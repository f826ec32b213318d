//! `cargo run --release -p tarefa-checker`: explores, prints what it found.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tarefa_checker::scenario::{Party, Scenario};
use tarefa_checker::walk::walk;
use tarefa_checker::{Attack, search};

/// Looks for attacks on the channel protocol.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every schedule of one payment, with all rules: no attack may be found.
    Every,
    /// Each rule off in turn: the shortest attack must be found. Prints the table of docs/protocol/channel.md.
    Attacks,
    /// Random walks of two payments at once, with all rules.
    Walk {
        /// How many for each honest party.
        #[arg(long, default_value_t = 1000)]
        walks: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    match Args::parse().what {
        What::Every => every(),
        What::Attacks => attacks(),
        What::Walk { walks, seed } => random(walks, seed),
    }
}

fn every() -> Result<()> {
    for scenario in Scenario::payments().into_iter().chain(Scenario::controls()) {
        let begun = Instant::now();
        let found = search(&scenario);
        report(&scenario, found.attack.as_ref())?;
        let (states, ends) = (found.states, found.ends);
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{}, honest {:?}: {states} states, {ends} ends, no loss, all final ({seconds:.1} s)",
            scenario.name, scenario.honest
        );
    }
    Ok(())
}

fn report(scenario: &Scenario, attack: Option<&Attack>) -> Result<()> {
    let Some(attack) = attack else { return Ok(()) };
    bail!("{}, honest {:?}: {}\n{}", scenario.name, scenario.honest, attack.loss, attack.steps.join("\n"))
}

fn attacks() -> Result<()> {
    println!("{}", tarefa_checker::table::head());
    for (label, scenario) in Scenario::attacks() {
        let Some(attack) = search(&scenario).attack else {
            bail!("rule {label} off, and no attack: the rule is not needed, or the checker is blind")
        };
        println!("{}", tarefa_checker::table::row(&label, &scenario, &attack));
    }
    Ok(())
}

fn random(walks: u64, seed: u64) -> Result<()> {
    let two = [Party::Alice, Party::Bob, Party::Hub].map(Scenario::two);
    for scenario in two.into_iter().chain([Party::Alice, Party::Bob].map(Scenario::revoked)) {
        let begun = Instant::now();
        for seed in seed..seed + walks {
            report(&scenario, walk(&scenario, seed).as_ref())?;
        }
        println!(
            "{}, honest {:?}: {walks} walks, no loss, all final ({:.1} s)",
            scenario.name,
            scenario.honest,
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
