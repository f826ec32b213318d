//! What a hub counts, in the text form that Prometheus reads.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::timed::Steps;

/// Counters since the process began.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Proposals signed.
    pub signed: AtomicU64,
    /// Proposals refused.
    pub refused: AtomicU64,
    /// Requests that failed because store or chain did not answer.
    pub failed: AtomicU64,
    /// Requests turned away because there were too many.
    pub limited: AtomicU64,
    /// Polls of a mailbox.
    pub polls: AtomicU64,
    /// Words passed on by the stream.
    pub relayed: AtomicU64,
    /// Channels that the signing key's money would enforce, as it was counted last, and one more; zero before.
    defences: AtomicU64,
    /// Where the time of proposals goes.
    pub steps: Arc<Steps>,
}

impl Metrics {
    /// One more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many channels the signing key's money would enforce.
    pub fn count_defences(&self, channels: u64) {
        self.defences.store(channels.saturating_add(1), Ordering::Relaxed);
    }

    /// The same, once it was counted.
    #[must_use]
    pub fn defences(&self) -> Option<u64> {
        self.defences.load(Ordering::Relaxed).checked_sub(1)
    }

    /// All of them, with what is asked of the hub at this moment: name, kind, help, value.
    #[must_use]
    pub fn text(&self, now: &[(&str, &str, &str, u64)]) -> String {
        let counters = [
            ("hub_proposals_signed_total", "Proposals signed.", &self.signed),
            ("hub_proposals_refused_total", "Proposals refused.", &self.refused),
            ("hub_requests_failed_total", "Requests without a store or a chain.", &self.failed),
            ("hub_requests_limited_total", "Requests turned away: too many.", &self.limited),
            ("hub_mailbox_polls_total", "Polls of a mailbox.", &self.polls),
            ("hub_words_relayed_total", "Words passed on by the stream.", &self.relayed),
        ];
        let counters = counters.map(|(name, help, counter)| (name, "counter", help, counter.load(Ordering::Relaxed)));
        let mut text = String::new();
        for (name, kind, help, value) in counters.iter().chain(now) {
            // Writing to a string does not fail.
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n").ok();
        }
        let steps = [
            ("verify", &self.steps.verify),
            ("sign", &self.steps.sign),
            ("decide", &self.steps.decide),
            ("answer", &self.steps.answer),
        ];
        text.push_str("# HELP hub_step_microseconds_total Time of proposals by step.\n# TYPE hub_step_microseconds_total counter\n");
        for (name, step) in steps {
            let (times, micros) = step.sum();
            write!(text, "hub_step_microseconds_total{{step=\"{name}\"}} {micros}\nhub_step_times_total{{step=\"{name}\"}} {times}\n").ok();
        }
        text
    }
}
