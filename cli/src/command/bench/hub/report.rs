//! What was measured, in words and as JSON with keys that stay.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::steps::STEPS;
use crate::args::BenchHub;

/// What a hub has spent since it began.
pub struct Reading {
    /// Processor time, microseconds.
    cpu: f64,
    /// Its metrics.
    metrics: String,
}

impl Reading {
    pub async fn of(process: u32, url: &str) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("a hub has ended")?;
        // After the name, which may have spaces: user and system time are the 12th and 13th fields from there.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).context("/proc/stat");
        // USER_HZ is 100 on every Linux that this runs on.
        let cpu = (ticks(11)? + ticks(12)?) * 10_000.0;
        let metrics = tarefa_chain::http_client([]).build()?.get(format!("{url}/metrics")).send().await?.text().await?;
        Ok(Self { cpu, metrics })
    }

    fn value(&self, name: &str) -> f64 {
        let line = self.metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

/// What was spent in between, of all hubs that were there at both times.
pub struct Measured {
    cpu: f64,
    commits: f64,
    signed: f64,
    steps: Vec<(&'static str, f64, f64)>,
}

impl Measured {
    pub fn between(before: &[Reading], after: &[Reading]) -> Self {
        // A hub that was killed meanwhile is the first of those before.
        let before = &before[before.len() - after.len()..];
        let sum = |value: &dyn Fn(&Reading) -> f64| {
            after.iter().map(value).sum::<f64>() - before.iter().map(value).sum::<f64>()
        };
        let step = |name: &'static str| {
            let micros = format!("hub_step_microseconds_total{{step=\"{name}\"}}");
            let times = format!("hub_step_times_total{{step=\"{name}\"}}");
            (name, sum(&|reading| reading.value(&times)), sum(&|reading| reading.value(&micros)))
        };
        Self {
            cpu: sum(&|reading| reading.cpu),
            commits: sum(&|reading| reading.value("hub_commits_total")),
            signed: sum(&|reading| reading.value("hub_proposals_signed_total")),
            steps: ["verify", "sign", "decide", "answer"].map(step).to_vec(),
        }
    }
}

/// Everything.
pub struct Report<'a> {
    pub args: &'a BenchHub,
    /// Milliseconds, sorted.
    pub latencies: Vec<f64>,
    pub took: Duration,
    /// Milliseconds, in order.
    pub serial: Vec<f64>,
    /// For those.
    pub spent_alone: Measured,
    /// Milliseconds of each step of a payment by itself.
    pub steps: Option<[f64; 5]>,
    /// Microseconds.
    pub reference: f64,
    /// For the invoices, before the payments.
    pub invoicing: Measured,
    pub spent: Measured,
    pub conserved: bool,
}

/// The value below which this part of them lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn rounded(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}

/// By the names of the steps of a payment.
fn named(steps: [Value; 5]) -> serde_json::Map<String, Value> {
    STEPS.iter().zip(steps).map(|((name, _), value)| ((*name).to_owned(), value)).collect()
}

impl Report<'_> {
    fn payments(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn rate(&self) -> f64 {
        self.payments() / self.took.as_secs_f64()
    }

    /// Microseconds; unknown where a hub has taken with it what it has spent.
    fn cpu(&self) -> f64 {
        if self.args.kill { f64::NAN } else { self.spent.cpu / self.payments() }
    }

    /// The same for the invoice that each payment has: its payee tells the hub before.
    fn cpu_of_invoice(&self) -> f64 {
        self.invoicing.cpu / self.payments()
    }

    /// The same for a payment that has the hub for itself: nothing is shared with another.
    fn serial_cpu(&self) -> f64 {
        if self.serial.is_empty() { f64::NAN } else { self.spent_alone.cpu / self.serial.len() as f64 }
    }

    fn serial_p50(&self) -> f64 {
        let mut sorted = self.serial.clone();
        sorted.sort_by(f64::total_cmp);
        quantile(&sorted, 0.5)
    }

    /// The keys are stable.
    pub fn json(&self) -> Value {
        let args = self.args;
        let steps: serde_json::Map<String, Value> = self
            .spent
            .steps
            .iter()
            .map(|(name, times, micros)| {
                let each = json!({ "times_per_payment": rounded(times / self.payments()), "us_per_payment": rounded(micros / self.payments()) });
                ((*name).to_owned(), each)
            })
            .collect();
        json!({
            "pairs": args.pairs, "in_flight": args.in_flight, "requests": args.requests, "payees": args.payees.unwrap_or(args.pairs), "delay_ms": args.delay_ms,
            "durable": args.durable, "client_durable": args.client_durable, "replicas": args.replicas,
            "killed": args.kill, "idle_channels": args.channels,
            "payments": self.latencies.len(), "seconds": rounded(self.took.as_secs_f64()),
            "payments_per_s": rounded(self.rate()),
            "hub_cpu_us_per_payment": rounded(self.cpu()), "hub_cpu_us_per_invoice": rounded(self.cpu_of_invoice()),
            "reference_us": rounded(self.reference),
            "hub_cpu_per_reference": rounded(self.cpu() / self.reference),
            "p50_ms": rounded(quantile(&self.latencies, 0.5)), "p95_ms": rounded(quantile(&self.latencies, 0.95)),
            "p99_ms": rounded(quantile(&self.latencies, 0.99)),
            "serial_p50_ms": rounded(self.serial_p50()), "serial_hub_cpu_us": rounded(self.serial_cpu()),
            "commits_per_payment": rounded(self.spent.commits / self.payments()),
            "proposals_per_payment": rounded(self.spent.signed / self.payments()),
            "profile": steps,
            "steps_ms": self.steps.map(|steps| named(steps.map(rounded))),
            "conserved": self.conserved,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let (p50, p95, p99) =
            (quantile(&self.latencies, 0.5), quantile(&self.latencies, 0.95), quantile(&self.latencies, 0.99));
        let mut text = format!(
            "{:.0} payments/s ({} payments, {} payers with {} each at once)\nhub: {:.0} us of processor time each, {:.2} x the reference of 3 checks and 2 signatures ({:.0} us); an invoice {:.0} us\n\
             latency ms: p50 {p50:.1}, p95 {p95:.1}, p99 {p99:.1}\none after the other, with nobody else: p50 {:.2} ms, hub {:.0} us each\n{:.2} commits and {:.2} proposals a payment; conserved: {}",
            self.rate(),
            self.latencies.len(),
            self.args.pairs,
            self.args.in_flight,
            self.cpu(),
            self.cpu() / self.reference,
            self.reference,
            self.cpu_of_invoice(),
            self.serial_p50(),
            self.serial_cpu(),
            self.spent.commits / self.payments(),
            self.spent.signed / self.payments(),
            self.conserved,
        );
        if let Some(steps) = &self.steps {
            text.push_str("\nstep      ms  (one payment at a time, medians; in brackets the seed's)");
            for ((name, theirs), ours) in STEPS.iter().zip(steps) {
                write!(text, "\n{name:<8} {ours:>5.2}  ({theirs:.0})").ok();
            }
        }
        if self.args.profile {
            text.push_str("\nstep      times  us (each payment; decide has verify, sign and the rows in it, answer also waits for the commit)");
            for (name, times, micros) in &self.spent.steps {
                // Writing to a string does not fail.
                write!(text, "\n{name:<8} {:>6.2} {:>7.1}", times / self.payments(), micros / self.payments()).ok();
            }
        }
        text
    }
}
