//! The table of attacks in `docs/protocol/channel.md`.

use crate::scenario::Scenario;
use crate::search::Attack;

/// Its head.
#[must_use]
pub fn head() -> String {
    "| rule off | honest | shortest attack | loss |\n|---|---|---|---|".to_owned()
}

/// One attack.
#[must_use]
pub fn row(label: &str, scenario: &Scenario, attack: &Attack) -> String {
    format!("| {label} | {:?} | {} | {} |", scenario.honest, attack.steps.join(" → "), attack.loss)
}
