//! The hub's stream of words between clients: vouchers and their acknowledgements. Nothing of it is stored or looked at; what does not
//! arrive is sent again by whoever waits for its answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tarefa_channel::ChannelId;
use tokio::sync::mpsc;

/// Words that wait for one reader: a voucher waits for its acknowledgement before the next one, so even these are many.
const WAITING: usize = 16;

/// Readers at once: a few hundred bytes each.
const READERS: usize = 100_000;

/// Something one client says to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// Who says it: the channel whose session sent it.
    pub from: ChannelId,
    /// What: opaque to the hub.
    pub body: serde_json::Value,
}

/// Who listens here.
#[derive(Debug, Default)]
pub struct Relay {
    readers: Mutex<HashMap<ChannelId, mpsc::Sender<String>>>,
}

impl Relay {
    fn readers(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelId, mpsc::Sender<String>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for a channel, in place of whoever did before; none where too many listen.
    pub fn listen(&self, channel: ChannelId) -> Option<mpsc::Receiver<String>> {
        let (tell, told) = mpsc::channel(WAITING);
        let mut readers = self.readers();
        if readers.len() >= READERS {
            readers.retain(|_, reader| !reader.is_closed());
        }
        if readers.len() >= READERS && !readers.contains_key(&channel) {
            return None;
        }
        readers.insert(channel, tell);
        Some(told)
    }

    /// Says something to a channel's client; whether it listens here.
    pub fn say(&self, to: ChannelId, word: &Word) -> bool {
        // As bytes: what is parsed takes many times the room.
        let line = serde_json::json!(word).to_string() + "\n";
        let mut readers = self.readers();
        match readers.get(&to).map(|reader| reader.try_send(line)) {
            Some(Ok(())) => true,
            Some(Err(mpsc::error::TrySendError::Closed(_))) => {
                readers.remove(&to);
                false
            }
            // It does not read fast enough: what it misses is said again.
            Some(Err(mpsc::error::TrySendError::Full(_))) | None => false,
        }
    }
}
