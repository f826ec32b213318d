//! The table of attacks in `docs/protocol/channel.md`.

use tarefa_channel::rules::Rule;

use crate::scenario::Scenario;
use crate::search::Attack;

/// Its head.
#[must_use]
pub fn head() -> String {
    "| rule off | honest | shortest attack | loss |\n|---|---|---|---|".to_owned()
}

/// One attack.
#[must_use]
pub fn row(rule: Rule, scenario: &Scenario, attack: &Attack) -> String {
    let name = format!("{rule:?}");
    let number = name.strip_prefix('R').filter(|number| number.parse::<u8>().is_ok()).unwrap_or(&name);
    format!("| {number} | {:?} | {} | {} |", scenario.honest, attack.steps.join(" → "), attack.loss)
}
