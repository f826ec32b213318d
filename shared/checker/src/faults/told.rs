//! What happened in a run, for whoever wants to know that it was worth something.

use std::ops::AddAssign;

/// How often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Tokens that Alice has detached.
    pub detached: usize,
    /// Tokens that Bob has delivered for.
    pub delivered: usize,
    /// Calls that went through.
    pub calls: usize,
    /// Redemptions on chain.
    pub redeemed: usize,
    /// Replaced blocks.
    pub replaced: usize,
    /// Crashes.
    pub crashes: usize,
    /// Messages lost.
    pub lost: usize,
    /// Messages sent twice.
    pub doubled: usize,
    /// Spells away.
    pub absences: usize,
    /// Jumps of several ticks.
    pub jumps: usize,
    /// Proposals decided by the replica that sees the newest block, and by the one that lags behind.
    pub decided: [usize; 2],
}

impl Told {
    /// All of them by name.
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, usize); 12] {
        let Self { detached, delivered, calls, redeemed, replaced, crashes, lost, doubled, absences, jumps, decided } =
            *self;
        [
            ("detached", detached),
            ("delivered", delivered),
            ("calls", calls),
            ("redeemed", redeemed),
            ("replaced", replaced),
            ("crashes", crashes),
            ("lost", lost),
            ("doubled", doubled),
            ("absences", absences),
            ("jumps", jumps),
            ("decided by one replica", decided[0]),
            ("decided by the other", decided[1]),
        ]
    }
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.detached += other.detached;
        self.delivered += other.delivered;
        self.calls += other.calls;
        self.redeemed += other.redeemed;
        self.replaced += other.replaced;
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.absences += other.absences;
        self.jumps += other.jumps;
        self.decided[0] += other.decided[0];
        self.decided[1] += other.decided[1];
    }
}
