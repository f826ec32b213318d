//! The hub's newest words on states: a receipt that is asked for soon after it came about needs no second signature.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tarefa_channel::StateHash;
use tarefa_channel::contract::HubWord;

/// Words that are kept: some seconds of a busy hub.
const KEPT: usize = 8192;

/// The newest words, by their states. What is not here is signed again.
#[derive(Debug, Default)]
pub struct Words(Mutex<(HashMap<StateHash, HubWord>, VecDeque<StateHash>)>);

impl Words {
    /// Keeps a word.
    pub fn keep(&self, state: StateHash, word: HubWord) {
        let (words, order) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if words.insert(state, word).is_none() {
            order.push_back(state);
        }
        while order.len() > KEPT {
            order.pop_front().map(|oldest| words.remove(&oldest));
        }
    }

    /// The word on a state.
    pub fn find(&self, state: StateHash) -> Option<HubWord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.get(&state).cloned()
    }
}
