//! Polls that are held open, and who follows a mailbox: a bounded number for each channel, or one client could fill the hub with them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tarefa_channel::ChannelId;
use tokio::sync::oneshot;

/// Polls of one channel at a time: one, and another whose client has given the first one up.
const EACH: usize = 3;

/// Followers beyond which those that have gone are looked for.
const FOLLOWERS: usize = 100_000;

/// Polls that are held, and followers.
#[derive(Debug, Default)]
pub struct Held {
    polls: Mutex<HashMap<ChannelId, usize>>,
    /// Each ends when its end of this is dropped.
    followers: Mutex<HashMap<ChannelId, oneshot::Sender<()>>>,
}

/// One that is held, until it is dropped.
#[derive(Debug)]
pub struct Hold<'a> {
    held: &'a Held,
    channel: ChannelId,
}

impl Held {
    /// Holds one; none where there are too many.
    pub fn hold(&self, channel: ChannelId) -> Option<Hold<'_>> {
        let mut held = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(channel).or_insert(0);
        if *count >= EACH {
            return None;
        }
        *count += 1;
        Some(Hold { held: self, channel })
    }

    /// Follows from now on. Who did before may be gone without a word, and nobody could tell for a quarter of an hour: they end.
    pub fn follow(&self, channel: ChannelId) -> oneshot::Receiver<()> {
        let (follows, ends) = oneshot::channel();
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if followers.len() >= FOLLOWERS {
            followers.retain(|_, follower| !follower.is_closed());
        }
        followers.insert(channel, follows);
        ends
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut held = self.held.polls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.channel) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.channel);
            }
        }
    }
}
