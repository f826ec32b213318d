//! `cargo xtask sim`: many worlds, or one again.

use anyhow::{Result, bail, ensure};
use tarefa_simulator::{Plan, Report, World};

/// Tasks that must have been under way at once in at least one world, or the simulation proves nothing about it.
const AT_ONCE: u32 = 20;

#[derive(clap::Args)]
pub struct Args {
    /// How many seeds, from --first.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// One seed only, again.
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(args: &Args) -> Result<()> {
    if let Some(seed) = args.seed {
        println!("seed {seed}: {:?}", World::new(Plan::standard(seed))?.run()?);
        return Ok(());
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (mut total, mut at_once, mut failures) = (Report::default(), 0, vec![]);
    let results: Vec<(u64, Result<Report>)> = std::thread::scope(|scope| {
        let worker = |offset| {
            move || {
                let seeds = (args.first + offset..args.first + args.seeds).step_by(threads as usize);
                seeds.map(|seed| (seed, World::new(Plan::standard(seed)).and_then(World::run))).collect::<Vec<_>>()
            }
        };
        let workers: Vec<_> = (0..threads).map(|offset| scope.spawn(worker(offset))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    ensure!(results.len() as u64 == args.seeds, "{} of {} worlds ended: one panicked", results.len(), args.seeds);
    for (seed, result) in results {
        match result {
            Ok(report) => {
                total.tasks += report.tasks;
                total.done += report.done;
                total.failed += report.failed;
                total.crashes += report.crashes;
                total.milestones += report.milestones;
                at_once = at_once.max(report.at_once);
            }
            Err(error) => failures.push(format!("{error:#}\n  again: cargo xtask sim --seed {seed}")),
        }
    }
    println!(
        "{} seeds: {} tasks, {} done, {} ended otherwise, {} crashes, {} milestones, up to {at_once} tasks at once",
        args.seeds, total.tasks, total.done, total.failed, total.crashes, total.milestones
    );
    for failure in &failures {
        println!("{failure}");
    }
    if !failures.is_empty() {
        bail!("{} of {} seeds failed", failures.len(), args.seeds);
    }
    ensure!(at_once >= AT_ONCE, "never more than {at_once} tasks at once, {AT_ONCE} are wanted");
    ensure!(total.done > total.failed, "most tasks failed: the world is too hostile to prove anything");
    Ok(())
}
