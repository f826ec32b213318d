//! The rules as names, so that the checker can look for the attack that each one prevents.
//!
//! In everything that runs, the rules are [`Every`]: a type without a value, whose answer the compiler knows. Only the
//! checker has another one.

/// The rules of `docs/protocol/channel.md`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the text of each rule is in docs/protocol/channel.md, under its number")]
pub enum Rule {
    R1 = 1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    R16,
    R17,
    /// Found here: a close that comes with a state passes over it where a newer one (or this one) is enforced already.
    StaleClose,
    /// Found here: a redemption and its credit name no enforced state, so enforcing another one does not hold them up.
    NoOpening,
    /// Found here: a redemption whose time has come counts as credited, and is raised no more.
    LateRaise,
    /// Found here: a defence passes over redemptions that are over, and an older state defends as well.
    Defence,
    /// Found here: a redemption under way is raised as soon as it is seen by a voucher that came meanwhile.
    RaiseAtOnce,
    /// Found here: a payer counts a payment as undone when its refund is doubly signed, not when it is shown a decline.
    Elsewhere,
}

impl Rule {
    /// All of them, in order.
    pub const ALL: [Self; 23] = [
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
        Self::R16,
        Self::R17,
        Self::StaleClose,
        Self::NoOpening,
        Self::LateRaise,
        Self::Defence,
        Self::RaiseAtOnce,
        Self::Elsewhere,
    ];
}

/// Which rules hold.
pub trait Rules: Copy {
    /// Whether this rule holds.
    fn hold(self, rule: Rule) -> bool;
}

/// All rules hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Every;

impl Rules for Every {
    #[inline]
    fn hold(self, _: Rule) -> bool {
        true
    }
}
