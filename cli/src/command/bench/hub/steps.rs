//! How long each step of a payment takes, one payment at a time: the five of the seed's profile (its section "Profiling").

use std::collections::VecDeque;
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
pub struct Told {
    told: UnboundedReceiver<(Step, Instant)>,
    /// Those that nobody has asked for yet: a receipt can be there before the answer that it is the receipt of.
    early: VecDeque<(Step, Instant)>,
}

impl Told {
    pub fn new(told: UnboundedReceiver<(Step, Instant)>) -> Self {
        Self { told, early: VecDeque::new() }
    }

    /// The next step of this kind.
    async fn when(&mut self, wanted: Step) -> Result<Instant> {
        if let Some(place) = self.early.iter().position(|(step, _)| *step == wanted) {
            return self.early.remove(place).map(|(_, at)| at).context("it was there");
        }
        let found = async {
            loop {
                let (step, at) = self.told.recv().await.context("a client has ended")?;
                if step == wanted {
                    return anyhow::Ok(at);
                }
                self.early.push_back((step, at));
            }
        };
        tokio::time::timeout(PAYMENT_MAX, found).await.with_context(|| format!("no {wanted:?} in time"))?
    }

    fn drain(&mut self) {
        self.early.clear();
        while self.told.try_recv().is_ok() {}
    }
}

/// The median of each step, milliseconds. What a client flushes is in the step after.
pub async fn profile(payer: &Client, told: &mut [Told; 2], invoices: &[Invoice]) -> Result<[f64; 5]> {
    let mut all: [Vec<f64>; 5] = Default::default();
    let [paying, earning] = told;
    for invoice in invoices {
        paying.drain();
        earning.drain();
        let ordered = Instant::now();
        payer.door.ask(invoice.request()).await?;
        paying.when(Step::Proposed).await?;
        let detached = paying.when(Step::Signed).await?;
        let promised = earning.when(Step::Promised).await?;
        let attached = earning.when(Step::Signed).await?;
        let paid = paying.when(Step::Paid).await?;
        // With nothing to ride with it is proposed by itself, a little later.
        let settles = paying.when(Step::Proposed).await?;
        let settled = paying.when(Step::Signed).await?;
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
