//! The rules with one of them switched off.

use tarefa_channel::rules::{Rule, Rules};

/// Every rule holds but this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Without(pub Option<Rule>);

impl Rules for Without {
    fn hold(self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}
