//! How long each step of a payment takes, one payment at a time: the five of the seed's profile (its section "Profiling").

use std::time::Instant;

use anyhow::{Context, Result};
use tarefa_client::Step;
use tokio::sync::mpsc::UnboundedReceiver;

use super::PAYMENT_MAX;
use super::town::{Client, Invoice};

/// What the seed calls them, in words, and its milliseconds, with a client of one core and 2 GB.
pub const STEPS: [(&str, f64); 5] =
    [("detach", 6.0), ("proof", 2.0), ("attach", 8.0), ("receipt", 2.0), ("settle", 6.0)];

/// Payments that are looked at.
pub const PROFILED: usize = 50;

/// What one side's daemon tells of its steps.
pub type Told = UnboundedReceiver<(Step, Instant)>;

async fn when(told: &mut Told, wanted: Step) -> Result<Instant> {
    let found = async {
        loop {
            let (step, at) = told.recv().await.context("a client has ended")?;
            if step == wanted {
                return anyhow::Ok(at);
            }
        }
    };
    tokio::time::timeout(PAYMENT_MAX, found).await.with_context(|| format!("no {wanted:?} in time"))?
}

fn drain(told: &mut Told) {
    while told.try_recv().is_ok() {}
}

/// The median of each step, milliseconds. What a client flushes is in the step after.
pub async fn profile(payer: &Client, told: &mut [Told; 2], invoices: &[Invoice]) -> Result<[f64; 5]> {
    let mut all: [Vec<f64>; 5] = Default::default();
    let [paying, earning] = told;
    for invoice in invoices {
        drain(paying);
        drain(earning);
        let ordered = Instant::now();
        payer.door.ask(invoice.request()).await?;
        let detached = when(paying, Step::Signed).await?;
        let promised = when(earning, Step::Promised).await?;
        let attached = when(earning, Step::Signed).await?;
        let paid = when(paying, Step::Paid).await?;
        // With nothing to ride with it is proposed by itself, a little later.
        let settles = when(paying, Step::Proposed).await?;
        let settled = when(paying, Step::Signed).await?;
        let steps =
            [(ordered, detached), (detached, promised), (promised, attached), (attached, paid), (settles, settled)];
        for (place, (from, to)) in steps.into_iter().enumerate() {
            all[place].push(to.saturating_duration_since(from).as_secs_f64() * 1e3);
        }
    }
    Ok(all.map(|mut step| {
        step.sort_by(f64::total_cmp);
        step[step.len() / 2]
    }))
}
