//! Mailboxes: what waits for clients, and how those who wait for it hear that something has come.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tarefa_channel::contract::HubWord;
use tarefa_channel::message::{self, Grant, Token};
use tarefa_channel::sign::{HubSignature, Signature};
use tarefa_channel::{ChannelId, TokenId};
use tokio::sync::watch;

/// Bells, each for few channels, so that a letter wakes only those whom it may be for.
const BELLS: usize = 4096;

/// A payment that has arrived, as its payer gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The token.
    pub token: TokenId,
    /// The payee's state, opened.
    pub receipt: message::Receipt,
    /// The payee's signature of it.
    pub signature: Signature,
    /// The hub's word on it.
    pub hub: HubWord,
    /// What met the condition; zero where there was none.
    pub preimage: B256,
    /// METERED: the voucher it was attached with, for a payer that has lost count.
    pub voucher: Option<(message::Voucher, Signature)>,
}

/// A token on its way to its payee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// The token.
    pub token: Token,
    /// The hub's promise of it.
    pub grant: Grant,
    /// The signature of the promise.
    pub hub: HubSignature,
}

/// Something in a client's mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Letter {
    /// For a payee: a token and the hub's promise.
    Token(Box<Promise>),
    /// For a payer: what it paid for has arrived.
    Receipt(Box<Receipt>),
    /// For a payer: the payee has given the token up, which can be refunded.
    Declined(Box<Receipt>),
}

/// All that waits for a client, and a word for just that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// What the next poll has seen.
    pub at: B256,
    /// What waits.
    pub letters: Vec<Letter>,
}

/// Ring when a letter has come.
pub struct Bells {
    /// Which of all hubs these are of, and since when.
    of: [u8; 8],
    /// Others fill the mailboxes too, without ringing here.
    is_shared: bool,
    rung: Vec<watch::Sender<u64>>,
}

impl Bells {
    /// Bells that nobody confuses with others: `fresh` is random.
    pub fn new(fresh: [u8; 32], is_shared: bool) -> Self {
        // A hash, for the bytes themselves may have become a secret.
        let of =
            alloy_primitives::keccak256([b"bells".as_slice(), &fresh].concat())[..8].try_into().expect("8 of 32 bytes");
        Self { of, is_shared, rung: (0..BELLS).map(|_| watch::Sender::new(0)).collect() }
    }

    fn bell(&self, channel: ChannelId) -> &watch::Sender<u64> {
        let place = usize::from(channel.0[0]) << 8 | usize::from(channel.0[1]);
        &self.rung[place % BELLS]
    }

    /// A letter for a channel's client has come.
    pub fn ring(&self, channel: ChannelId) {
        self.bell(channel).send_modify(|count| *count += 1);
    }

    /// How often it has rung for a channel, and when it does again.
    pub fn hear(&self, channel: ChannelId) -> watch::Receiver<u64> {
        self.bell(channel).subscribe()
    }

    /// A word for a mailbox: whose bells, how often they had rung before it was looked into, which letters.
    pub fn mark(&self, rung: u64, letters: B256) -> B256 {
        let mut word = letters;
        word[..8].copy_from_slice(&self.of);
        word[8..16].copy_from_slice(&rung.to_be_bytes());
        word
    }

    /// Whether nothing has come since a mailbox was what this word says.
    pub fn is_newest(&self, word: B256, rung: u64) -> bool {
        !self.is_shared && word[..8] == self.of && word[8..16] == rung.to_be_bytes()
    }

    /// Whether two words are for the same letters, at whatever hub.
    pub fn are_same(one: B256, other: B256) -> bool {
        one[16..] == other[16..]
    }
}
