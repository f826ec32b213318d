//! `tarefa bench hub`: a chain, a hub (or replicas of it over one store), clients with their daemons, and payments in a closed loop.

mod report;
mod steps;
mod town;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tarefa_chain::Key;
use tarefa_channel::id::Digest;
use tarefa_channel::sign::Signer as _;
use tarefa_client::Request;
use tokio::task::JoinSet;

use crate::args::BenchHub;
use crate::ui::Ui;
use report::{Measured, Report};
use steps::PROFILED;
use town::{Client, Invoice, Town};

/// Rounds of the reference computation before and after the load.
const ROUNDS: u32 = 400;
/// How far into the load a replica is killed.
const KILL_AFTER: Duration = Duration::from_millis(500);
/// Payments before the first that counts.
const WARM_UP: usize = 5;
/// A payment that takes longer is lost.
const PAYMENT_MAX: Duration = Duration::from_secs(60);

pub async fn hub(args: BenchHub) -> Result<u8> {
    let ui = Ui::new(args.output.json);
    ensure!(
        args.pairs > 0 && args.in_flight > 0 && args.requests > 0,
        "no payments: --pairs, --in-flight and --requests"
    );
    ensure!(args.replicas == 1 || args.store.is_some(), "replicas share a store: give --store postgres://…");
    ensure!(!args.kill || args.replicas > 1, "--kill needs another replica that goes on: --replicas 2");
    ensure!(
        args.durable || args.store.is_none(),
        "--durable false: only a hub with a store of its own can do without the disk"
    );
    ui.waiting("a chain, a hub, clients and their channels");
    let mut town = Town::begin(&args).await?;
    let (serial, spent_alone) = serial(&args, &town).await?;
    if args.profile {
        // A settlement waits for a payment to ride with, and here there is none.
        ui.waiting(&format!("the steps of {PROFILED} payments, about two seconds each"));
    }
    let steps = profile(&mut town).await?;
    let reference = reference()?;
    ui.waiting("invoices");
    let empty = town.measure().await?;
    let mut invoices = vec![];
    for place in 0..args.pairs {
        invoices.push(town.invoices(place, args.requests).await?);
    }
    ui.waiting("payments");
    let before = town.measure().await?;
    let begun = Instant::now();
    let mut loading = load(&args, &town, invoices);
    let mut latencies = vec![];
    if args.kill {
        tokio::time::sleep(KILL_AFTER).await;
        town.kill_replica().await?;
        while let Some(paid) = loading.try_join_next() {
            latencies.extend(paid??);
        }
        ensure!(!loading.is_empty(), "the load was over before the replica was killed: give it more --requests");
    }
    let latencies = finish(loading, latencies).await?;
    let took = begun.elapsed();
    let after = town.measure().await?;
    // The same computation once more: what the machine was worth during the load lies between.
    let reference = reference.midpoint(self::reference()?);
    let alone = if args.serial > 0 { args.serial + WARM_UP } else { 0 } + if steps.is_some() { PROFILED } else { 0 };
    let conserved = town.conserved(args.pairs * args.requests + alone).await?;
    let report = Report {
        args: &args,
        latencies,
        took,
        serial,
        spent_alone,
        steps,
        reference,
        invoicing: Measured::between(&empty, &before),
        spent: Measured::between(&before, &after),
        conserved,
    };
    town.stop().await?;
    ui.done();
    ui.answer(&report.json(), &report.text());
    ensure!(conserved, "money was lost or made: this is a bug");
    Ok(0)
}

/// Microseconds of three checks and two signatures here: what the cheapest payment could cost.
fn reference() -> Result<f64> {
    let key = Key::new([0x5a; 32])?;
    let digest = Digest(alloy_primitives::keccak256("reference"));
    let signature = key.sign(digest);
    let mut rounds: Vec<f64> = vec![];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..3 {
            ensure!(std::hint::black_box(key.has_signed(digest, &signature)), "a wrong signature");
        }
        for _ in 0..2 {
            std::hint::black_box(key.sign(std::hint::black_box(digest)));
        }
        rounds.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

/// One payment, from the order to the receipt; milliseconds.
async fn pay(payer: &Client, invoice: &Invoice) -> Result<f64> {
    let begun = Instant::now();
    let paid = async {
        let detached = payer.door.ask(invoice.request()).await?;
        let token = serde_json::from_value(detached["token"].clone()).context("no token")?;
        payer.door.ask(Request::AwaitPayment { token }).await?;
        anyhow::Ok(())
    };
    tokio::time::timeout(PAYMENT_MAX, paid).await.context("a payment is lost")??;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Payments with nobody else: what each took, and what all of them cost the hub.
async fn serial(args: &BenchHub, town: &Town) -> Result<(Vec<f64>, Measured)> {
    let mut all = vec![];
    let count = if args.serial > 0 { args.serial + WARM_UP } else { 0 };
    let invoices = town.invoices(0, count).await?;
    let (warming, counted) = invoices.split_at(WARM_UP.min(invoices.len()));
    for invoice in warming {
        pay(&town.payers[0], invoice).await?;
    }
    let before = town.measure().await?;
    for invoice in counted {
        all.push(pay(&town.payers[0], invoice).await?);
    }
    Ok((all, Measured::between(&before, &town.measure().await?)))
}

/// Where the time of a payment goes, if that is asked for.
async fn profile(town: &mut Town) -> Result<Option<[f64; 5]>> {
    let Some(mut told) = town.told.take() else { return Ok(None) };
    let invoices = town.invoices(0, PROFILED).await?;
    steps::profile(&town.payers[0], &mut told, &invoices).await.map(Some)
}

/// Begins the load: every payer has so many payments under way, each followed by the next once its receipt is there.
fn load(args: &BenchHub, town: &Town, invoices: Vec<Vec<Invoice>>) -> JoinSet<Result<Vec<f64>>> {
    let mut payers = JoinSet::new();
    for (payer, invoices) in town.payers.iter().zip(invoices) {
        let left = Arc::new(Mutex::new(invoices.into_iter()));
        for _ in 0..args.in_flight {
            let (payer, left) = (payer.clone(), Arc::clone(&left));
            let next = move || left.lock().unwrap_or_else(PoisonError::into_inner).next();
            payers.spawn(async move {
                let mut all = vec![];
                while let Some(invoice) = next() {
                    all.push(pay(&payer, &invoice).await?);
                }
                Ok(all)
            });
        }
    }
    payers
}

async fn finish(mut payers: JoinSet<Result<Vec<f64>>>, mut all: Vec<f64>) -> Result<Vec<f64>> {
    while let Some(paid) = payers.join_next().await {
        all.extend(paid??);
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}
