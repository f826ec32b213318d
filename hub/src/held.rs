//! Polls that are held open: a bounded number for each channel, or one client could fill the hub with them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tarefa_channel::ChannelId;

/// Polls of one channel at a time: one, and another whose client has given the first one up.
const EACH: usize = 3;

/// Polls that are held.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<ChannelId, usize>>);

/// One that is held, until it is dropped.
#[derive(Debug)]
pub struct Hold<'a> {
    held: &'a Held,
    channel: ChannelId,
}

impl Held {
    /// Holds one; none where there are too many.
    pub fn hold(&self, channel: ChannelId) -> Option<Hold<'_>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(channel).or_insert(0);
        if *count >= EACH {
            return None;
        }
        *count += 1;
        Some(Hold { held: self, channel })
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.channel) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.channel);
            }
        }
    }
}
