//! HTTP conformance: the 586 requests that were made of a real HORNET, its indexer and its faucet, made of another node.
//!
//! `conformance --node URL --faucet URL` makes the fixtures that the recording had (a faucet payment, two transactions
//! with every kind of output, a spent output, a conflicting block, blocks without value), puts their ids and addresses in
//! the place of the recorded ones, sends each case and compares status, headers and body. It knows nothing of the node
//! under test, which may as well be a HORNET.

mod body;
mod cases;
mod compare;
mod fixtures;
mod http;
mod parents;
mod rewrite;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// Where the two servers under test are.
pub struct Under {
    /// Base URL of the node.
    pub node: String,
    /// Base URL of the faucet.
    pub faucet: String,
}

fn main() -> ExitCode {
    match try_main() {
        Ok((same, differ)) => {
            println!("{same} same, {differ} differ");
            ExitCode::from(u8::from(differ > 0))
        }
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn try_main() -> Result<(u32, u32)> {
    let (under, verbose) = arguments()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&under, verbose))
}

const USAGE: &str = "usage: conformance --node URL --faucet URL [--verbose]";

fn arguments() -> Result<(Under, bool)> {
    let (mut node, mut faucet, mut verbose) = (None, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--node" => node = arguments.next(),
            "--faucet" => faucet = arguments.next(),
            "--verbose" => verbose = true,
            other => bail!("`{other}` is not an argument. {USAGE}"),
        }
    }
    Ok((Under { node: node.context(USAGE)?, faucet: faucet.context(USAGE)? }, verbose))
}

async fn run(under: &Under, verbose: bool) -> Result<(u32, u32)> {
    eprintln!("making fixtures…");
    let fixtures = fixtures::make(under).await?;
    let (mut same, mut differ) = (0, 0);
    let mut runner = cases::Runner::new(under, fixtures);
    for case in cases::recorded()? {
        let differences = runner.run(&case).await.with_context(|| format!("{}: {}", case.group, case.name))?;
        if differences.is_empty() {
            same += 1;
            continue;
        }
        differ += 1;
        println!("{}: {}", case.group, case.name);
        for difference in differences {
            println!("    {difference}");
        }
        if verbose {
            println!("    {}", case.request);
        }
    }
    Ok((same, differ))
}
