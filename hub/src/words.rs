//! The newest words on states that this key has signed: a receipt that is asked for soon after it came about needs no second signature.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tarefa_channel::contract::HubWord;
use tarefa_channel::{ChannelId, Seq};

/// Words that are kept: some seconds of a busy hub.
const KEPT: usize = 8192;

/// A state: of each number, the hub signs one (rule 15).
type Place = (ChannelId, Seq);

/// The newest words of this key, by their states. What is not here is signed again; words of other keys, which may be revoked before this
/// one, have no place here.
#[derive(Debug, Default)]
pub struct Words(Mutex<(HashMap<Place, HubWord>, VecDeque<Place>)>);

impl Words {
    /// Keeps a word.
    pub fn keep(&self, state: Place, word: HubWord) {
        let (words, order) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if words.insert(state, word).is_none() {
            order.push_back(state);
        }
        while order.len() > KEPT {
            order.pop_front().map(|oldest| words.remove(&oldest));
        }
    }

    /// The word on a state.
    pub fn find(&self, state: Place) -> Option<HubWord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.get(&state).cloned()
    }
}
