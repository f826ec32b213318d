//! Where the time of a proposal goes: keys that count what they do, for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use alloy_primitives::Address;
use tarefa_chain::Key;
use tarefa_channel::id::Digest;
use tarefa_channel::sign::{Recover, Signature, Signer};

/// How often something was done, and how long that took in all.
#[derive(Debug, Default)]
pub struct Step {
    times: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Step {
    /// Does something and counts it.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun);
        done
    }

    /// Counts what has begun then and ends now.
    pub fn add(&self, begun: Instant) {
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.times.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// How often, and microseconds in all.
    #[must_use]
    pub fn sum(&self) -> (u64, u64) {
        (self.times.load(Ordering::Relaxed), self.nanoseconds.load(Ordering::Relaxed) / 1000)
    }
}

/// The steps of a proposal.
#[derive(Debug, Default)]
pub struct Steps {
    /// Signatures checked.
    pub verify: Step,
    /// Signatures made.
    pub sign: Step,
    /// Decisions, with the signatures and rows in them.
    pub decide: Step,
    /// Requests from the hub's point of view, with their wait for the commit.
    pub answer: Step,
}

/// The hub's key, counted.
#[derive(Clone)]
pub struct Timed {
    /// The key.
    pub key: Arc<Key>,
    /// Where to.
    pub steps: Arc<Steps>,
}

impl Signer for Timed {
    fn address(&self) -> Address {
        self.key.address()
    }

    fn sign(&self, digest: Digest) -> Signature {
        self.steps.sign.time(|| self.key.sign(digest))
    }
}

impl Recover for Timed {
    fn recover(&self, digest: Digest, signature: &Signature) -> Option<Address> {
        self.steps.verify.time(|| self.key.recover(digest, signature))
    }
}
